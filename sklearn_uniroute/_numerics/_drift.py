"""Sequential test that a model still answers as its posterior says."""

import numpy as np
from scipy.special import expit, logit

# Shifts of the log odds of an error that the test looks for.
_SHIFTS = np.array([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
# Least probability that is bet on.
_LEAST = 1e-3


def predict_in_turn(
    mean: np.ndarray,
    covariance: np.ndarray,
    noise: np.ndarray,
    features: np.ndarray,
    errors: np.ndarray,
) -> np.ndarray:
    """Predict each error of a model from its posterior and the errors before.

    Parameters
    ----------
    mean : ndarray of shape (n_outputs,)
    covariance : ndarray of shape (n_outputs, n_outputs)
    noise : ndarray of shape (n_outputs,)
        Variance of a single error by feature.
    features : ndarray of shape (n_calls, n_outputs)
    errors : ndarray of shape (n_calls,)

    Returns
    -------
    predicted : ndarray of shape (n_calls,)
    """
    mean, covariance = mean.copy(), covariance.copy()
    variance = np.maximum(features @ noise, np.finfo(float).tiny)
    predicted = np.empty(len(errors))
    for row, (phi, error) in enumerate(zip(features, errors, strict=True)):
        predicted[row] = phi @ mean
        shared = covariance @ phi
        gain = shared / (phi @ shared + variance[row])
        mean += gain * (error - predicted[row])
        covariance -= np.outer(gain, shared)
    return predicted


def log_evidence_of_change(errors: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Compute the evidence that errors are others than predicted, from some call on.

    The evidence is the wealth of a gambler who starts with 1 and bets at fair odds that the log
    odds of an error are shifted by some amount from some call on. If the predictions are right, it
    is a nonnegative martingale, and exceeds 1 / alpha at any time with a probability of at most
    alpha (Ville's inequality). This holds for any errors between 0 and 1.

    Parameters
    ----------
    errors : ndarray of shape (n_calls,)
        Between 0 and 1, in the order of the calls.
    predicted : ndarray of shape (n_calls,)
        Mean of each error given those before.

    Returns
    -------
    log_evidence : ndarray of shape (n_calls,)
        After each call.
    """
    mean = predicted.clip(_LEAST, 1 - _LEAST)[:, None]
    bet = (expit(logit(mean) + _SHIFTS) - mean) / (mean * (1 - mean))
    # Where the prediction is beyond what can be bet on, bets go only away from it.
    beyond = np.sign(mean - predicted[:, None])
    bet = np.where(beyond * bet < 0, 0.0, bet)
    wealth = np.cumsum(np.log1p(bet * (errors[:, None] - mean)), axis=0)
    # A bet on a change at call j has a share of 1 / ((j + 1) (j + 2)) of the start.
    n_calls = len(errors)
    calls = np.arange(n_calls)[:, None]
    before = np.vstack([np.zeros(len(_SHIFTS)), wealth[:-1]])
    started = np.logaddexp.accumulate(-np.log((calls + 1.0) * (calls + 2.0)) - before, axis=0)
    log_evidence = np.logaddexp(wealth + started, -np.log(calls + 2.0))
    total: np.ndarray = np.logaddexp.reduce(log_evidence, axis=1) - np.log(len(_SHIFTS))
    return total
