"""What routers over hard clusters of prompts share: evidence kept as sums per cluster."""

from sklearn_uniroute._base import BaseRouter
from sklearn_uniroute._clusters import cluster_sums, mean_errors
from sklearn_uniroute._routing import choose


class ClusterRouter(BaseRouter):
    """Base class of routers for which Phi(x) points at one cluster.

    A subclass implements ``_assign(X)``, the cluster of each prompt, and the property
    `_n_clusters`.
    """

    _evidence_arrays = ("error_sums_", "error_counts_", "representation_")

    def _fit_evidence(self, X, errors):
        self.error_sums_, self.error_counts_ = cluster_sums(
            self._assign(X), errors, self._n_clusters
        )
        self.representation_ = mean_errors(self.error_sums_, self.error_counts_)

    def _evidence(self, val_errors, X_val, position):
        prompts = self.X_val_ if X_val is None else X_val
        sums, counts = cluster_sums(self._assign(prompts), val_errors[:, None], self._n_clusters)
        sums, counts = sums[0], counts[0]
        if position is not None:
            sums += self.error_sums_[position]
            counts += self.error_counts_[position]
        return {
            "error_sums_": sums,
            "error_counts_": counts,
            "representation_": mean_errors(sums, counts),
        }

    def _predict_error(self, X, index):
        by_cluster = self.representation_[index].T.astype(X.dtype)
        return by_cluster[self._assign(X)]

    def _choose(self, X, index, cost_weight):
        # All prompts of a cluster share one choice, made in double precision.
        by_cluster = choose(self.representation_[index].T, self._prices(index), cost_weight)
        return by_cluster[self._assign(X)]
