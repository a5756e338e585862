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


def loss_of_leave_one_out(X, errors, k):
    """Squared error of the differences between models, each prompt predicted from the others."""
    distance = np.linalg.norm(X[:, None] - X, axis=2)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1)[:, :k]
    residual = errors - np.nanmean(errors[near], axis=1)
    own = residual - np.nanmean(residual, axis=1, keepdims=True)
    return np.nansum(own**2)


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.parametrize("gaps", [0, 0.1])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_auto_is_the_number_that_leave_one_out_prefers(data, gaps, offset):
    rng = np.random.RandomState(0)
    y = np.where(rng.uniform(size=data.y.shape) < gaps, np.nan, data.y)
    router = KNeighborsRouter(random_state=0).fit(data.X + offset, y)
    numbers = [4, 6, 9, 14, 20, 30, 46, 68, 103, 154, 231, 346, 399]
    losses = [loss_of_leave_one_out(data.X, 1 - y, k) for k in numbers]
    assert router.n_neighbors_ == numbers[np.argmin(losses)]
    fixed = KNeighborsRouter(router.n_neighbors_, random_state=0).fit(data.X + offset, data.y)
    if not gaps:
        np.testing.assert_array_equal(
            router.predict_error(data.X + offset), fixed.predict_error(data.X + offset)
        )


def test_auto_takes_fewer_neighbors_where_a_model_was_run_on_fewer_prompts(data):
    router = KNeighborsRouter(n_validation=50, random_state=0).fit(data.X, data.y[:, :7])
    router.add_model(1 - data.y[router.validation_indices_, 7])
    k = round(router.n_neighbors_ * (50 / 400) ** (1 / 3))
    alone = KNeighborsRouter(k).fit(router.X_val_, data.y[router.validation_indices_][:, [7]])
    np.testing.assert_allclose(
        router.predict_error(data.X, [7]), alone.predict_error(data.X), atol=1e-12
    )
    # Evidence adds up to that of a model that was run on all prompts, and no further.
    router.update_model(7, 1 - data.y[:, 7], X_val=data.X)
    assert router._numbers_of_neighbors(np.array([7]))[0] == router.n_neighbors_


def test_auto_without_a_signal_takes_as_many_as_there_are():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 4))
    y = (rng.uniform(size=(300, 5)) < [0.3, 0.4, 0.5, 0.6, 0.7]).astype(float)
    assert KNeighborsRouter(random_state=0).fit(X, y).n_neighbors_ > 100


def test_auto_learns_from_logs_in_which_one_model_answers_each_prompt():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(600, 2))
    asked = np.arange(3) == rng.randint(3, size=(600, 1))
    y = np.where(asked, (rng.uniform(size=(600, 3)) < [0.3, 0.5, 0.7]).astype(float), np.nan)
    assert KNeighborsRouter(random_state=0).fit(X, y).n_neighbors_ > 100
    y = np.where(asked, X[:, :1] > [-0.5, 0, 0.5], np.nan)
    assert KNeighborsRouter(random_state=0).fit(X, y).n_neighbors_ < 30


def test_auto_does_not_count_prompts_without_labels(data):
    labelled = np.arange(len(data.X)) % 2 == 0
    y = np.where(labelled[:, None], data.y, np.nan)
    some = KNeighborsRouter(random_state=0).fit(data.X[labelled], data.y[labelled])
    every = KNeighborsRouter(random_state=0).fit(data.X, y)
    assert every.n_neighbors_ == some.n_neighbors_
    np.testing.assert_allclose(every.predict_error(data.X), some.predict_error(data.X))


def test_auto_with_weights_by_distance(data):
    router = KNeighborsRouter(weights="distance", random_state=0).fit(data.X, data.y)
    distance = np.linalg.norm(data.X[:, None] - data.X, axis=2)
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1)
    losses = {}
    for k in (4, 6, 9, 14, 20, 30, 46, 68, 103, 154, 231, 346, 399):
        near = order[:, :k]
        weight = 1 / np.take_along_axis(distance, near, axis=1)
        mean = np.einsum("nk,nkm->nm", weight, (1 - data.y)[near]) / weight.sum(axis=1)[:, None]
        residual = 1 - data.y - mean
        losses[k] = np.sum((residual - residual.mean(axis=1, keepdims=True)) ** 2)
    assert router.n_neighbors_ == min(losses, key=losses.get)


@pytest.mark.parametrize("n_prompts", [1, 2, 5])
def test_auto_with_few_prompts(data, n_prompts):
    router = KNeighborsRouter(random_state=0).fit(data.X[:n_prompts], data.y[:n_prompts])
    assert router.n_neighbors_ == max(1, min(4, n_prompts - 1))


@pytest.mark.parametrize("n_neighbors", ["many", 0, 2.5, None])
def test_numbers_of_neighbors_that_are_refused(data, n_neighbors):
    message = "must be 'auto' or a number" if n_neighbors == "many" else "n_neighbors"
    with pytest.raises((TypeError, ValueError), match=message):
        KNeighborsRouter(n_neighbors).fit(data.X, data.y)
