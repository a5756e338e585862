"""Routers over clusters with a posterior."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
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
from sklearn_uniroute.routers._cluster import (
    ClusterRouter,
    check_costs_by_call,
    check_fallback,
    find_fallback,
    fitted_centers,
)
from sklearn_uniroute.routers._partial_fit import PartialFitMixin
from sklearn_uniroute.routers._pool import check_cost, find_model, put_rows
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_enough,
    check_names_differ,
    check_new_name,
    check_prompts,
    check_same_order,
    is_hashable,
    listing,
)

# One of so many validation prompts is drawn at random.
_DRAWN = 4
# Number of training prompts among which the most informative ones are found.
_CANDIDATES = 2048
_OUTCOMES = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}


class FewShotRouter(
    PartialFitMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterRouter
):
    """Base class of routers over K-means clusters that learn from models what to expect of others.

    A subclass has the parameters `n_clusters`, `clusterer`, `validation`, `cost_model`, `fallback`
    and `far_share` beside those of BaseRouter, and `representation` unless it is always
    "posterior". It implements ``_fit_map(X, errors, representation)``, which learns what its
    ``_phi()`` needs beyond the clusters. For the posterior, an observed error counts by the
    features of its prompt; for the mean, by the nearest cluster.

    The evidence of the posterior also holds `information`, a list of arrays of shape
    (n_outputs, n_outputs), and `moments` of shape (n_models, n_outputs): for each model, the sums
    of ``phi phi' / variance`` and of ``phi error / variance`` over its prompts.
    """

    n_clusters: int
    clusterer: Any
    # For routers without this parameter.
    representation: str = "posterior"
    validation: str
    cost_model: str
    fallback: Label | None
    far_share: float
    representation_std_: Any
    cost_representation_: Any
    prior_mean_: np.ndarray
    prior_covariance_: np.ndarray
    noise_: np.ndarray
    _row_attributes = ("representation_", "representation_std_", "cost_representation_")
    # Number of models that the prior was estimated from; unknown in files of version 0.1.
    _n_prior_models = 2**31

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_params(self) -> None:
        super()._check_params()
        check_count(self.n_clusters, "n_clusters")
        check_choice(self.representation, "representation", ("posterior", "mean"))
        check_choice(self.validation, "validation", ("greedy", "random"))
        check_choice(self.cost_model, "cost_model", ("mean", "cluster"))
        check_fallback(self.fallback, self.far_share)

    @property
    def _needs_recorded_costs(self) -> bool:  # type: ignore[override]
        return self.cost_model == "cluster"

    def _check_data(self, costs: np.ndarray | None) -> None:
        if self.cost_model == "cluster":
            check_costs_by_call(costs)
        if self.fallback is not None:
            find_fallback(self.fallback, self.models_, self.costs_)

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> None:
        labels = self._sum_by_cluster(X, errors, rng)
        self.representation_std_ = None
        # The result of a first pass over chunks is used up, or not wanted.
        self._clusterer = None
        squares = squared_distances(X, self.cluster_centers_, labels)
        self._mean_squared_distance = float(squares.mean())
        distances = self._held_out_distances(X, labels, squares)
        grid = np.linspace(0, 1, 1001)
        # New prompts exceed these quantiles as often as they should.
        self.distance_quantiles_ = np.quantile(distances, grid, method="weibull")
        self._fit_fallback(X, self.fallback, self.distance_quantiles_, self.far_share)
        if self.fallback is not None:
            self._far_prompts = distances > self.fallback_distance_
        self._selection_seed = int(rng.randint(2**31))
        means, counts = self.representation_, self._evidence["error_counts"]
        self._n_prior_models = len(means)
        squares = squared_deviations(labels, errors, means)
        prior = fit_prior(means, squares, counts, self.cluster_shares_)
        self._fit_map(X, errors, means)
        self.noise_ = self._extended_prior(prior).noise
        if self.representation == "posterior":
            information, moments = sum_evidence(X, errors, self._phi(), self.noise_)
            self._evidence |= {"information": information, "moments": moments}
        self._fit_posteriors(prior)

    def _fit_clusters(self, X: np.ndarray, rng: np.random.RandomState) -> None:
        if self._centers is not None:
            self.cluster_centers_ = self._centers
            return
        if self.clusterer is None:
            check_enough(self.n_clusters, "n_clusters", len(X), "training prompts")
            clusterer = KMeans(self.n_clusters, random_state=rng)
        else:
            clusterer = clone(self.clusterer)
        self.cluster_centers_ = fitted_centers(clusterer, X)

    def _fit_map(self, X: np.ndarray, errors: np.ndarray, representation: np.ndarray) -> None:
        raise NotImplementedError

    def _fit_costs(self, X: np.ndarray, costs: np.ndarray | None) -> None:
        super()._fit_costs(X, costs)
        self.cost_representation_ = None
        if self.cost_model == "cluster":
            self._set_costs_by_cluster()

    def _fit_posteriors(self, prior: Prior) -> None:
        """Settle the prior, and the posterior of each training model, from their sums."""
        prior = self._extended_prior(prior)
        if "information" in self._evidence:
            known = list(zip(self._evidence["information"], self._evidence["moments"], strict=True))
            posteriors = [condition(prior, *one) for one in known]
            prior = self._refined_prior(prior, posteriors)
            posteriors = [condition(prior, *one) for one in known]
            self.representation_ = np.array([mean for mean, _ in posteriors])
            self.representation_std_ = np.array(
                [standard_errors(covariance) for _, covariance in posteriors]
            )
        self.prior_mean_, self.prior_covariance_, self.noise_ = prior

    def _extended_prior(self, prior: Prior) -> Prior:
        """Extend the prior over clusters to further features."""
        return prior

    def _refined_prior(
        self, prior: Prior, posteriors: list[tuple[np.ndarray, np.ndarray]]
    ) -> Prior:
        return refine_prior(prior, posteriors, self.cluster_shares_)

    @property
    def _prior_freedom(self) -> int:
        """Degrees of freedom of the prior: that of a covariance of so many models."""
        return max(1, self._n_prior_models - 1)

    def _prior(self) -> Prior:
        return Prior(self.prior_mean_, self.prior_covariance_, self.noise_)

    # Sums over prompts, to which those of further prompts can be added.

    def _get_sums(self) -> ClusterSums:
        sums: dict[str, Any] = {**self._evidence, **self._cost_sums}
        return ClusterSums(self.cluster_sizes_, **sums)

    def _set_sums(self, sums: ClusterSums) -> None:
        # The clusters were not fitted on further prompts.
        self._held_out_sizes = self._held_out_sizes + sums.sizes - self.cluster_sizes_
        self.cluster_sizes_ = sums.sizes
        self.cluster_shares_ = sums.sizes / sums.sizes.sum()
        found = {name: value for name, value in sums._asdict().items() if value is not None}
        self._evidence = {name: found[name] for name in self._evidence}
        self.representation_ = mean_errors(sums.error_sums, sums.error_counts, self.cluster_shares_)
        noise = self.noise_[: self._n_clusters]
        self._fit_posteriors(prior_of_noise(self.representation_, noise, self.cluster_shares_))
        if self._keeps_budgets_by_cluster:
            self._calibration_prompts = {
                **self._calibration_prompts,
                "weights": self.cluster_shares_,
            }
        self._cost_sums = {name: found[name] for name in self._cost_sums}
        if self.cost_representation_ is not None:
            self._set_costs_by_cluster()
        elif self._cost_sums:
            self.costs_ = self._costs_of_sums()

    @property
    def _n_clusters(self) -> int:  # type: ignore[override]
        return len(self.cluster_centers_)

    def _assign(self, X: np.ndarray) -> np.ndarray:
        return NearestCluster(self.cluster_centers_).features(X)

    def _model_rows(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        rows = super()._model_rows(val_errors, X_val, position)
        # By what was fitted: the parameter may have been set anew since.
        if "information" not in self._evidence:
            return rows
        prompts = self.X_val_ if X_val is None else X_val
        (information,), (moment,) = evidence(
            self._features(prompts), val_errors[:, None], self.noise_
        )
        if position is not None:
            information += self._evidence["information"][position]
            moment += self._evidence["moments"][position]
        return rows | self._posterior_rows(information, moment)

    def _posterior_rows(self, information: np.ndarray, moment: np.ndarray) -> dict[str, Any]:
        mean, covariance = condition(self._prior(), information, moment)
        return {
            "information": information,
            "moments": moment,
            "representation_": mean,
            "representation_std_": standard_errors(covariance),
        }

    def _posterior_covariance(self, position: int) -> np.ndarray:
        information = self._evidence["information"][position]
        return condition(self._prior(), information, self._evidence["moments"][position])[1]

    def _predict_std(self, X: np.ndarray, index: np.ndarray) -> np.ndarray:
        features = self._features(X)
        if features.ndim == 1:
            return self.representation_std_[index].T[features]
        variance = np.empty((len(X), len(index)))
        for column, model in enumerate(index):
            covariance = self._posterior_covariance(model)
            variance[:, column] = np.einsum("nk,nk->n", features @ covariance, features)
        return np.sqrt(np.maximum(variance, 0.0))

    def _mean_error_std(
        self, X: np.ndarray | None, index: np.ndarray, walk: HullWalk, weights: np.ndarray
    ) -> np.ndarray:
        features = self._calibration_prompts["features"] if X is None else self._features(X)
        covariances = [self._posterior_covariance(model) for model in index]
        return mean_error_std(walk, features, weights, covariances)

    def _choose_validation_prompts(
        self, X: np.ndarray, n_validation: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.validation == "random":
            return super()._choose_validation_prompts(X, n_validation, rng)
        # Some are drawn at random among the others, for which they stand in an average.
        n_drawn = max(1, n_validation // _DRAWN)
        n_telling = n_validation - n_drawn
        order = rng.permutation(len(X))
        telling = order[:0]
        if n_telling:
            candidates = order[: max(_CANDIDATES, 2 * n_telling)]
            covariance = self.prior_covariance_
            telling = candidates[self._telling_prompts(X[candidates], covariance, n_telling)]
        others = order[~np.isin(order, telling)]
        weights = np.repeat([1, len(others) / n_drawn], [n_telling, n_drawn])
        return np.append(telling, others[-n_drawn:]), weights * n_validation / len(X)

    def _telling_prompts(self, X: np.ndarray, covariance: np.ndarray, n_prompts: int) -> np.ndarray:
        known = slice(self._n_clusters)
        features = self._assign(X)
        # As evidence counts.
        if "information" in self._evidence and self._features(X[:1]).ndim == 2:
            features = self._features(X)[:, known]
        return select_validation_prompts(
            features,
            covariance[known, known],
            self.noise_[known],
            n_prompts,
            shares=self.cluster_shares_,
            random_state=self._selection_seed,
        )

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Compute the features of prompts, Phi.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.

        Returns
        -------
        features : ndarray of shape (n_prompts, n_outputs)
            Features by which errors are predicted, in the dtype of `X`: responsibilities of the
            clusters, followed by components for a HybridRouter. If each prompt belongs to one
            cluster, its responsibility is 1.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 9 and 21.
        """
        check_is_fitted(self)
        return self._dense_features(check_prompts(self, X))

    def _dense_features(self, X: np.ndarray) -> np.ndarray:
        features = self._features(X)
        if features.ndim == 1:
            features = np.eye(self._n_clusters, dtype=X.dtype)[features]
        return features

    @property
    def _n_features_out(self) -> int:
        return self._phi().n_outputs

    def suggest_prompts(self, name: Label, n_prompts: int, X_candidates: ArrayLike) -> np.ndarray:
        """Choose the prompts on which to run a model next.

        The prompts are chosen greedily. Each reduces the expected posterior variance of the errors
        of the model most, given the prompts on which the model was run so far.

        Parameters
        ----------
        name : str or int
            Name of a known model.
        n_prompts : int
            Number of prompts to choose.
        X_candidates : array-like of shape (n_candidates, n_features)
            Prompts to choose from. Leave out those on which the model was run already.

        Returns
        -------
        indices : ndarray of shape (n_prompts,)
            Rows of `X_candidates`, the most informative first. Pass the errors on them to
            :meth:`update_model` with ``X_val=X_candidates[indices]``.

        Raises
        ------
        ValueError
            If the model is unknown, or if there are fewer candidates than prompts to choose.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        X = check_prompts(self, X_candidates)
        if "information" in self._evidence:
            information = self._evidence["information"][position]
        else:
            information = np.diag(self._evidence["error_counts"][position] / self.noise_)
        # The covariance depends on where the model was run, not on its errors there.
        _, covariance = condition(self._prior(), information, np.zeros(len(information)))
        return self._telling_prompts(X, covariance, n_prompts)

    def add_models_from_preferences(
        self,
        X: ArrayLike,
        model_a: ArrayLike,
        model_b: ArrayLike,
        winner: ArrayLike,
        costs: Any = None,
    ) -> Self:
        """Add models from battles, in which one of two models answers a prompt better.

        Battles between known models set the scale on which errors decide battles. All new models
        are placed on that scale.

        Parameters
        ----------
        X : array-like of shape (n_battles, n_features)
            Embedding of the prompt of each battle.
        model_a, model_b : array-like of shape (n_battles,)
            Names of the two models of each battle, known or new. Some battles must be between known
            models.
        winner : array-like of shape (n_battles,)
            "model_a", "model_b" or "tie".
        costs : mapping or Series, default=None
            Mean cost per prompt of each new model, by name, in the unit of the other costs.
            Required if the router has costs.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If lengths disagree, if an outcome is none of the three, if no model is new, if a cost
            is missing, or if the better of two known models does not win more often. The router
            then keeps its state.
        TypeError
            If a name is not of the same type as the names of the other models.

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
        check_same_order(X=X, model_a=model_a, model_b=model_b, winner=winner)
        X = check_prompts(self, X)
        new, first, second, outcome = check_battles(model_a, model_b, winner, len(X), self.models_)
        costs = check_new_costs(costs, new, has_costs=self.costs_ is not None)
        features = self._dense_features(X).astype(np.float64)
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
            rows = self._posterior_rows(information, moment)
            if "information" not in self._evidence:
                rows = {"representation_": rows["representation_"]}
            # In averages by cluster, a battle counts like an error.
            fought = labels[(first == position) | (second == position)]
            counts = np.bincount(fought, minlength=self._n_clusters).astype(np.float64)
            rows |= {
                "models_": name,
                "error_sums": counts * rows["representation_"][: self._n_clusters],
                "error_counts": counts,
            }
            put_rows(self, {**rows, **self._cost_rows(cost)}, int(position))
        return self


