"""Numerics of ridge regression of errors on features, from sums over prompts."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular, svd
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._features import column_products

# Rows per block of features in sums.
_BLOCK_ROWS = 8192


def gram_sums(
    X: np.ndarray, errors: np.ndarray, features: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sum up the evidence of errors on prompts about the coefficients of features.

    The sums over different prompts add up.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_inputs)
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    features : callable
        Maps rows of `X` to an array of shape (n_rows, n_features).

    Returns
    -------
    grams : list of ndarray of shape (n_features, n_features)
        For each model, the sum of ``phi phi'`` over the prompts that it was run on. Models that
        were run on the same prompts share one array.
    moments : ndarray of shape (n_models, n_features)
        For each model, the sum of ``phi error``.
    """
    missing = np.isnan(errors)
    patterns, group = np.unique(missing, axis=1, return_inverse=True)
    sums: list[Any] = [0.0] * patterns.shape[1]
    moments: Any = 0.0
    for rows in gen_batches(len(X), _BLOCK_ROWS):
        phi = features(X[rows]).astype(np.float64, copy=False)
        known = np.where(missing[rows], 0.0, errors[rows].astype(np.float64))
        moments = moments + column_products(known, phi)
        overall = phi.T @ phi
        for number, gap in enumerate(patterns[rows].T):
            if gap.sum() < len(gap) / 2:
                sums[number] = sums[number] + overall - phi[gap].T @ phi[gap]
            else:
                sums[number] = sums[number] + phi[~gap].T @ phi[~gap]
    return [sums[number] for number in group.ravel()], moments


def ridge_coefficients(
    grams: list[np.ndarray], moments: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Minimise the squared error plus ``w' penalty w``.

    Parameters
    ----------
    grams : list of ndarray of shape (n_features, n_features)
    moments : ndarray of shape (n_models, n_features)
        Sums from :func:`gram_sums`.
    penalty : ndarray of shape (n_features, n_features)

    Returns
    -------
    coefficients : ndarray of shape (n_models, n_features)
    """
    coefficients = np.empty(np.shape(moments))
    for gram in {id(one): one for one in grams}.values():
        members = [model for model, one in enumerate(grams) if one is gram]
        factor = cho_factor(gram + penalty)
        # Solve one by one, so that models with the same errors have the same coefficients.
        for model in members:
            coefficients[model] = cho_solve(factor, moments[model])
    return coefficients


def low_rank_factors(coefficients: np.ndarray, metric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factor the coefficients of all models, the most informative factors first.

    With as many factors as models, the factors lose nothing. With fewer, and the metric
    ``sum phi phi' + penalty``, they lose as little as possible of the predictions. If all models
    were run on all prompts, this is reduced-rank ridge regression.

    Parameters
    ----------
    coefficients : ndarray of shape (n_models, n_inputs)
    metric : ndarray of shape (n_inputs, n_inputs)
        Symmetric and positive definite.

    Returns
    -------
    models : ndarray of shape (n_models, n_factors)
        A, one row per model.
    projection : ndarray of shape (n_factors, n_inputs)
        B, such that ``coefficients = A @ B``.
    """
    root = cholesky(metric, lower=True)
    left, scale, right = svd(coefficients @ root, full_matrices=False)
    return left * scale, solve_triangular(root, right.T, lower=True, trans="T").T
