"""Features of prompts, Phi of the paper, from arrays alone.

A Phi keeps its arrays in the form that single prompts need, once for each dtype of prompts, so
that one that is kept is fast. ``block(X)`` computes in one go, ``features(X)`` block by block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from sklearn_uniroute._estimates import row_blocks
from sklearn_uniroute._network import normalised_exp, softmax_map


class Phi(ABC):
    """Base class. A subclass that keeps arrays by dtype implements ``_cast(dtype)``."""

    n_features: int
    n_outputs: int
    _cast: Callable[[np.dtype], Any]

    def __init__(self):
        self._casts = {}

    @abstractmethod
    def block(self, X):
        """Compute the features of some rows."""

    def features(self, X):
        """Compute the features of all rows, in the dtype of `X`; or their clusters."""
        features = None
        for rows in row_blocks(len(X)):
            block = self.block(X[rows])
            if features is None:
                features = np.empty((len(X), *block.shape[1:]), dtype=block.dtype)
            features[rows] = block
        return features

    def _arrays(self, dtype):
        arrays = self._casts.get(dtype)
        if arrays is None:
            arrays = self._casts[dtype] = self._cast(dtype)
        return arrays


class NearestCluster(Phi):
    """The cluster of the nearest centre, in Euclidean distance, and the first among equals."""

    def __init__(self, centers):
        super().__init__()
        self.centers = centers
        self.n_outputs, self.n_features = centers.shape

    def _cast(self, dtype):
        centers = self.centers.astype(dtype, copy=False)
        return -2 * centers.T, np.einsum("kd,kd->k", centers, centers)

    def distances(self, X):
        """Squared distances to the centres, less the squared norm of the row."""
        projection, offset = self._arrays(X.dtype)
        distances = X @ projection
        distances += offset
        return distances

    def block(self, X):
        return self.distances(X).argmin(axis=1)


class ClusterShares(Phi):
    """Responsibilities of clusters: ``softmax(-distance ** 2 / temperature)``, without traces.

    A temperature of 0 is the nearest centre alone.
    """

    def __init__(self, centers, temperature):
        super().__init__()
        self.nearest = NearestCluster(centers)
        self.temperature = temperature
        self.n_outputs, self.n_features = centers.shape

    def block(self, X):
        if self.temperature == 0:
            nearest = self.nearest.block(X)
            return (np.arange(self.n_outputs) == nearest[:, None]).astype(X.dtype)
        distances = self.nearest.distances(X)
        distances -= distances.min(axis=1, keepdims=True)
        distances /= -self.temperature
        normalised_exp(distances, out=distances)
        return distances


class NetworkShares(Phi):
    """Responsibilities by a network (eq. 21 of the paper), averaged with those by distance."""

    def __init__(self, means, coefs, intercepts, cluster_weight, centers, temperature):
        super().__init__()
        self.means, self.coefs, self.intercepts = means, coefs, intercepts
        self.cluster_weight = cluster_weight
        self.shares = ClusterShares(centers, temperature)
        self.n_outputs, self.n_features = centers.shape

    def _cast(self, dtype):
        return (
            self.means.astype(dtype, copy=False),
            [coef.astype(dtype, copy=False) for coef in self.coefs],
            [intercept.astype(dtype, copy=False) for intercept in self.intercepts],
        )

    def block(self, X):
        features = softmax_map(X, *self._arrays(X.dtype))
        if self.cluster_weight > 0:
            features *= 1 - self.cluster_weight
            by_distance = self.shares.block(X)
            by_distance *= self.cluster_weight
            features += by_distance
        return features


class SharesAndComponents(Phi):
    """Responsibilities of clusters, then components that are linear in the embedding."""

    def __init__(self, centers, temperature, center, components):
        super().__init__()
        self.shares = ClusterShares(centers, temperature)
        self.center, self.components = center, components
        self.n_features = centers.shape[1]
        self.n_outputs = len(centers) + len(components)

    def _cast(self, dtype):
        return self.center.astype(dtype, copy=False), self.components.T.astype(dtype, copy=False)

    def block(self, X):
        center, components = self._arrays(X.dtype)
        features = np.empty((len(X), self.n_outputs), dtype=X.dtype)
        features[:, : self.shares.n_outputs] = self.shares.block(X)
        np.matmul(X - center, components, out=features[:, self.shares.n_outputs :])
        return features


class Affine(Phi):
    """One, then the embedding less a centre, or projections of it."""

    def __init__(self, center, projection=None):
        super().__init__()
        self.center, self.projection = center, projection
        self.n_features = len(center)
        self.n_outputs = 1 + len(center if projection is None else projection)

    def block(self, X):
        features = np.empty((len(X), self.n_outputs), dtype=X.dtype)
        features[:, 0] = 1
        if self.projection is None:
            np.subtract(X, self.center, out=features[:, 1:], casting="same_kind")
        else:
            features[:, 1:] = (X - self.center).astype(X.dtype, copy=False) @ self.projection.T
        return features
