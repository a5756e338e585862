"""Numerics of pairwise preferences: errors of models from battles between them.

Battles follow the model of Bradley and Terry: a model beats another on a prompt with a probability
that is the logistic function of ``scale * (error of the other - its own error)``. The errors of
known models are given, so the errors of new models are on the same scale. A tie counts as half a
win and half a loss.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from sklearn_uniroute._numerics._posterior import Prior

# Prior standard deviation of the scale, far above actual scales.
_WIDEST_SCALE = 100.0
# Maximum number of rounds until the penalty matches the scale that is found.
_MOST_ROUNDS = 10
# Number of battles that shrink the dispersion towards 1.
_WEAK_BATTLES = 10


class Battles(NamedTuple):
    """Battles between two models on prompts.

    `features` has shape (n_battles, n_features); `first` and `second` are positions of models;
    `outcome` is 1 if the first model won, 0 if the second won, and 1/2 for a tie.
    """

    features: np.ndarray
    first: np.ndarray
    second: np.ndarray
    outcome: np.ndarray


def preference_scale(battles: Battles, representation: np.ndarray) -> tuple[float, float]:
    """Fit the scale on which the errors of known models decide their battles.

    Parameters
    ----------
    battles : Battles
    representation : ndarray of shape (n_models, n_features)

    Returns
    -------
    scale : float
        Log odds of a win per unit of error.
    dispersion : float
        Variance of the outcomes, relative to the variance of wins and losses at these odds. Ties
        make it less than 1.
    """
    edge = _edge(battles, representation)
    design = sparse.csr_array(edge[:, None])
    scale = _logistic_coefficients(design, battles.outcome, _WIDEST_SCALE**2)[0]
    odds = expit(scale * edge)
    excess = (battles.outcome - odds) ** 2 / (odds * (1 - odds))
    return scale, (excess.sum() + _WEAK_BATTLES) / (len(excess) + _WEAK_BATTLES)


def preference_evidence(
    battles: Battles,
    representation: np.ndarray,
    prior: Prior,
    new: np.ndarray,
    scale: float,
    dispersion: float,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sum up the evidence of battles about new models, given the errors of their opponents.

    A logistic regression finds the most probable errors of all new models at once, given the
    battles and the prior. In clusters with few battles, the prior pulls the errors towards the
    overall level of the model. Around these errors, the battles are equivalent to direct
    observations, whose evidence is returned.

    Parameters
    ----------
    battles : Battles
    representation : ndarray of shape (n_models, n_features)
        Representation of all models. The rows of new models are ignored.
    prior : Prior
        Prior of the representation of a new model.
    new : ndarray of shape (n_new,)
        Positions of the new models.
    scale, dispersion : float
        Results of :func:`preference_scale`. The scale is refined.

    Returns
    -------
    information : list of ndarray of shape (n_features, n_features)
    moments : ndarray of shape (n_new, n_features)
        Evidence about each new model, for `condition`.
    """
    features, first, second, outcome = battles
    representation = np.array(representation)
    representation[new] = prior.mean
    edge = _edge(battles, representation)
    root = cholesky(prior.covariance, lower=True)
    # In units of the prior, deviations from its mean have a variance of 1. Times the scale, they
    # have a variance of scale ** 2. The first feature is wide, so the scale itself is free.
    signs = [(second == model) * 1.0 - (first == model) for model in new]
    whitened = features @ root
    by_model = [sparse.csr_array(sign[:, None] * whitened) for sign in signs]
    design = sparse.hstack([_WIDEST_SCALE * edge[:, None], *by_model], format="csr")
    for _ in range(_MOST_ROUNDS):
        guess = scale
        coefficients = _logistic_coefficients(design, outcome, guess**2 / dispersion)
        scale = _WIDEST_SCALE * coefficients[0]
        check_preference_scale(len(outcome), scale)
        if abs(scale - guess) < 0.01 * guess:
            break
    odds = expit(design @ coefficients)
    deviations = coefficients[1:].reshape(len(new), -1) @ root.T / scale
    weight = scale**2 * odds * (1 - odds) / dispersion
    surprise = scale * (outcome - odds) / dispersion
    information, moments = [], np.empty_like(deviations)
    for number, sign in enumerate(signs):
        own = features[sign != 0]
        information.append((own * weight[sign != 0, None]).T @ own)
        estimate = prior.mean + deviations[number]
        moments[number] = information[-1] @ estimate + (sign * surprise) @ features
    return information, moments


def _edge(battles: Battles, representation: np.ndarray) -> np.ndarray:
    """Compute the error of the second model of each battle minus the error of the first."""
    difference = representation[battles.second] - representation[battles.first]
    return np.einsum("nk,nk->n", battles.features, difference)


def _logistic_coefficients(design: Any, outcome: np.ndarray, C: float) -> np.ndarray:
    if (outcome == outcome[0]).all() and outcome[0] != 0.5:
        # Battles that are stored as winner and loser have one class. Seen from the other side as
        # well, each counts twice by half.
        design, C = sparse.vstack([design, -design], format="csr"), C / 2
        outcome = np.concatenate([outcome, 1 - outcome])
    won = np.flatnonzero(outcome > 0)
    lost = np.flatnonzero(outcome < 1)
    fit = LogisticRegression(C=C, fit_intercept=False, tol=1e-6, max_iter=10_000).fit(
        sparse.vstack([design[won], design[lost]], format="csr"),
        np.repeat([1, 0], [len(won), len(lost)]),
        sample_weight=np.concatenate([outcome[won], 1 - outcome[lost]]),
    )
    return fit.coef_[0]


def check_preference_scale(n_battles: int, scale: float) -> None:
    """Refuse battles that do not determine the scale."""
    if n_battles == 0 or scale <= 1e-6:
        found = "there are none" if n_battles == 0 else "in these they do not win more often"
        raise ValueError(
            "battles between known models set the scale, and models of lower error must win more "
            f"often in them; {found}. Add such battles (a hundred can be enough), or run the new "
            "models on validation prompts and use `add_model`."
        )
