"""Features of prompts, Phi of the paper, from arrays alone.

A Phi caches its arrays for each dtype of prompts, in the layout that is fastest for single prompts.
``block(X)`` computes the features of some rows, or of a single prompt of shape (n_features,), in
one step. ``features(X)`` computes them block by block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import eigh

# Traces: responsibilities below this share of the largest. They are set to 0, so that distant
# clusters decide no tie.
TRACE = 1e-7

# Offsets longer than this, in units of the spread, are subtracted before distances are computed
# from products, which would otherwise lose digits.
_LONG_OFFSET = 10
# Number of points by whose mean an offset of all is found.
_OFFSET_POINTS = 1000
# Rows per block: small enough for the cache, large enough for efficient matrix products.
_BLOCK_ROWS = 2048
# From this length on, representations are multiplied one by one, which is faster.
_LONG = 64


class Phi(ABC):
    """Base class of features. A subclass that has arrays overrides ``_cast(dtype)``."""

    n_features: int
    n_outputs: int
    n_clusters: int = 0

    def __init__(self) -> None:
        self._arrays = _ByDtype(self._cast)

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        """Prepare the arrays for prompts of this dtype."""
        return ()

    @abstractmethod
    def block(self, X: np.ndarray) -> np.ndarray:
        """Compute the features of some prompts."""

    def features(self, X: np.ndarray) -> np.ndarray:
        """Compute the features of all rows, in the dtype of `X`, or their clusters."""
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
    """Arrays of a Phi by dtype, cast on first use."""

    def __init__(self, cast: Callable[[np.dtype], tuple[Any, ...]]) -> None:
        super().__init__()
        self._cast = cast

    def __missing__(self, dtype: np.dtype) -> tuple[Any, ...]:
        self[dtype] = arrays = self._cast(dtype)
        return arrays


class NearestCluster(Phi):
    """Cluster of the nearest centre, in Euclidean distance; ties go to the first centre."""

    def __init__(self, centers: np.ndarray) -> None:
        super().__init__()
        self.centers = centers
        self.origin = common_offset(centers)
        self.n_outputs, self.n_features = centers.shape
        self.n_clusters = self.n_outputs

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        """Origin to subtract, if any; then the product and the offset that rank the centres."""
        if self.origin is None:
            centers, origin = self.centers.astype(dtype, copy=False), None
        else:
            origin = self.origin.astype(dtype)
            centers = (self.centers - origin.astype(np.float64)).astype(dtype)
        return origin, -2 * centers.T, np.einsum("kd,kd->k", centers, centers)

    def block(self, X: np.ndarray) -> np.ndarray:
        return self._ranks(X).argmin(axis=-1)

    def second(self, X: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Find the nearest centre of each row but for one centre, block by block."""
        second = np.empty(len(X), dtype=np.intp)
        for rows in row_blocks(len(X)):
            ranks = self._ranks(X[rows])
            np.put_along_axis(ranks, first[rows, None], np.inf, axis=1)
            second[rows] = ranks.argmin(axis=1)
        return second

    def _ranks(self, X: np.ndarray) -> np.ndarray:
        """Squared distances to all centres, up to a constant for each prompt."""
        origin, projection, offset = self._arrays[X.dtype]
        if origin is not None:
            X = X - origin
        # For a single prompt, `dot` is faster than `@`.
        ranks: np.ndarray = X.dot(projection)
        ranks += offset
        return ranks


