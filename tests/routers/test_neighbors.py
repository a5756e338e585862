import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from sklearn_uniroute import KNeighborsRouter


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_errors_are_those_of_a_regressor_per_model(data, weights, metric):
    X, X_test = data.X[:300], data.X[290:]
    y = data.y[:300].copy()
    y[np.random.RandomState(0).uniform(size=y.shape) < 0.2] = np.nan
    router = KNeighborsRouter(7, weights=weights, metric=metric, random_state=0).fit(X, y[:, :6])
    router.add_model(1 - y[router.validation_indices_, 6])
    error = router.predict_error(X_test)
    for model in range(7):
        rows = np.arange(300) if model < 6 else router.validation_indices_
        rows = rows[~np.isnan(y[rows, model])]
        regressor = KNeighborsRegressor(7, weights=weights, metric=metric)
        expected = regressor.fit(X[rows], 1 - y[rows, model]).predict(X_test)
        np.testing.assert_allclose(error[:, model], expected, atol=1e-9)


def test_training_models_have_training_neighbors_and_added_ones_validation_neighbors():
    X = np.array([[0.0], [1.0], [10.0]])
    router = KNeighborsRouter(1).fit(X, [[1], [0], [1]], X_val=[[4.0], [11.0]])
    router.add_model([1.0, 0.0])
    np.testing.assert_array_equal(router.predict_error([[1.2], [9.0]]), [[1, 1], [0, 0]])
    assert np.isnan(router.representation_).tolist() == [
        [False, False, False, True, True],
        [True, True, True, False, False],
    ]


def test_fewer_prompts_than_neighbors_give_the_mean():
    router = KNeighborsRouter(10).fit([[0.0], [1.0], [2.0]], [[1], [0], [0]])
    np.testing.assert_allclose(router.predict_error([[0.0]]), [[2 / 3]])


def test_a_prompt_reported_twice_counts_twice():
    X = np.array([[0.0], [1.0], [5.0]])
    router = KNeighborsRouter(3, n_validation=None).fit(X, [[1], [1], [1]])
    router.add_model([0.0, np.nan, 1.0]).update_model(1, [1.0, 1.0, np.nan])
    # Nearest to 0 are the two reports on the prompt at 0 and the one at 1.
    assert router.predict_error([[0.0]], [1]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_repeated_prompts_are_settled_alike_in_every_batch(metric):
    rng = np.random.RandomState(0)
    X_new = rng.normal(size=(300, 64))
    X = X_new[rng.randint(300, size=2000)]
    y = rng.randint(2, size=(2000, 4)).astype(float)
    router = KNeighborsRouter(10, metric=metric).fit(X, y, costs=[1, 2, 3, 4])
    alone = np.concatenate([router.predict(row[None]) for row in X_new])
    np.testing.assert_array_equal(router.predict(np.tile(X_new, (10, 1)))[:300], alone)


def test_equal_evidence_gives_equal_errors():
    y = np.ones((21, 2))
    y[20, 0] = np.nan
    y[[2, 3, 4, 6, 10, 14, 16], 0] = 0
    y[[3, 5, 8, 15, 16, 17, 19], 1] = 0
    router = KNeighborsRouter(20).fit(np.arange(21.0)[:, None], y, costs=[1, 50])
    assert router.predict([[0.0]]).tolist() == [0]
    assert router.predict(np.float32([[0.0]])).tolist() == [0]


def test_prompts_of_models_that_went_are_dropped(data):
    router = KNeighborsRouter(5, n_validation=20, random_state=0).fit(data.X, data.y)
    own = data.X[:30] + 1
    errors = np.zeros(30)
    router.add_model(errors, name=8, X_val=own).add_model(errors, name=9, X_val=own)
    router.add_model(errors, name=9, X_val=own, replace=True).update_model(8, np.zeros(20))
    router.remove_model(8).remove_model(9)
    assert len(router.reference_prompts_) == len(data.X) + 20
    assert router.representation_.shape == (8, len(data.X) + 20)


def test_blocks_do_not_matter(data, monkeypatch):
    router = KNeighborsRouter(5, random_state=0).fit(data.X, data.y)
    chosen = router.predict(data.X)
    monkeypatch.setattr("sklearn_uniroute._numerics._predictors._BLOCK_CELLS", 100)
    np.testing.assert_array_equal(router.predict(data.X), chosen)
