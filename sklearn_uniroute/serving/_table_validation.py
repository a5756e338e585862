"""Checks of what routing tables are given."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute.utils._model_validation import is_hashable, listing
from sklearn_uniroute.utils._typing import Label, StrPath


def check_prompt(x: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Check one embedding."""
    x = np.asarray(x)
    if x.dtype.char not in "fd":
        if x.dtype.kind not in "biuf":
            raise ValueError(f"`x` must be real numbers, one per feature; got {x.dtype}.")
        x = x.astype(np.float64)
    if x.shape != shape:
        raise ValueError(
            f"`x` must be one embedding of shape {shape}; got shape {x.shape}. For many prompts, "
            "call route_many."
        )
    # Far faster than looking at each number.
    if not math.isfinite(x.dot(x)):
        raise ValueError(
            "`x` must be finite, and not so large that its squares overflow; it has NaN, infinity "
            "or huge numbers."
        )
    return x


def check_prompt_width(X: np.ndarray, n_features: int) -> None:
    """Check embeddings against those that the router was fitted on."""
    if X.shape[1] != n_features:
        raise ValueError(
            f"`X` has {X.shape[1]} features, but this table was made for {n_features}; pass "
            "embeddings of the same kind as those that the router was fitted on."
        )


def check_excluded(exclude: Any, positions: dict[Label, int]) -> list[int]:
    """Positions of models not to choose, which others are left beside."""
    if isinstance(exclude, str) or not np.iterable(exclude):
        raise TypeError(f"`exclude` must be an iterable of model names; got {exclude!r}.")
    exclude = list(exclude)
    unknown = [name for name in exclude if not (is_hashable(name) and name in positions)]
    if unknown:
        raise ValueError(
            f"`exclude` has models that this table does not know: {listing(unknown)}. Known "
            f"models: {listing(positions)}."
        )
    excluded = {positions[name] for name in exclude}
    if len(excluded) == len(positions):
        raise ValueError(f"`exclude` leaves no model of {listing(positions)}; keep one at least.")
    return list(excluded)


def check_recorded(recorded: object, expected: object, argument: str, path: StrPath) -> None:
    """Compare what a file says of itself with what its reader expects."""
    if expected is not None and recorded != expected:
        said = "does not say" if recorded is None else f"says {recorded!r}"
        raise ValueError(
            f"`{argument}` should be {expected!r}, but {path} {said}; load the table that was made "
            "for these embeddings."
        )