class ClusterShares(Phi):
    """Responsibilities of clusters: ``softmax(-distance ** 2 / temperature)``, without traces.

    A temperature of 0 assigns each prompt to its nearest centre alone.
    """

    def __init__(self, centers: np.ndarray, temperature: float) -> None:
        super().__init__()
        self.centers = centers
        self.nearest = NearestCluster(centers)
        self.temperature = temperature
        self.n_outputs, self.n_features = centers.shape
        self.n_clusters = self.n_outputs

    def _cast(self, dtype: np.dtype) -> tuple[Any, ...]:
        # Logits of the clusters, up to a constant.
        origin, projection, offset = self.nearest._cast(np.dtype(np.float64))
        scale = -1 / self.temperature
        if origin is not None:
            origin, projection, offset = self.nearest._cast(dtype)
        return origin, (scale * projection).astype(dtype), (scale * offset).astype(dtype)

    def block(self, X: np.ndarray, total: float = 1.0) -> np.ndarray:
        if self.temperature == 0:
            nearest = self.nearest.block(X)[..., None]
            return np.where(np.arange(self.n_outputs) == nearest, X.dtype.type(total), 0)
        return normalised_exp(self._logits(X), total)

    def weights(self, x: np.ndarray) -> np.ndarray:
        """Responsibilities for one prompt up to a factor, with traces: the largest is 1."""
        logits = self._logits(x)
        logits -= np.maximum.reduce(logits)
        return np.exp(logits, out=logits)

    def _logits(self, X: np.ndarray) -> np.ndarray:
        origin, projection, offset = self._arrays[X.dtype]
        if origin is not None:
            X = X - origin
        logits: np.ndarray = X.dot(projection)
        logits += offset
        return logits


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


class MappedFeatures(Phi):
    """The constant 1, then features by a function of rows, centred and scaled."""

    def __init__(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        center: np.ndarray,
        scale: float,
        n_features: int,
    ) -> None:
        super().__init__()
        self.function, self.center, self.scale = function, center, scale
        self.n_features = n_features
        self.n_outputs = 1 + len(center)

    def block(self, X: np.ndarray) -> np.ndarray:
        mapped = self.function(np.atleast_2d(X)) - self.center
        features = np.empty((len(mapped), self.n_outputs), dtype=X.dtype)
        features[:, 0] = 1
        np.multiply(mapped, self.scale, out=features[:, 1:], casting="same_kind")
        return features if X.ndim > 1 else features[0]


class Affine(Phi):
    """The constant 1, then the embedding minus a centre."""

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
    """The constant 1, then a projection of the embedding minus a centre."""

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


def common_offset(points: np.ndarray) -> np.ndarray | None:
    """Mean of the first points; None if it is short enough for distances to keep their digits."""
    points = points[:_OFFSET_POINTS]
    mean: np.ndarray = points.mean(axis=0, dtype=np.float64)
    deviation = points - mean
    spread = np.einsum("nd,nd->", deviation, deviation) / len(points)
    return mean if mean @ mean > _LONG_OFFSET**2 * spread else None


