"""The routing rule, argmin of error + cost_weight * cost, and its walk over all cost weights.

Pure functions of arrays. All follow one tie rule: the lower cost wins, then the lower error,
then the model that stands first.
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

# Cells of one (prompts, models) block of the walk: its few work arrays stay near 50 MB.
_WALK_CELLS = 2**20
# Averages of the same cells, summed in another order, differ by about this share at most.
ROUNDING = 1e-12
# Relative distance that the cost weight of a budget keeps from where a choice changes.
_CLEARANCE = 1e-6


def choose(error: np.ndarray, costs: np.ndarray, cost_weight: float) -> np.ndarray:
    """Pick for each row the column of least ``error + cost_weight * cost`` (eq. 8 of the paper).

    Scores are computed in double precision whatever the dtype of `error`, since costs come in
    any unit.

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
    if costs.ndim == 2:
        scores = error + cost_weight * costs.astype(np.float64)
        # Among the least scores, the lower cost wins, then the lower error.
        for tie_break in (costs, error):
            scores = np.where(scores == scores.min(axis=1, keepdims=True), tie_break, np.inf)
        least: np.ndarray = scores.argmin(axis=1)
        return least
    order = np.argsort(costs, kind="stable")
    costs = costs[order]
    error = error[:, order]
    scores = error + cost_weight * costs.astype(np.float64)
    # Columns stand by rising cost and argmin takes the first minimum: the lower cost wins.
    chosen = scores.argmin(axis=1)
    if np.any(np.diff(costs) == 0):
        # A huge cost term can round differences in error away between models of one cost.
        best = np.take_along_axis(scores, chosen[:, None], axis=1)
        tied = (scores == best) & (costs == costs[chosen][:, None])
        chosen = np.where(tied, error, np.inf).argmin(axis=1)
    positions: np.ndarray = order[chosen]
    return positions


