"""Checks of prompts and other arguments of a request."""

import math
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._clusters import ClustersSeen
from sklearn_uniroute.utils._eligible import ineligible, refuse_unknown
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import as_numbers, feature_names, listing


def check_prompt(
    x: ArrayLike, shape: tuple[int, ...], names: tuple[str, ...] | None = None
) -> np.ndarray:
    """Check one embedding."""
    if type(x) is not np.ndarray:
        check_feature_names(x, names, "x")
        x = np.asarray(as_numbers(x))
    if x.dtype.char not in "fd":
        if x.dtype.kind not in "biuf":
            raise ValueError(f"`x` must be real numbers, one per feature; got {x.dtype}.")
        x = x.astype(np.float64)
    if x.shape != shape:
        raise ValueError(
            f"`x` must be one embedding of shape {shape}; got shape {x.shape}. For many prompts, "
            "call route_many."
        )
    # Much faster than a check of each number.
    if not math.isfinite(x.dot(x)):
        raise ValueError(
            "`x` must be finite, and not so large that its squares overflow; got NaN, infinity "
            "or huge numbers."
        )
    return x


def check_feature_names(X: Any, names: tuple[str, ...] | None, argument: str) -> None:
    """Refuse names of features that are not those of the table, or in another order."""
    found = feature_names(X)
    if found is None or names is None or found == list(names):
        return
    unknown, missing = sorted(set(found) - set(names)), sorted(set(names) - set(found))
    if unknown or missing:
        wrong = (
            f"unknown: {listing(unknown, 5) or 'none'}; missing: {listing(missing, 5) or 'none'}"
        )
    else:
        wrong = "they are the same in another order"
    raise ValueError(
        f"the feature names of `{argument}` should match those that were passed during fit, in the "
        f"same order; {wrong}. Select the columns by `table.feature_names`."
    )


def warn_of_missing_names(X: Any, names: tuple[str, ...] | None) -> None:
    """Warn where only the prompts, or only the table, has names of features."""
    found = feature_names(X)
    if (found is None) == (names is None):
        return
    one, other = ("`X`", "this table") if names is None else ("this table", "`X`")
    warnings.warn(
        f"{one} has feature names, but {other} has none; features go by position.",
        UserWarning,
        stacklevel=3,
    )


def check_prompt_width(X: np.ndarray, n_features: int) -> None:
    """Check the number of features of embeddings."""
    if X.shape[1] != n_features:
        raise ValueError(
            f"`X` has {X.shape[1]} features, but this table was made for {n_features}; pass "
            "embeddings of the same kind as in `fit`."
        )


def check_excluded(exclude: Any, positions: dict[Label, int], eligible: Any = None) -> list[int]:
    """Find the positions of models not to choose, and check that others are left."""
    if isinstance(exclude, str) or not np.iterable(exclude):
        raise TypeError(f"`exclude` must be an iterable of model names; got {exclude!r}.")
    exclude = list(exclude)
    refuse_unknown(exclude, positions, "exclude")
    excluded = {positions[name] for name in exclude}
    if eligible is not None:
        excluded.update(ineligible(eligible, positions))
    check_some_left(len(positions) - len(excluded), positions)
    return sorted(excluded)


def positions_left(models: Collection[Label], excluded: list[int] | None) -> np.ndarray | None:
    """Positions of the models that are not excluded; None for all."""
    return np.delete(np.arange(len(models)), excluded) if excluded else None


def check_some_left(n_left: int, models: Collection[Label]) -> None:
    """Refuse a request that leaves no model to choose."""
    if not n_left:
        raise ValueError(
            f"`exclude` leaves no model of {listing(models)}, or `eligible` allows none of the "
            "rest; keep at least one."
        )


def check_request_id(request_id: Any) -> None:
    """Check the id of a request."""
    if not (request_id is None or isinstance(request_id, str)):
        raise TypeError(f"`request_id` must be a string; got {request_id!r}.")


def check_has_clusters(centers: np.ndarray | None, seen: ClustersSeen | None) -> None:
    """Refuse a table that does not know how the training prompts lie in clusters."""
    if centers is None:
        raise TypeError("the router of this table has no clusters.")
    if seen is None:
        raise ValueError(
            "this table was written by version 0.1, which did not record how the training prompts "
            "lie in the clusters; save the table again, or pass the router."
        )
