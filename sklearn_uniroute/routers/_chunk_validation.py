"""Checks of chunks of prompts."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import check_costs, is_dask, listing


def check_unsettled(fitted: bool) -> None:
    """Refuse to move clusters by which errors were summed up."""
    if fitted:
        raise ValueError(
            "the clusters are settled once errors are summed up; pass `y` to add further errors, "
            "or begin anew with a clone."
        )


def check_learns_by_chunks(clusterer: Any) -> None:
    """Refuse a clusterer that needs all prompts at once."""
    if not hasattr(clusterer, "partial_fit"):
        raise TypeError(
            f"`clusterer` {type(clusterer).__name__} has no `partial_fit`; use MiniBatchKMeans, or "
            "pass `y` with the first chunk, on which the clusterer is then fitted."
        )


def check_no_new_validation_prompts(X_val: ArrayLike | None) -> None:
    """Refuse validation prompts once there are some."""
    if X_val is not None:
        raise ValueError(
            "`X_val` goes with the first chunk that has `y`; this router has its validation "
            "prompts already."
        )


def check_pool_as_fitted(changed: bool) -> None:
    """Refuse to go on with models that have not seen the chunks before."""
    if changed:
        raise ValueError(
            "models were added, replaced or removed since the first chunk, so that chunks no "
            "longer tell of the same models; do so after the last chunk."
        )


def check_prices_as_summed(costs: Any, summed: Any) -> None:
    """Refuse to go on with prices that further calls would undo."""
    if summed is not None and not np.allclose(costs, summed, rtol=1e-9, atol=0):
        raise ValueError(
            "prices were set since the chunk before, which the calls of this chunk would undo; set "
            "them after the last chunk."
        )


def check_in_memory(*arrays: Any) -> None:
    """Refuse blocks in place of chunks."""
    if any(map(is_dask, arrays)):
        raise TypeError("`partial_fit` takes one chunk after the other; pass dask arrays to `fit`.")


def check_nothing_else(costs: Costs | None, X_val: ArrayLike | None) -> None:
    """Refuse what goes with labels where there are none."""
    if costs is not None or X_val is not None:
        raise ValueError(
            "`costs` and `X_val` go with chunks that have `y`; without it, only clusters learn."
        )


def check_chunk_costs(
    costs: Costs | None,
    models: np.ndarray,
    quality: np.ndarray,
    known: np.ndarray | None,
    sums: np.ndarray | None,
) -> np.ndarray | None:
    """Check the costs of a further chunk against those known; returns those of calls, or None."""
    by_call = sums is not None
    if costs is None:
        if by_call:
            raise ValueError(
                "`costs` is missing: the chunks before had the cost of each call; pass those of "
                "this chunk."
            )
        return None
    if known is None:
        raise ValueError(
            "`costs` was given, but the chunks before had none; pass them with every chunk or none."
        )
    costs = check_costs(costs, models, quality=quality)
    if (costs.ndim == 2) != by_call:
        before, now = ("call", "model") if by_call else ("model", "call")
        raise ValueError(
            f"`costs` has one cost per {now}, but the chunks before had one per {before}; pass "
            "them in the same form."
        )
    if by_call:
        return costs
    if not np.array_equal(costs, known):
        raise ValueError(
            f"`costs` {listing(costs)} differs from the costs known ({listing(known)}); leave it "
            "out, and change prices by set_cost."
        )
    return None
