"""Prediction by trained networks, in NumPy."""

import numpy as np

# Responsibilities below this share of the largest count for nothing, so that clusters far away
# decide no tie.
TRACE = 1e-7


def normalised_exp(logits: np.ndarray, total: float = 1.0) -> np.ndarray:
    """Take the softmax, times a total, of each row, without traces. In place."""
    logits -= np.maximum.reduce(logits, axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    logits *= logits >= TRACE
    logits *= total / np.add.reduce(logits, axis=-1, keepdims=True)
    return logits


def hidden_features(
    X: np.ndarray, means: np.ndarray, coefs: list[np.ndarray], intercepts: list[np.ndarray]
) -> np.ndarray:
    """Pass embeddings through layers of ReLU.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    means : ndarray of shape (n_features,)
        What is taken off the embeddings first.
    coefs : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, with all scaling of the embeddings multiplied in.
    intercepts : list of ndarray of shape (n_outputs,)

    Returns
    -------
    features : ndarray of shape (n_prompts, n_outputs)
        In the dtype of `X`.
    """
    hidden: np.ndarray = X - means.astype(X.dtype, copy=False)
    for coef, intercept in zip(coefs, intercepts, strict=True):
        hidden = hidden.dot(coef)
        hidden += intercept
        np.maximum(hidden, 0, out=hidden)
    return hidden


def softmax_map(
    X: np.ndarray,
    means: np.ndarray,
    coefs: list[np.ndarray],
    intercepts: list[np.ndarray],
    total: float = 1.0,
) -> np.ndarray:
    """Map embeddings to responsibilities: eq. 21 of the paper.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    means : ndarray of shape (n_features,)
        What is taken off the embeddings first.
    coefs : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, with scaling and batch normalisation multiplied in.
    intercepts : list of ndarray of shape (n_outputs,)
    total : float, default=1.0
        What the responsibilities of a prompt sum up to.

    Returns
    -------
    responsibilities : ndarray of shape (n_prompts, n_clusters)
        In the dtype of `X`, with zeros for traces.
    """
    logits = hidden_features(X, means, coefs[:-1], intercepts[:-1]).dot(coefs[-1])
    logits += intercepts[-1]
    return normalised_exp(logits, total)
