"""Prediction by a trained cluster map, in NumPy: a small network with a softmax at its end."""

import numpy as np

from sklearn_uniroute._clusters import row_blocks


def softmax_map(X, coefs, intercepts):
    """Map embeddings to responsibilities: eq. 21 of the paper.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    coefs : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, those of batch normalisation multiplied in.
    intercepts : list of ndarray of shape (n_outputs,)

    Returns
    -------
    responsibilities : ndarray of shape (n_prompts, n_clusters)
        In the dtype of `X`.
    """
    if X.dtype != coefs[0].dtype:
        coefs = [coef.astype(X.dtype) for coef in coefs]
        intercepts = [intercept.astype(X.dtype) for intercept in intercepts]
    features = np.empty((len(X), len(intercepts[-1])), dtype=X.dtype)
    for rows in row_blocks(len(X)):
        hidden = X[rows]
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            hidden = hidden @ coef
            hidden += intercept
            np.maximum(hidden, 0, out=hidden)
        logits = np.matmul(hidden, coefs[-1], out=features[rows])
        logits += intercepts[-1]
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
    return features
