"""Numerics of deferral curves: averages along the walk over all cost weights."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from sklearn_uniroute._numerics._routing import ROUNDING, HullWalk, hull_walk, walk_points
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import (
    FLOATS,
    as_numbers,
    check_costs,
    check_quality,
    check_same_order,
    is_numbered,
    listing,
    model_labels,
    select_columns,
)
from sklearn_uniroute.utils._weights import check_sample_weight


class CurveInputs(NamedTuple):
    """Checked inputs of a metric."""

    y_true: np.ndarray
    error_pred: np.ndarray
    costs: np.ndarray
    routing_costs: np.ndarray
    sample_weight: np.ndarray


def has_range(model_costs: np.ndarray) -> bool:
    """Whether mean costs differ by more than rounding."""
    return np.ptp(model_costs) > ROUNDING * model_costs.max()


def check_range(model_costs: np.ndarray) -> None:
    """Refuse mean costs that are all equal."""
    if not has_range(model_costs):
        raise ValueError(
            f"all models of the pool have the same mean cost ({model_costs.min():g}), so the curve "
            "has no range of costs and no area; use peak_quality_score instead."
        )


def is_wide(costs: np.ndarray) -> bool:
    """Whether the range of costs is so wide that it needs a logarithmic axis."""
    return costs.min() > 0 and costs.max() >= 20 * costs.min()


def check_curve_inputs(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    routing_costs: Costs | None,
    sample_weight: ArrayLike | None,
) -> CurveInputs:
    """Check the arguments of a metric. By default, mean costs decide the choices."""
    check_same_order(
        y_true=y_true,
        error_pred=error_pred,
        costs=costs,
        routing_costs=routing_costs,
        sample_weight=sample_weight,
    )
    labels = model_labels(y_true, name="y_true")
    names = model_labels(error_pred, name="error_pred")
    y_true = check_quality(y_true, name="y_true", labels=labels)
    if labels is not None:
        if names is None and not is_numbered(labels):
            warnings.warn(
                "`error_pred` has no names of models, and its columns are taken in the order of "
                f"those of `y_true` ({listing(labels)}); pass pd.DataFrame(error_pred, "
                "columns=router.models_) to go by name.",
                UserWarning,
                stacklevel=3,
            )
        error_pred = check_columns(error_pred, labels)
    elif names is not None and len(names) == y_true.shape[1]:
        labels = names
        if not is_numbered(names):
            warnings.warn(
                "`y_true` has no names of models, and its columns are taken in the order of those "
                f"of `error_pred` ({listing(names)}); pass a DataFrame to go by name.",
                UserWarning,
                stacklevel=3,
            )
    else:
        labels = np.arange(y_true.shape[1])
    error_pred = check_error_pred(error_pred, y_true.shape)
    sample_weight = check_sample_weight(sample_weight, len(y_true))
    costs = check_costs(costs, labels, quality=y_true)
    if routing_costs is None:
        routing_costs = model_means(costs, sample_weight)
    else:
        routing_costs = check_costs(
            routing_costs, labels, quality=y_true, complete=True, name="routing_costs"
        )
    return CurveInputs(y_true, error_pred, costs, routing_costs, sample_weight)


def curve_points(
    y_true: np.ndarray,
    error_pred: np.ndarray,
    costs: np.ndarray,
    routing_costs: np.ndarray,
    sample_weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the cost, quality and cost weight of each point of the deferral curve."""
    walk = hull_walk(error_pred, routing_costs)
    points, cost_weight = walk_points(walk)
    costs = np.broadcast_to(costs, y_true.shape)
    cost = _averages(costs, walk, sample_weight, points, "cost")
    quality = _averages(y_true, walk, sample_weight, points, "quality")
    return cost, quality, cost_weight


def mean_height(cost: np.ndarray, quality: np.ndarray, lowest: float, highest: float) -> float:
    """Compute the mean quality over a range of costs; the curve is flat beyond its ends."""
    cost = np.concatenate([[lowest], cost, [highest]])
    quality = np.concatenate([quality[:1], quality, quality[-1:]])
    run, rise = np.diff(cost), np.diff(quality)
    slope = np.divide(rise, run, out=np.zeros_like(run), where=run != 0)
    # If calls differ in cost, the curve may begin or end outside the range.
    inside = np.clip(cost, lowest, highest)
    middle = (inside[:-1] + inside[1:]) / 2
    area = np.diff(inside) @ (quality[:-1] + slope * (middle - cost[:-1]))
    return float(area / (highest - lowest))


