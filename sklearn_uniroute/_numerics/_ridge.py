"""Numerics of penalised least squares: errors on features, and errors on predictions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, eigh, solve_triangular, svd
from scipy.optimize import minimize
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._features import column_products

# Rows per block of features in sums.
_BLOCK_ROWS = 8192


def gram_sums(
    X: np.ndarray,
    errors: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    weights: np.ndarray | None = None,
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
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

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
        weighted = phi if weights is None else weights[rows, None] * phi
        moments = moments + column_products(known, weighted)
        overall = weighted.T @ phi
        for number, gap in enumerate(patterns[rows].T):
            if gap.sum() < len(gap) / 2:
                sums[number] = sums[number] + overall - weighted[gap].T @ phi[gap]
            else:
                sums[number] = sums[number] + weighted[~gap].T @ phi[~gap]
    return [sums[number] for number in group.ravel()], moments


def ridge_penalty(alpha: float, n_features: int) -> np.ndarray:
    """Make the penalty of all coefficients but that of the constant, which comes first."""
    return np.diag(np.append(0.0, np.full(n_features, alpha)))


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


def choose_penalty(
    grams: list[np.ndarray], moments: np.ndarray, squares: np.ndarray, penalties: np.ndarray
) -> float:
    """Choose one penalty for several targets by generalized cross-validation, in closed form.

    The first feature is the constant 1, which is not penalised.

    Parameters
    ----------
    grams : list of ndarray of shape (n_features, n_features)
    moments : ndarray of shape (n_targets, n_features)
        Sums from :func:`gram_sums`.
    squares : ndarray of shape (n_targets,)
        Sum of the squares of each target.
    penalties : ndarray of shape (n_penalties,)

    Returns
    -------
    penalty : float
        That of the lowest sum of squared errors, of each row predicted from the others.
    """
    loss = np.zeros(len(penalties))
    for gram in {id(one): one for one in grams}.values():
        members = [target for target, one in enumerate(grams) if one is gram]
        n_rows, means = gram[0, 0], gram[0, 1:] / gram[0, 0]
        levels = moments[members, :1]
        scales, axes = eigh(gram[1:, 1:] - n_rows * np.outer(means, means))
        scales = np.maximum(scales, 0)
        moment = (moments[members, 1:] - levels * means) @ axes
        total = squares[members] - levels[:, 0] ** 2 / n_rows
        for number, penalty in enumerate(penalties):
            weights = moment / (scales + penalty)
            explained = (2 * moment * weights - scales * weights**2).sum(axis=1)
            left = n_rows - 1 - (scales / (scales + penalty)).sum()
            residual = np.maximum(total - explained, 0).sum()
            loss[number] += n_rows**2 * residual / max(left, 1e-3 * n_rows) ** 2
    return float(penalties[loss.argmin()])


def contrasts(errors: np.ndarray) -> np.ndarray:
    """Subtract from each error the mean of the models on the prompt, which decides no choice.

    The error of a prompt on which a single model was run is left as it is: it is compared with
    other prompts alone.

    Parameters
    ----------
    errors : ndarray of shape (n_prompts, n_models)
        Errors, less the level of each model if their numbers of prompts differ. NaN where a model
        was not run.

    Returns
    -------
    contrasts : ndarray of shape (n_prompts, n_models), dtype float64
    """
    known = ~np.isnan(errors)
    counts = known.sum(axis=1, keepdims=True)
    values = np.where(known, errors, 0.0).astype(np.float64)
    shared = np.where(counts > 1, values.sum(axis=1, keepdims=True) / counts.clip(1), 0.0)
    return np.where(known, values - shared, np.nan)


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


def stacked_weights(
    predicted: np.ndarray, errors: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Learn weights from predictions on held-out prompts, by least squares.

    What the models have in common on a prompt is left out, since it decides no choice. The weights
    are at least 0, sum to 1, and are drawn to equal weights, which count as much as one prompt for
    each unit of squared residual.

    Parameters
    ----------
    predicted : ndarray of shape (n_members, n_prompts, n_models)
        NaN where a model is left out.
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    sample_weight : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    weights : ndarray of shape (n_members,)
    """
    n_members = len(predicted)
    known = ~np.isnan(errors + predicted.sum(axis=0))
    target = contrasts(np.where(known, errors, np.nan))[known]
    columns = np.array([contrasts(np.where(known, one, np.nan))[known] for one in predicted])
    n_errors = float(len(target))
    if sample_weight is not None:
        times = np.broadcast_to(sample_weight[:, None], errors.shape)[known]
        target, columns, n_errors = np.sqrt(times) * target, np.sqrt(times) * columns, times.sum()
    equal = np.full(n_members, 1 / n_members)
    residual = target - equal @ columns
    penalty = n_members**2 * (residual @ residual) / max(n_errors, 1)
    gram = columns @ columns.T + penalty * np.eye(n_members)
    moment = columns @ target + penalty * equal
    scale = np.trace(gram)
    found = minimize(
        lambda weights: (weights @ gram @ weights - 2 * moment @ weights) / scale,
        equal,
        jac=lambda weights: 2 * (gram @ weights - moment) / scale,
        bounds=[(0, 1)] * n_members,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    weights = np.clip(found.x, 0, None)
    return weights / weights.sum()
