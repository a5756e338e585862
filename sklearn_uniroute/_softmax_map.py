"""Prediction by a trained cluster map, in NumPy: a small network with a softmax at its end."""

import numpy as np

from sklearn_uniroute._clusters import normalised_exp, row_blocks


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
    means = means.astype(X.dtype, copy=False)
    features = np.empty((len(X), len(intercepts[-1])), dtype=X.dtype)
    for rows in row_blocks(len(X)):
        hidden = X[rows] - means
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            hidden = hidden @ coef
            hidden += intercept
            np.maximum(hidden, 0, out=hidden)
        logits = hidden @ coefs[-1]
        logits += intercepts[-1]
        logits -= logits.max(axis=1, keepdims=True)
        normalised_exp(logits, out=features[rows])
    return features
