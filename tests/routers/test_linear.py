import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sklearn_uniroute import LinearRouter
from sklearn_uniroute.routers._linear import _ALPHAS


@pytest.fixture
def y(data):
    """Quality with cells that were not run; the first three models were run on the same prompts."""
    y = data.y.copy()
    run = np.random.RandomState(0).uniform(size=y.shape)
    y[:, 3:][run[:, 3:] < 0.3] = np.nan
    y[:, 5][run[:, 5] < 0.9] = np.nan
    return y


@pytest.mark.parametrize("alpha", [0.01, 1.0, 50.0])
def test_every_model_is_a_ridge_regression(data, y, alpha):
    router = LinearRouter(alpha=alpha).fit(data.X, y)
    for model in range(8):
        seen = ~np.isnan(y[:, model])
        ridge = Ridge(alpha=alpha).fit(data.X[seen], 1 - y[seen, model])
        np.testing.assert_allclose(
            router.predict_error(data.X, [model])[:, 0], ridge.predict(data.X), atol=1e-10
        )


def test_an_added_model_is_regressed_on_its_own_prompts(data, y):
    router = LinearRouter(alpha=1.0, n_validation=40, random_state=0).fit(data.X, y[:, :5])
    picked = router.validation_indices_
    router.add_model(1 - data.y[picked, 7])
    ridge = Ridge().fit(data.X[picked], 1 - data.y[picked, 7])
    np.testing.assert_allclose(
        router.predict_error(data.X, [5])[:, 0], ridge.predict(data.X), atol=1e-10
    )
    router.update_model(5, 1 - data.y[:90, 7], X_val=data.X[:90])
    both = np.concatenate([picked, np.arange(90)])
    ridge = Ridge().fit(data.X[both], 1 - data.y[both, 7])
    np.testing.assert_allclose(
        router.predict_error(data.X, [5])[:, 0], ridge.predict(data.X), atol=1e-10
    )


def test_models_run_on_the_same_prompts_share_their_sums(data, y):
    grams = LinearRouter().fit(data.X, y)._evidence["grams"]
    assert grams[0] is grams[1] is grams[2]
    assert grams[3] is not grams[4]


def test_sums_over_blocks_are_the_sums(data, y, monkeypatch):
    whole = LinearRouter().fit(data.X, y).representation_
    monkeypatch.setattr("sklearn_uniroute._numerics._ridge._BLOCK_ROWS", 7)
    np.testing.assert_allclose(LinearRouter().fit(data.X, y).representation_, whole, rtol=1e-9)


def test_auto_is_the_penalty_that_cross_validates_best():
    """By the same rotation-invariant leave-one-out, from hat matrices of all prompts."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(120, 30))
    errors = X @ rng.normal(scale=0.1, size=(30, 4)) + rng.normal(size=(120, 4))
    errors += rng.normal(scale=3, size=(120, 1))
    gaps = np.where(np.arange(120)[:, None] < [0, 0, 30, 40], np.nan, errors)
    for y in (1 - errors, 1 - gaps):
        router = LinearRouter().fit(X, y)
        own = 1 - y - np.nanmean(1 - y, axis=0)
        own -= np.nanmean(own, axis=1, keepdims=True)
        losses = []
        for alpha in _ALPHAS:
            loss = 0.0
            for column in own.T:
                run = ~np.isnan(column)
                n = run.sum()
                Z = X[run] - X[run].mean(axis=0)
                hat = Z @ np.linalg.solve(Z.T @ Z + alpha * np.eye(30), Z.T) + 1 / n
                residual = column[run] - hat @ column[run]
                loss += n**2 * residual @ residual / (n - np.trace(hat)) ** 2
            losses.append(loss)
        assert router.alpha_ == _ALPHAS[np.argmin(losses)]
        fixed = LinearRouter(alpha=router.alpha_).fit(X, y)
        np.testing.assert_allclose(router.predict_error(X), fixed.predict_error(X), rtol=1e-9)


def test_auto_ignores_what_models_have_in_common():
    """Noise that hits all models alike decides no choice, and hides no signal."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(400, 40))
    errors = X @ rng.normal(scale=0.3, size=(40, 5)) + 0.5 * rng.normal(size=(400, 5))
    plain = LinearRouter().fit(X, 1 - errors)
    common = LinearRouter().fit(X, 1 - (errors + 50 * rng.normal(size=(400, 1))))
    assert common.alpha_ == plain.alpha_
    # A single model has nothing to differ from.
    assert LinearRouter().fit(X, 1 - errors[:, :1]).alpha_ < max(_ALPHAS)


def test_auto_learns_from_logs_in_which_one_model_answers_each_prompt():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(600, 40))
    asked = np.arange(3) == rng.randint(3, size=(600, 1))
    y = np.where(asked, (rng.uniform(size=(600, 3)) < [0.3, 0.5, 0.7]).astype(float), np.nan)
    assert LinearRouter().fit(X, y).alpha_ >= 1000
    y = np.where(asked, X @ rng.normal(size=(40, 3)), np.nan)
    assert LinearRouter().fit(X, y).alpha_ < 1


@pytest.mark.parametrize("alpha", [0, -1.0, np.inf, np.nan])
def test_alpha_must_be_above_zero(data, alpha):
    with pytest.raises(ValueError, match="alpha"):
        LinearRouter(alpha=alpha).fit(data.X, data.y)
