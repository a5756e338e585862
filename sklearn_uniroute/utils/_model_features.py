"""Checks of features of models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_array

from sklearn_uniroute.utils._scales import warn_of_feature_scale
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import as_numbers, listing

# Name of the feature that is filled in from the costs.
LOG_COST = "log_cost"


def check_model_features(
    features: Any, models: np.ndarray, costs: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check the features of the training models.

    Returns them in the order of the models, and their names, if they have names.
    """
    if isinstance(features, str):
        if features != LOG_COST:
            raise ValueError(f"`model_features` must be numbers or {LOG_COST!r}; got {features!r}.")
        values, names = np.full((len(models), 1), np.nan), np.array([LOG_COST], dtype=object)
    elif hasattr(features, "columns"):
        names = np.array(list(features.columns), dtype=object)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"the columns of `model_features` must be strings; got {listing(names)}."
            )
        twice = [name for name in names if np.sum(names == name) > 1]
        if twice:
            raise ValueError(f"`model_features` has several columns {twice[0]!r}; keep one.")
        values = _numbers(features.loc[_by_model(features.index, models)], "model_features")
    else:
        names, values = None, _numbers(features, "model_features")
    if values.ndim != 2 or len(values) != len(models):
        raise ValueError(
            f"`model_features` has shape {values.shape}, but there are {len(models)} models; pass "
            "an array of shape (n_models, n_model_features)."
        )
    for row, label in enumerate(models.tolist()):
        price = None if costs is None else costs[row]
        values[row] = _with_log_cost(values[row], names, price, label)
    return values, names


def check_card(
    features: Any,
    known: np.ndarray,
    names: np.ndarray | None,
    *,
    name: Label,
    cost: Any,
) -> np.ndarray:
    """Check the features of a new model, and return them in the order of the known ones."""
    n_features = known.shape[1]
    argument = f"features of model {name!r}"
    if features is None:
        card = np.full(n_features, np.nan)
    elif isinstance(features, Mapping) or hasattr(features, "items"):
        given = dict(features.items())
        if names is None:
            raise ValueError(
                f"`features` of model {name!r} have names, but `model_features` of fit had none; "
                "pass an array in that order, or fit with a DataFrame."
            )
        unknown = [label for label in given if label not in set(names.tolist())]
        if unknown:
            raise ValueError(
                f"`features` of model {name!r} name {listing(unknown)}, which `model_features` of "
                f"fit did not have; it had {listing(names)}."
            )
        card = _numbers([given.get(label, np.nan) for label in names.tolist()], argument)
    else:
        card = _numbers(features, argument)
    if card.shape != (n_features,):
        raise ValueError(
            f"`features` of model {name!r} have shape {card.shape}; expected ({n_features},), as "
            "`model_features` of fit had. Put NaN where a number is not known."
        )
    price = None if cost is None else float(np.nanmean(cost))
    card = _with_log_cost(card, names, price, name)
    labels = np.arange(n_features) if names is None else names
    warn_of_feature_scale(card, known, name, labels)
    return card


def _by_model(index: Any, models: np.ndarray) -> list[Any]:
    """Names of the models, if an index holds each of them once and no other."""
    wanted, found = models.tolist(), index.tolist()
    missing = [label for label in wanted if label not in set(found)]
    others = [label for label in found if label not in set(wanted)]
    if missing or others or len(found) > len(wanted):
        raise ValueError(
            f"the index of `model_features` must hold the names of the models ({listing(wanted)}), "
            f"each once; got {listing(found)}. Cards of other models go to add_model."
        )
    return wanted


def _numbers(values: Any, argument: str) -> np.ndarray:
    """Convert to double precision; refuse texts and infinite numbers."""
    values = as_numbers(values)
    try:
        checked: np.ndarray = check_array(
            values,
            dtype=np.float64,
            ensure_2d=False,
            ensure_all_finite="allow-nan",
            ensure_min_samples=0,
            input_name=argument,
            copy=True,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{argument}` must be finite numbers or NaN: {error}") from error
    return checked


def _with_log_cost(
    card: np.ndarray, names: np.ndarray | None, cost: float | None, label: Label
) -> np.ndarray:
    """Fill in the logarithm of the cost, if there is such a feature and it is not known."""
    place = None if names is None else np.flatnonzero(names == LOG_COST)
    if place is None or not len(place) or not np.isnan(card[place[0]]):
        return card
    if cost is None:
        raise ValueError(
            f"the feature {LOG_COST!r} of model {label!r} is not known, and the router has no "
            "costs; pass `costs`, or the feature."
        )
    filled = card.copy()
    # A model without a price is unlike one with a low price.
    filled[place[0]] = np.log(cost) if cost > 0 else np.nan
    return filled
