"""Statistics of paired trials."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, bootstrap, sem
from scipy.stats import t as student_t


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean over trials and the half-width of its t interval (NaN for one trial)."""
    mean = values.mean(axis=0)
    if len(values) == 1:
        return mean, np.full_like(mean, np.nan)
    return mean, student_t.ppf((1 + confidence) / 2, len(values) - 1) * sem(values)


def bootstrap_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a mean over trials (NaN for one trial)."""
    if len(values) == 1:
        return np.nan, np.nan
    rng = np.random.default_rng(0)
    interval = bootstrap(
        (values,), np.mean, confidence_level=confidence, method="percentile", random_state=rng
    ).confidence_interval
    return float(interval.low), float(interval.high)


def sign_test(differences: np.ndarray) -> float:
    """Compute the exact two-sided p-value of the sign test, leaving out ties."""
    above, below = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return float(binomtest(above, above + below).pvalue) if above + below else 1.0


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust p-values for multiple tests by Holm's step-down method."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def pointwise_interval(
    curves: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the mean curve and its interval at each cost, over the trials with a value there."""
    with warnings.catch_warnings():
        # Costs below all models in all trials have no mean and are not shown.
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        warnings.filterwarnings("ignore", "Degrees of freedom <= 0", RuntimeWarning)
        mean, spread = np.nanmean(curves, axis=0), np.nanstd(curves, axis=0, ddof=1)
    n_trials = np.isfinite(curves).sum(axis=0)
    half = student_t.ppf((1 + confidence) / 2, np.maximum(n_trials - 1, 1))
    half = half * spread / np.sqrt(np.maximum(n_trials, 1))
    return mean, mean - half, mean + half
