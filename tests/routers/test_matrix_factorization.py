import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sklearn_uniroute import LinearRouter, MatrixFactorizationRouter


def alternating_least_squares(X, errors, rank, alpha, n_steps=3000):
    """The factors of least penalised squared error, found by solving for one after the other."""
    rng = np.random.RandomState(0)
    X = X - X.mean(axis=0)
    errors = errors - errors.mean(axis=0)
    gram = X.T @ X + alpha * np.eye(X.shape[1])
    target = np.linalg.solve(gram, X.T @ errors)
    projection = rng.normal(size=(X.shape[1], rank))
    for _ in range(n_steps):
        models = np.linalg.solve(projection.T @ gram @ projection, projection.T @ gram @ target)
        projection = target @ models.T @ np.linalg.inv(models @ models.T)
    return X @ projection @ models


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_factors_have_least_penalised_error(data, rank):
    errors = 1 - data.y
    router = MatrixFactorizationRouter(rank, alpha=5.0).fit(data.X, data.y)
    expected = errors.mean(axis=0) + alternating_least_squares(data.X, errors, rank, 5.0)
    np.testing.assert_allclose(router.predict_error(data.X), expected, atol=1e-6)
    # Errors less their levels have that rank.
    deviations = router.representation_[:, 1:] @ router.projection_
    assert np.linalg.matrix_rank(deviations) == rank


def test_full_rank_is_the_linear_router(data):
    X = data.X
    y = np.where(np.random.RandomState(0).uniform(size=data.y.shape) < 0.3, np.nan, data.y)
    router = MatrixFactorizationRouter(5, alpha=2.0).fit(X, y)
    linear = LinearRouter(alpha=2.0).fit(X, y)
    np.testing.assert_allclose(router.predict_error(X), linear.predict_error(X), atol=1e-10)


def test_an_added_model_is_folded_in(data):
    router = MatrixFactorizationRouter(2, alpha=3.0, n_validation=50, random_state=0)
    router.fit(data.X, data.y[:, :6])
    picked = router.validation_indices_
    projection = router.projection_.copy()
    router.add_model(1 - data.y[picked, 7])
    np.testing.assert_array_equal(router.projection_, projection)
    # Ridge regression in coordinates in which the penalty on A B is that on the coefficients.
    root = np.linalg.cholesky(projection @ projection.T)
    features = np.linalg.solve(root, projection @ data.X.T).T
    ridge = Ridge(alpha=3.0).fit(features[picked], 1 - data.y[picked, 7])
    np.testing.assert_allclose(
        router.predict_error(data.X, [6])[:, 0], ridge.predict(features), atol=1e-9
    )


def test_the_rank_is_that_of_the_data():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(2000, 12))
    errors = X @ rng.normal(size=(12, 2)) @ rng.normal(size=(2, 9))
    noisy = errors + rng.normal(scale=0.7, size=errors.shape)
    router = MatrixFactorizationRouter(random_state=0).fit(X, 1 - noisy)
    assert router.projection_.shape == (2, 12)
    full = MatrixFactorizationRouter(9).fit(X, 1 - noisy)
    off = [np.square(one.predict_error(X) - errors).mean() for one in (router, full)]
    assert off[0] < 0.7 * off[1]


def test_the_rank_is_chosen_without_models_that_were_run_on_prompts_held_out_alone(data):
    for row in range(40):
        y = data.y[:40].copy()
        y[:, 2] = np.nan
        y[row, 2] = 1
        router = MatrixFactorizationRouter(random_state=0).fit(data.X[:40], y)
        assert np.isfinite(router.predict_error(data.X)).all()


def test_few_prompts_leave_the_rank_full(data):
    router = MatrixFactorizationRouter().fit(data.X[:9], data.y[:9, :3])
    assert router.projection_.shape == (3, 5)


def test_a_rank_that_cannot_be(data):
    with pytest.raises(ValueError, match="rank"):
        MatrixFactorizationRouter(6).fit(data.X, data.y)
    with pytest.raises(ValueError, match="rank"):
        MatrixFactorizationRouter(0).fit(data.X, data.y)
