"""Data, and estimators that end in a router, taken through a split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing, indexable

from sklearn_uniroute.metrics._curve import model_means
from sklearn_uniroute.model_selection._split import PoolFold
from sklearn_uniroute.utils._estimators import final_router, fit_name, last_router
from sklearn_uniroute.utils._model_features import check_model_features
from sklearn_uniroute.utils._validation import (
    check_costs,
    check_quality,
    check_same_order,
    model_labels,
)


def labelled_data(X: Any, y: Any, costs: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """Check prompts, quality and costs; they may come as one mapping, in place of `X`."""
    if isinstance(X, Mapping) and y is None:
        costs = X.get("costs") if costs is None else costs
        X, y = X.get("X"), X.get("y")
    if X is None:
        raise ValueError(
            "the data has no embeddings; add them to a table as columns x0, x1, ... (or, in a "
            "Parquet file, as lists in a column `embedding`), name those of the table, such as "
            "embedding=e* for e0, e1, ..., or pass `data.X`."
        )
    if y is None:
        raise ValueError("`y` is missing; pass the quality of each model on each prompt.")
    if costs is None:
        raise ValueError(
            "the data has no costs, and routing trades quality for cost; pass `costs`, or add an "
            "array `costs`, a column `cost` of a long table, or columns '<model>|cost' of a wide "
            "one."
        )
    indexable(X, y)
    check_same_order(X=X, y=y, costs=costs)
    labels = model_labels(y)
    quality = check_quality(y, labels=labels)
    labels = np.arange(quality.shape[1]) if labels is None else labels
    return X, quality, check_costs(costs, labels, quality=quality)


def cells(
    y: np.ndarray, costs: np.ndarray, prompts: np.ndarray, models: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut quality and costs, of models or of calls, to some of the prompts and models."""
    part = np.ix_(prompts, models)
    return y[part], costs[part] if costs.ndim == 2 else costs[models]


def set_router_params(estimator: Any, **params: Any) -> None:
    """Set the parameters that the router at the end of an estimator has."""
    router = final_router(estimator)
    known = router.get_params(deep=False)
    router.set_params(**{name: value for name, value in params.items() if name in known})


def checked_cards(model_features: Any, y: Any, costs: np.ndarray, n_models: int) -> Any:
    """Check features of models, and return an array in the order of the models, or None."""
    if model_features is None:
        return None
    labels = model_labels(y)
    labels = np.arange(n_models) if labels is None else labels
    return check_model_features(model_features, labels, model_means(costs, np.ones(len(costs))))[0]


def uses_cards(estimator: Any) -> bool:
    """Whether the router at the end of an estimator learns from features of models."""
    return bool(getattr(final_router(estimator), "_uses_features", False))


def fit_on_models(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    costs: np.ndarray,
    prompts: np.ndarray,
    models: np.ndarray,
    cards: np.ndarray | None = None,
) -> Any:
    """Fit an estimator on some of the prompts and models."""
    y, costs = cells(y, costs, prompts, models)
    params = {fit_name(estimator, "costs"): costs}
    if cards is not None and uses_cards(estimator):
        params[fit_name(estimator, "model_features")] = cards[models]
    return estimator.fit(_safe_indexing(X, prompts), y, **params)


def add_unseen(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    costs: np.ndarray,
    prompts: np.ndarray,
    models: np.ndarray,
    *,
    chosen_by_router: bool = False,
    cards: np.ndarray | None = None,
    priced: Any = (),
) -> np.ndarray:
    """Add models to a fitted estimator from their labels on some prompts, and from their cards.

    If there are no prompts, calls on the prompts `priced` say what the models cost. Returns the
    numbers by which the router knows them.
    """
    # The transformers of a pipeline take no empty set of prompts.
    router, X_val = last_router(estimator, _safe_indexing(X, prompts if len(prompts) else [0]))
    pool: np.ndarray = len(router.models_) + np.arange(len(models))
    if not len(prompts):
        costs = model_means(costs if costs.ndim == 1 else costs[priced], np.ones(len(priced)))
    for name, model in zip(pool, models, strict=True):
        known: dict[str, Any] = {"val_errors": None, "cost": costs[model]}
        if len(prompts):
            known = {
                "val_errors": 1 - y[prompts, model],
                "cost": costs[prompts, model] if costs.ndim == 2 else costs[model],
                "X_val": None if chosen_by_router else X_val,
            }
        if cards is not None and uses_cards(router):
            known["features"] = cards[model]
        router.add_model(name=name, **known)
    return pool


def add_unseen_by_choice(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    costs: np.ndarray,
    fold: PoolFold,
    n_validation: int,
    cards: np.ndarray | None = None,
) -> np.ndarray:
    """Add the unseen models of a split, from prompts that the router chooses if it can.

    Returns the numbers by which the router knows them.
    """
    models = fold.unseen_models
    if n_validation == 0:
        none, priced = fold.training[:0], fold.training
        return add_unseen(estimator, X, y, costs, none, models, cards=cards, priced=priced)
    if fold.validation is not None:
        return add_unseen(estimator, X, y, costs, fold.validation, models, cards=cards)
    router, _ = last_router(estimator, _safe_indexing(X, fold.training[:1]))
    if "n_validation" in router.get_params(deep=False):
        rows = fold.training[router.validation_indices_]
        return add_unseen(estimator, X, y, costs, rows, models, chosen_by_router=True, cards=cards)
    return add_unseen(estimator, X, y, costs, fold.training[:n_validation], models, cards=cards)