def choose_by_product(
    features: np.ndarray, representation: np.ndarray, weighted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pick the column of least ``features @ representation.T + weighted``, by one matrix product.

    The product is many times faster than sums of each entry on its own, but how it rounds depends
    on the other rows and columns.

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
        Where another column may be as good, but for rounding: to be decided otherwise.
    """
    scores = features @ representation.T
    scores += weighted
    chosen = scores.argmin(axis=1)
    least = np.take_along_axis(scores, chosen[:, None], axis=1)
    largest = features.shape[1] * np.abs(features).max() * np.abs(representation).max()
    least += ROUNDING * (largest + np.abs(weighted).max())
    return chosen, np.count_nonzero(scores <= least, axis=1) > 1


class HullWalk(NamedTuple):
    """How the choice on each prompt moves as the cost weight falls from infinity to 0.

    `start` holds the choice at infinity. Move j takes prompt `row[j]` from model `source[j]` to the
    dearer `target[j]` as soon as the cost weight is below `cost_weight[j]`; moves stand by falling
    cost weight, and those of one prompt in the order in which it makes them.
    """

    start: np.ndarray
    row: np.ndarray
    source: np.ndarray
    target: np.ndarray
    cost_weight: np.ndarray


def hull_walk(error: np.ndarray, costs: np.ndarray) -> HullWalk:
    """Follow each prompt's choice over all cost weights.

    For one prompt the choices are the vertices of the lower convex hull of its points
    (cost, error), from the cheapest model to the one of least error, and
    the slopes between them are the cost weights at which the choice moves.

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
    start, row, source, target, cost_weight = map(np.concatenate, zip(*blocks, strict=True))
    falling = np.argsort(-cost_weight, kind="stable")
    return HullWalk(start, row[falling], source[falling], target[falling], cost_weight[falling])


def weight_within_budget(
    budget: float, error: np.ndarray, costs: np.ndarray, weights: np.ndarray
) -> float:
    """Find the least cost weight at which the mean cost is within a budget.

    It lies a millionth above the step of the mean cost that goes beyond the budget.

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
        If the budget is below the least mean cost.
    """
    walk = hull_walk(error, costs)
    spent = _spent(walk, costs, weights, error.shape)
    check_reachable(budget, spent[0], spent[-1])
    # A sum of many costs differs from their exact mean by rounding.
    limit = budget * (1 + ROUNDING)
    unaffordable = np.flatnonzero(spent[1:] > limit)
    if not len(unaffordable):
        return 0.0
    # There the score of the move not to be made ties, and rounding may make it: stay clear of
    # it, and of others that differ from it by no more than rounding does.
    cost_weight = walk.cost_weight[unaffordable[0]]
    step = max(_CLEARANCE * cost_weight, np.spacing(cost_weight))
    cost_weight += step
    rows, by_prompt = np.arange(len(error)), np.broadcast_to(costs, error.shape)
    while weights @ by_prompt[rows, choose(error, costs, cost_weight)] > limit:
        cost_weight += step
        step *= 2
    return float(cost_weight)


def walk_points(walk: HullWalk) -> tuple[np.ndarray, np.ndarray]:
    """Find where a walk stands between moves that happen at different cost weights.

    Parameters
    ----------
    walk : HullWalk

    Returns
    -------
    points : ndarray of shape (n_points,), dtype intp
        Numbers of moves made.
    cost_weight : ndarray of shape (n_points,)
        A cost weight at which just these are made.
    """
    # Moves at one cost weight, but for rounding, happen together: a point is what the last of them
    # leads to.
    fall = -np.diff(walk.cost_weight)
    last = np.append(np.flatnonzero(fall > ROUNDING * walk.cost_weight[:-1]), len(walk.row) - 1)
    last = last[: len(walk.row)]
    # In the middle between the moves before and after a point, no rounding can undo or make one.
    moves = walk.cost_weight[last]
    cost_weight = np.append((moves + np.concatenate([3 * moves[:1], moves[:-1]])) / 2, 0.0)
    return np.concatenate([[0], last + 1]), cost_weight


def mix_for_budget(
    budget: float, error: np.ndarray, costs: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float]:
    """Find how to spend a budget in full, by choosing now by one cost weight and now by another.

    Parameters
    ----------
    budget, error, costs, weights
        As for `weight_within_budget`.

    Returns
    -------
    within, beyond : float
        Cost weights with a mean cost within and beyond the budget.
    share : float
        Share of the prompts to choose for by the latter; 0 where all can be paid for.

    Raises
    ------
    ValueError
        If the budget is below the least mean cost.
    """
    walk = hull_walk(error, costs)
    points, cost_weight = walk_points(walk)
    spent = _spent(walk, costs, weights, error.shape)[points]
    check_reachable(budget, spent[0], spent[-1])
    step = max(int(np.searchsorted(spent, budget * (1 + ROUNDING), side="right")) - 1, 0)
    if step == len(spent) - 1:
        return 0.0, 0.0, 0.0
    share = (budget - spent[step]) / (spent[step + 1] - spent[step])
    return cost_weight[step], cost_weight[step + 1], float(np.clip(share, 0, 1))


def _spent(
    walk: HullWalk, costs: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Mean cost after each number of moves."""
    costs = np.broadcast_to(costs, shape)
    rise = costs[walk.row, walk.target] - costs[walk.row, walk.source]
    spent: np.ndarray = weights @ costs.min(axis=1) + np.append(
        0.0, np.cumsum(weights[walk.row] * rise)
    )
    return spent


def leave_one_choice(
    error: np.ndarray, costs: np.ndarray, rows: np.ndarray, model: int
) -> tuple[np.ndarray, np.ndarray]:
    """Set errors and costs of some prompts such that one model is their choice at all cost weights.

    Parameters
    ----------
    error : ndarray of shape (n_prompts, n_models)
    costs : ndarray of shape (n_models,) or (n_prompts, n_models)
    rows : ndarray of shape (n_prompts,), dtype bool
        The prompts.
    model : int

    Returns
    -------
    error, costs : ndarray of shape (n_prompts, n_models)
        On these prompts all models cost what the one does, and it alone makes no error.
    """
    error = error.copy()
    error[rows] = np.arange(error.shape[1]) != model
    costs = np.array(np.broadcast_to(costs, error.shape))
    costs[rows] = costs[rows, model][:, None]
    return error, costs


def _walk_block(
    error: np.ndarray, costs: np.ndarray, first_row: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Monotone-chain hulls of all prompts of a block at once, one model after the other."""
    n_prompts, n_models = error.shape
    # By rising cost: one order for all prompts where they share costs, else one for each.
    order = np.argsort(costs.T, axis=0, kind="stable")
    costs = np.take_along_axis(costs.T, order, axis=0).astype(np.float64)
    if order.ndim == 1:
        by_model = np.ascontiguousarray(error.T[order], dtype=np.float64)
    else:
        by_model = np.take_along_axis(error.T, order, axis=0).astype(np.float64)
    # A stack of hull vertices per prompt. slopes[s] is the cost weight at which vertex s takes
    # over from vertex s - 1; the first is taken at infinity.
    vertices = np.zeros((n_models, n_prompts), dtype=np.intp)
    slopes = np.full((n_models, n_prompts), np.inf)
    top = np.zeros(n_prompts, dtype=np.intp)
    top_error = by_model[0].copy()
    for model in range(1, n_models):
        # The topmost vertex has the least error so far: all others are dominated.
        rows = np.flatnonzero(by_model[model] < top_error)
        new_error = by_model[model, rows]
        position = top[rows]
        slope = _slopes(vertices, position, rows, by_model, costs, model, new_error)
        # A vertex not strictly below the line from its predecessor to the new model goes. One of
        # the new model's own cost has an infinite slope, so that even the first one is replaced.
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
    return (
        _at(order, vertices[0], np.arange(n_prompts)),
        row + first_row,
        _at(order, vertices[step, row], row),
        _at(order, vertices[step + 1, row], row),
        slopes[step + 1, row],
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
    """Cost weights at which `model` scores the same as the vertices at `position`."""
    vertex = vertices[position, rows]
    with np.errstate(divide="ignore", over="ignore"):
        rise = _at(costs, model, rows) - _at(costs, vertex, rows)
        slopes: np.ndarray = (by_model[vertex, rows] - new_error) / rise
        return slopes


def _at(values: np.ndarray, model: int | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Entries of models, which prompts share or have each of their own."""
    entries: np.ndarray = values[model] if values.ndim == 1 else values[model, rows]
    return entries


def check_reachable(budget: float, lowest: float, highest: float) -> None:
    """Refuse a budget that cannot be met."""
    if budget < lowest * (1 - 1e-12):
        raise ValueError(
            f"`budget` {budget:g} is below the least mean cost of this pool; mean costs from "
            f"{lowest:g} to {highest:g} can be reached."
        )
