"""Weights of prompts: each counts like that many repetitions of the prompt."""

import warnings
from inspect import signature
from typing import Any

import numpy as np
from sklearn.utils import check_array

from sklearn_uniroute.utils._validation import as_numbers, check_quality

# Mean weight below which weights are probably shares of the traffic.
_LEAST_MEAN = 0.1


def check_sample_weight(sample_weight: Any, n_prompts: int) -> np.ndarray:
    """Check the weights of prompts; None gives all prompts a weight of 1."""
    if sample_weight is None:
        return np.ones(n_prompts)
    checked: np.ndarray = check_array(
        as_numbers(sample_weight), dtype=np.float64, ensure_2d=False, input_name="sample_weight"
    )
    if checked.shape != (n_prompts,):
        raise ValueError(
            f"`sample_weight` has shape {checked.shape} but there are {n_prompts} prompts; "
            "pass one weight per prompt."
        )
    with np.errstate(over="ignore"):
        total = checked.sum()
    if checked.min() < 0 or total == 0 or not np.isfinite(total):
        raise ValueError(
            "`sample_weight` must hold weights of at least 0, not all of them zero, with a finite "
            f"sum; got a minimum of {checked.min()} and a sum of {total}."
        )
    return checked


def without_weightless(
    sample_weight: Any, X: np.ndarray, y: np.ndarray, costs: np.ndarray | None, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Leave out training prompts of weight 0.

    Returns the rows that are kept, their weights, and the arrays without the others.
    """
    weights = check_sample_weight(sample_weight, len(X))
    rows = np.flatnonzero(weights)
    weights = weights[rows]
    total = weights.sum()
    if total < min(2, len(rows)):
        raise ValueError(
            f"`sample_weight` sums to {total:g}, but a weight counts like that many repetitions of "
            "its prompt, so this is less than two prompts; pass sample_weight / "
            "sample_weight.mean()."
        )
    if total < _LEAST_MEAN * len(rows):
        warnings.warn(
            f"`sample_weight` sums to {total:g} for {len(rows)} prompts, and evidence will be as "
            "weak as that of so few prompts; pass sample_weight / sample_weight.mean() if the "
            "weights are shares.",
            UserWarning,
            stacklevel=5,
        )
    if len(rows) < len(X):
        X, y = X[rows], check_quality(y[rows], labels=labels)
        if costs is not None and costs.ndim == 2:
            costs = costs[rows]
    return rows, weights, X, y, costs


def check_no_weights(sample_weight: Any) -> None:
    """Refuse weights where prompts come in blocks."""
    if sample_weight is not None:
        raise TypeError(
            "`sample_weight` needs all prompts in memory, and `X` is a dask array; pass "
            "X.compute(), or repeat the rows."
        )


def check_takes_weights(kind: type, base: type) -> None:
    """Refuse weights for a router with methods of its own that do not take them."""
    for name in ("_fit_features", "_represent"):
        method = getattr(kind, name)
        own = method is not getattr(base, name)
        if own and "sample_weight" not in signature(method).parameters:
            raise TypeError(
                f"{kind.__name__} does not support `sample_weight`: its `{name}` has no such "
                "argument. Add it, or repeat the rows."
            )


def weighted(sample_weight: np.ndarray | None) -> dict[str, np.ndarray]:
    """Make the argument for weights, which only methods that support weights take."""
    return {} if sample_weight is None else {"sample_weight": sample_weight}