def weighted_components(
    X: np.ndarray, weights: np.ndarray, n_components: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the principal components of rows that count several times.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    weights : ndarray of shape (n_prompts,)
        Number of times that each row counts, with a sum above 1.
    n_components : int
        At most `n_features`.

    Returns
    -------
    center : ndarray of shape (n_features,)
    axes : ndarray of shape (n_components, n_features)
        Components of unit length, in the dtype of `X`.
    variances : ndarray of shape (n_components,)
        Falling variances along the components.
    """
    total = weights.sum()
    center = weighted_mean(X, weights)
    gram = np.zeros((X.shape[1], X.shape[1]))
    for rows in row_blocks(len(X)):
        deviation = X[rows] - center
        gram += (weights[rows, None] * deviation).T @ deviation
    wanted = [X.shape[1] - n_components, X.shape[1] - 1]
    variances, axes = eigh(gram / (total - 1), subset_by_index=wanted)
    axes = np.ascontiguousarray(axes.T[::-1], dtype=X.dtype)
    variances = variances[::-1]
    # Rounding of equal rows is no variance.
    least = (np.finfo(X.dtype).eps * np.abs(X).max()) ** 2 * X.shape[1]
    return center.astype(X.dtype), axes, np.where(variances > least, variances, 0.0)


def weighted_mean(X: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Average rows in double precision, each with its weight if there are weights."""
    if weights is None:
        return X.mean(axis=0, dtype=np.float64)
    blocks = (weights[rows] @ X[rows].astype(np.float64) for rows in row_blocks(len(X)))
    total: np.ndarray = sum(blocks, np.zeros(X.shape[1]))
    return total / weights.sum()


def row_blocks(n_rows: int) -> Iterator[slice]:
    """Cut rows into blocks, like scikit-learn's `gen_batches` but faster for a single row."""
    for start in range(0, n_rows, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


def estimate_errors(features: np.ndarray, representation: np.ndarray) -> np.ndarray:
    """Multiply features of prompts by representations of models.

    Each product is summed on its own, so it does not depend on the other models and prompts, and
    equal models have equal errors.

    Parameters
    ----------
    features : ndarray of shape (n_prompts,) or (n_prompts, n_features)
        Features Phi of each prompt, or the position of the 1 if they are one-hot.
    representation : ndarray of shape (n_models, n_features)
        Representation Psi of each model.

    Returns
    -------
    error : ndarray of shape (n_prompts, n_models), dtype float64
    """
    if features.ndim == 1:
        return representation.T[features]
    error = np.empty((len(features), len(representation)))
    # The order of summation depends on the memory layout.
    representation = np.ascontiguousarray(representation)
    for rows in row_blocks(len(features)):
        _products(features[rows].astype(np.float64), representation, out=error[rows])
    return error


def column_products(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiply each column of `values` by each column of `weights`, each product on its own.

    Equal columns have equal products at any position.

    Parameters
    ----------
    values : ndarray of shape (n_prompts, n_models), dtype float64
    weights : ndarray of shape (n_prompts, n_features), dtype float64

    Returns
    -------
    products : ndarray of shape (n_models, n_features)
    """
    values, weights = np.ascontiguousarray(values.T), np.ascontiguousarray(weights.T)
    return np.vecdot(values[:, None], weights)


def estimate_row(features: np.ndarray, representation: np.ndarray) -> np.ndarray:
    """Multiply the features of one prompt by representations, as :func:`estimate_errors` does.

    Parameters
    ----------
    features : ndarray of shape (n_features,) or ()
    representation : ndarray of shape (n_models, n_features)
        Representation Psi of each model, in C order.

    Returns
    -------
    error : ndarray of shape (n_models,), dtype float64
    """
    if features.ndim == 0:
        return representation[:, features]
    return _products(features[None].astype(np.float64), representation)[0]


def _products(
    features: np.ndarray, representation: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    if representation.shape[1] < _LONG:
        return np.einsum("nk,mk->nm", features, representation, out=out)
    return np.vecdot(features[:, None], representation, out=out)


def normalised_exp(logits: np.ndarray, total: float = 1.0) -> np.ndarray:
    """Compute ``total * softmax`` of each row in place, without traces."""
    logits -= np.maximum.reduce(logits, axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    logits *= logits >= TRACE
    logits *= total / np.add.reduce(logits, axis=-1, keepdims=True)
    return logits


def hidden_features(
    X: np.ndarray, means: np.ndarray, coefs: list[np.ndarray], intercepts: list[np.ndarray]
) -> np.ndarray:
    """Pass embeddings through ReLU layers.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    means : ndarray of shape (n_features,)
        Means to subtract from the embeddings.
    coefs : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, with the scaling of the embeddings multiplied in.
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
    """Map embeddings to responsibilities (eq. 21 of the paper).

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    means : ndarray of shape (n_features,)
        Means to subtract from the embeddings.
    coefs : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, with scaling and batch normalisation multiplied in.
    intercepts : list of ndarray of shape (n_outputs,)
    total : float, default=1.0
        Sum of the responsibilities of a prompt.

    Returns
    -------
    responsibilities : ndarray of shape (n_prompts, n_clusters)
        In the dtype of `X`, without traces.
    """
    logits = hidden_features(X, means, coefs[:-1], intercepts[:-1]).dot(coefs[-1])
    logits += intercepts[-1]
    return normalised_exp(logits, total)
