"""Numerics of cascades: whether to ask another model, given the scores of answers so far.

Qualities are between 0 and 1, and stand for the probability that an answer is right.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logit

from sklearn_uniroute._numerics._score_evidence import ScoreEvidence

# Qualities are kept this far from 0 and 1 where odds are taken.
_MARGIN = 1e-3
# Pools up to this size are searched in full.
_FEW = 8
# Values that differ by less are equal.
_TIE = 1e-12
# Cells per (prompts, models, bins, models) block.
_BLOCK_CELLS = 2**18


def slopes(quality: np.ndarray, asked: np.ndarray, correlation: float | np.ndarray) -> np.ndarray:
    """Compute how much better other models are expected to be if one answer is right, not wrong.

    The best linear prediction: a model that does worse than expected on a prompt tells that the
    prompt is hard.

    Parameters
    ----------
    quality : ndarray
        Expected quality of the other models.
    asked : ndarray
        Expected quality of the answer before it is scored. Broadcasts with `quality`.
    correlation : float

    Returns
    -------
    slopes : ndarray
    """
    quality, asked = (np.clip(one, _MARGIN, 1 - _MARGIN) for one in (quality, asked))
    return correlation * np.sqrt(quality * (1 - quality) / (asked * (1 - asked)))


def expected_best(
    best: np.ndarray, if_right: np.ndarray, if_wrong: np.ndarray, evidence: ScoreEvidence
) -> np.ndarray:
    """Expect the better one of an answer at hand, and one of another model once it is scored.

    Parameters
    ----------
    best : ndarray
        Expected quality of the answer at hand.
    if_right, if_wrong : ndarray
        Expected quality of the other model if the answer at hand is right, and if it is wrong. They
        broadcast with `best`.
    evidence : ScoreEvidence

    Returns
    -------
    expected : ndarray
        Mean over the scores that the other answer may get. Its score also tells of the answer at
        hand.
    """
    with np.errstate(divide="ignore"):
        # Logarithms before arrays broadcast to their full shape.
        least = logit(best) + (np.log(1 - if_right) - np.log(if_wrong))
    place = np.searchsorted(evidence.log_odds, least)
    # Probability of a score with which the other answer is taken, if right; and of one with which
    # the answer at hand is kept, if the other is wrong.
    taken = np.append(1.0, 1 - np.cumsum(evidence.right))[place]
    kept = np.append(0.0, np.cumsum(evidence.wrong))[place]
    return best * (if_right + (1 - if_right) * kept) + (1 - best) * if_wrong * taken


class Beliefs(NamedTuple):
    """What is expected of the models on some prompts, given the scores so far.

    Attributes
    ----------
    quality : ndarray of shape (n_prompts, n_models)
        Expected quality of each model that was not asked.
    slope : ndarray of shape (n_prompts, n_models)
        How much better each model is expected to be if the best answer is right, not wrong.
    best : ndarray of shape (n_prompts,)
        Expected quality of the best answer; 0 if there is none.
    kept : ndarray of shape (n_prompts,), dtype intp
        Position of its model.
    free : ndarray of shape (n_prompts, n_models), dtype bool
        Models that may be asked.
    n_asked : ndarray of shape (n_prompts,), dtype intp
        Number of models that were asked.
    """

    quality: np.ndarray
    slope: np.ndarray
    best: np.ndarray
    kept: np.ndarray
    free: np.ndarray
    n_asked: np.ndarray

    def rows(self, rows: Any) -> "Beliefs":
        return Beliefs(*(part[rows] for part in self))


def first_beliefs(quality: np.ndarray) -> Beliefs:
    """Start from the estimates of the router, before any model is asked."""
    n_prompts = len(quality)
    return Beliefs(
        quality,
        np.zeros(quality.shape),
        np.zeros(n_prompts),
        np.zeros(n_prompts, dtype=np.intp),
        np.ones(quality.shape, dtype=bool),
        np.zeros(n_prompts, dtype=np.intp),
    )


def revise(beliefs: Beliefs, call: np.ndarray, log_odds: np.ndarray, correlation: float) -> Beliefs:
    """Revise what is expected once models were asked.

    Parameters
    ----------
    beliefs : Beliefs
    call : ndarray of shape (n_prompts,), dtype intp
        Position of the model that was asked.
    log_odds : ndarray of shape (n_prompts,)
        What its score adds to the log odds that its answer is right; 0 without a score.
    correlation : float
        Correlation of the qualities of two models.

    Returns
    -------
    beliefs : Beliefs
    """
    rows = np.arange(len(call))
    free = beliefs.free.copy()
    free[rows, call] = False
    before = np.clip(beliefs.quality[rows, call], _MARGIN, 1 - _MARGIN)
    own = before
    # Odds of the score if the answer is right, over those if it is wrong.
    ratio = np.exp(log_odds)
    after = own * ratio / (own * ratio + 1 - own)
    scored = log_odds != 0
    after = np.where(scored, after, beliefs.quality[rows, call])
    # The score also tells of the best answer so far.
    if_right = np.clip(before + beliefs.slope[rows, call] * (1 - beliefs.best), 0, 1)
    told = beliefs.best * (if_right * ratio + 1 - if_right) / (before * ratio + 1 - before)
    best = np.where(scored, np.clip(told, 0, 1), beliefs.best)
    # What two answers tell in common counts once.
    share = correlation / (1 + beliefs.n_asked * correlation)
    slope = slopes(beliefs.quality, before[:, None], share[:, None])
    quality = np.where(
        scored[:, None],
        np.clip(beliefs.quality + slope * (after - before)[:, None], _MARGIN, 1 - _MARGIN),
        beliefs.quality,
    )
    better = (after > best) | (beliefs.n_asked == 0)
    return Beliefs(
        quality,
        np.where(better[:, None], slope, beliefs.slope),
        np.where(better, after, best),
        np.where(better, call, beliefs.kept),
        free,
        beliefs.n_asked + 1,
    )


def next_calls(
    beliefs: Beliefs,
    costs: np.ndarray,
    n_left: int,
    *,
    evidence: ScoreEvidence,
    correlation: float,
    cost_weight: float,
    check_cost: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose which model to ask next, if any, and whether to check its answer.

    An answer that is not checked is kept or not by the expected quality of its model. If further
    calls are left, the value of a checked call counts the best of one further call.

    Parameters
    ----------
    beliefs : Beliefs
    costs : ndarray of shape (n_prompts, n_models)
    n_left : int
        Number of calls left, at least 1.
    evidence : ScoreEvidence
    correlation : float
    cost_weight : float
        Quality that one unit of cost is worth.
    check_cost : float

    Returns
    -------
    chosen : ndarray of shape (n_prompts,), dtype intp
        Position of the model to ask; -1 to keep the best answer at hand.
    check : ndarray of shape (n_prompts,), dtype bool
    """
    n_prompts, n_models = costs.shape
    chosen, check = np.empty(n_prompts, dtype=np.intp), np.empty(n_prompts, dtype=bool)
    cells = n_models if n_left == 1 else n_models * min(n_models, 2 * _FEW) * len(evidence.right)
    n_rows = max(1, _BLOCK_CELLS // cells)
    for start in range(0, n_prompts, n_rows):
        rows = slice(start, start + n_rows)
        part, price, places = beliefs.rows(rows), cost_weight * costs[rows], None
        best = part.best
        if n_models > _FEW:
            places = contenders(part.quality, price, part.free, n_left)
            quality, slope, free, price = (
                np.take_along_axis(one, places, axis=1)
                for one in (part.quality, part.slope, part.free, price)
            )
            part = part._replace(quality=quality, slope=slope, free=free)
        plain = np.where(part.free, np.maximum(best[:, None], part.quality) - price, -np.inf)
        checked = _checked_values(
            part, price, n_left, evidence, correlation, cost_weight * check_cost
        )
        value = np.maximum(plain, checked)
        most = value.max(axis=1)
        # Of equally good calls, the cheaper one.
        ties = value >= (most - _TIE * np.maximum(1, np.abs(most)))[:, None]
        call = np.where(ties, price, np.inf).argmin(axis=1)
        at = np.arange(len(call)), call
        check[rows] = checked[at] > plain[at] + _TIE
        call = call if places is None else places[at]
        chosen[rows] = np.where((part.n_asked > 0) & (most <= best + _TIE), -1, call)
    return chosen, check & (chosen >= 0)


def contenders(quality: np.ndarray, price: np.ndarray, free: np.ndarray, n_left: int) -> np.ndarray:
    """Find the models that may be asked in `n_left` calls: few are both better and cheaper.

    Returns positions of shape (n_prompts, n_contenders). Where there are fewer, others fill up.
    """
    n_models = quality.shape[1]
    better = (quality[:, None] >= quality[..., None]) & (price[:, None] <= price[..., None])
    equal = (quality[:, None] == quality[..., None]) & (price[:, None] == price[..., None])
    # Of equal models, the first ones.
    better &= ~equal | (np.arange(n_models) < np.arange(n_models)[:, None])
    n_better = (better & free[:, None]).sum(axis=2)
    n_better = np.where(free, n_better, n_models)
    most = max(1, int((n_better < n_left).sum(axis=1).max()))
    return np.argsort(n_better, axis=1, kind="stable")[:, :most]


def _checked_values(
    beliefs: Beliefs,
    price: np.ndarray,
    n_left: int,
    evidence: ScoreEvidence,
    correlation: float,
    check_price: float,
) -> np.ndarray:
    """Value of asking each model and checking its answer; `price` is the weighted cost."""
    n_models = price.shape[1]
    best = beliefs.best[:, None]
    quality = np.clip(beliefs.quality, _MARGIN, 1 - _MARGIN)
    if_right = np.clip(quality + beliefs.slope * (1 - best), _MARGIN, 1 - _MARGIN)
    if_wrong = np.clip(quality - beliefs.slope * best, _MARGIN, 1 - _MARGIN)
    if n_left == 1 or n_models == 1:
        at_hand = np.broadcast_to(best, quality.shape)
        value = expected_best(at_hand, if_right, if_wrong, evidence)
        # Without another answer, there is nothing to choose.
        value = np.where(beliefs.n_asked[:, None] > 0, value, beliefs.quality)
        return np.where(beliefs.free, value - price - check_price, -np.inf)
    # By prompt, model, and bin of its score.
    right, wrong, column = evidence.right, evidence.wrong, quality[..., None]
    chance = column * right + (1 - column) * wrong
    after = column * right / chance
    told = best[..., None] * (if_right[..., None] * right + (1 - if_right[..., None]) * wrong)
    told = np.minimum(told / chance, 1 - _MARGIN)
    at_hand = np.maximum(told, after)
    # And by model that may be asked after it.
    share = correlation / (1 + beliefs.n_asked * correlation)
    slope = slopes(quality[:, None], quality[..., None], share[:, None, None])[:, :, None]
    others, before, kept = quality[:, None, None], quality[..., None, None], at_hand[..., None]
    others_if_right, others_if_wrong = others + slope * (1 - before), others - slope * before
    own = (after >= told)[..., None]
    if not own.all() or check_price > 0:
        revised = np.clip(others + slope * (after[..., None] - before), _MARGIN, 1 - _MARGIN)
    if not own.all():
        # An earlier answer is at hand, of which these scores tell nothing more.
        others_if_right = np.where(own, others_if_right, revised)
        others_if_wrong = np.where(own, others_if_wrong, revised)
    others_if_right = np.clip(others_if_right, _MARGIN, 1 - _MARGIN)
    others_if_wrong = np.clip(others_if_wrong, _MARGIN, 1 - _MARGIN)
    further = expected_best(kept, others_if_right, others_if_wrong, evidence) - check_price
    if check_price > 0:
        further = np.maximum(further, np.maximum(kept, revised))
    further -= price[:, None, None]
    may_follow = beliefs.free[:, None] & ~np.eye(n_models, dtype=bool)
    further = np.where(may_follow[:, :, None], further, -np.inf).max(axis=3)
    value = (chance * np.maximum(at_hand, further)).sum(axis=2)
    return np.where(beliefs.free, value - price - check_price, -np.inf)


class Outcome(NamedTuple):
    """What a policy did: by prompt, the cost, the kept answer and the number of calls."""

    cost: np.ndarray
    kept: np.ndarray
    n_calls: np.ndarray


def follow_policy(
    quality: np.ndarray,
    costs: np.ndarray,
    paid: np.ndarray,
    max_calls: int,
    *,
    log_odds: np.ndarray | None = None,
    draws: np.ndarray | None = None,
    evidence: ScoreEvidence,
    correlation: float,
    cost_weight: float,
    check_cost: float,
) -> Outcome:
    """Ask, check and ask again on prompts where all answers and scores are known.

    Parameters
    ----------
    quality, costs : ndarray of shape (n_prompts, n_models)
        Expected quality and cost of each model, which decide.
    paid : ndarray of shape (n_prompts, n_models)
        Costs that are paid.
    max_calls : int
    log_odds : ndarray of shape (n_prompts, n_models), default=None
        Log odds of the scores of all answers.
    draws : ndarray of shape (n_prompts, max_calls), default=None
        Uniform numbers between 0 and 1, by which the score of each call is drawn from those that
        are expected. Required without `log_odds`.
    evidence, correlation, cost_weight, check_cost
        As for :func:`next_calls`.

    Returns
    -------
    outcome : Outcome
    """
    n_prompts = len(quality)
    beliefs = first_beliefs(quality)
    kept = np.zeros(n_prompts, dtype=np.intp)
    cost, n_calls = np.zeros(n_prompts), np.zeros(n_prompts, dtype=np.intp)
    active = np.arange(n_prompts)
    for step in range(min(max_calls, quality.shape[1])):
        call, check = next_calls(
            beliefs,
            costs[active],
            max_calls - step,
            evidence=evidence,
            correlation=correlation,
            cost_weight=cost_weight,
            check_cost=check_cost,
        )
        beliefs, active, check = beliefs.rows(call >= 0), active[call >= 0], check[call >= 0]
        call = call[call >= 0]
        if not len(active):
            break
        cost[active] += paid[active, call] + check_cost * check
        n_calls[active] += 1
        if log_odds is not None:
            added = log_odds[active, call]
        elif draws is not None:
            expected = beliefs.quality[np.arange(len(call)), call]
            added = evidence.log_odds[_draw(expected, draws[active, step], evidence)]
        beliefs = revise(beliefs, call, np.where(check, added, 0.0), correlation)
        kept[active] = beliefs.kept
        beliefs, active = beliefs.rows(check), active[check]
    return Outcome(cost, kept, n_calls)


def _draw(quality: np.ndarray, uniform: np.ndarray, evidence: ScoreEvidence) -> np.ndarray:
    """Draw the bin of a score from its distribution."""
    chance = quality[:, None] * evidence.right + (1 - quality[:, None]) * evidence.wrong
    drawn = (chance.cumsum(axis=1) < uniform[:, None] * chance.sum(axis=1, keepdims=True)).sum(
        axis=1
    )
    return np.minimum(drawn, len(evidence.right) - 1)
