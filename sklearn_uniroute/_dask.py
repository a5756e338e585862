"""Prompts that lie in blocks, as dask arrays, in memory or on the workers of a cluster."""

from functools import partial, reduce

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_array, check_random_state

from sklearn_uniroute._cost_validation import check_costs
from sklearn_uniroute._optional import import_optional
from sklearn_uniroute._sums import added, sum_up
from sklearn_uniroute._validation import FLOATS, check_quality, model_labels, select_columns

# Prompts that are gathered for what is no sum.
_SAMPLE = 10_000
# Blocks whose sums are added in one step.
_FAN_IN = 8


def is_dask(X):
    """Whether these are blocks; without importing dask."""
    return type(X).__module__.startswith("dask.array")


def map_rows(function, X, *, dtype, n_columns=None):
    """Apply a function to rows, block by block, as a dask array to be computed."""
    X = X.rechunk({1: -1})
    if n_columns is None:
        return X.map_blocks(function, drop_axis=1, dtype=dtype)
    return X.map_blocks(function, chunks=(X.chunks[0], (n_columns,)), dtype=dtype)


def fit_blocks(router, X, y, costs, X_val):
    """Fit a router on a sample, then set its sums to those of all blocks."""
    array, dask = import_optional("dask.array", "dask"), import_optional("dask", "dask")
    labels = model_labels(y)
    X = _known_rows(X, "X").rechunk({1: -1})
    y = _in_blocks(array, y, X, "y")
    by_call = costs is not None and np.ndim(costs) == 2
    if by_call:
        if labels is not None:
            costs = select_columns(costs, labels, name="costs")
        costs = _in_blocks(array, costs, X, "costs")
    rng = check_random_state(router.random_state)
    rows = np.sort(rng.permutation(len(X))[:_SAMPLE])
    sample = [X[rows], y[rows], costs[rows] if by_call else costs]
    X_sample, y_sample, costs_sample = dask.compute(*sample)
    clusterer = router.clusterer
    if clusterer is not None:
        by_sample = type(clusterer).__module__.startswith("sklearn.")
        clusterer = None if by_sample else clone(clusterer).fit(X)
    if labels is not None:
        pandas = import_optional("pandas", "pandas")
        y_sample = pandas.DataFrame(y_sample, columns=labels)
        if by_call:
            costs_sample = pandas.DataFrame(costs_sample, columns=labels)
    router._fit_with(clusterer, X_sample, y_sample, costs_sample, X_val)
    if router.validation_indices_ is not None:
        router.validation_indices_ = rows[router.validation_indices_]
    nearest, phi, noise = router._sums_by()
    sums = dask.delayed(partial(_block_sums, nearest=nearest, phi=phi, noise=noise))
    parts = [
        sums(*blocks)
        for blocks in zip(
            X.to_delayed()[:, 0],
            y.to_delayed()[:, 0],
            costs.to_delayed()[:, 0] if by_call else [None] * X.numblocks[0],
            strict=True,
        )
    ]
    while len(parts) > 1:
        groups = [parts[first : first + _FAN_IN] for first in range(0, len(parts), _FAN_IN)]
        parts = [dask.delayed(_total)(group) for group in groups]
    router._set_sums(parts[0].compute())


def _known_rows(X, name):
    """Refuse blocks of unknown length."""
    if np.isnan(X.shape[0]):
        raise ValueError(
            f"`{name}` has blocks of unknown length; call compute_chunk_sizes() on it first."
        )
    return X


def _in_blocks(array, values, X, name):
    """Bring a table into the blocks of the prompts."""
    if hasattr(values, "to_dask_array"):
        values = values.to_dask_array(lengths=True)
    if not is_dask(values):
        values = array.from_array(np.asarray(values), chunks=-1)
    if values.ndim != 2 or _known_rows(values, name).shape[0] != X.shape[0]:
        raise ValueError(
            f"`{name}` has shape {values.shape} but there are {X.shape[0]} prompts; pass one row "
            "per prompt and one column per model."
        )
    return values.rechunk((X.chunks[0], -1))


def _block_sums(X, y, costs, nearest, phi, noise):
    X = check_array(X, dtype=FLOATS, input_name="X")
    y = check_quality(y, n_prompts=len(X), every_model=False)
    if costs is not None:
        costs = check_costs(costs, np.arange(y.shape[1]), quality=y)
    return sum_up(X, 1 - y, costs, nearest, phi, noise)


def _total(parts):
    return reduce(added, parts)
