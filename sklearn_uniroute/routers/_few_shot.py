"""Routers over clusters with a posterior."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import (
    cluster_sums,
    mean_errors,
    squared_deviations,
    squared_distances,
    weighted_quantiles,
)
from sklearn_uniroute._numerics._exploration import Exploration, draw_representations
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute._numerics._posterior import (
    ClusterSums,
    Prior,
    condition,
    condition_each,
    condition_on_few,
    mean_error_std,
    standard_errors,
    sum_evidence,
)
from sklearn_uniroute._numerics._prior import (
    fit_prior,
    learn_prior,
    own_noise_share,
    prior_of_noise,
    scale_interactions,
)
from sklearn_uniroute._numerics._routing import HullWalk
from sklearn_uniroute._numerics._selection import (
    draw_by_weight,
    select_validation_prompts,
    times_to_count,
)
from sklearn_uniroute.routers._cluster import (
    ClusterRouter,
    check_costs_by_call,
    check_fallback,
    find_fallback,
    fitted_centers,
)
from sklearn_uniroute.routers._model_features import (
    ModelFeaturesMixin,
    learned_cards,
    says_anything,
    typical_card,
    with_card,
    with_pattern,
)
from sklearn_uniroute.routers._partial_fit import PartialFitMixin, number_of_clusters
from sklearn_uniroute.routers._pool import find_model
from sklearn_uniroute.routers._preferences import PreferencesMixin
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_enough,
    check_prompts,
    is_auto,
)

# One of so many validation prompts is drawn at random.
_DRAWN = 4
# Number of training prompts among which the most informative ones are found.
_CANDIDATES = 2048


class FewShotRouter(
    PreferencesMixin,
    PartialFitMixin,
    ModelFeaturesMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterRouter,
):
    """Base class of routers over K-means clusters that learn from models what to expect of others.

    A subclass has the parameters `n_clusters`, `clusterer`, `validation`, `cost_model`, `fallback`
    and `far_share` beside those of BaseRouter, and `representation` unless it is always
    "posterior". It implements ``_fit_map(X, errors, representation, weights)``, which learns what
    its ``_phi()`` needs beyond the clusters. For the posterior, an observed error counts by the
    features of its prompt; for the mean, by the nearest cluster.

    The evidence of the posterior also holds `information`, a list of arrays of shape
    (n_outputs, n_outputs), and `moments` of shape (n_models, n_outputs): for each model, the sums
    of ``phi phi' / variance`` and of ``phi error / variance`` over its prompts.
    """

    n_clusters: int | str
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
    _row_attributes = (
        "representation_",
        "representation_std_",
        "cost_representation_",
        "model_features_",
    )
    _why_no_features = (
        "means of errors have no prior that a card could change; set representation='posterior'"
    )
    # Features and errors of the training models, and what was learned from them.
    _cards: Any = None
    # Number of models that the prior was estimated from; unknown in files of version 0.1.
    _n_prior_models = 2**31
    # Files of version 0.1 have neither.
    interaction_scale_ = 1.0
    _own_noise_share = 1.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_params(self) -> None:
        super()._check_params()
        if not is_auto(self.n_clusters, "n_clusters"):
            check_count(self.n_clusters, "n_clusters")
        check_choice(self.representation, "representation", ("posterior", "mean"))
        check_choice(self.validation, "validation", ("greedy", "random"))
        check_choice(self.cost_model, "cost_model", ("mean", "cluster"))
        check_fallback(self.fallback, self.far_share)

    @property
    def _needs_recorded_costs(self) -> bool:  # type: ignore[override]
        return self.cost_model == "cluster"

    @property
    def _uses_features(self) -> bool:  # type: ignore[override]
        return self.representation == "posterior"

    @property
    def _needs_errors(self) -> bool:  # type: ignore[override]
        return self.model_features_ is None

    def _check_data(self, costs: np.ndarray | None) -> None:
        super()._check_data(costs)
        if self.cost_model == "cluster":
            check_costs_by_call(costs)
        if self.fallback is not None:
            find_fallback(self.fallback, self.models_, self.costs_)

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        weights = sample_weight
        labels = self._sum_by_cluster(X, errors, rng, weights)
        self.representation_std_ = None
        # The result of a first pass over chunks is used up, or not wanted.
        self._clusterer = None
        squares = squared_distances(X, self.cluster_centers_, labels)
        self._mean_squared_distance = float(np.average(squares, weights=weights))
        distances = self._held_out_distances(X, labels, squares, weights)
        self.distance_quantiles_ = weighted_quantiles(distances, np.linspace(0, 1, 1001), weights)
        self._fit_fallback(X, self.fallback, self.distance_quantiles_, self.far_share)
        if self.fallback is not None:
            self._far_prompts = distances > self.fallback_distance_
        self._selection_seed = int(rng.randint(2**31))
        means, counts = self.representation_, self._evidence["error_counts"]
        self._n_prior_models = len(means)
        squares = squared_deviations(labels, errors, means, weights)
        self._own_noise_share = own_noise_share(labels, errors, means, weights)
        square_counts = None
        if weights is not None:
            square_counts = cluster_sums(labels, errors, self._n_clusters, weights**2)[1]
        prior = fit_prior(means, squares, counts, self.cluster_shares_, square_counts)
        self._fit_map(X, errors, means, weights)
        n_further = self._phi().n_outputs - self._n_clusters
        self.noise_ = np.append(prior.noise, np.zeros(n_further))
        if self.representation == "posterior":
            information, moments = sum_evidence(X, errors, self._phi(), self.noise_, weights)
            self._evidence |= {"information": information, "moments": moments}
        self._fit_posteriors(prior)

    def _fit_clusters(
        self, X: np.ndarray, rng: np.random.RandomState, weights: np.ndarray | None
    ) -> None:
        if self._centers is not None:
            self.cluster_centers_ = self._centers
            return
        if self.clusterer is None:
            n_prompts = len(X) if weights is None else weights.sum()
            n_clusters = number_of_clusters(self.n_clusters, len(X), n_prompts)
            check_enough(n_clusters, "n_clusters", len(X), "training prompts")
            clusterer = KMeans(n_clusters, random_state=rng)
        else:
            clusterer = clone(self.clusterer)
        self.cluster_centers_ = fitted_centers(clusterer, X, weights)

    def _fit_map(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        representation: np.ndarray,
        weights: np.ndarray | None,
    ) -> None:
        raise NotImplementedError

    def _fit_costs(
        self, X: np.ndarray, costs: np.ndarray | None, weights: np.ndarray | None
    ) -> None:
        super()._fit_costs(X, costs, weights)
        self.cost_representation_ = None
        if self.cost_model == "cluster":
            self._evidence |= self._cost_sums
            self._set_costs_by_cluster()

    def _fit_posteriors(self, prior: Prior) -> None:
        """Settle the prior, and the posterior of each training model, from their sums."""
        self.interaction_scale_ = 1.0
        if "information" in self._evidence:
            known = self._evidence["information"], self._evidence["moments"]
            prior, self.interaction_scale_ = learn_prior(
                prior, *known, self.cluster_shares_, self._own_noise_share
            )
            posteriors = condition_each(prior, *known)
            self._cards = None
            if self.model_features_ is not None:
                errors = np.array([mean for mean, _ in posteriors])[:, : self._n_clusters]
                self._cards = learned_cards(self.model_features_, errors, self.cluster_shares_)
                posteriors = [
                    condition(self._with_card(prior, card), *one)
                    for card, *one in zip(self.model_features_, *known, strict=True)
                ]
            self.representation_ = np.array([mean for mean, _ in posteriors])
            self.representation_std_ = np.sqrt(
                [np.diagonal(covariance) for _, covariance in posteriors]
            )
        self.prior_mean_, self.prior_covariance_, self.noise_ = prior

    @property
    def _prior_freedom(self) -> int:
        """Degrees of freedom of the prior: that of a covariance of so many models."""
        return max(1, self._n_prior_models - 1)

    def _prior(self) -> Prior:
        return Prior(self.prior_mean_, self.prior_covariance_, self.noise_)

    def _with_card(self, prior: Prior, card: np.ndarray | None) -> Prior:
        """Condition a prior over all models on the features of one."""
        if card is None or self._cards is None:
            return prior
        return with_card(prior, self._cards, card, self.cluster_shares_)

    def _learns_from(self, card: np.ndarray) -> bool:
        cards = self._cards
        return cards is not None and says_anything(cards, card, self.cluster_shares_)

    def _prior_of(self, position: int) -> Prior:
        features = self.model_features_
        return self._with_card(self._prior(), None if features is None else features[position])

    def _spread_prior(self) -> Prior:
        """Get the prior by which prompts are chosen: clusters differ as much as they might."""
        prior = self._prior()
        covariance = scale_interactions(
            prior.covariance, 1 / self.interaction_scale_, self.cluster_shares_
        )
        return prior._replace(covariance=covariance)

    # Sums over prompts, to which those of further prompts can be added.

    def _get_sums(self) -> ClusterSums:
        sums: dict[str, Any] = {**self._cost_sums, **self._evidence}
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
        self,
        val_errors: np.ndarray,
        X_val: np.ndarray | None,
        position: int | None,
        card: np.ndarray | None = None,
    ) -> dict[str, Any]:
        rows = super()._model_rows(val_errors, X_val, position)
        # By what was fitted: the parameter may have been set anew since.
        if "information" not in self._evidence:
            return rows
        if position is None:
            if card is not None and self._cards is not None:
                self._cards = with_pattern(self._cards, card, self.cluster_shares_)
            prior = self._with_card(self._prior(), card)
            rows |= self._card_rows(card)
        else:
            prior = self._prior_of(position)
        prompts = self.X_val_ if X_val is None else X_val
        (information,), (moment,) = sum_evidence(
            prompts, val_errors[:, None], self._phi(), self.noise_, self._times(X_val)
        )
        if position is not None:
            information = information + self._evidence["information"][position]
            moment = moment + self._evidence["moments"][position]
            return rows | self._posterior_rows(prior, information, moment)
        run = np.flatnonzero(~np.isnan(val_errors))
        few = 0 < len(run) < self.noise_.size and self._times(X_val) is None
        features = self._features(prompts[run]) if few else None
        if features is None or features.ndim == 1:
            return rows | self._posterior_rows(prior, information, moment)
        mean, std = condition_on_few(prior, features, val_errors[run])
        return rows | {
            "information": information,
            "moments": moment,
            "representation_": mean,
            "representation_std_": std,
        }

    def _card_rows(self, card: np.ndarray | None) -> dict[str, Any]:
        if self.model_features_ is None:
            return {}
        unknown = np.full(self.model_features_.shape[1], np.nan)
        return {"model_features_": unknown if card is None else card}

    def _posterior_rows(
        self, prior: Prior, information: np.ndarray, moment: np.ndarray
    ) -> dict[str, Any]:
        mean, covariance = condition(prior, information, moment)
        return {
            "information": information,
            "moments": moment,
            "representation_": mean,
            "representation_std_": standard_errors(covariance),
        }

    def _faded_rows(self, position: int, factor: float) -> dict[str, Any]:
        rows = super()._faded_rows(position, factor)
        if "information" not in self._evidence:
            return rows
        information = factor * self._evidence["information"][position]
        moment = factor * self._evidence["moments"][position]
        return rows | self._posterior_rows(self._prior_of(position), information, moment)

    def _posterior_covariance(self, position: int) -> np.ndarray:
        information = self._evidence["information"][position]
        prior = self._prior_of(position)
        return condition(prior, information, self._evidence["moments"][position])[1]

    @property
    def _can_draw(self) -> bool:  # type: ignore[override]
        return "information" in self._evidence

    def _exploration(self, index: np.ndarray, share: float, n_draws: int) -> Exploration:
        covariances = [self._posterior_covariance(position) for position in index]
        rng = np.random.RandomState(self._selection_seed)
        draws = draw_representations(self.representation_[index], covariances, n_draws, rng)
        return Exploration(float(share), draws, self._selection_seed)

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
        self,
        X: np.ndarray,
        n_validation: int,
        rng: np.random.RandomState,
        weights: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.validation == "random":
            return super()._choose_validation_prompts(X, n_validation, rng, weights)
        # Some are drawn at random among the others, for which they stand in an average.
        n_drawn = max(1, n_validation // _DRAWN)
        n_telling = n_validation - n_drawn
        order = rng.permutation(len(X))
        telling = order[:0]
        if n_telling:
            candidates = order[: max(_CANDIDATES, 2 * n_telling)]
            prior, features = self._spread_prior(), self.model_features_
            # For a model whose card is that of a typical model.
            typical = None if features is None else typical_card(features)
            covariance = self._with_card(prior, typical).covariance
            telling = candidates[self._telling_prompts(X[candidates], covariance, n_telling)]
        others = order[~np.isin(order, telling)]
        if len(order) > _CANDIDATES:
            # The last ones were no candidates, and would not stand for those that were.
            others = rng.permutation(others)
        if weights is None:
            stand_for = np.repeat([1, len(others) / n_drawn], [n_telling, n_drawn])
            return np.append(telling, others[-n_drawn:]), stand_for * n_validation / len(X)
        drawn, step = draw_by_weight(weights[others], n_drawn, rng)
        rows, known = np.append(telling, others[drawn]), weights[telling]
        # In a cluster, errors on telling prompts count by weight, and once on average.
        times = known / max(1.0, known.sum() / max(n_telling, 1))
        drawn_times = times_to_count(weights[others[drawn]], step)
        self._validation_times = np.append(times, drawn_times)
        stand_for = np.append(known, np.maximum(weights[others[drawn]], step))
        return rows, stand_for / stand_for.mean()

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
        card = None if self.model_features_ is None else self.model_features_[position]
        prior = self._with_card(self._spread_prior(), card)
        _, covariance = condition(prior, information, np.zeros(len(information)))
        return self._telling_prompts(X, covariance, n_prompts)


def check_trainable(X: np.ndarray) -> None:
    """Refuse to train on a single prompt, which does not vary."""
    if len(X) < 2:
        raise ValueError(f"this router needs at least 2 training prompts; got n_samples={len(X)}.")
