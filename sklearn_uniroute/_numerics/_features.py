"""Features of prompts, Phi of the paper, from arrays alone.

A Phi keeps its arrays in the form that single prompts need, once for each dtype of prompts, so
that one that is kept is fast. ``block(X)`` computes in one go, be it rows or a single prompt of
shape (n_features,), and ``features(X)`` block by block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from sklearn_uniroute._numerics._estimates import row_blocks
from sklearn_uniroute._numerics._network import normalised_exp, softmax_map


class Phi(ABC):
    """Base class. A subclass that meets prompts with arrays overrides ``_cast(dtype)``."""

    n_features: int
    n_outputs: int
    n_clusters: int = 0

    def __init__(self) -> None:
        self._arrays = _ByDtype(self._cast)

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        """Prepare the arrays that meet prompts of this dtype."""
        return ()

    @abstractmethod
    def block(self, X: np.ndarray) -> np.ndarray:
        """Compute the features of some prompts."""

    def features(self, X: np.ndarray) -> np.ndarray:
        """Compute the features of all rows, in the dtype of `X`; or their clusters."""
        features = None
        for rows in row_blocks(len(X)):
            block = self.block(X[rows])
            if features is None:
                features = np.empty((len(X), *block.shape[1:]), dtype=block.dtype)
            features[rows] = block
        return features  # type: ignore[return-value]

    def cluster(self, x: np.ndarray) -> int | None:
        """Find the cluster that one prompt belongs to most; None without clusters."""
        if self.n_clusters == 0:
            return None
        features = self.block(x)
        return int(features if features.ndim == 0 else features[: self.n_clusters].argmax())


class _ByDtype(dict[np.dtype, tuple[Any, ...]]):
    """Arrays of a Phi by dtype, cast when they are first asked for."""

    def __init__(self, cast: Callable[[np.dtype], tuple[Any, ...]]) -> None:
        super().__init__()
        self._cast = cast

    def __missing__(self, dtype: np.dtype) -> tuple[Any, ...]:
        self[dtype] = arrays = self._cast(dtype)
        return arrays


class NearestCluster(Phi):
    """The cluster of the nearest centre, in Euclidean distance, and the first among equals."""

    def __init__(self, centers: np.ndarray) -> None:
        super().__init__()
        self.centers = centers
        self.n_outputs, self.n_features = centers.shape
        self.n_clusters = self.n_outputs

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        centers = self.centers.astype(dtype, copy=False)
        return -2 * centers.T, np.einsum("kd,kd->k", centers, centers)

    def block(self, X: np.ndarray) -> np.ndarray:
        projection, offset = self._arrays[X.dtype]
        # For a single prompt, dot takes less time than the operator.
        distances = X.dot(projection)
        distances += offset
        labels: np.ndarray = distances.argmin(axis=-1)
        return labels


class ClusterShares(Phi):
    """Responsibilities of clusters: ``softmax(-distance ** 2 / temperature)``, without traces.

    A temperature of 0 is the nearest centre alone.
    """

    def __init__(self, centers: np.ndarray, temperature: float) -> None:
        super().__init__()
        self.centers = centers
        self.nearest = NearestCluster(centers)
        self.temperature = temperature
        self.n_outputs, self.n_features = centers.shape
        self.n_clusters = self.n_outputs

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        # What the log odds of the clusters are, but for a constant.
        projection, offset = self.nearest._cast(np.dtype(np.float64))
        scale = -1 / self.temperature
        return (scale * projection).astype(dtype), (scale * offset).astype(dtype)

    def block(self, X: np.ndarray, total: float = 1.0) -> np.ndarray:
        if self.temperature == 0:
            nearest = self.nearest.block(X)[..., None]
            return np.where(np.arange(self.n_outputs) == nearest, X.dtype.type(total), 0)
        projection, offset = self._arrays[X.dtype]
        logits = X.dot(projection)
        logits += offset
        return normalised_exp(logits, total)


class NetworkShares(Phi):
    """Responsibilities by a network (eq. 21 of the paper), averaged with those by distance."""

    def __init__(
        self,
        means: np.ndarray,
        coefs: list[np.ndarray],
        intercepts: list[np.ndarray],
        cluster_weight: float,
        centers: np.ndarray,
        temperature: float,
    ) -> None:
        super().__init__()
        self.means, self.coefs, self.intercepts = means, coefs, intercepts
        self.cluster_weight = cluster_weight
        self.centers, self.temperature = centers, temperature
        self.shares = ClusterShares(centers, temperature)
        self.n_outputs, self.n_features = centers.shape
        self.n_clusters = self.n_outputs

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        return (
            self.means.astype(dtype, copy=False),
            # In Fortran order, products with single prompts are faster.
            [coef.astype(dtype, order="F", copy=False) for coef in self.coefs],
            [intercept.astype(dtype, copy=False) for intercept in self.intercepts],
        )

    def block(self, X: np.ndarray) -> np.ndarray:
        means, coefs, intercepts = self._arrays[X.dtype]
        features = softmax_map(X, means, coefs, intercepts, 1 - self.cluster_weight)
        if self.cluster_weight > 0:
            features += self.shares.block(X, self.cluster_weight)
        return features


class SharesAndComponents(Phi):
    """Responsibilities of clusters, then components that are linear in the embedding."""

    def __init__(
        self, centers: np.ndarray, temperature: float, center: np.ndarray, components: np.ndarray
    ) -> None:
        super().__init__()
        self.shares = ClusterShares(centers, temperature)
        self.centers, self.temperature = centers, temperature
        self.center, self.components = center, components
        self.n_features = centers.shape[1]
        self.n_clusters = len(centers)
        self.n_outputs = len(centers) + len(components)

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        return self.center.astype(dtype, copy=False), self.components.T.astype(dtype, copy=False)

    def block(self, X: np.ndarray) -> np.ndarray:
        center, components = self._arrays[X.dtype]
        return np.concatenate([self.shares.block(X), (X - center) @ components], axis=-1)


class Affine(Phi):
    """One, then the embedding less a centre."""

    def __init__(self, center: np.ndarray) -> None:
        super().__init__()
        self.center = center
        self.n_features = len(center)
        self.n_outputs = 1 + len(center)

    def block(self, X: np.ndarray) -> np.ndarray:
        features = np.empty((*X.shape[:-1], self.n_outputs), dtype=X.dtype)
        features[..., 0] = 1
        np.subtract(X, self.center, out=features[..., 1:], casting="same_kind")
        return features


class AffineProjection(Phi):
    """One, then a projection of the embedding less a centre."""

    def __init__(self, center: np.ndarray, projection: np.ndarray) -> None:
        super().__init__()
        self.center, self.projection = center, projection
        self.n_features = len(center)
        self.n_outputs = 1 + len(projection)

    def block(self, X: np.ndarray) -> np.ndarray:
        features = np.empty((*X.shape[:-1], self.n_outputs), dtype=X.dtype)
        features[..., 0] = 1
        features[..., 1:] = (X - self.center).astype(X.dtype, copy=False) @ self.projection.T
        return features
