import numpy as np
import pytest
from scipy.stats import kstest

from sklearn_uniroute._numerics._features import Affine, ClusterShares, NearestCluster
from sklearn_uniroute._numerics._predictors import FeaturePredictor, row_uniform


def test_numbers_are_uniform_and_depend_on_row_and_seed_alone():
    X = np.random.RandomState(0).normal(size=(5000, 4))
    uniform = row_uniform(X, 7)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert kstest(uniform, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(uniform, row_uniform(X, 8))[0, 1]) < 0.05
    np.testing.assert_array_equal(row_uniform(X[::-1], 7)[::-1], uniform)
    np.testing.assert_array_equal(row_uniform(X.astype(np.float32), 7), row_uniform(X, 7))
    np.testing.assert_array_equal(row_uniform(np.asfortranarray(X), 7), uniform)


def test_negative_zero_is_zero():
    assert row_uniform(np.array([[-0.0]]), 0) == row_uniform(np.array([[0.0]]), 0)


@pytest.mark.parametrize("n_equal", [0, 3])
def test_folded_scores_rank_models_as_normalised_ones(n_equal):
    rng = np.random.RandomState(0)
    centers = rng.normal(size=(5, 4))
    representation = rng.uniform(size=(8, 5))
    prices = np.sort(rng.uniform(size=8))
    for model in range(1, 1 + n_equal):
        representation[model], prices[model] = representation[0], prices[0]
    predictor = FeaturePredictor(ClusterShares(centers, 0.7), representation, prices)
    scores, places, slack = predictor.folded(2 * prices)
    assert len(places) == 8 - n_equal
    assert places[0] == 0
    for x in rng.normal(size=(200, 4)):
        folded = scores @ predictor.phi.weights(x)
        exact = predictor.errors(x[None])[0] + 2 * prices
        share = predictor.phi.weights(x).sum()
        np.testing.assert_allclose(folded / share, exact[places], atol=slack / share)
        assert exact[places[folded.argmin()]] <= exact.min() + 1e-6


def test_scores_are_not_folded_where_more_than_responsibilities_decides():
    centers, prices = np.eye(3), np.ones(2)
    for phi in (NearestCluster(centers), ClusterShares(centers, 0.0), Affine(np.zeros(2))):
        representation = np.zeros((2, phi.n_outputs))
        assert FeaturePredictor(phi, representation, prices).folded(prices) is None
