"""Estimates of the errors of models on prompts: eq. 9 of the paper."""

from collections.abc import Iterator

import numpy as np

# Rows of one block: its product with the centres stays in cache, its matrix product efficient.
_BLOCK_ROWS = 2048


def row_blocks(n_rows: int) -> Iterator[slice]:
    """Cut rows into blocks; as scikit-learn's `gen_batches`, but in no time for a single row."""
    for start in range(0, n_rows, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


# Representations of at least this length are faster multiplied one by one.
_LONG = 64


def estimate_errors(features: np.ndarray, representation: np.ndarray) -> np.ndarray:
    """Multiply features of prompts by representations of models.

    Each product is summed up on its own, so that it does not depend on which other models and
    prompts there are, and equal models have equal errors.

    Parameters
    ----------
    features : ndarray of shape (n_prompts,) or (n_prompts, n_features)
        The features Phi of each prompt; where they are all 0 but one that is 1, its position.
    representation : ndarray of shape (n_models, n_features)
        Psi.

    Returns
    -------
    error : ndarray of shape (n_prompts, n_models), dtype float64
    """
    if features.ndim == 1:
        by_cluster: np.ndarray = representation.T[features]
        return by_cluster
    error = np.empty((len(features), len(representation)))
    # The order of a sum depends on the layout.
    representation = np.ascontiguousarray(representation)
    for rows in row_blocks(len(features)):
        _products(features[rows].astype(np.float64), representation, out=error[rows])
    return error


def column_products(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiply each column of values with each column of weights, each product on its own.

    Equal columns have equal products, wherever they stand.

    Parameters
    ----------
    values : ndarray of shape (n_prompts, n_models), dtype float64
    weights : ndarray of shape (n_prompts, n_features), dtype float64

    Returns
    -------
    products : ndarray of shape (n_models, n_features)
    """
    values, weights = np.ascontiguousarray(values.T), np.ascontiguousarray(weights.T)
    products: np.ndarray = np.vecdot(values[:, None], weights)
    return products


def estimate_row(features: np.ndarray, representation: np.ndarray) -> np.ndarray:
    """As :func:`estimate_errors`, for one prompt and a representation in one piece.

    Parameters
    ----------
    features : ndarray of shape (n_features,) or ()
    representation : ndarray of shape (n_models, n_features)
        In C order.

    Returns
    -------
    error : ndarray of shape (n_models,), dtype float64
    """
    if features.ndim == 0:
        of_cluster: np.ndarray = representation[:, features]
        return of_cluster
    row: np.ndarray = _products(features[None].astype(np.float64), representation)[0]
    return row


def _products(
    features: np.ndarray, representation: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    if representation.shape[1] < _LONG:
        return np.einsum("nk,mk->nm", features, representation, out=out)
    return np.vecdot(features[:, None], representation, out=out)
