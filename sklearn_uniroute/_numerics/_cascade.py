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


def inner_part(quality: np.ndarray) -> np.ndarray:
    """Keep qualities away from 0 and 1."""
    return np.minimum(np.maximum(quality, _MARGIN), 1 - _MARGIN)


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
    quality, asked = (inner_part(one) for one in (quality, asked))
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
    cost_ratio : ndarray of shape (n_prompts,)
        What further calls are expected to cost, over what was expected at first.
    """

    quality: np.ndarray
    slope: np.ndarray
    best: np.ndarray
    kept: np.ndarray
    free: np.ndarray
    n_asked: np.ndarray
    cost_ratio: np.ndarray

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
        np.ones(n_prompts),
    )


def revise(
    beliefs: Beliefs,
    call: np.ndarray,
    bins: np.ndarray,
    evidence: ScoreEvidence,
    correlation: float,
) -> Beliefs:
    """Revise what is expected once models were asked.

    Parameters
    ----------
    beliefs : Beliefs
    call : ndarray of shape (n_prompts,), dtype intp
        Position of the model that was asked.
    bins : ndarray of shape (n_prompts,), dtype intp
        Bin of its score; -1 without one.
    evidence : ScoreEvidence
    correlation : float
        Correlation of the qualities of two models.

    Returns
    -------
    beliefs : Beliefs
    """
    rows = np.arange(len(call))
    free = beliefs.free.copy()
    free[rows, call] = False
    before = inner_part(beliefs.quality[rows, call])
    # Odds of the score if the answer is right, over those if it is wrong.
    ratio = np.exp(evidence.log_odds[bins])
    after = before * ratio / (before * ratio + 1 - before)
    scored = bins >= 0
    after = np.where(scored, after, beliefs.quality[rows, call])
    # The score also tells of the best answer so far.
    if_right = np.clip(before + beliefs.slope[rows, call] * (1 - beliefs.best), 0, 1)
    told = beliefs.best * (if_right * ratio + 1 - if_right) / (before * ratio + 1 - before)
    best = np.where(scored, np.clip(told, 0, 1), beliefs.best)
    relation = slopes(beliefs.quality, before[:, None], 1.0)
    slope = relation * share_of_news(correlation, beliefs.n_asked)[:, None]
    change = share_of_news(evidence.correlation, beliefs.n_asked) * (after - before)
    quality = np.where(
        scored[:, None],
        inner_part(beliefs.quality + relation * change[:, None]),
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
        np.where(scored, mean_ratio(beliefs, evidence.cost_ratio[bins]), beliefs.cost_ratio),
    )


def share_of_news(correlation: float, n_asked: np.ndarray) -> np.ndarray:
    """Weigh what one more answer tells of others: what answers tell in common counts once."""
    return correlation / (1 + n_asked * correlation)


def mean_ratio(beliefs: Beliefs, ratio: np.ndarray) -> np.ndarray:
    """Average what the scores so far and one more, by prompt, say of costs.

    They say much the same: how long the prompt and its answers are.
    """
    return (beliefs.cost_ratio * beliefs.n_asked + ratio) / (beliefs.n_asked + 1)


def next_calls(
    beliefs: Beliefs,
    costs: np.ndarray,
    n_left: int,
    *,
    evidence: ScoreEvidence,
    correlation: float,
    cost_weight: float | np.ndarray,
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
    cost_weight : float or ndarray of shape (n_weights,)
        Quality that one unit of cost is worth.
    check_cost : float

    Returns
    -------
    chosen : ndarray of shape (n_prompts,) or (n_weights, n_prompts), dtype intp
        Position of the model to ask; -1 to keep the best answer at hand.
    check : ndarray of the same shape, dtype bool
    """
    n_prompts, n_models = costs.shape
    cost_weights = np.atleast_1d(cost_weight)
    chosen = np.empty((len(cost_weights), n_prompts), dtype=np.intp)
    check = np.empty(chosen.shape, dtype=bool)
    cells = n_models if n_left == 1 else n_models * min(n_models, 2 * _FEW) * len(evidence.right)
    n_rows = max(1, _BLOCK_CELLS // cells)
    for start in range(0, n_prompts, n_rows):
        rows = slice(start, start + n_rows)
        part, places = beliefs.rows(rows), None
        price = part.cost_ratio[:, None] * costs[rows]
        if n_models > _FEW:
            places = contenders(part.quality, price, part.free, n_left)
            quality, slope, free, price = (
                np.take_along_axis(one, places, axis=1)
                for one in (part.quality, part.slope, part.free, price)
            )
            part = part._replace(quality=quality, slope=slope, free=free)
        found = prospects(part, n_left, evidence, correlation)
        for place, weight in enumerate(cost_weights.tolist()):
            plain, checked = values(found, weight * price, weight * check_cost)
            value = np.where(part.free, np.maximum(plain, checked), -np.inf)
            most = value.max(axis=1)
            # Of equally good calls, the cheaper one.
            ties = value >= (most - _TIE * np.maximum(1, np.abs(most)))[:, None]
            call = np.where(ties, price, np.inf).argmin(axis=1)
            at = np.arange(len(call)), call
            keep = (part.n_asked > 0) & (most <= part.best + _TIE)
            check[place, rows] = (checked[at] > plain[at] + _TIE) & ~keep
            chosen[place, rows] = np.where(keep, -1, call if places is None else places[at])
    shape = (*np.shape(cost_weight), n_prompts)
    return chosen.reshape(shape), check.reshape(shape)


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


class Further(NamedTuple):
    """What comes of one more call, after a checked answer.

    Attributes
    ----------
    chance : ndarray of shape (n_prompts, n_models, n_bins)
        Probability of each bin of the score of the checked answer.
    plain, checked : ndarray of shape (n_prompts, n_models, n_models, n_bins)
        Quality of the best answer after one more call of each model, along axis 1, without and with
        a check of its answer; -inf where it may not follow.
    ratio : ndarray of shape (n_prompts, n_bins)
        Cost of that call over what is expected now.
    """

    chance: np.ndarray
    plain: np.ndarray
    checked: np.ndarray
    ratio: np.ndarray


class Prospects(NamedTuple):
    """What comes of asking each model, before prices.

    Attributes
    ----------
    plain : ndarray of shape (n_prompts, n_models)
        Quality of the best answer if the answer of the model is not checked.
    checked : ndarray of shape (n_prompts, n_models) or (n_prompts, n_models, n_bins)
        Quality of the best answer if it is checked; by bin of the score if more calls are left.
    further : Further or None
        None at the last call.
    """

    plain: np.ndarray
    checked: np.ndarray
    further: Further | None = None


def prospects(
    beliefs: Beliefs, n_left: int, evidence: ScoreEvidence, correlation: float
) -> Prospects:
    """Compute what comes of asking each model."""
    best, n_models = beliefs.best[:, None], beliefs.quality.shape[1]
    plain = np.maximum(best, beliefs.quality)
    quality = inner_part(beliefs.quality)
    if_right = inner_part(quality + beliefs.slope * (1 - best))
    if_wrong = inner_part(quality - beliefs.slope * best)
    if n_left == 1 or n_models == 1:
        at_hand = np.broadcast_to(best, quality.shape)
        value = expected_best(at_hand, if_right, if_wrong, evidence)
        # Without another answer, there is nothing to choose.
        return Prospects(plain, np.where(beliefs.n_asked[:, None] > 0, value, plain))
    # By prompt, model, and bin of its score.
    right, wrong, column = evidence.right, evidence.wrong, quality[..., None]
    chance = column * right + (1 - column) * wrong
    after = column * right / chance
    told = best[..., None] * (if_right[..., None] * right + (1 - if_right[..., None]) * wrong)
    told = np.minimum(told / chance, 1 - _MARGIN)
    at_hand = np.maximum(told, after)
    # And by model that may be asked after it, along axis 1.
    relation = slopes(quality[..., None], quality[:, None], 1.0)[..., None]
    told_share = share_of_news(evidence.correlation, beliefs.n_asked)[:, None, None]
    revised = quality[..., None, None] + relation * (told_share * (after - column))[:, None]
    # If an earlier answer is at hand, these scores tell nothing more of it.
    share = share_of_news(correlation, beliefs.n_asked)[:, None, None]
    slope = relation * (share * (after >= told))[:, None]
    others_if_right = inner_part(revised + slope * (1 - after[:, None]))
    others_if_wrong = inner_part(revised - slope * after[:, None])
    after_call = np.maximum(at_hand[:, None], np.minimum(revised, 1 - _MARGIN))
    after_check = expected_best(at_hand[:, None], others_if_right, others_if_wrong, evidence)
    may_follow = (beliefs.free[..., None] & ~np.eye(n_models, dtype=bool))[..., None]
    after_call, after_check = (
        np.where(may_follow, one, -np.inf) for one in (after_call, after_check)
    )
    ratio = mean_ratio(beliefs, evidence.cost_ratio[:, None]) / beliefs.cost_ratio
    return Prospects(plain, at_hand, Further(chance, after_call, after_check, ratio.T))


def values(
    found: Prospects, price: np.ndarray, check_price: float
) -> tuple[np.ndarray, np.ndarray]:
    """Subtract prices: values of asking each model, without and with a check of its answer."""
    checked, further = found.checked, found.further
    if further is not None:
        paid = price[:, :, None, None] * further.ratio[:, None, None]
        best = further.checked - paid
        if check_price > 0:
            best = np.maximum(best - check_price, further.plain - paid)
        checked = (further.chance * np.maximum(checked, best.max(axis=1))).sum(axis=2)
    return found.plain - price, checked - price - check_price


class Outcome(NamedTuple):
    """What policies did, by cost weight and prompt: cost, kept answer and number of calls."""

    cost: np.ndarray
    kept: np.ndarray
    n_calls: np.ndarray


def follow_policy(
    quality: np.ndarray,
    costs: np.ndarray,
    paid: np.ndarray,
    max_calls: int,
    *,
    bins: np.ndarray | None = None,
    draws: np.ndarray | None = None,
    evidence: ScoreEvidence,
    correlation: float,
    cost_weight: np.ndarray,
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
    bins : ndarray of shape (n_prompts, n_models), dtype intp, default=None
        Bins of the scores of all answers; -1 where there is none.
    draws : ndarray of shape (n_prompts, max_calls), default=None
        Uniform numbers between 0 and 1, by which the score of each call is drawn from those that
        are expected. Required without `bins`.
    cost_weight : ndarray of shape (n_weights,)
        Cost weights of the policies.
    evidence, correlation, check_cost
        As for :func:`next_calls`.

    Returns
    -------
    outcome : Outcome
    """
    known: dict[str, Any] = {
        "evidence": evidence,
        "correlation": correlation,
        "check_cost": check_cost,
    }
    n_left, shape = min(max_calls, quality.shape[1]), (len(cost_weight), len(quality))
    start = first_beliefs(quality)
    first_calls = next_calls(start, costs, max_calls, cost_weight=cost_weight, **known)
    cost, n_calls = np.zeros(shape), np.zeros(shape, dtype=np.intp)
    kept = np.empty(shape, dtype=np.intp)
    for place, weight in enumerate(cost_weight.tolist()):
        beliefs, active = start, np.arange(len(quality))
        call, check = first_calls[0][place], first_calls[1][place]
        for step in range(n_left):
            if step > 0:
                call, check = next_calls(
                    beliefs, costs[active], max_calls - step, cost_weight=weight, **known
                )
            asks = call >= 0
            beliefs, active, call, check = beliefs.rows(asks), active[asks], call[asks], check[asks]
            cost[place, active] += paid[active, call] + check_cost * check
            n_calls[place, active] += 1
            if bins is not None:
                seen = bins[active, call]
            elif draws is not None:
                expected = beliefs.quality[np.arange(len(call)), call]
                seen = _draw(expected, draws[active, step], evidence)
            beliefs = revise(beliefs, call, np.where(check, seen, -1), evidence, correlation)
            kept[place, active] = beliefs.kept
            beliefs, active = beliefs.rows(check), active[check]
    return Outcome(cost, kept, n_calls)


def _draw(quality: np.ndarray, uniform: np.ndarray, evidence: ScoreEvidence) -> np.ndarray:
    """Draw the bin of a score from its distribution."""
    chance = quality[:, None] * evidence.right + (1 - quality[:, None]) * evidence.wrong
    drawn = (chance.cumsum(axis=1) < uniform[:, None] * chance.sum(axis=1, keepdims=True)).sum(
        axis=1
    )
    return np.minimum(drawn, len(evidence.right) - 1)