def best_single_model(inputs: CurveInputs) -> tuple[float, float, float]:
    """Find the highest mean quality, the cost of the cheapest such model, and the rounding."""
    quality = model_means(inputs.y_true, inputs.sample_weight)
    rounding = ROUNDING * np.abs(quality).max()
    costs = model_means(inputs.costs, inputs.sample_weight)
    best = quality.max()
    return best, costs[quality >= best - rounding].min(), rounding


def least_cost(cost: np.ndarray, quality: np.ndarray, target: float, near: float) -> float:
    """Find the lowest cost at which a curve reaches `target`; points need only reach `near`."""
    reached = quality >= near
    if not reached.any():
        return np.inf
    crossed = np.flatnonzero(reached[1:] != reached[:-1])
    share = (target - quality[crossed]) / (quality[crossed + 1] - quality[crossed])
    crossings = cost[crossed] + share.clip(0, 1) * (cost[crossed + 1] - cost[crossed])
    return min(cost[reached].min(), crossings.min(initial=np.inf))


def _averages(
    cells: np.ndarray, walk: HullWalk, sample_weight: np.ndarray, points: np.ndarray, what: str
) -> np.ndarray:
    """Average the chosen cells that are known, with weights, at each point of the walk."""
    start, start_weight = _weighted(cells, np.arange(len(cells)), walk.start, sample_weight)
    gained, gained_weight = _weighted(cells, walk.row, walk.target, sample_weight)
    lost, lost_weight = _weighted(cells, walk.row, walk.source, sample_weight)
    total = start.sum() + np.concatenate([[0.0], np.cumsum(gained - lost)])[points]
    weight = start_weight.sum() + np.concatenate([[0.0], np.cumsum(gained_weight - lost_weight)])
    weight = weight[points]
    if np.any(weight <= ROUNDING * sample_weight.sum()):
        raise ValueError(
            f"at some cost weight, no prompt has a known {what} for the model that it is routed "
            "to; score on prompts on which more models were run."
        )
    return total / weight


def _weighted(
    cells: np.ndarray, row: np.ndarray, model: np.ndarray, sample_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    values = cells[row, model].astype(np.float64)
    weight = sample_weight[row]
    missing = np.isnan(values)
    if missing.any():
        values = np.where(missing, 0.0, values)
        weight = np.where(missing, 0.0, weight)
    return values * weight, weight


def model_means(cells: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Average the known cells of each model; costs per model are returned as they are."""
    if cells.ndim == 1:
        return cells.astype(np.float64)
    return np.array([_known_mean(*column, sample_weight) for column in enumerate(cells.T)])


def _known_mean(model: int, values: np.ndarray, sample_weight: np.ndarray) -> float:
    known = ~np.isnan(values)
    weight = sample_weight[known].sum()
    if weight == 0:
        raise ValueError(
            f"all prompts with a quality, or a cost, of the model in column {model} have a "
            "`sample_weight` of 0; leave the model out, or give one of these prompts a weight."
        )
    return sample_weight[known] @ values[known].astype(np.float64) / weight


def check_columns(error_pred: Any, labels: np.ndarray) -> Any:
    """Put the columns of a DataFrame into the order of the models; others go by position."""
    new = [label for label in getattr(error_pred, "columns", ()) if label not in labels.tolist()]
    if new:
        raise ValueError(
            f"`error_pred` has column(s) {listing(new)}, which `y_true` does not have "
            f"({listing(labels)}); columns with names go by name. To go by position, pass "
            "error_pred.to_numpy()."
        )
    return select_columns(error_pred, labels, name="error_pred")


def check_error_pred(error_pred: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Check a table of predicted errors against the table of quality."""
    checked: np.ndarray = check_array(as_numbers(error_pred), dtype=FLOATS, input_name="error_pred")
    if checked.shape != shape:
        raise ValueError(
            f"`error_pred` has shape {checked.shape} but the quality has shape {shape}; both "
            "must have one row per prompt and one column per model."
        )
    return checked
