"""The routing rule, argmin of error + cost_weight * cost, and its walk over all cost weights.

Pure functions of arrays. In all of them, ties go to the lower cost, then to the lower error, then
to the first model. Numbers tie if they differ by no more than the rounding that their precision and
magnitude bring, so neither the unit nor an offset of errors and costs decides a tie.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

# Cells per (prompts, models) block of the walk, so that its work arrays take about 50 MB.
_WALK_CELLS = 2**20
# Relative rounding error: averages of the same cells in another order differ by less, roughly.
ROUNDING = 1e-12
# Relative rounding error of a single-precision number that is the result of few operations.
_SINGLE_ROUNDING = float(np.finfo(np.float32).eps)
# Relative distance between the cost weight of a budget and a change of a choice.
_CLEARANCE = 1e-6
# A mean cost keeps a budget if it is beyond it by this share of the range of mean costs, because
# costs may come in single precision.
_BUDGET_SLACK = 1e-6


def rounding_of(values: np.ndarray) -> float:
    """Relative rounding error of each of two numbers that are compared, by their dtype."""
    return _SINGLE_ROUNDING if values.dtype == np.float32 else ROUNDING / 2


def choose(error: np.ndarray, costs: np.ndarray, cost_weight: float) -> np.ndarray:
    """Pick the column of lowest ``error + cost_weight * cost`` in each row (eq. 8 of the paper).

    Scores are computed in double precision for any dtype of `error`, because costs come in any
    unit.

    Parameters
    ----------
    error : ndarray of shape (n_rows, n_models)
    costs : ndarray of shape (n_models,) or (n_rows, n_models)
    cost_weight : float

    Returns
    -------
    chosen : ndarray of shape (n_rows,), dtype intp
        Column positions.
    """
    rounding = max(rounding_of(error), rounding_of(costs))
    # Scaled such that no product overflows.
    error_weight = 1.0
    if cost_weight > 1:
        error_weight, cost_weight = 1 / cost_weight, 1.0
    weighted = cost_weight * costs.astype(np.float64)
    scores = error_weight * error + weighted
    chosen: np.ndarray = scores.argmin(axis=1)
    # The scores that tie differ from the lowest by no more than this.
    least = np.take_along_axis(scores, chosen[:, None], axis=1)
    largest = np.abs(weighted).max(axis=-1, initial=0.0, keepdims=True)
    limit = least + 4 * rounding * (np.abs(least) + 2 * largest)
    rows = np.flatnonzero(np.count_nonzero(scores <= limit, axis=1) > 1)
    if len(rows):
        of_rows = np.broadcast_to(costs, error.shape)[rows].astype(np.float64)
        chosen[rows] = _break_ties(
            error_weight * error[rows].astype(np.float64), of_rows, cost_weight, rounding
        )
    return chosen


def _break_ties(
    error: np.ndarray, costs: np.ndarray, cost_weight: float, rounding: float
) -> np.ndarray:
    """Pick a column of each row: lowest score, then lowest cost, then lowest error."""
    scores = error + cost_weight * costs
    sizes = np.abs(error) + cost_weight * costs
    tied = np.ones(error.shape, dtype=bool)
    for values, size in ((scores, sizes), (costs, costs), (error, np.abs(error))):
        best = np.where(tied, values, np.inf).argmin(axis=1)[:, None]
        size = rounding * (size + np.take_along_axis(size, best, axis=1))
        tied &= values - np.take_along_axis(values, best, axis=1) <= size
    return tied.argmax(axis=1)


def choose_by_product(
    features: np.ndarray, representation: np.ndarray, weighted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pick the column of lowest ``features @ representation.T + weighted``, by one matrix product.

    The product is many times faster than a separate sum for each entry, but its rounding depends on
    the other rows and columns.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features), dtype float64
    representation : ndarray of shape (n_models, n_features), dtype float64
    weighted : ndarray of shape (n_models,)
        Costs times their weight.

    Returns
    -------
    chosen : ndarray of shape (n_rows,), dtype intp
        Column positions.
    is_close : ndarray of shape (n_rows,), dtype bool
        Whether another column is as good up to rounding, so that an exact choice is needed.
    """
    scores = features @ representation.T
    scores += weighted
    chosen = scores.argmin(axis=1)
    least = np.take_along_axis(scores, chosen[:, None], axis=1)
    largest = features.shape[1] * np.abs(features).max() * np.abs(representation).max()
    least += ROUNDING * (largest + np.abs(weighted).max())
    return chosen, np.count_nonzero(scores <= least, axis=1) > 1


