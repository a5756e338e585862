"""Prediction by trained networks, in NumPy."""

import numpy as np

# Responsibilities below this share of the largest count for nothing, so that clusters far away
# decide no tie.
_TRACE = 1e-7


def normalised_exp(logits, out):
    """Take the softmax of rows whose largest entry is 0, without traces."""
    np.exp(logits, out=out)
    out[out < _TRACE] = 0
    out /= out.sum(axis=1, keepdims=True)


def hidden_features(X, means, coefs, intercepts):
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
    hidden = X - means.astype(X.dtype, copy=False)
    for coef, intercept in zip(coefs, intercepts, strict=True):
        hidden = hidden @ coef.astype(X.dtype, copy=False)
        hidden += intercept
        np.maximum(hidden, 0, out=hidden)
    return hidden


def softmax_map(X, means, coefs, intercepts):
    """Map embeddings to responsibilities: eq. 21 of the paper.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    means : ndarray of shape (n_features,)
        What is taken off the embeddings first.
    coefs : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, with scaling and batch normalisation multiplied in.
    intercepts : list of ndarray of shape (n_outputs,)

    Returns
    -------
    responsibilities : ndarray of shape (n_prompts, n_clusters)
        In the dtype of `X`, with zeros for traces.
    """
    if X.dtype != coefs[0].dtype:
        coefs = [coef.astype(X.dtype) for coef in coefs]
        intercepts = [intercept.astype(X.dtype) for intercept in intercepts]
    logits = hidden_features(X, means, coefs[:-1], intercepts[:-1]) @ coefs[-1]
    logits += intercepts[-1]
    logits -= logits.max(axis=1, keepdims=True)
    normalised_exp(logits, out=logits)
    return logits
