import numpy as np
import pytest
from sklearn.cluster import KMeans

from sklearn_uniroute._numerics._clusters import (
    cluster_sums,
    distinct_centers,
    mean_errors,
    weighted_quantiles,
)
from sklearn_uniroute._numerics._features import NearestCluster


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_prompts", [1, 2047, 2048, 5000])
def test_nearest_centers_are_those_of_kmeans(dtype, n_prompts):
    rng = np.random.RandomState(0)
    kmeans = KMeans(11, random_state=0).fit(rng.normal(size=(500, 7)).astype(dtype))
    X = rng.normal(size=(n_prompts, 7)).astype(dtype)
    labels = NearestCluster(kmeans.cluster_centers_).features(X)
    np.testing.assert_array_equal(labels, kmeans.predict(X))


def test_equally_near_centers_go_to_the_first():
    assert NearestCluster(np.array([[1.0], [-1.0]])).features(np.array([[0.0]])).tolist() == [0]


def test_centers_that_coincide_but_for_rounding():
    centers = np.array([[1.0, 2.0], [3.0, 1.0], [1.0, 2.0 + 4e-16], [1.0, 2.0 + 1e-6]])
    np.testing.assert_array_equal(distinct_centers(centers), centers[[0, 1, 3]])
    # A millionth is rounding in single precision.
    centers = centers.astype(np.float32)
    np.testing.assert_array_equal(distinct_centers(centers), centers[:2])
    np.testing.assert_array_equal(distinct_centers(np.zeros((3, 2))), [[0, 0]])


def test_sums_and_means_by_hand():
    labels = np.array([0, 0, 2, 2])
    errors = np.array([[1, 0.5], [0, np.nan], [1, np.nan], [np.nan, 0.25]])
    sums, counts = cluster_sums(labels, errors, 4)
    np.testing.assert_array_equal(sums, [[1, 0, 1, 0], [0.5, 0, 0.25, 0]])
    np.testing.assert_array_equal(counts, [[2, 0, 1, 0], [1, 0, 1, 0]])
    # Empty clusters take the mean over the others, by their shares: (3 * .5 + 1 * 1) / 4 and so on.
    shares = np.array([0.3, 0.4, 0.1, 0.2])
    expected = [[0.5, 0.625, 1, 0.625], [0.5, 0.4375, 0.25, 0.4375]]
    np.testing.assert_allclose(mean_errors(sums, counts, shares), expected)


def test_single_precision_errors_are_summed_in_double():
    errors = np.full((10**6, 1), 0.1, dtype=np.float32)
    sums, _ = cluster_sums(np.zeros(len(errors), dtype=int), errors, 1)
    np.testing.assert_allclose(sums, 10**6 * float(np.float32(0.1)), rtol=1e-10)


def test_quantiles_of_weighted_values_are_those_of_repeated_values():
    rng = np.random.RandomState(0)
    values, weights = rng.normal(size=40).round(1), rng.randint(1, 6, size=40)
    grid = np.linspace(0, 1, 101)
    found = weighted_quantiles(values, grid, weights.astype(float))
    repeated = np.quantile(np.repeat(values, weights), grid, method="weibull")
    np.testing.assert_allclose(found, repeated)
    lighter = weighted_quantiles(values, grid, np.full(40, 0.25))
    assert (np.diff(lighter) >= 0).all()
    assert lighter[[0, -1]].tolist() == [values.min(), values.max()]