class HullWalk(NamedTuple):
    """Moves of the choice for each prompt as the cost weight falls from infinity to 0.

    `start` holds the choices at infinity. Move j takes prompt `row[j]` from model `source[j]` to
    the dearer model `target[j]` as soon as the cost weight is below `cost_weight[j]`, which is
    known up to `rounding[j]`. Moves are sorted by falling cost weight; the moves of one prompt keep
    their order.
    """

    start: np.ndarray
    row: np.ndarray
    source: np.ndarray
    target: np.ndarray
    cost_weight: np.ndarray
    rounding: np.ndarray


def hull_walk(error: np.ndarray, costs: np.ndarray) -> HullWalk:
    """Follow the choice for each prompt over all cost weights.

    The choices for a prompt are the vertices of the lower convex hull of its points (cost, error),
    from the cheapest model to the model of lowest error. The slopes between them are the cost
    weights at which the choice moves.

    Parameters
    ----------
    error : ndarray of shape (n_prompts, n_models)
    costs : ndarray of shape (n_models,) or (n_prompts, n_models)

    Returns
    -------
    HullWalk
    """
    n_prompts, n_models = error.shape
    blocks = [
        _walk_block(error[rows], costs[rows] if costs.ndim == 2 else costs, rows.start)
        for rows in gen_batches(n_prompts, max(1, _WALK_CELLS // n_models))
    ]
    start, *moves = map(np.concatenate, zip(*blocks, strict=True))
    # The moves of one prompt differ in cost weight.
    falling = np.argsort(-moves[3])
    return HullWalk(start, *(part[falling] for part in moves))


def weight_within_budget(
    budget: float, error: np.ndarray, costs: np.ndarray, weights: np.ndarray
) -> float:
    """Find the lowest cost weight that keeps the mean cost within a budget.

    The result is one millionth above the step at which the mean cost exceeds the budget.

    Parameters
    ----------
    budget : float
    error : ndarray of shape (n_prompts, n_models)
    costs : ndarray of shape (n_models,) or (n_prompts, n_models)
    weights : ndarray of shape (n_prompts,)
        Weights of the prompts in the mean; they sum to 1.

    Returns
    -------
    cost_weight : float

    Raises
    ------
    ValueError
        If the budget is below the lowest mean cost.
    """
    walk = hull_walk(error, costs)
    spent = _spent(walk, costs, weights, error.shape)
    check_reachable(budget, spent)
    limit = budget + _budget_slack(spent)
    unaffordable = np.flatnonzero(spent[1:] > limit)
    if not len(unaffordable):
        return 0.0
    # At this cost weight, the first move beyond the budget is a tie, which rounding may decide.
    # Stay clear of it, and of other moves that differ from it only by rounding.
    cost_weight = walk.cost_weight[unaffordable[0]]
    step = max(_CLEARANCE * cost_weight, np.spacing(cost_weight))
    cost_weight += step
    rows, by_prompt = np.arange(len(error)), np.broadcast_to(costs, error.shape)
    while weights @ by_prompt[rows, choose(error, costs, cost_weight)] > limit:
        cost_weight += step
        step *= 2
    return float(cost_weight)


def walk_points(walk: HullWalk) -> tuple[np.ndarray, np.ndarray]:
    """Find the points of a walk between moves at different cost weights.

    Parameters
    ----------
    walk : HullWalk

    Returns
    -------
    points : ndarray of shape (n_points,), dtype intp
        Number of moves made before each point.
    cost_weight : ndarray of shape (n_points,)
        Cost weight at which exactly these moves are made.
    """
    # Moves at the same cost weight, up to rounding, happen together: a point follows the last of
    # them.
    first = _first_moves(walk.cost_weight, walk.rounding)
    last = np.append(first[1:], len(walk.row))[: len(first)] - 1
    # Halfway between the moves before and after a point, rounding cannot undo or make a move.
    before, after = walk.cost_weight[last], walk.cost_weight[first]
    cost_weight = np.append((after + np.concatenate([3 * after[:1], before[:-1]])) / 2, 0.0)
    return np.concatenate([[0], last + 1]), cost_weight


def _first_moves(cost_weight: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Find the first of the moves that happen together.

    These are the moves that differ from the first of them by no more than rounding.
    """
    apart = -np.diff(cost_weight) > rounding[:-1] + rounding[1:]
    first = np.concatenate([[0], np.flatnonzero(apart) + 1])[: len(cost_weight)]
    last = np.append(first[1:], len(cost_weight))[: len(first)] - 1
    # Where many moves are close, each to the next, they differ by more: cut the chain.
    wide = cost_weight[first] - cost_weight[last] > rounding[first] + rounding[last]
    cuts = []
    for start, end in zip(first[wide], last[wide], strict=True):
        weights = cost_weight[start : end + 1].tolist()
        widths = rounding[start : end + 1].tolist()
        head = 0
        for place, weight in enumerate(weights):
            if weights[head] - weight > widths[head] + widths[place]:
                head = place
                cuts.append(start + place)
    return np.sort(np.concatenate([first, np.array(cuts, dtype=np.intp)]))


def mix_for_budget(
    budget: float, error: np.ndarray, costs: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float]:
    """Find two cost weights, and their shares of the prompts, that spend a budget in full.

    Parameters
    ----------
    budget, error, costs, weights
        As for `weight_within_budget`.

    Returns
    -------
    within, beyond : float
        Cost weights with a mean cost within and beyond the budget.
    share : float
        Share of the prompts to route at `beyond`; 0 if the budget pays for the model of lowest
        error on every prompt.

    Raises
    ------
    ValueError
        If the budget is below the lowest mean cost.
    """
    walk = hull_walk(error, costs)
    points, cost_weight = walk_points(walk)
    spent = _spent(walk, costs, weights, error.shape)[points]
    check_reachable(budget, spent)
    step = int(np.searchsorted(spent, budget + _budget_slack(spent), side="right"))
    step = max(step - 1, 0)
    if step == len(spent) - 1:
        return 0.0, 0.0, 0.0
    share = (budget - spent[step]) / (spent[step + 1] - spent[step])
    return cost_weight[step], cost_weight[step + 1], float(np.clip(share, 0, 1))


def _spent(
    walk: HullWalk, costs: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Compute the mean cost after each number of moves."""
    costs = np.broadcast_to(costs, shape)
    rise = costs[walk.row, walk.target] - costs[walk.row, walk.source]
    return weights @ costs.min(axis=1) + np.append(0.0, np.cumsum(weights[walk.row] * rise))


def leave_one_choice(
    error: np.ndarray, costs: np.ndarray, rows: np.ndarray, model: int
) -> tuple[np.ndarray, np.ndarray]:
    """Set errors and costs of some prompts so that one model is chosen at all cost weights.

    Parameters
    ----------
    error : ndarray of shape (n_prompts, n_models)
    costs : ndarray of shape (n_models,) or (n_prompts, n_models)
    rows : ndarray of shape (n_prompts,), dtype bool
        Whether to change each prompt.
    model : int
        Position of the model.

    Returns
    -------
    error, costs : ndarray of shape (n_prompts, n_models)
        On these prompts, all models have the cost of `model`, and `model` alone has an error of 0.
    """
    error = error.copy()
    error[rows] = np.arange(error.shape[1]) != model
    costs = np.array(np.broadcast_to(costs, error.shape))
    costs[rows] = costs[rows, model][:, None]
    return error, costs


def interval_of_choice(
    error: np.ndarray, costs: np.ndarray, place: int, cost_weight: float
) -> tuple[float, float]:
    """Find the cost weights between which a prompt goes to the same model.

    Parameters
    ----------
    error, costs : ndarray of shape (n_models,)
        Errors and costs that decide the choice.
    place : int
        Model that is chosen at `cost_weight`.
    cost_weight : float

    Returns
    -------
    low, high : float
        `high` is infinite if there is no upper end. If rounding decided the choice, it holds at
        this cost weight only, and both are the cost weight.
    """
    # Models that are neither cheaper nor better than others are on no hull.
    order = np.lexsort((error, costs))
    ranked = error[order]
    kept = np.union1d(order[ranked <= np.minimum.accumulate(ranked)], place)
    walk = hull_walk(error[None, kept], costs[None, kept])
    here = np.searchsorted(kept, place)
    left = walk.cost_weight[walk.source == here]
    entered = walk.cost_weight[walk.target == here]
    if not len(entered) and walk.start[0] != here:
        return cost_weight, cost_weight
    low = float(left[0]) if len(left) else 0.0
    return low, float(entered[0]) if len(entered) else np.inf


def _walk_block(
    error: np.ndarray, costs: np.ndarray, first_row: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Build the hulls of all prompts of a block at once, model by model (monotone chain)."""
    n_prompts, n_models = error.shape
    error_rounding, cost_rounding = rounding_of(error), rounding_of(costs)
    # Sort by rising cost: one order for all prompts if they share costs, else one per prompt.
    order = np.argsort(costs.T, axis=0, kind="stable")
    costs = np.take_along_axis(costs.T, order, axis=0).astype(np.float64)
    for model in range(1, n_models):
        # Costs that differ by rounding alone are the same.
        rise = costs[model] - costs[model - 1]
        same = rise <= 2 * cost_rounding * costs[model]
        costs[model] = np.where(same, costs[model - 1], costs[model])
    if order.ndim == 1:
        by_model = np.ascontiguousarray(error.T[order], dtype=np.float64)
    else:
        by_model = np.take_along_axis(error.T, order, axis=0).astype(np.float64)
    # Differences in error below this are rounding.
    slack = 2 * error_rounding * np.maximum(by_model.max(axis=0), -by_model.min(axis=0))
    # A stack of hull vertices per prompt. slopes[s] is the cost weight at which vertex s replaces
    # vertex s - 1; it is infinite for the first vertex.
    vertices = np.zeros((n_models, n_prompts), dtype=np.intp)
    slopes = np.full((n_models, n_prompts), np.inf)
    top = np.zeros(n_prompts, dtype=np.intp)
    top_error = by_model[0].copy()
    for model in range(1, n_models):
        # The top vertex has the lowest error so far; a model without a lower error is dominated.
        rows = np.flatnonzero(by_model[model] < top_error - slack)
        new_error = by_model[model, rows]
        position = top[rows]
        slope = _slopes(vertices, position, rows, by_model, costs, model, new_error)
        # Remove a vertex that is not strictly below the line from its predecessor to the new model.
        # If it has the same cost as the new model, the slope is infinite, and even the first vertex
        # is removed.
        hidden = np.flatnonzero(slope >= slopes[position, rows])
        while len(hidden):
            position[hidden] -= 1
            hidden = hidden[position[hidden] >= 0]
            slope[hidden] = _slopes(
                vertices, position[hidden], rows[hidden], by_model, costs, model, new_error[hidden]
            )
            hidden = hidden[slope[hidden] >= slopes[position[hidden], rows[hidden]]]
        position += 1
        vertices[position, rows] = model
        slopes[position, rows] = np.where(position == 0, np.inf, slope)
        top[rows] = position
        top_error[rows] = new_error
    row, step = np.nonzero(np.arange(1, n_models) <= top[:, None])
    source, target, slope = vertices[step, row], vertices[step + 1, row], slopes[step + 1, row]
    dearer = _at(costs, target, row)
    with np.errstate(over="ignore"):
        rounding = slack[row] + 2 * cost_rounding * slope * dearer
        rounding /= dearer - _at(costs, source, row)
    return (
        _at(order, vertices[0], np.arange(n_prompts)),
        row + first_row,
        _at(order, source, row),
        _at(order, target, row),
        slope,
        rounding,
    )


def _slopes(
    vertices: np.ndarray,
    position: np.ndarray,
    rows: np.ndarray,
    by_model: np.ndarray,
    costs: np.ndarray,
    model: int,
    new_error: np.ndarray,
) -> np.ndarray:
    """Compute the cost weights at which `model` scores the same as the vertices at `position`."""
    vertex = vertices[position, rows]
    with np.errstate(divide="ignore", over="ignore"):
        rise = _at(costs, model, rows) - _at(costs, vertex, rows)
        return (by_model[vertex, rows] - new_error) / rise


def _at(values: np.ndarray, model: int | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Take the entries of models, which are the same for all prompts or differ by prompt."""
    return values[model] if values.ndim == 1 else values[model, rows]


def _budget_slack(spent: np.ndarray) -> float:
    """Difference between a mean cost and a budget that is rounding."""
    return float(ROUNDING * spent[-1] + _BUDGET_SLACK * (spent[-1] - spent[0]))


def check_reachable(budget: float, spent: np.ndarray) -> None:
    """Refuse a budget that cannot be met by any of the mean costs."""
    lowest, highest = spent[0], spent[-1]
    if budget < lowest - _budget_slack(spent):
        raise ValueError(
            f"`budget` {budget:g} is below the least mean cost of this pool; mean costs from "
            f"{lowest:g} to {highest:g} can be reached."
        )


def leave_eligible(
    error: np.ndarray, costs: np.ndarray, eligible: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change errors and costs such that models that are not eligible never win.

    Their errors are above all errors and their costs as high as all costs of the eligible models of
    the prompt.

    Parameters
    ----------
    error : ndarray of shape (n_prompts, n_models)
    costs : ndarray of shape (n_models,) or (n_prompts, n_models)
    eligible : ndarray of shape (n_prompts, n_models), dtype bool

    Returns
    -------
    error, costs : ndarray of shape (n_prompts, n_models)
    """
    costs = np.broadcast_to(costs, error.shape)
    worst = np.where(eligible, error, -np.inf).max(axis=1, keepdims=True)
    dearest = np.where(eligible, costs, -np.inf).max(axis=1, keepdims=True)
    return np.where(eligible, error, worst + 1 + np.abs(worst)), np.where(eligible, costs, dearest)


def rows_by_mask(eligible: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group prompts by the models that they may go to: their rows, and the positions of the models.

    `eligible` has shape (n_prompts, n_models).
    """
    packed = np.packbits(eligible, axis=1)
    _, mask = np.unique(packed, axis=0, return_inverse=True)
    by_mask = np.argsort(mask, kind="stable")
    for rows in np.split(by_mask, np.cumsum(np.bincount(mask))[:-1]):
        yield rows, np.flatnonzero(eligible[rows[0]])
