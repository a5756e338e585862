"""Models that may be chosen for single prompts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import is_hashable, listing, repeated, select_columns


def check_eligible(eligible: Any, labels: np.ndarray, n_prompts: int) -> np.ndarray:
    """Check which models may be chosen for each prompt.

    Parameters
    ----------
    eligible : array-like or DataFrame of shape (n_prompts, n_models)
        Booleans, in the order of `labels` or by name.
    labels : ndarray of shape (n_models,)
        Names of the models.
    n_prompts : int

    Returns
    -------
    eligible : ndarray of shape (n_prompts, n_models), dtype bool

    Raises
    ------
    ValueError
        If the entries are no booleans, if the shape is another, or if a prompt has no model.
    """
    checked = _booleans(select_columns(eligible, labels, name="eligible"))
    if checked.shape != (n_prompts, len(labels)):
        raise ValueError(
            f"`eligible` must have shape {(n_prompts, len(labels))}, one row per prompt and one "
            f"column per model; got shape {checked.shape}. To leave out models for all prompts, "
            "pass a pool."
        )
    none = np.flatnonzero(~checked.any(axis=1))
    if len(none):
        more = f", nor {len(none) - 1} more" if len(none) > 1 else ""
        raise ValueError(
            f"row {none[0]} of `eligible` has no model{more}; allow at least one for each prompt."
        )
    return checked


def ineligible(eligible: Any, positions: dict[Label, int]) -> list[int]:
    """Find the positions of the models that may not be chosen for one prompt.

    `positions` has the position of each model, in the order of the pool. `eligible` is a mapping or
    Series of booleans by name, an array of booleans in the order of the pool, or an iterable of
    names.

    Raises
    ------
    TypeError
        If `eligible` is a single name, or cannot be iterated.
    ValueError
        If names are unknown or missing, or if there is another number of booleans.
    """
    if isinstance(eligible, str) or not np.iterable(eligible):
        raise TypeError(
            f"`eligible` must be booleans, one per model, or names of models; got {eligible!r}."
        )
    if hasattr(eligible, "columns"):
        raise TypeError(
            "`eligible` is a DataFrame, but this is about one prompt; pass a row of it, such as "
            "eligible.iloc[0]."
        )
    is_series = hasattr(eligible, "index") and hasattr(eligible, "loc")
    by_name: Any = eligible
    if isinstance(eligible, Mapping) or (
        is_series and any(isinstance(one, bool | np.bool_) for one in by_name.tolist())
    ):
        missing = [name for name in positions if name not in eligible]
        if missing:
            raise ValueError(f"`eligible` does not say whether {listing(missing)} may be chosen.")
        allowed = _booleans([by_name[name] for name in positions])
    elif isinstance(eligible, np.ndarray) and eligible.dtype == bool:
        allowed = _booleans(eligible)
    else:
        found = list(eligible)
        if any(isinstance(one, bool | np.bool_) for one in found):
            allowed = _booleans(found)
        else:
            refuse_unknown(found, positions, "eligible")
            if repeated(found):
                raise ValueError(
                    f"`eligible` repeats {listing(repeated(found))}; pass booleans, or each name "
                    "once."
                )
            names = set(found)
            allowed = np.array([name in names for name in positions])
    if allowed.shape != (len(positions),):
        raise ValueError(
            f"`eligible` must have one boolean for each of the {len(positions)} models; got shape "
            f"{allowed.shape}."
        )
    return [place for place, yes in zip(positions.values(), allowed, strict=True) if not yes]


def refuse_unknown(names: list[Any], positions: dict[Label, int], argument: str) -> None:
    """Refuse names that are not those of models of a table."""
    # A mask would be read as models 0 and 1.
    unknown = [
        name
        for name in names
        if isinstance(name, bool | np.bool_) or not (is_hashable(name) and name in positions)
    ]
    if unknown:
        raise ValueError(
            f"`{argument}` has models that this table does not know: {listing(unknown)}. Known "
            f"models: {listing(positions)}."
        )


def _booleans(values: Any) -> np.ndarray:
    """Convert to an array of booleans, but no numbers."""
    array = np.asarray(values)
    if array.dtype == object and all(isinstance(one, bool | np.bool_) for one in array.flat):
        array = array.astype(bool)
    if array.dtype != bool or np.ma.is_masked(values):
        raise ValueError(
            f"`eligible` must be True or False throughout; got dtype {array.dtype}. Compare "
            "numbers with a limit, fill gaps, and pass names of models as `pool`."
        )
    return array
