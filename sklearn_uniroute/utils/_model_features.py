"""Checks of features of models."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_uniroute.utils._scales import warn_of_feature_scale
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import as_numbers, listing, repeated

# Name of the feature that is filled in from the costs.
LOG_COST = "log_cost"
# Largest number whose square is far from overflow.
_LARGEST = 1e150


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
        if not hasattr(features, "loc"):
            raise ValueError(
                "`model_features` is a table without an index, which would name the models; pass a "
                "pandas DataFrame indexed by model, or an array in the order of the models."
            )
        names = np.array(list(features.columns), dtype=object)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"the columns of `model_features` must be strings; got {listing(names)}."
            )
        twice = [name for name in names if np.sum(names == name) > 1]
        if twice:
            raise ValueError(f"`model_features` has several columns {twice[0]!r}; keep one.")
        values = _numbers(features.loc[_by_model(features.index, models)], "`model_features`")
    else:
        names, values = None, _numbers(features, "`model_features`")
    if values.ndim != 2 or len(values) != len(models) or values.shape[1] == 0:
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
    cost: float | None,
) -> np.ndarray:
    """Check the features of a new model, and return them in the order of the known ones."""
    n_features = known.shape[1]
    argument = f"`features` of model {name!r}"
    if features is None:
        card = np.full(n_features, np.nan)
    elif hasattr(features, "columns"):
        raise ValueError(
            f"`features` of model {name!r} are a table; pass one row of it, such as "
            "cards.loc[name]."
        )
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
        twice = repeated(list(features.keys()))
        if twice:
            raise ValueError(
                f"`features` of model {name!r} name {listing(twice)} more than once; keep one."
            )
        card = _numbers([given.get(label, np.nan) for label in names.tolist()], argument)
    else:
        card = _numbers(features, argument)
    if card.shape != (n_features,):
        raise ValueError(
            f"`features` of model {name!r} have shape {card.shape}; expected ({n_features},), as "
            "`model_features` of fit had. Put NaN where a number is not known."
        )
    card = _with_log_cost(card, names, cost, name)
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
    """Convert to double precision; refuse texts, and numbers whose squares overflow."""
    cells = np.array(as_numbers(values), dtype=object)
    if any(isinstance(cell, str | bytes) for cell in cells.flat):
        raise ValueError(f"{argument} must be finite numbers or NaN; got texts.")
    missing = [cell is None or cell is np.ma.masked or _is_na(cell) for cell in cells.flat]
    cells[np.array(missing, dtype=bool).reshape(cells.shape)] = np.nan
    try:
        checked = np.array(cells, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} must be finite numbers or NaN: {error}") from error
    if np.any(np.abs(checked) > _LARGEST):
        raise ValueError(
            f"{argument} must be finite numbers or NaN, and not so large that their squares "
            "overflow."
        )
    return checked


def _is_na(cell: Any) -> bool:
    """Whether a cell is the missing value of pandas."""
    return type(cell).__name__ == "NAType"


def _with_log_cost(
    card: np.ndarray, names: np.ndarray | None, cost: float | None, label: Label
) -> np.ndarray:
    """Fill in the logarithm of the cost, if there is such a feature and it is not known."""
    if names is None or LOG_COST not in names:
        return card
    place = names.tolist().index(LOG_COST)
    given = card[place]
    if cost is None:
        if np.isnan(given):
            raise ValueError(
                f"the feature {LOG_COST!r} of model {label!r} is not known, and the router has no "
                "costs; pass `costs`, or the feature."
            )
        return card
    # A model without a price is unlike one with a low price.
    log_cost = np.log(cost) if cost > 0 else np.nan
    if not (np.isnan(given) or np.isclose(given, log_cost, rtol=1e-3, atol=1e-3)):
        raise ValueError(
            f"the feature {LOG_COST!r} of model {label!r} is {given:g}, but the logarithm of its "
            f"cost is {log_cost:g}; leave it at NaN to have it filled in, or give the feature "
            "another name."
        )
    filled = card.copy()
    filled[place] = log_cost
    return filled
