import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sklearn_uniroute.utils._statistics import holm, mean_interval, t_test


def test_t_tests_are_those_of_scipy():
    differences = np.random.RandomState(0).normal(0.5, size=7)
    assert t_test(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue)
    # Trials that are all alike leave no doubt.
    assert t_test(np.zeros(4)) == 1
    assert t_test(np.full(4, 0.1)) == 0


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.4, 0.9]), [0.8, 0.9])
    assert holm([]).shape == (0,)


def test_holm_keeps_the_chance_of_any_false_find():
    rng = np.random.RandomState(0)
    p_values = rng.uniform(size=(4000, 6))
    false_finds = np.mean([np.any(holm(row) < 0.05) for row in p_values])
    assert false_finds == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("n_trials", [3, 5, 10, 20])
def test_intervals_over_few_trials_cover_the_mean(n_trials):
    """The percentile bootstrap covered .79 to .91 over 3 to 10 trials."""
    values = np.random.RandomState(0).normal(size=(n_trials, 4000))
    mean, half_width = mean_interval(values)
    assert np.mean(np.abs(mean) <= half_width) == pytest.approx(0.95, abs=0.015)
    rejected = [t_test(one) < 0.05 for one in values[:, :1000].T]
    np.testing.assert_array_equal(rejected, (np.abs(mean) > half_width)[:1000])
