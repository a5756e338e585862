"""Costs by cluster: what a model's calls cost on prompts like the one at hand."""

from typing import Any

import numpy as np

from sklearn_uniroute._numerics._clusters import cluster_sums, mean_errors
from sklearn_uniroute._numerics._predictors import FeaturePredictor
from sklearn_uniroute.routers._cluster import ClusterRouter, check_costs_by_call
from sklearn_uniroute.utils._validation import check_choice


class ClusterCostRouter(ClusterRouter):
    """Base class of routers over clusters with a parameter `cost_model`, "mean" or "cluster".

    Costs by cluster are means of calls, as errors are in eq. 12 of the paper, in such a scale that
    predicted costs have the model's mean on the prompts that budgets are kept on.
    """

    cost_model: str
    cost_representation_: Any
    cost_sums_: Any
    cost_counts_: Any
    _evidence_arrays: tuple[str, ...] = (*ClusterRouter._evidence_arrays, "cost_representation_")

    def _check_params(self) -> None:
        super()._check_params()
        check_choice(self.cost_model, "cost_model", ("mean", "cluster"))

    def _check_data(self, costs: np.ndarray | None) -> None:
        super()._check_data(costs)
        if self.cost_model == "cluster":
            check_costs_by_call(costs)

    def _fit_costs(self, X: np.ndarray, costs: np.ndarray | None) -> None:
        self.cost_sums_ = self.cost_counts_ = self.cost_representation_ = None
        if costs is not None and costs.ndim == 2:
            self.cost_sums_, self.cost_counts_ = cluster_sums(
                self._assign(X), costs, self._n_clusters
            )
        if self.cost_model == "cluster":
            self._set_costs_by_cluster()

    def _costs_of_sums(self) -> Any:
        """Mean costs as the sums of calls have them; None without."""
        if self.cost_sums_ is None:
            return None
        if self.cost_representation_ is None:
            return self.cost_sums_.sum(axis=1) / self.cost_counts_.sum(axis=1)
        return mean_errors(self.cost_sums_, self.cost_counts_, self.cluster_shares_) @ (
            self.cluster_shares_
        )

    def _set_cost_sums(self, sums: np.ndarray | None, counts: np.ndarray | None) -> None:
        """Learn costs from the sums of calls, if there are any."""
        self.cost_sums_, self.cost_counts_ = sums, counts
        if self.cost_representation_ is not None:
            self._set_costs_by_cluster()
        elif sums is not None:
            self.costs_ = self._costs_of_sums()

    def _set_costs_by_cluster(self) -> None:
        means = mean_errors(self.cost_sums_, self.cost_counts_, self.cluster_shares_)
        # Where calls were not made, a mean over those that were is one over other prompts.
        self.costs_ = means @ self.cluster_shares_
        rows = zip(self.costs_, means, strict=True)
        self.cost_representation_ = np.array([self._in_proportion(*row) for row in rows])

    def _cost_rows(self, cost: Any, X_val: np.ndarray | None = None) -> dict[str, Any]:
        # By what was fitted: the parameter may have been set anew since.
        if self.cost_representation_ is None:
            return super()._cost_rows(cost, X_val)
        if isinstance(cost, np.ndarray):
            prompts = self.X_val_ if X_val is None else X_val
            sums, counts = cluster_sums(self._assign(prompts), cost[:, None], self._n_clusters)
            (means,) = mean_errors(sums, counts, self.cluster_shares_)
            cost = means @ self.cluster_shares_
        else:
            charged = self.costs_ > 0
            profiles = self.cost_representation_[charged] / self.costs_[charged, None]
            means = profiles.sum(axis=0)
        return {"costs_": cost, "cost_representation_": self._in_proportion(cost, means)}

    def _repriced_rows(self, cost: Any, position: int) -> dict[str, Any]:
        rows = super()._repriced_rows(cost, position)
        if self.cost_representation_ is not None:
            own = self.cost_representation_[position]
            rows["cost_representation_"] = self._in_proportion(cost, own)
        return rows

    def _in_proportion(self, cost: float, means: np.ndarray) -> np.ndarray:
        """Costs in proportion to those by cluster, with this mean; all one where these are 0."""
        features, weights = self.calibration_features_, self.calibration_weights_
        if features.ndim == 1:
            mean = weights @ means[features]
        else:
            mean = weights @ (features[:, : self._n_clusters].astype(np.float64) @ means)
        return cost * means / mean if mean > 0 else np.full(len(means), cost)

    def _predictor(self, index: np.ndarray) -> FeaturePredictor:
        predictor = super()._predictor(index)
        if self.cost_representation_ is not None:
            predictor.cost_representation = self.cost_representation_[index]
        return predictor
