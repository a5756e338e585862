"""Decisions of routing tables: what to log of them, and what explains them."""

from typing import Any, NamedTuple

import numpy as np

from sklearn_uniroute._numerics._predictors import OperatingPoint, Predictor
from sklearn_uniroute._numerics._routing import ROUNDING, choose, interval_of_choice
from sklearn_uniroute.serving._requests import positions_left
from sklearn_uniroute.utils._typing import Label


class Decision(NamedTuple):
    """What a table chose for one prompt, and what must be logged to learn from it later.

    Attributes
    ----------
    model : str or int
        Name of the chosen model.
    propensity : float
        Probability with which the table chooses this model for this prompt.
    explored : bool
        Whether a draw chose the model.
    cost_weight : float
        Cost weight of the table.
    predicted_cost : float or None
        Cost that the table expects of the call; None without costs.
    table_version : str or None
        Version of the table.
    request_id : str or None
        Id by which the table decided whether to explore; None if it was the prompt.
    """

    model: Label
    propensity: float
    explored: bool
    cost_weight: float
    predicted_cost: float | None
    table_version: str | None
    request_id: str | None


def explain_choice(
    predictor: Predictor, point: OperatingPoint, models: tuple[Label, ...], x: np.ndarray
) -> dict[str, Any]:
    """Explain the choice for one prompt; see `RoutingTable.explain`."""
    X = x[None]
    error, costs = predictor.errors(X), predictor.costs(X)
    cost_weight = point.cost_weight_at(x)
    fallback = getattr(predictor, "fallback", None)
    far = fallback is not None and bool(fallback.is_far(X)[0])
    by_error, by_cost = predictor.terms(X)
    place = int(choose(by_error, by_cost, cost_weight)[0])
    others = np.delete(np.arange(len(models)), place)
    runner_up = None
    if len(others):
        second = choose(error[:, others], costs[..., others], cost_weight)[0]
        runner_up = models[others[second]]
    by_cost = np.broadcast_to(by_cost, by_error.shape)
    low, high = interval_of_choice(by_error[0], by_cost[0], place, cost_weight)
    costs = np.broadcast_to(costs, error.shape)
    phi = getattr(predictor, "phi", None)
    return {
        "model": models[place],
        "runner_up": runner_up,
        "cost_weight": cost_weight,
        "low": low,
        "high": high,
        "cluster": None if phi is None else phi.cluster(x),
        "far": far,
        "error": error[0],
        "cost": costs[0],
        "score": (error + cost_weight * costs)[0],
    }


def choose_greedily(table: Any, x: np.ndarray, excluded: list[int] | None) -> Label:
    """Choose a model for one prompt without exploration.

    Parameters
    ----------
    table : RoutingTable
    x : ndarray of shape (n_features,)
    excluded : list of int or None
        Positions of models not to choose.

    Returns
    -------
    model : str or int
    """
    if excluded is None:
        if table._by_cluster is not None:
            return table._by_cluster[table._nearest(x)]
        if table._folded is not None:
            folded, places, slack = table._folded
            scores = folded.dot(table._predictor.phi.weights(x))
            best = scores.argmin()
            least = scores.item(best)
            scores[best] = np.inf
            if scores.min() - least > slack:
                return table._names[places[best]]
    if not table._plain:
        place = _careful_choice(table, x, excluded)
        return table._names[place]
    scores = table._predictor.row(x) + table._weighted
    if excluded:
        scores[excluded] = np.inf
    place = scores.argmin()
    scores.sort()
    least = scores.item(0)
    if len(scores) > 1 and scores.item(1) <= least + ROUNDING * (abs(least) + table._largest):
        place = _careful_choice(table, x, excluded)
    return table._names[place]


def expected_cost(table: Any, model: Label, x: np.ndarray) -> float | None:
    """Cost that a table expects of a model on one prompt; None without costs."""
    if table._price_of is not None:
        price: float | None = table._price_of[model]
        return price
    return float(table._predictor.costs(x[None])[0, table._positions[model]])


def _careful_choice(table: Any, x: np.ndarray, excluded: list[int] | None) -> int:
    """Choose as routers do, where ties and fallbacks need care."""
    among = positions_left(table._names, excluded)
    return int(table._point.choose(table._predictor, x[None], among)[0])


def explore(
    table: Any, x: np.ndarray, excluded: list[int] | None, draw: int | None
) -> tuple[Label, float]:
    """Choose greedily or by a draw for a table that explores, and compute with what probability.

    Parameters
    ----------
    table : RoutingTable
    x : ndarray of shape (n_features,)
    excluded : list of int or None
        Positions of models not to choose.
    draw : int or None
        Draw that chooses; None to choose greedily.

    Returns
    -------
    model : str or int
    propensity : float
    """
    explorer, phi = table._explorer, table._predictor.phi
    if table._logged_by_cluster is not None and not excluded:
        by_draw: list[tuple[Label, float]] = table._logged_by_cluster[phi.block(x)]
        return by_draw[-1 if draw is None else draw]
    features = phi.weights(x) if explorer.folds else phi.block(x)
    winners, is_sure = explorer.winners(x, features, excluded)
    greedy = winners.pop()
    if not is_sure:
        greedy = table._positions[choose_greedily(table, x, excluded)]
    place = greedy if draw is None else winners[draw]
    return table._names[place], explorer.probability(place, greedy, winners)
