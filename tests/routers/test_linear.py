import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sklearn_uniroute import LinearRouter


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
    router = LinearRouter(n_validation=40, random_state=0).fit(data.X, y[:, :5])
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


@pytest.mark.parametrize("alpha", [0, -1.0, np.inf, np.nan])
def test_alpha_must_be_above_zero(data, alpha):
    with pytest.raises(ValueError, match="alpha"):
        LinearRouter(alpha=alpha).fit(data.X, data.y)
