"""Models that are known from their cards: scores on public benchmarks, price, size."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._model_features import (
    CardRegressions,
    FeatureRegression,
    learn_from_cards,
    prior_from_card,
)
from sklearn_uniroute._numerics._posterior import Prior
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._pool import replaced_at_once
from sklearn_uniroute.utils._model_features import check_card, check_model_features
from sklearn_uniroute.utils._scales import warn_of_card_error
from sklearn_uniroute.utils._typing import Costs, Label


class ModelFeaturesMixin(BaseRouter):
    """Ability of a router to learn from the features of models."""

    __metadata_request__fit: ClassVar = {"model_features": True}

    _why_no_features: str
    # What `fit` was given, while it runs.
    _given_features: Any = None
    # Files of earlier versions have neither.
    model_features_: Any = None
    model_feature_names_: Any = None

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        *,
        X_val: ArrayLike | None = None,
        model_features: ArrayLike | str | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the router on prompts and the correctness of the training models.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings. Routers over clusters fit a dask array from sums over its blocks and
            a sample of its rows; see :doc:`/scaling`.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Correctness of each training model on each prompt, or any quality where more is better.
            NaN means that the model was not run. The columns of a DataFrame name the models;
            otherwise models are numbered from 0. An array of shape (n_prompts,) is taken for a
            single model, with a warning.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Cost of each model, or of each call (a model's cost is then its mean), in any unit. By
            name where models have names. A cost of NaN was not recorded; a model's cost is the mean
            of the others. If `cost_model` is "cluster", only calls that were not made may have a
            cost of NaN. Without costs the router minimises the error alone.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Validation prompts, on which new models are run before they are added. By default, the
            router chooses them among `X`.
        model_features : array-like or DataFrame of shape (n_models, n_model_features), or \
                "log_cost", default=None
            Numbers on the card of each training model, such as scores on public benchmarks, in the
            order of the models. A DataFrame goes by its index, which holds the names of the models.
            NaN means that a number is not known. The router learns how errors go with these
            features, and :meth:`add_model` then takes in a model from its card. Features that do
            not tell errors change nothing. The router fills in missing values of a column
            "log_cost" with the logarithm of the costs, and takes the string "log_cost" for this
            column alone; :meth:`set_cost` does not change it.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts: each counts like that many repetitions of it. For prompts that
            stand for traffic, pass ``calls / calls.mean()``, so that evidence stays as strong as
            the number of prompts.

        Returns
        -------
        self : object
            Fitted router.

        Raises
        ------
        ValueError
            If shapes or names disagree, if a model has no observed quality, if costs are negative
            or not finite, if features are no finite numbers, or if weights count for fewer than two
            prompts. A router that was fitted before keeps its state.
        TypeError
            If a parameter has the wrong type, if `X` is a dask array and the router is not over
            clusters or there are weights, if a subclass overrides a method that would not be used,
            or if the router or its `clusterer` does not support weights.
        ImportError
            If the router trains a network and torch or skorch is not installed.

        Warns
        -----
        UserWarning
            If a model's qualities have another range than those of the others.
        """
        with replaced_at_once(self) as fitted:
            fitted._given_features = model_features
            fitted._fit(X, y, costs, X_val, sample_weight)
            del fitted._given_features
        return self

    def _check_data(self, costs: np.ndarray | None) -> None:
        super()._check_data(costs)
        self.model_features_ = self.model_feature_names_ = None
        if self._given_features is not None:
            if not self._uses_features:
                raise ValueError(f"`model_features` were given, but {self._why_no_features}.")
            self.model_features_, self.model_feature_names_ = check_model_features(
                self._given_features, self.models_, self.costs_
            )

    def add_model(
        self,
        val_errors: ArrayLike | None = None,
        *,
        name: Label | None = None,
        cost: ArrayLike | None = None,
        features: ArrayLike | Mapping[str, float] | None = None,
        X_val: ArrayLike | None = None,
        replace: bool = False,
    ) -> Self:
        """Add a model from its card, its errors on the validation prompts, or both.

        Nothing is retrained.

        Parameters
        ----------
        val_errors : array-like or Series of shape (n_validation_prompts,), default=None
            Errors of the model (0 = right, 1 = wrong) on `X_val_`, or on `X_val` if it is given.
            NaN means that the model was not run. A Series goes by its index, which holds
            `validation_indices_`, the index of a DataFrame `X_val`, or 0 to n_validation_prompts
            - 1, in any order. None adds a model that was not run yet from its `features` alone;
            :meth:`update_model` then adds errors.
        name : str or int, default=None
            Name of the model. May be omitted if models are numbered: the next number is taken.
        cost : float or array-like of shape (n_validation_prompts,), default=None
            Mean cost of the model per prompt, or the cost of each call (NaN where the model was not
            run; by the index of a Series), in the unit of the other costs. Required if the router
            has costs.
        features : array-like of shape (n_model_features,), mapping or Series, default=None
            Numbers on the card of the model, as `model_features` of :meth:`fit` has them. A mapping
            or Series goes by name, and may leave out numbers that are not known. The feature
            "log_cost" is filled in from `cost`.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Prompts on which the model was run, if they are not `X_val_`. They need the features
            that `fit` was given, hence those after the transformers of a pipeline.
        replace : bool, default=False
            Whether to first forget a known model of that name.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the name is missing or taken, if the cost is missing, negative or not finite, if
            `val_errors` or `cost` does not fit the prompts, if `features` are not those of `fit`,
            or if neither `features` nor `val_errors` are given. The router then keeps its state.
        TypeError
            If the name is not of the same type as the names of the other models.

        Warns
        -----
        UserWarning
            If the errors have another range than those of the training models (qualities between 0
            and 1 cannot be told from errors), if a feature is far from those of the training
            models, if the features tell a mean error outside of the range of errors, or if a model
            is known from `features` alone and those of the training models do not tell their
            errors.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 10 and 12.
        """
        # A warning that is an error leaves the router as it was.
        with replaced_at_once(self) as added:
            added._add_checked(val_errors, name, cost, X_val, replace, features)
            label = added.models_[-1] if name is None else name
            place = np.flatnonzero(added.models_ == label)
            if features is not None:
                expected = added._calibration(place)[-1] @ added._calibration_error(place)
                warn_of_card_error(float(expected[0]), label, *added._error_range)
            if val_errors is None and not added._learns_from(added.model_features_[place[0]]):
                warnings.warn(
                    f"the card of model {label!r} says nothing that tells how the errors of the "
                    "training models differ, so it is taken for a typical one; fit with more "
                    "models or features, or run it on some prompts.",
                    UserWarning,
                    stacklevel=2,
                )
        return self

    def _checked_card(
        self, features: Any, name: Label, cost: Any, has_errors: bool
    ) -> np.ndarray | None:
        if self.model_features_ is None:
            return super()._checked_card(features, name, cost, has_errors)
        known = self.model_features_, self.model_feature_names_
        card = check_card(features, *known, name=name, cost=cost)
        if not has_errors and features is None and np.isnan(card).all():
            raise ValueError(
                f"nothing is known of model {name!r}: pass `features` of its card, `val_errors`, "
                "or both."
            )
        return card


