"""Estimates of the errors of models on prompts: eq. 9 of the paper."""

import numpy as np

# Rows of one block: its product with the centres stays in cache, its matrix product efficient.
_BLOCK_ROWS = 2048


def row_blocks(n_rows):
    """Cut rows into blocks; as scikit-learn's `gen_batches`, but in no time for a single row."""
    for start in range(0, n_rows, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


def estimate_errors(features, representation):
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
        return representation.T[features]
    error = np.empty((len(features), len(representation)))
    # The order of a sum depends on the layout.
    representation = np.ascontiguousarray(representation)
    for rows in row_blocks(len(features)):
        block = features[rows].astype(np.float64)
        np.einsum("nk,mk->nm", block, representation, out=error[rows])
    return error
