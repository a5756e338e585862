"""Routers over K-means clusters that learn from models what to expect of others."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import (
    mean_errors,
    squared_deviations,
    squared_distances,
)
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute._numerics._posterior import (
    ClusterSums,
    Prior,
    condition,
    evidence,
    fit_prior,
    mean_error_std,
    prior_of_noise,
    refine_prior,
    standard_errors,
    sum_evidence,
)
from sklearn_uniroute._numerics._preferences import (
    Battles,
    check_preference_scale,
    preference_evidence,
    preference_scale,
)
from sklearn_uniroute._numerics._routing import HullWalk
from sklearn_uniroute._numerics._selection import select_validation_prompts
from sklearn_uniroute.routers._cluster import check_clusterer
from sklearn_uniroute.routers._cluster_costs import ClusterCostRouter
from sklearn_uniroute.routers._fallback import FallbackRouter
from sklearn_uniroute.routers._partial_fit import ChunkedRouter
from sklearn_uniroute.routers._pool import check_cost
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_enough,
    check_new_name,
    check_prompts,
    find_model,
    is_hashable,
    listing,
)

_OUTCOMES = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}

# Training prompts, at most, whose responsibilities are kept to keep budgets on.
_CALIBRATION_PROMPTS = 10_000


class FewShotRouter(FallbackRouter, ClusterCostRouter, ChunkedRouter):
    """Base class of routers over K-means clusters that learn from models what to expect of others.

    A subclass has the parameters `n_clusters` and `clusterer`, `representation`, "posterior" or
    "mean", and `validation`, how the prompts to run models on are chosen, "greedy" or "random",
    beside those of its base classes. It implements ``_fit_map(X, errors, representation)``, to
    learn what its ``_phi()`` needs beyond the clusters. For the posterior, an observed error
    counts by these features, for the mean by the nearest cluster.
    """

    n_clusters: int
    clusterer: Any
    representation: str
    validation: str
    information_: Any
    moments_: Any
    _evidence_arrays = (*ClusterCostRouter._evidence_arrays, "information_", "moments_")

    def _check_params(self) -> None:
        super()._check_params()
        check_count(self.n_clusters, "n_clusters")
        check_choice(self.representation, "representation", ("posterior", "mean"))
        check_choice(self.validation, "validation", ("greedy", "random"))

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> None:
        labels = super()._fit_features(X, errors, rng)
        # What a first pass over chunks has found is used up, or not wanted.
        self._clusterer = None
        squares = squared_distances(X, self.cluster_centers_, labels)
        self.mean_squared_distance_ = float(squares.mean())
        self.distance_quantiles_ = np.sqrt(np.quantile(squares, np.linspace(0, 1, 1001)))
        self._fit_fallback(X)
        self.selection_seed_ = int(rng.randint(2**31))
        means, counts = self.representation_, self.error_counts_
        squares = squared_deviations(labels, errors, means)
        prior = fit_prior(means, squares, counts, self.cluster_shares_)
        self._fit_map(X, errors, means)
        self.noise_ = self._extended_prior(prior).noise
        self.information_ = self.moments_ = None
        if self.representation == "posterior":
            self.information_, self.moments_ = sum_evidence(X, errors, self._phi(), self.noise_)
        self._represent(prior)

    def _represent(self, prior: Prior) -> None:
        """Settle the prior, and the posterior of each training model, from their sums."""
        prior = self._extended_prior(prior)
        if self.information_ is not None:
            known = list(zip(self.information_, self.moments_, strict=True))
            posteriors = [condition(prior, *one) for one in known]
            prior = self._refined_prior(prior, posteriors)
            posteriors = [condition(prior, *one) for one in known]
            self.representation_ = np.array([mean for mean, _ in posteriors])
            self.representation_std_ = np.array(
                [standard_errors(covariance) for _, covariance in posteriors]
            )
        self.prior_mean_, self.prior_covariance_, self.noise_ = prior

    def _get_sums(self) -> ClusterSums:
        return ClusterSums(
            self.cluster_sizes_,
            self.error_sums_,
            self.error_counts_,
            self.information_,
            self.moments_,
            self.cost_sums_,
            self.cost_counts_,
        )

    def _set_sums(self, sums: ClusterSums) -> None:
        self.cluster_sizes_ = sums.sizes
        self.cluster_shares_ = sums.sizes / sums.sizes.sum()
        self.error_sums_, self.error_counts_ = sums.error_sums, sums.error_counts
        self.information_, self.moments_ = sums.information, sums.moments
        self.representation_ = mean_errors(
            self.error_sums_, self.error_counts_, self.cluster_shares_
        )
        noise = self.noise_[: self._n_clusters]
        self._represent(prior_of_noise(self.representation_, noise, self.cluster_shares_))
        if self._keeps_budgets_by_cluster:
            self.calibration_weights_ = self.cluster_shares_
        self._set_cost_sums(sums.cost_sums, sums.cost_counts)

    def _extended_prior(self, prior: Prior) -> Prior:
        """Add to what is expected of the clusters what is expected of further features."""
        return prior

    def _refined_prior(
        self, prior: Prior, posteriors: list[tuple[np.ndarray, np.ndarray]]
    ) -> Prior:
        return refine_prior(prior, posteriors, self.cluster_shares_)

    def _fit_clusters(self, X: np.ndarray, rng: np.random.RandomState) -> None:
        if self._centers is not None:
            self.cluster_centers_ = self._centers
            return
        if self.clusterer is None:
            check_enough(self.n_clusters, "n_clusters", len(X), "training prompts")
            clusterer = KMeans(self.n_clusters, random_state=rng)
        else:
            clusterer = clone(self.clusterer)
        clusterer.fit(X)
        self.cluster_centers_ = check_clusterer(clusterer)

    @property
    def _n_clusters(self) -> int:
        return len(self.cluster_centers_)

    def _assign(self, X: np.ndarray) -> np.ndarray:
        return NearestCluster(self.cluster_centers_).features(X)

    def _features(self, X: np.ndarray) -> np.ndarray:
        features: np.ndarray = self._phi().features(X)
        return features

    def _fit_evidence(self, X: np.ndarray, errors: np.ndarray) -> None:
        super()._fit_evidence(X, errors)
        self.calibration_far_ = None
        if not self._keeps_budgets_by_cluster:
            # Choices differ from prompt to prompt: budgets are kept on so many of them.
            order = np.random.RandomState(self.selection_seed_).permutation(len(X))
            drawn = np.sort(order[:_CALIBRATION_PROMPTS])
            self.calibration_features_ = self._features(X[drawn])
            self.calibration_weights_ = np.full(len(drawn), 1 / len(drawn))
            if self.fallback_ is not None:
                fallback = self._fallback_among(np.arange(len(self.models_)))
                self.calibration_far_ = fallback.is_far(X[drawn])

    @property
    def _keeps_budgets_by_cluster(self) -> bool:
        """Whether all prompts of a cluster go to one model."""
        return isinstance(self._phi(), NearestCluster) and self.fallback_ is None

    def _mean_error_std(
        self, X: np.ndarray | None, index: np.ndarray, walk: HullWalk, weights: np.ndarray
    ) -> np.ndarray:
        features = self.calibration_features_ if X is None else self._features(X)
        covariances = [
            condition(self._prior(), self.information_[model], self.moments_[model])[1]
            for model in index
        ]
        return mean_error_std(walk, features, weights, covariances)

    def _evidence(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        rows = super()._evidence(val_errors, X_val, position)
        # By what was fitted: the parameter may have been set anew since.
        if self.information_ is None:
            return rows
        prompts = self.X_val_ if X_val is None else X_val
        (information,), (moment,) = evidence(
            self._features(prompts), val_errors[:, None], self.noise_
        )
        if position is not None:
            information += self.information_[position]
            moment += self.moments_[position]
        mean, covariance = condition(self._prior(), information, moment)
        return {
            **rows,
            "information_": information,
            "moments_": moment,
            "representation_": mean,
            "representation_std_": standard_errors(covariance),
        }

    def add_models_from_preferences(
        self,
        X: ArrayLike,
        model_a: ArrayLike,
        model_b: ArrayLike,
        winner: ArrayLike,
        *,
        costs: Any = None,
    ) -> Self:
        """Add models from battles: which of two models answered a prompt better.

        Whatever the battles were decided by, those between known models show how much errors count
        for, and all new models are placed on the scale of errors by that.

        Parameters
        ----------
        X : array-like of shape (n_battles, n_features)
            The prompt of each battle, as an embedding.
        model_a, model_b : array-like of shape (n_battles,)
            Names of the two models of each battle: known ones or new ones. Some battles must be
            between known models.
        winner : array-like of shape (n_battles,)
            "model_a", "model_b" or "tie".
        costs : mapping or Series, default=None
            Mean cost per prompt of each new model, by name, in the unit of the other costs.
            Required where the router has costs.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If lengths disagree, an outcome is none of the three, no model is new, a cost is
            missing, or models of less error do not win more often where known models meet. The
            router then stays as it was.
        TypeError
            If a name is of another kind than those of the other models.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.4.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=3000, n_models=5, random_state=0)
        >>> router = KMeansRouter(random_state=0)
        >>> router = router.fit(data.X[:1000], data.y[:1000, :4], costs=data.costs[:4])
        >>> X, y = data.X[1000:], data.y[1000:]
        >>> rng = np.random.RandomState(0)
        >>> a, b = np.array([rng.permutation(5)[:2] for _ in X]).T
        >>> margin = y[np.arange(2000), a] - y[np.arange(2000), b]
        >>> winner = np.array(["model_b", "tie", "model_a"])[margin.astype(int) + 1]
        >>> router.add_models_from_preferences(X, a, b, winner, costs={4: data.costs[4]}).models_
        array([0, 1, 2, 3, 4])
        """
        check_is_fitted(self)
        X = check_prompts(self, X)
        new, first, second, outcome = check_battles(model_a, model_b, winner, len(X), self.models_)
        costs = check_new_costs(costs, new, has_costs=self.costs_ is not None)
        features = self._features(X).astype(np.float64)
        if features.ndim == 1:
            features = np.eye(self._n_clusters)[features.astype(np.intp)]
        battles = Battles(features, first, second, outcome)
        n_known = len(self.models_)
        among_known = Battles(*(part[np.maximum(first, second) < n_known] for part in battles))
        scale, dispersion = 0.0, 1.0
        if len(among_known.outcome):
            scale, dispersion = preference_scale(among_known, self.representation_)
        check_preference_scale(len(among_known.outcome), scale)
        positions = n_known + np.arange(len(new))
        room = np.zeros((len(new), features.shape[1]))
        evidence_of_new = preference_evidence(
            battles,
            np.concatenate([self.representation_, room]),
            self._prior(),
            positions,
            scale,
            dispersion,
        )
        labels = self._assign(X)
        for name, cost, position, information, moment in zip(
            new, costs, positions, *evidence_of_new, strict=True
        ):
            mean, covariance = condition(self._prior(), information, moment)
            # In averages by cluster, a battle counts like an error.
            fought = labels[(first == position) | (second == position)]
            counts = np.bincount(fought, minlength=self._n_clusters).astype(np.float64)
            rows = {
                "models_": name,
                "error_sums_": counts * mean[: self._n_clusters],
                "error_counts_": counts,
                "representation_": mean,
            }
            if self.information_ is not None:
                rows["information_"], rows["moments_"] = information, moment
                rows["representation_std_"] = standard_errors(covariance)
            self._put_rows({**rows, **self._cost_rows(cost)}, int(position))
        return self

    def _prior(self) -> Prior:
        return Prior(self.prior_mean_, self.prior_covariance_, self.noise_)

    def _predict_std(self, X: np.ndarray, index: np.ndarray) -> np.ndarray:
        features = self._features(X)
        if features.ndim == 1:
            std: np.ndarray = self.representation_std_[index].T[features]
            return std
        std = np.empty((len(X), len(index)))
        for column, model in enumerate(index):
            _, covariance = condition(self._prior(), self.information_[model], self.moments_[model])
            std[:, column] = np.einsum("nk,nk->n", features @ covariance, features)
        return np.sqrt(np.maximum(std, 0.0))

    def suggest_prompts(self, name: Label, n_prompts: int, X_candidates: ArrayLike) -> np.ndarray:
        """Choose the prompts on which to run a model next.

        Greedily, those that cut the expected posterior variance of the model's errors most, given
        what it was run on so far.

        Parameters
        ----------
        name : str or int
            A known model.
        n_prompts : int
            How many prompts to choose.
        X_candidates : array-like of shape (n_candidates, n_features)
            The prompts to choose from. Leave out those that the model was run on already.

        Returns
        -------
        indices : ndarray of shape (n_prompts,)
            Rows of `X_candidates`, the most telling first. Pass the errors on them to
            :meth:`update_model` with ``X_val=X_candidates[indices]``.

        Raises
        ------
        ValueError
            If the model is unknown, or there are fewer candidates than prompts to choose.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        X = check_prompts(self, X_candidates)
        if self.information_ is None:
            information = np.diag(self.error_counts_[position] / self.noise_)
        else:
            information = self.information_[position]
        # The covariance depends on where the model was run alone, not on what it got wrong.
        _, covariance = condition(self._prior(), information, np.zeros(len(information)))
        clusters = slice(self._n_clusters)
        return select_validation_prompts(
            self._assign(X),
            covariance[clusters, clusters],
            self.noise_[clusters],
            n_prompts,
            shares=self.cluster_shares_,
            random_state=self.selection_seed_,
        )

    def _choose_validation_prompts(
        self, X: np.ndarray, n_validation: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.validation == "random":
            return super()._choose_validation_prompts(X, n_validation, rng)
        clusters = self._assign(X)
        known = slice(self._n_clusters)
        indices = select_validation_prompts(
            clusters,
            self.prior_covariance_[known, known],
            self.noise_[known],
            n_validation,
            shares=self.cluster_shares_,
            random_state=self.selection_seed_,
        )
        picked = np.bincount(clusters[indices], minlength=self._n_clusters) / len(indices)
        return indices, (self.cluster_shares_ / np.maximum(picked, 1 / len(X)))[clusters[indices]]


def check_battles(
    model_a: Any, model_b: Any, winner: Any, n_prompts: int, models: np.ndarray
) -> tuple[list[Label], np.ndarray, np.ndarray, np.ndarray]:
    """Check battles; returns names of new models, positions of both sides, and outcomes.

    New models stand after the known ones, in the order in which the battles name them.
    """
    sides = {"model_a": model_a, "model_b": model_b, "winner": winner}
    for argument, values in sides.items():
        if isinstance(values, str) or np.ndim(values) != 1 or len(values) != n_prompts:
            raise ValueError(
                f"`{argument}` must name one for each of the {n_prompts} prompts; got shape "
                f"{np.shape(values)}."
            )
    known = {label: position for position, label in enumerate(models.tolist())}
    position, new = dict(known), []
    met = [*np.asarray(model_a, dtype=object), *np.asarray(model_b, dtype=object)]
    for label in met:
        label = label.item() if isinstance(label, np.generic) else label
        if not (is_hashable(label) and label in position):
            position[check_new_name(label, models)] = len(position)
            new.append(label)
    if not new:
        raise ValueError(
            f"all models of these battles are known: {listing(known)}; battles add new models, and "
            "say nothing of those that are known by their errors."
        )
    first, second = np.array([position[label] for label in met]).reshape(2, -1)
    if np.any(first == second):
        raise ValueError(
            f"battle {np.flatnonzero(first == second)[0]} is of a model with itself; leave it out."
        )
    unknown = [label for label in winner if not (is_hashable(label) and label in _OUTCOMES)]
    if unknown:
        raise ValueError(f"`winner` must be one of {listing(_OUTCOMES)}; got {unknown[0]!r}.")
    return new, first, second, np.array([_OUTCOMES[label] for label in winner])


def check_trainable(X: np.ndarray) -> None:
    """Refuse to train on a single prompt, which does not vary."""
    if len(X) < 2:
        raise ValueError(f"this router is fitted on at least 2 prompts; got n_samples={len(X)}.")


def check_new_costs(costs: Any, new: list[Label], *, has_costs: bool) -> list[Any]:
    """Check the prices of added models, by name: one for each, and no other."""
    costs = {} if costs is None else dict(costs)
    others = [label for label in costs if label not in new]
    if others:
        raise ValueError(
            f"`costs` names model(s) {listing(others)}, which these battles do not add; use "
            "`set_cost` for known models."
        )
    return [check_cost(costs.get(label), label, has_costs=has_costs) for label in new]
