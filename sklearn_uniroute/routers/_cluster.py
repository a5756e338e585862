"""What routers over clusters of prompts share: errors kept as sums per cluster."""

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_array

from sklearn_uniroute._numerics._clusters import cluster_sums, distinct_centers, mean_errors
from sklearn_uniroute._numerics._features import estimate_errors
from sklearn_uniroute._numerics._predictors import FeaturePredictor
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import FLOATS, check_share, listing


class ClusterRouter(BaseRouter):
    """Base class of routers that estimate errors on clusters of prompts.

    A subclass sets `_n_clusters`, and implements ``_fit_clusters(X, rng)``; ``_assign(X)``, the one
    cluster of each prompt for which an error observed on it counts; and ``_phi()``, the
    :class:`Phi` by which errors are predicted. Models are represented by their mean errors.
    """

    representation_: np.ndarray
    representation_std_: Any
    _evidence_arrays: tuple[str, ...] = (
        "error_sums_",
        "error_counts_",
        "representation_",
        "representation_std_",
    )

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> Any:
        self._fit_clusters(X, rng)
        labels = self._assign(X)
        self.cluster_sizes_ = np.bincount(labels, minlength=self._n_clusters)
        self.cluster_shares_ = self.cluster_sizes_ / len(X)
        self.error_sums_, self.error_counts_ = cluster_sums(labels, errors, self._n_clusters)
        self.representation_ = mean_errors(
            self.error_sums_, self.error_counts_, self.cluster_shares_
        )
        self.representation_std_ = None
        return labels

    def _fit_evidence(self, X: np.ndarray, errors: np.ndarray) -> None:
        # All there is to know of the training models was summed up with the clusters. Budgets are
        # kept on the training prompts, each cluster by its share.
        self.calibration_features_ = np.arange(self._n_clusters)
        self.calibration_weights_ = self.cluster_shares_

    def _calibration(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        terms = self._predictor(index).terms_at(self.calibration_features_)
        return *terms, self.calibration_weights_

    def _calibration_error(self, index: np.ndarray) -> np.ndarray:
        return estimate_errors(self.calibration_features_, self.representation_[index])

    def _evidence(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        prompts = self.X_val_ if X_val is None else X_val
        sums, counts = cluster_sums(self._assign(prompts), val_errors[:, None], self._n_clusters)
        sums, counts = sums[0], counts[0]
        if position is not None:
            sums += self.error_sums_[position]
            counts += self.error_counts_[position]
        return {
            "error_sums_": sums,
            "error_counts_": counts,
            "representation_": mean_errors(sums, counts, self.cluster_shares_),
        }

    def _predictor(self, index: np.ndarray) -> FeaturePredictor:
        return FeaturePredictor(self._phi(), self.representation_[index], self._prices(index))


def check_clusterer(clusterer: Any) -> np.ndarray:
    """Get the centres of a fitted clusterer, of those that coincide the first."""
    centers = getattr(clusterer, "cluster_centers_", None)
    if centers is None or len(centers) == 0:
        raise TypeError(
            f"`clusterer` must have `cluster_centers_` once fitted; {type(clusterer).__name__} has "
            "none. Use KMeans, MiniBatchKMeans or another clusterer with centres."
        )
    return distinct_centers(check_array(centers, dtype=FLOATS, input_name="cluster_centers_"))


def find_fallback(fallback: Label, labels: np.ndarray, costs: np.ndarray | None) -> int:
    """Position, among models in registration order, of the one to fall back to."""
    if fallback == "dearest":
        if costs is None:
            raise ValueError(
                "`fallback`='dearest' needs costs, but this router was fitted without; pass "
                "`costs` to fit, or name a model."
            )
        return int(np.argmax(costs))
    if fallback not in labels.tolist():
        raise ValueError(
            f"`fallback` {fallback!r} is not among the models to choose from "
            f"({listing(labels.tolist())}); keep it in the pool, or fit with fallback='dearest' or "
            "fallback=None."
        )
    position: int = labels.tolist().index(fallback)
    return position


def check_fallback_stays(name: Label, fallback: Label | None) -> None:
    """Refuse to remove the model that prompts fall back to."""
    if name == fallback:
        raise ValueError(
            f"{name!r} is what this router falls back to, and cannot be removed; fit with another "
            "`fallback` first."
        )


def check_fallback(fallback: Any, alpha: Any) -> None:
    """Check what to do far from all training prompts, and how many of these count as far."""
    kinds = (str, numbers.Integral, type(None))
    if not isinstance(fallback, kinds) or isinstance(fallback, bool):
        raise TypeError(
            f"`fallback` must be None, 'dearest' or the name of a model; got {fallback!r}."
        )
    check_share(alpha, "alpha")


def check_costs_by_call(costs: np.ndarray | None) -> None:
    """Refuse to learn what calls cost where that was not passed."""
    if costs is None or costs.ndim == 1:
        got = "none" if costs is None else "one number for each model"
        raise ValueError(
            f"`cost_model`='cluster' learns from what each call cost, but `costs` has {got}; pass "
            "an array of shape (n_prompts, n_models), or set cost_model='mean'."
        )
