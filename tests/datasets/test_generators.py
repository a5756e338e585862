import numpy as np
import pytest

from sklearn_uniroute import KMeansRouter, ZeroRouter
from sklearn_uniroute.datasets import make_classifier_pool, make_routing_data


def test_synthetic_error_rates_are_the_frequencies_of_errors():
    data = make_routing_data(n_prompts=40_000, n_models=4, n_clusters=3, random_state=0)
    for cluster in range(3):
        wrong = 1 - data.y[data.source == cluster].mean(axis=0)
        np.testing.assert_allclose(wrong, data.error_rates[cluster], atol=0.02)
    assert set(np.unique(data.y)) == {0, 1}
    assert np.all(np.diff(data.costs) > 0)


def test_synthetic_data_is_seeded():
    one, two = make_routing_data(random_state=3), make_routing_data(random_state=3)
    for name in ("X", "y", "costs", "source", "error_rates"):
        np.testing.assert_array_equal(one[name], two[name])
    assert not np.array_equal(one.X, make_routing_data(random_state=4).X)


@pytest.mark.parametrize("name", ["n_prompts", "n_models", "n_features", "n_clusters"])
def test_synthetic_numbers_are_checked(name):
    with pytest.raises(ValueError, match=f"{name} == 0, must be >= 1"):
        make_routing_data(**{name: 0})


@pytest.fixture(scope="module")
def pool():
    return make_classifier_pool()


def test_classifiers_are_what_they_are_said_to_be(pool):
    costs = dict(zip(pool.models.tolist(), pool.costs.tolist(), strict=True))
    # Mean and projection of 64 pixels, then weights and intercepts of ten digits.
    assert costs["logistic-pca8"] == 64 + 64 * 8 + 8 * 10 + 10
    assert costs["mlp-8"] == 64 * 8 + 8 + 8 * 10 + 10
    assert costs["tree-48"] == 95
    # Means and variances of 64 pixels for ten digits, and their frequencies.
    assert costs["bayes"] == 2 * 640 + 10
    digits = pool.source.astype(int)
    for model, right in zip(pool.models, pool.y.T, strict=True):
        if model.startswith("only-"):
            known = [int(digit) for digit in model.removeprefix("only-")]
            assert right[np.isin(digits, known)].mean() > 0.75
            assert right[~np.isin(digits, known)].sum() == 0


def test_classifier_pool_is_seeded(pool):
    again = make_classifier_pool()
    np.testing.assert_array_equal(pool.X, again.X)
    np.testing.assert_array_equal(pool.y, again.y)
    assert not np.array_equal(pool.y, make_classifier_pool(random_state=1).y)


def test_routing_pays_in_the_classifier_pool(pool):
    train, test = np.arange(1000), np.arange(1000, 1397)
    scores = [
        router.fit(pool.X[train], pool.y[train], pool.costs).score(pool.X[test], pool.y[test])
        for router in (ZeroRouter(random_state=0), KMeansRouter(20, random_state=0))
    ]
    assert scores[1] > scores[0] + 0.01
