import numpy as np
import pytest

from sklearn_uniroute._numerics._neighbors import NeighborPredictor


def one_by_one(X, prompts, errors, n_neighbors, *settings):
    """Search among the prompts of each model alone."""
    columns = []
    for model in range(len(errors)):
        alone = NeighborPredictor(
            prompts, errors[[model]], np.ones(1), n_neighbors[[model]], *settings
        )
        columns.append(alone.errors(X))
    return np.hstack(columns)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("twins", [False, True])
def test_one_search_finds_what_a_search_for_each_model_finds(metric, weights, counted, twins):
    rng = np.random.RandomState(0)
    prompts = rng.normal(size=(400, 5)).astype(np.float32)
    if twins:
        prompts = prompts[rng.randint(50, size=400)]
    errors = rng.uniform(size=(6, 400))
    # Two were run on all prompts, one on few, and one on none of those that are asked about.
    errors[2, rng.permutation(400)[:30]] = np.nan
    errors[3, rng.permutation(400)[:190]] = np.nan
    errors[4, 12:] = np.nan
    X = np.vstack([prompts[:20], rng.normal(size=(30, 5)).astype(np.float32)])
    near = np.argsort(((prompts[:, None] - X[25]) ** 2).sum(axis=2).min(axis=1))[:150]
    errors[5, near] = np.nan
    counts = rng.randint(1, 4, size=400) / 2 if counted else None
    settings = np.array([20, 20, 20, 9, 20, 20]), weights, metric, counts
    found = NeighborPredictor(prompts, errors, np.ones(6), *settings).errors(X)
    np.testing.assert_array_equal(found, one_by_one(X, prompts, errors, *settings))


def test_models_with_gaps_of_their_own_share_a_search(monkeypatch):
    rng = np.random.RandomState(0)
    prompts, errors = rng.normal(size=(300, 4)), rng.uniform(size=(10, 300))
    errors[rng.uniform(size=errors.shape) < 0.1] = np.nan
    predictor = NeighborPredictor(
        prompts, errors, np.ones(10), np.full(10, 20), "uniform", "euclidean"
    )
    searches = []
    search = "sklearn_uniroute._numerics._neighbors.NearestNeighbors.kneighbors"
    found = predictor._among_all.kneighbors
    monkeypatch.setattr(search, lambda self, X, n: searches.append(len(X)) or found(X, n))
    predictor.errors(prompts[:100])
    assert searches == [100]


@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_distances_of_any_size(scale):
    rng = np.random.RandomState(0)
    prompts, X = rng.normal(size=(50, 4)), rng.normal(size=(20, 4))
    settings = rng.uniform(size=(3, 50)), np.ones(3), np.full(3, 4), "distance", "euclidean"
    found = NeighborPredictor(prompts * scale, *settings).errors(X * scale)
    np.testing.assert_allclose(found, NeighborPredictor(prompts, *settings).errors(X), rtol=1e-4)
