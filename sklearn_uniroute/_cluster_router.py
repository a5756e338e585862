"""What routers over clusters of prompts share: evidence kept as sums per cluster."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_uniroute._base import BaseRouter
from sklearn_uniroute._clusters import (
    cluster_errors,
    cluster_sums,
    mean_errors,
    squared_deviations,
)
from sklearn_uniroute._posterior import Prior, condition, fit_prior, standard_errors
from sklearn_uniroute._routing import choose
from sklearn_uniroute._selection import select_validation_prompts
from sklearn_uniroute._validation import FLOATS, check_choice, find_model

# Training prompts, at most, whose responsibilities are kept to keep budgets on.
_CALIBRATION_PROMPTS = 10_000


class ClusterRouter(BaseRouter):
    """Base class of routers that estimate errors on clusters of prompts.

    A subclass sets `_n_clusters`, and implements ``_fit_clusters(X, rng)`` and ``_assign(X)``, the
    one cluster of each prompt for which an error observed on it counts. Models are represented by
    their mean errors.

    Errors are predicted from ``_features(X)``: those same clusters, of shape (n_prompts,), unless
    a subclass overrides it by responsibilities of shape (n_prompts, n_clusters).
    """

    representation_: np.ndarray
    representation_std_: Any
    _evidence_arrays = ("error_sums_", "error_counts_", "representation_", "representation_std_")

    def _features(self, X):
        return self._assign(X)

    def _fit_features(self, X, errors, rng):
        self._fit_clusters(X, rng)
        labels = self._assign(X)
        self.cluster_shares_ = np.bincount(labels, minlength=self._n_clusters) / len(X)
        self.error_sums_, self.error_counts_ = cluster_sums(labels, errors, self._n_clusters)
        self.representation_ = mean_errors(
            self.error_sums_, self.error_counts_, self.cluster_shares_
        )
        self.representation_std_ = None
        return labels

    def _fit_evidence(self, X, errors):
        # All there is to know of the training models was summed up with the clusters. Budgets are
        # kept on the training prompts: on each cluster by its share, or on so many of the prompts.
        features = self._features(X[:1])
        if features.ndim == 1:
            self.calibration_features_ = np.arange(self._n_clusters)
            self.calibration_weights_ = self.cluster_shares_
        else:
            X = X[:: -(-len(X) // _CALIBRATION_PROMPTS)]
            self.calibration_features_ = self._features(X)
            self.calibration_weights_ = np.full(len(X), 1 / len(X))

    def _calibration_errors(self, index):
        error = cluster_errors(self.calibration_features_, self.representation_[index])
        return error, self.calibration_weights_

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
            **self._represent(sums, counts),
        }

    def _represent(self, sums, counts):
        return {"representation_": mean_errors(sums, counts, self.cluster_shares_)}

    def _predict_error(self, X, index):
        return cluster_errors(self._features(X), self.representation_[index])

    def _choose(self, X, index, cost_weight):
        if self.calibration_features_.ndim > 1:
            return super()._choose(X, index, cost_weight)
        # All prompts of a cluster share one choice.
        by_cluster = choose(self.representation_[index].T, self._prices(index), cost_weight)
        return by_cluster[self._assign(X)]


class FewShotRouter(ClusterRouter):
    """Base class of routers over clusters that know from some models what to expect of others.

    A subclass has the parameters `representation`, "posterior" or "mean", and `validation`, how
    the prompts to run models on are chosen, "greedy" or "random".
    """

    representation: str
    validation: str

    def _check_params(self):
        super()._check_params()
        check_choice(self.representation, "representation", ("posterior", "mean"))
        check_choice(self.validation, "validation", ("greedy", "random"))

    def _fit_features(self, X, errors, rng):
        labels = super()._fit_features(X, errors, rng)
        self.selection_seed_ = int(rng.randint(2**31))
        means, counts = self.representation_, self.error_counts_
        squares = squared_deviations(labels, errors, means)
        prior = fit_prior(means, squares, counts, self.cluster_shares_)
        self.prior_mean_, self.prior_covariance_, self.noise_ = prior
        if self.representation == "posterior":
            posteriors = [
                condition(prior, *evidence)
                for evidence in zip(self.error_sums_, counts, strict=True)
            ]
            self.representation_ = np.array([mean for mean, _ in posteriors])
            self.representation_std_ = np.array(
                [standard_errors(covariance) for _, covariance in posteriors]
            )
        return labels

    def _represent(self, sums, counts):
        # By what was fitted: the parameter may have been set anew since.
        if self.representation_std_ is None:
            return super()._represent(sums, counts)
        mean, covariance = condition(self._prior(), sums, counts)
        return {"representation_": mean, "representation_std_": standard_errors(covariance)}

    def _prior(self):
        return Prior(self.prior_mean_, self.prior_covariance_, self.noise_)

    def _predict_std(self, X, index):
        features = self._features(X)
        if features.ndim == 1:
            return self.representation_std_[index].T[features]
        variance = np.empty((len(X), len(index)))
        for column, model in enumerate(index):
            evidence = self.error_sums_[model], self.error_counts_[model]
            _, covariance = condition(self._prior(), *evidence)
            variance[:, column] = np.einsum("nk,nk->n", features @ covariance, features)
        return np.sqrt(np.maximum(variance, 0.0))

    def suggest_prompts(self, name, n_prompts, X_candidates):
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
        X = validate_data(self, X_candidates, reset=False, dtype=FLOATS)
        counts = self.error_counts_[position]
        _, covariance = condition(self._prior(), self.error_sums_[position], counts)
        return select_validation_prompts(
            self._assign(X),
            covariance,
            self.noise_,
            n_prompts,
            shares=self.cluster_shares_,
            random_state=self.selection_seed_,
        )

    def _choose_validation_prompts(self, X, n_validation, rng):
        if self.validation == "random":
            return super()._choose_validation_prompts(X, n_validation, rng)
        clusters = self._assign(X)
        indices = select_validation_prompts(
            clusters,
            self.prior_covariance_,
            self.noise_,
            n_validation,
            shares=self.cluster_shares_,
            random_state=self.selection_seed_,
        )
        picked = np.bincount(clusters[indices], minlength=self._n_clusters) / len(indices)
        return indices, (self.cluster_shares_ / np.maximum(picked, 1 / len(X)))[clusters[indices]]
