import numpy as np
from scipy.stats import kstest

from sklearn_uniroute._numerics._predictors import row_uniform


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