def learned_cards(features: np.ndarray, errors: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
    """Learn from the cards of the training models, in arrays that can be saved."""
    cards = {"features": features, "errors": errors, "learned": {}}
    for card in (np.zeros(features.shape[1]), *features):
        cards = with_pattern(cards, card, shares)
    return cards


def with_pattern(cards: dict[str, Any], card: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
    """Learn from the features that a card has, if that was not done yet."""
    known = ~np.isnan(card)
    pattern = _pattern(known)
    if pattern in cards["learned"] or not known.any():
        return cards
    # The others are left out, as if no model had them.
    found = learn_from_cards(cards["features"][:, known], cards["errors"], shares)
    learned = {name: one and one._asdict() for name, one in found._asdict().items()}
    return {**cards, "learned": {**cards["learned"], pattern: learned}}


def says_anything(cards: dict[str, Any], card: np.ndarray, shares: np.ndarray) -> bool:
    """Whether the features of a card tell errors of the training models."""
    known = ~np.isnan(card)
    learned = with_pattern(cards, card, shares)["learned"]
    return bool(known.any() and any(learned[_pattern(known)].values()))


def _pattern(known: np.ndarray) -> str:
    return "".join("1" if one else "0" for one in known)


def with_card(prior: Prior, cards: dict[str, Any], card: np.ndarray, shares: np.ndarray) -> Prior:
    """Condition a prior on the features of a model that are known."""
    known = ~np.isnan(card)
    if not known.any():
        return prior
    learned = with_pattern(cards, card, shares)["learned"][_pattern(known)]
    parts = (learned[name] for name in CardRegressions._fields)
    regressions = CardRegressions(*(one and FeatureRegression(**one) for one in parts))
    return prior_from_card(prior, regressions, card[known], shares)


def typical_card(features: np.ndarray) -> np.ndarray:
    """Mean of each feature over the models of which it is known; NaN if there is none."""
    counts = (~np.isnan(features)).sum(axis=0)
    return np.where(counts, np.nansum(features, axis=0) / np.maximum(counts, 1), np.nan)
