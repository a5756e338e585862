import numpy as np
import pytest
from scipy.stats import binom

from sklearn_uniroute.utils._statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    pointwise_interval,
    sign_test,
)


def test_sign_test_by_hand():
    # 1 of 8 trials, or 7, or a more extreme number.
    differences = [1, -1, -1, -1, -1, -1, -1, -1, 0, 0]
    assert sign_test(np.array(differences)) == pytest.approx(2 * binom.cdf(1, 8, 0.5))
    assert sign_test(np.zeros(4)) == 1


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.4, 0.9]), [0.8, 0.9])
    assert holm([]).shape == (0,)


def test_holm_keeps_the_chance_of_any_false_find():
    rng = np.random.RandomState(0)
    p_values = rng.uniform(size=(4000, 6))
    false_finds = np.mean([np.any(holm(row) < 0.05) for row in p_values])
    assert false_finds == pytest.approx(0.05, abs=0.01)


def test_bootstrap_intervals_cover_the_mean():
    rng = np.random.RandomState(0)
    covered = []
    for _ in range(300):
        low, high = bootstrap_interval(rng.exponential(size=40))
        covered.append(low <= 1 <= high)
    assert 0.88 < np.mean(covered) < 0.98
    values = rng.normal(size=20)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert np.isnan(bootstrap_interval(values[:1])).all()


def test_pointwise_intervals_are_those_of_the_trials_that_are_there():
    curves = np.array([[np.nan, 1.0, 2.0], [np.nan, 2.0, 2.5], [np.nan, np.nan, 4.0]])
    mean, low, high = pointwise_interval(curves, 0.95)
    for place, there in ((1, [0, 1]), (2, [0, 1, 2])):
        expected, half = mean_interval(curves[there, place])
        assert mean[place] == pytest.approx(expected)
        assert (low[place], high[place]) == pytest.approx((expected - half, expected + half))
    assert np.isnan([mean[0], low[0], high[0]]).all()
