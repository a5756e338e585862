"""Routers over clusters of prompts: errors and costs kept as sums by cluster."""

import numbers
from typing import Any

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import has_fit_parameter

from sklearn_uniroute._numerics._clusters import (
    ClustersSeen,
    cluster_sums,
    distinct_centers,
    far_distance,
    held_out_distances,
    in_proportion,
    mean_errors,
)
from sklearn_uniroute._numerics._features import (
    NearestCluster,
    Phi,
    common_offset,
    estimate_errors,
)
from sklearn_uniroute._numerics._predictors import Fallback, FeaturePredictor
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._pool import put_rows
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import FLOATS, check_share, listing
from sklearn_uniroute.utils._weights import weighted

# Maximum number of training prompts whose features are kept to calibrate budgets.
_CALIBRATION_PROMPTS = 10_000
# Number of calls in each cluster that a price counts as.
_CALLS_OF_PRICE = 10


class ClusterRouter(BaseRouter):
    """Base class of routers that estimate errors from sums over clusters of prompts.

    A subclass implements ``_fit_clusters(X, rng, weights)``; ``_assign(X)``, the cluster of each
    prompt, for which an error on the prompt counts; and ``_phi()``, the :class:`Phi` that predicts
    errors. A model is represented by its mean error in each cluster.

    The evidence holds `error_sums` and `error_counts` of shape (n_models, n_clusters), and also
    `cost_sums` and `cost_counts` if costs are learned by cluster.
    """

    _fades = True

    representation_: np.ndarray
    clusterer: Any
    distance_quantiles_: np.ndarray
    cluster_centers_: np.ndarray
    _n_clusters: int
    # Sums and numbers of the training models' calls in each cluster; empty without costs of calls.
    _cost_sums: dict[str, np.ndarray]
    # Features and weights of the prompts on which budgets are kept, and which of them are far.
    _calibration_prompts: dict[str, Any]
    # Clusters found before `fit`, by chunks, and the number of prompts that they were found in.
    _centers: Any = None
    _n_clustered: Any = None
    # Number of training prompts that would belong to each cluster, were they new.
    _held_out_sizes: np.ndarray
    # Which training prompts would be far, were they new; only while the router is fitted.
    _far_prompts: np.ndarray
    _selection_seed = 0
    _fallback: Label | None = None
    costs_: Any
    cost_representation_: Any = None
    fallback_distance_: Any

    def _fit_clusters(
        self, X: np.ndarray, rng: np.random.RandomState, weights: np.ndarray | None
    ) -> None:
        raise NotImplementedError

    def _assign(self, X: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _phi(self) -> Phi:
        raise NotImplementedError

    def _features(self, X: np.ndarray) -> np.ndarray:
        return self._phi().features(X)

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self._sum_by_cluster(X, errors, rng, sample_weight)

    def _sum_by_cluster(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        weights: np.ndarray | None,
    ) -> np.ndarray:
        """Fit the clusters and sum the errors in each; returns the cluster of each prompt."""
        self._fit_clusters(X, rng, weights)
        labels = self._assign(X)
        self.cluster_sizes_ = np.bincount(labels, weights, minlength=self._n_clusters)
        self.cluster_shares_ = self.cluster_sizes_ / self.cluster_sizes_.sum()
        sums, counts = cluster_sums(labels, errors, self._n_clusters, weights)
        self._evidence = {"error_sums": sums, "error_counts": counts}
        self.representation_ = mean_errors(sums, counts, self.cluster_shares_)
        return labels

    def _held_out_distances(
        self,
        X: np.ndarray,
        labels: np.ndarray,
        squares: np.ndarray,
        weights: np.ndarray | None,
    ) -> np.ndarray:
        """Distances that the training prompts would have, were they new.

        Also counts how many of them would then belong to each cluster.
        """
        distances = np.sqrt(squares)
        if not isinstance(self.clusterer, FrozenEstimator):
            nearest = NearestCluster(self.cluster_centers_)
            n_clustered = None if self._centers is None else self._n_clustered
            distances, labels = held_out_distances(
                X, nearest, labels, squares, n_clustered, weights
            )
        self._held_out_sizes = np.bincount(labels, weights, minlength=self._n_clusters)
        return distances

    def _clusters_seen(self) -> ClustersSeen | None:
        if not hasattr(self, "distance_quantiles_"):
            return None
        # Files of version 0.1 do not have the sizes of new prompts.
        sizes = getattr(self, "_held_out_sizes", self.cluster_sizes_)
        return ClustersSeen(sizes, self.distance_quantiles_)

    def _fit_evidence(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        # The evidence was summed with the clusters; what is left is where budgets are kept.
        if self._keeps_budgets_by_cluster:
            self._calibration_prompts = {
                "features": np.arange(self._n_clusters),
                "weights": self.cluster_shares_,
                "far": None,
            }
            return
        # Choices differ within clusters, so single prompts calibrate budgets.
        order = np.random.RandomState(self._selection_seed).permutation(len(X))
        drawn = np.sort(order[:_CALIBRATION_PROMPTS])
        shares = np.ones(len(drawn)) if weights is None else weights[drawn]
        far = None
        if self._fallback is not None:
            far = self._far_prompts[drawn]
            del self._far_prompts
        self._calibration_prompts = {
            "features": self._features(X[drawn]),
            "weights": shares / shares.sum(),
            "far": far,
        }

    @property
    def _keeps_budgets_by_cluster(self) -> bool:
        """Whether all prompts of a cluster go to one model."""
        return isinstance(self._phi(), NearestCluster) and self._fallback is None

    def _calibration(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kept = self._calibration_prompts
        return *self._predictor(index).terms_at(kept["features"], kept["far"]), kept["weights"]

    def _calibration_error(self, index: np.ndarray) -> np.ndarray:
        return estimate_errors(self._calibration_prompts["features"], self.representation_[index])

    def _model_rows(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        prompts = self.X_val_ if X_val is None else X_val
        sums, counts = cluster_sums(
            self._assign(prompts), val_errors[:, None], self._n_clusters, self._times(X_val)
        )
        sums, counts = sums[0], counts[0]
        if position is not None:
            sums += self._evidence["error_sums"][position]
            counts += self._evidence["error_counts"][position]
        return {
            "error_sums": sums,
            "error_counts": counts,
            "representation_": mean_errors(sums, counts, self.cluster_shares_),
        }

    def _fade(self, position: int, factor: float) -> None:
        put_rows(self, self._faded_rows(position, factor), position)

    def _faded_rows(self, position: int, factor: float) -> dict[str, Any]:
        """Rows of one model whose errors count `factor` times as much."""
        names = ("error_sums", "error_counts")
        return {name: factor * self._evidence[name][position] for name in names}

    def _predictor(self, index: np.ndarray) -> FeaturePredictor:
        by_cluster = self.cost_representation_
        return FeaturePredictor(
            self._phi(),
            self.representation_[index],
            self._prices(index),
            None if by_cluster is None else by_cluster[index],
            None if self._fallback is None else self._fallback_among(index),
        )

    # Costs by cluster are means of calls, as errors are in eq. 12 of the paper, scaled such that
    # predicted costs have the mean of the model on the prompts on which budgets are kept.

    def _fit_costs(
        self, X: np.ndarray, costs: np.ndarray | None, weights: np.ndarray | None
    ) -> None:
        self._cost_sums = {}
        if costs is not None and costs.ndim == 2:
            sums, counts = cluster_sums(self._assign(X), costs, self._n_clusters, weights)
            self._cost_sums = {"cost_sums": sums, "cost_counts": counts}

    @property
    def _learns_costs(self) -> bool:  # type: ignore[override]
        # Files of version 0.1 do not count calls.
        return "cost_sums" in self._evidence

    def _mean_costs(self) -> np.ndarray:
        """Mean costs in each cluster."""
        known = {**self._cost_sums, **self._evidence}
        return mean_errors(known["cost_sums"], known["cost_counts"], self.cluster_shares_)

    def _costs_of_sums(self) -> Any:
        """Mean costs of the models by the sums of their calls; None without."""
        if not self._cost_sums:
            return None
        if self.cost_representation_ is None:
            sums, counts = self._cost_sums["cost_sums"], self._cost_sums["cost_counts"]
            return sums.sum(axis=1) / counts.sum(axis=1)
        # Where calls were not made, a plain mean would be over other prompts.
        return self._mean_costs() @ self.cluster_shares_

    def _set_costs_by_cluster(self) -> None:
        means = self._mean_costs()
        self.costs_ = means @ self.cluster_shares_
        rows = zip(self.costs_, means, strict=True)
        self.cost_representation_ = np.array([self._in_proportion(*row) for row in rows])

    def _cost_rows(self, cost: Any, X_val: np.ndarray | None = None) -> dict[str, Any]:
        # By what was fitted: the parameter may have been set anew since.
        if self.cost_representation_ is None:
            return super()._cost_rows(cost, X_val)
        if isinstance(cost, np.ndarray):
            prompts = self.X_val_ if X_val is None else X_val
            sums, counts = cluster_sums(
                self._assign(prompts), cost[:, None], self._n_clusters, self._times(X_val)
            )
            return self._charged_rows(sums[0], counts[0])
        charged = self.costs_ > 0
        profiles = self.cost_representation_[charged] / self.costs_[charged, None]
        return self._priced_rows(cost, self._in_proportion(cost, profiles.sum(axis=0)))

    def _charged_rows(self, sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
        """Rows for a model by sums and numbers of its calls in each cluster."""
        means = mean_errors(sums, counts, self.cluster_shares_)
        cost = float(means @ self.cluster_shares_)
        rows = {"costs_": cost, "cost_representation_": self._in_proportion(cost, means)}
        return rows | ({"cost_sums": sums, "cost_counts": counts} if self._learns_costs else {})

    def _priced_rows(self, cost: float, by_cluster: np.ndarray) -> dict[str, Any]:
        """Rows for a model by its price."""
        rows = {"costs_": cost, "cost_representation_": by_cluster}
        if self._learns_costs:
            counts = np.full(len(by_cluster), float(_CALLS_OF_PRICE))
            rows |= {"cost_sums": counts * by_cluster, "cost_counts": counts}
        return rows

    def _charge(self, position: int, costs: np.ndarray, X: np.ndarray) -> None:
        sums, counts = cluster_sums(self._assign(X), costs[:, None], self._n_clusters)
        sums = sums[0] + self._evidence["cost_sums"][position]
        counts = counts[0] + self._evidence["cost_counts"][position]
        put_rows(self, self._charged_rows(sums, counts), position)

    def _repriced_rows(self, cost: Any, position: int) -> dict[str, Any]:
        if self.cost_representation_ is None:
            return super()._repriced_rows(cost, position)
        own = self.cost_representation_[position]
        return self._priced_rows(cost, self._in_proportion(cost, own))

    def _in_proportion(self, cost: float, means: np.ndarray) -> np.ndarray:
        kept = self._calibration_prompts
        return in_proportion(cost, means, kept["features"], kept["weights"])

    # Prompts unlike those of training fall back to one model.

    def _fit_fallback(
        self, X: np.ndarray, fallback: Label | None, quantiles: np.ndarray, far_share: float
    ) -> None:
        # Set for good: budgets are kept with the prompts that fall back.
        self._fallback, self.fallback_distance_ = fallback, None
        if fallback is not None:
            self.fallback_distance_ = far_distance(X, quantiles, far_share)

    def _check_removal(self, name: Label) -> None:
        super()._check_removal(name)
        check_fallback_stays(name, self._fallback)

    def _fallback_among(self, index: np.ndarray) -> Fallback:
        # By registration order, so that the order of the pool decides no tie.
        order = np.argsort(index)
        known = index[order]
        prices = None if self.costs_ is None else self.costs_[known]
        position = order[find_fallback(self._fallback, self.models_[known], prices)]
        nearest = NearestCluster(self.cluster_centers_)
        return Fallback(nearest, self.fallback_distance_, int(position))


def fitted_centers(clusterer: Any, X: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Fit a clusterer and get its centres."""
    if isinstance(clusterer, FrozenEstimator):
        centers = check_clusterer(clusterer)
        if centers.shape[1] != X.shape[1]:
            raise ValueError(
                f"`clusterer` was fitted on {centers.shape[1]} features, but `X` has {X.shape[1]}; "
                "fit it on embeddings of the same kind."
            )
        return centers
    if weights is not None and not has_fit_parameter(clusterer, "sample_weight"):
        raise TypeError(
            f"`clusterer` {type(clusterer).__name__} does not support `sample_weight`; use KMeans, "
            "or fit it beforehand and pass FrozenEstimator(clusterer)."
        )
    offset = offset_to_subtract(clusterer, X)
    if offset is None:
        return check_clusterer(clusterer.fit(X, **weighted(weights)))
    return check_clusterer(clusterer.fit(X - offset, **weighted(weights))) + offset


def offset_to_subtract(clusterer: Any, X: np.ndarray) -> np.ndarray | None:
    """Find a long offset of the prompts, which costs mini-batch K-means digits."""
    if not (isinstance(clusterer, MiniBatchKMeans) and isinstance(clusterer.init, str)):
        return None
    offset = common_offset(X)
    return None if offset is None else offset.astype(X.dtype)


def check_clusterer(clusterer: Any) -> np.ndarray:
    """Get the centres of a fitted clusterer, without those that coincide with earlier ones."""
    centers = getattr(clusterer, "cluster_centers_", None)
    if centers is None or len(centers) == 0:
        raise TypeError(
            f"`clusterer` must have `cluster_centers_` once fitted, but {type(clusterer).__name__} "
            "has none; use KMeans, MiniBatchKMeans or another clusterer with centres."
        )
    return distinct_centers(check_array(centers, dtype=FLOATS, input_name="cluster_centers_"))


def find_fallback(fallback: Label | None, labels: np.ndarray, costs: np.ndarray | None) -> int:
    """Position of the model to fall back to, among models in registration order."""
    if fallback == "dearest":
        if costs is None:
            raise ValueError(
                "`fallback`='dearest' needs costs, but this router was fitted without; pass "
                "`costs` to fit, or name a model."
            )
        return int(np.argmax(costs))
    if fallback not in labels.tolist():
        raise ValueError(
            f"`fallback` {fallback!r} is not in the pool ({listing(labels.tolist())}); keep it in "
            "the pool, or fit with fallback='dearest' or fallback=None."
        )
    return int(labels.tolist().index(fallback))


def check_fallback_stays(name: Label, fallback: Label | None) -> None:
    """Refuse to remove the model that prompts fall back to."""
    if name == fallback:
        raise ValueError(
            f"{name!r} is the `fallback` of this router and cannot be removed; fit with another "
            "`fallback` first."
        )


def check_fallback(fallback: Any, far_share: Any) -> None:
    """Check the model for far prompts, and the share of the training prompts that are far."""
    kinds = (str, numbers.Integral, type(None))
    if not isinstance(fallback, kinds) or isinstance(fallback, bool):
        raise TypeError(
            f"`fallback` must be None, 'dearest' or the name of a model; got {fallback!r}."
        )
    check_share(far_share, "far_share")


def check_costs_by_call(costs: np.ndarray | None) -> None:
    """Refuse to learn costs by cluster without costs of calls."""
    if costs is None or costs.ndim == 1:
        got = "none" if costs is None else "one number for each model"
        raise ValueError(
            f"`cost_model`='cluster' needs the cost of each call, but `costs` has {got}; pass an "
            "array of shape (n_prompts, n_models), or set cost_model='mean'."
        )