def check_trainable(X: np.ndarray) -> None:
    """Refuse to train on a single prompt, which does not vary."""
    if len(X) < 2:
        raise ValueError(f"this router needs at least 2 training prompts; got n_samples={len(X)}.")


def check_new_costs(costs: Any, new: list[Label], *, has_costs: bool) -> list[Any]:
    """Check the costs of added models, by name: one for each, and no other."""
    costs = {} if costs is None else costs
    if not (isinstance(costs, Mapping) or (hasattr(costs, "index") and hasattr(costs, "items"))):
        raise ValueError(
            f"`costs` must name the new models, as a mapping or a Series; got {costs!r}."
        )
    costs = dict(costs)
    others = [label for label in costs if label not in new]
    if others:
        raise ValueError(
            f"`costs` names model(s) {listing(others)}, which these battles do not add; use "
            "`set_cost` for known models."
        )
    return [check_cost(costs.get(label), label, has_costs=has_costs) for label in new]


def check_battles(
    model_a: Any, model_b: Any, winner: Any, n_prompts: int, models: np.ndarray
) -> tuple[list[Label], np.ndarray, np.ndarray, np.ndarray]:
    """Check battles, and return the names of new models, positions of both sides, and outcomes.

    The positions of new models follow the known models, in the order of the battles.
    """
    sides = {"model_a": model_a, "model_b": model_b, "winner": winner}
    for argument, values in sides.items():
        if np.ma.is_masked(values):
            raise ValueError(f"`{argument}` has masked entries; leave these battles out.")
        if isinstance(values, str) or np.ndim(values) != 1 or len(values) != n_prompts:
            raise ValueError(
                f"`{argument}` must have one entry for each of the {n_prompts} prompts; got shape "
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
    check_names_differ(position, "these battles")
    if not new:
        raise ValueError(
            f"all models of these battles are known: {listing(known)}; battles only add new "
            "models. Include battles of a new model."
        )
    first, second = np.array([position[label] for label in met]).reshape(2, -1)
    if np.any(first == second):
        raise ValueError(
            f"battle {np.flatnonzero(first == second)[0]} is between a model and itself; leave it "
            "out."
        )
    unknown = [label for label in winner if not (is_hashable(label) and label in _OUTCOMES)]
    if unknown:
        raise ValueError(f"`winner` must be one of {listing(_OUTCOMES)}; got {unknown[0]!r}.")
    return new, first, second, np.array([_OUTCOMES[label] for label in winner])
