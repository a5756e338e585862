"""Checks of logs of served traffic, which have one row per call."""

from typing import Any

import numpy as np
from sklearn.utils import check_array

from sklearn_uniroute.utils._validation import FLOATS, as_numbers, is_hashable, listing


def check_chosen(chosen: Any, models: np.ndarray, n_calls: int, name: str) -> np.ndarray:
    """Find the position of the model of each call.

    Parameters
    ----------
    chosen : array-like of shape (n_calls,)
        Name of the model that answered each call.
    models : ndarray of shape (n_models,)
        Names of the known models.
    n_calls : int
        Number of rows of the log.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    positions : ndarray of shape (n_calls,), dtype intp

    Raises
    ------
    ValueError
        If lengths disagree, if a name is missing, or if it is that of no known model.
    """
    check_calls(chosen, n_calls, name)
    if np.ma.is_masked(chosen):
        raise ValueError(f"`{name}` has masked entries; leave these calls out.")
    labels = chosen.tolist() if hasattr(chosen, "tolist") else list(chosen)
    known = {label: position for position, label in enumerate(models.tolist())}
    # True and 1 are the same key.
    odd = (bool, np.bool_)
    unknown = {
        repr(label): label
        for label in labels
        if isinstance(label, odd) or not (is_hashable(label) and label in known)
    }
    if unknown:
        remedy = "Add these models first, or leave these calls out."
        if {str(label) for label in unknown.values()} <= {str(label) for label in known}:
            remedy = "Names must be of the same type: a file may have turned them into numbers."
        raise ValueError(
            f"`{name}` names models that are not known: {listing(unknown.values(), 5)}. Known "
            f"models: {listing(known)}. {remedy}"
        )
    return np.array([known[label] for label in labels], dtype=np.intp)


def check_feedback(values: Any, n_calls: int, name: str) -> np.ndarray:
    """Check one number for each call; NaN where there is none.

    Raises
    ------
    ValueError
        If lengths disagree, or if a number is infinite.
    """
    values = as_numbers(np.asarray(values) if isinstance(values, list | tuple) else values)
    check_calls(values, n_calls, name)
    checked: np.ndarray = check_array(
        values,
        dtype=FLOATS,
        ensure_2d=False,
        ensure_all_finite="allow-nan",
        ensure_min_samples=0,
        input_name=name,
    )
    return checked


def check_call_costs(costs: Any, n_calls: int) -> np.ndarray:
    """Check the cost of each call; NaN where it was not recorded."""
    checked = check_feedback(costs, n_calls, "costs")
    if (checked < 0).any():
        row = int(np.argmax(checked < 0))
        raise ValueError(f"`costs` must be at least 0; got {checked[row]} in row {row}.")
    return checked


def check_calls(values: Any, n_calls: int, name: str) -> None:
    """Check that there is one entry for each call."""
    if isinstance(values, str) or np.ndim(values) != 1 or len(values) != n_calls:
        raise ValueError(
            f"`{name}` must have one entry for each of the {n_calls} calls; got shape "
            f"{np.shape(values)}."
        )
