"""Statistics of paired trials."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import sem
from scipy.stats import t as student_t

# Relative standard error below which differences are all the same.
_ROUNDING = 1e-12


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean over trials and the half-width of its t interval (NaN for one trial)."""
    mean = values.mean(axis=0)
    if len(values) == 1:
        return mean, np.full_like(mean, np.nan)
    return mean, student_t.ppf((1 + confidence) / 2, len(values) - 1) * sem(values)


def t_test(differences: np.ndarray) -> float:
    """Compute the two-sided p-value of Student's t test that the mean of differences is 0."""
    mean, error = differences.mean(), sem(differences)
    if error <= _ROUNDING * abs(mean):
        return 0.0 if mean else 1.0
    return float(2 * student_t.sf(abs(mean / error), len(differences) - 1))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust p-values for multiple tests by Holm's step-down method.

    A test is significant at a level if its adjusted p-value is below it, that is, if its own
    p-value is below the level times the ratio of the two.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted
