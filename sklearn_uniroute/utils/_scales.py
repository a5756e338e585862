"""Warnings about numbers that are on another scale than the rest."""

import warnings
from typing import Any

import numpy as np

from sklearn_uniroute.utils._validation import listing

# Number of observed values below which a range says little, but for one that is far beyond.
_LEAST_VALUES, _FAR_BEYOND = 10, 100
# Widths of a range by which another may exceed it, and below which another is too narrow.
_BEYOND, _NARROW = 2, 0.12
# Share of the width of a range by which another may exceed it and still fits.
_FITS = 0.1
# Widths of a range, and multiples of it, by which the number on a card may exceed it.
_WIDTHS_BEYOND, _MULTIPLE_BEYOND, _LEAST_MODELS = 10, 20, 3
# Multiple by which costs of calls may differ from what is expected.
_COST_MULTIPLE = 30
# Width of a range, beside its values, up to which these are as good as constant.
_CONSTANT = 1e-3


def warn_of_scales(y: np.ndarray, labels: np.ndarray, *, stacklevel: int = 3) -> None:
    """Warn about models whose qualities have another range than those of the others.

    Parameters
    ----------
    y : ndarray of shape (n_prompts, n_models)
        Quality; NaN where a model was not run.
    labels : ndarray of shape (n_models,)
        Names of the models.
    stacklevel : int
        As for `warnings.warn`.
    """
    counts = np.count_nonzero(~np.isnan(y), axis=0)
    models = np.flatnonzero(counts >= 2)
    if len(models) < 2:
        return
    low, high = (ends[models] for ends in _ranges(y))
    varies = _varies(low, high)
    if not varies.any():
        return
    # A model that is always right says nothing of the scale.
    low_end, high_end = np.median(low[varies]), np.median(high[varies])
    unlike = []
    for place, label in enumerate(labels[models]):
        # Of two models, each is compared with the other, and of more with a typical one.
        others = varies if len(models) > 2 else varies & (np.arange(2) != place)
        if not others.any():
            continue
        ends = (low_end, high_end) if len(models) > 2 else (low[others][0], high[others][0])
        beyond = _FAR_BEYOND * (ends[1] - ends[0])
        if is_unlike(low[place], high[place], *ends) and (
            counts[models].min() >= _LEAST_VALUES
            or high[place] > ends[1] + beyond
            or low[place] < ends[0] - beyond
        ):
            unlike.append(
                f"{listing([label])} from {low[place]:.8g} to {high[place]:.8g}, but the "
                f"others from {ends[0]:.8g} to {ends[1]:.8g}"
            )
    # If most models differ, they have no common scale: each is about its own level.
    if unlike and (len(models) == 2 or len(unlike) <= len(models) / 2):
        more = f"; and {len(unlike) - 5} more models" if len(unlike) > 5 else ""
        warnings.warn(
            f"some qualities are on another scale: those of {'; '.join(unlike[:5])}{more}. Drop "
            "columns that are no models, such as ids, counts or times, and bring all qualities to "
            "one scale.",
            UserWarning,
            stacklevel=stacklevel,
        )


def _ranges(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value of each column that is not NaN."""
    return np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)


def typical_range(y: np.ndarray) -> tuple[float, float]:
    """Median of the least and of the largest error, over models whose errors vary.

    Both are 0 if most models have other ranges than that.
    """
    high, low = (1 - ends for ends in _ranges(y))
    varies = _varies(low, high)
    if not varies.any():
        return 0.0, 0.0
    ends = float(np.median(low[varies])), float(np.median(high[varies]))
    unlike = [is_unlike(*one, *ends) for one in zip(low[varies], high[varies], strict=True)]
    return ends if np.mean(unlike) <= 1 / 2 else (0.0, 0.0)


def warn_of_error_scale(
    errors: np.ndarray, label: Any, low: float, high: float, *, stacklevel: int = 3
) -> None:
    """Warn if the errors of a new model have another range than those of the training models."""
    errors = errors[~np.isnan(errors)]
    if not len(errors):
        return
    least, most = errors.min(), errors.max()
    # Errors between 0 and 1 have a scale on which a single other number is out of place.
    is_odd = 0 <= low < high <= 1 and not fits(least, most, 0, 1)
    if len(errors) < _LEAST_VALUES and not is_odd:
        return
    # Qualities fit the range of errors if they are turned into errors.
    is_quality = not fits(least, most, low, high) and fits(1 - most, 1 - least, low, high)
    if is_odd or is_unlike(least, most, low, high) or (low < high and is_quality):
        warnings.warn(
            f"the errors of model {label!r} go from {least:g} to {most:g}, but "
            f"those of the training models from {low:g} to {high:g}; pass errors, which are one "
            "minus quality, on the scale of the others.",
            UserWarning,
            stacklevel=stacklevel,
        )


def warn_of_cost_scale(paid: np.ndarray, label: Any, expected: float) -> None:
    """Warn if the calls of a model cost far more or less than expected."""
    mean = float(paid.mean(dtype=np.float64))
    # The mean of few calls may be far from what is expected.
    multiple = _COST_MULTIPLE if len(paid) >= _LEAST_VALUES else 10 * _COST_MULTIPLE
    if max(mean, expected) > multiple * min(mean, expected):
        warnings.warn(
            f"calls of model {label!r} cost {mean:g} on average, but the router expects "
            f"{expected:g}; pass costs in the same unit.",
            UserWarning,
            stacklevel=3,
        )


def warn_of_feature_scale(
    card: np.ndarray, known: np.ndarray, label: Any, names: np.ndarray, *, stacklevel: int = 6
) -> None:
    """Warn if a number on the card of a model is far from those of the other models."""
    for value, values, name in zip(card, known.T, names.tolist(), strict=True):
        values = values[~np.isnan(values)]
        # Few values say little of the range of others.
        if np.isnan(value) or len(values) < _LEAST_MODELS:
            continue
        low, high = values.min(), values.max()
        beyond = max(low - value, value - high)
        multiple = max(value / high, low / value) if min(value, low) > 0 else 0
        if beyond > _WIDTHS_BEYOND * (high - low) > 0 or multiple > _MULTIPLE_BEYOND:
            warnings.warn(
                f"feature {name!r} of model {label!r} is {value:g}, but those of the other models "
                f"go from {low:g} to {high:g}; pass it in the same unit.",
                UserWarning,
                stacklevel=stacklevel,
            )


def warn_of_card_error(expected: float, label: Any, low: float, high: float) -> None:
    """Warn if the mean error that a card tells is outside of the range of errors."""
    if low < high and not fits(expected, expected, low, high):
        warnings.warn(
            f"the features of model {label!r} tell a mean error of {expected:.2g}, but errors go "
            f"from {low:g} to {high:g}; its features may be in another order or unit, or too far "
            "from those of the other models. Check them, or pass some errors.",
            UserWarning,
            stacklevel=3,
        )


def _varies(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether values differ by more than little, beside their size."""
    varies: np.ndarray = high - low > _CONSTANT * np.maximum(np.abs(low), np.abs(high))
    return varies


def fits(low: float, high: float, other_low: float, other_high: float) -> bool:
    """Whether a range lies within another, or hardly beyond."""
    slack = _FITS * (other_high - other_low)
    return other_low - slack <= low and high <= other_high + slack


def is_unlike(low: float, high: float, other_low: float, other_high: float) -> bool:
    """Whether a range lies outside of another, or beyond it, or is very narrow beside it."""
    width = other_high - other_low
    if width <= 0:
        return False
    beyond = low < other_low - _BEYOND * width or high > other_high + _BEYOND * width
    varies = low < high
    apart = low >= other_high or high <= other_low
    return bool(beyond or (varies and (apart or high - low < _NARROW * width)))
