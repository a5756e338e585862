"""Choices of a cascade against a reference that enumerates what may happen."""

from itertools import product

import numpy as np
import pytest

from sklearn_uniroute._numerics import _cascade
from sklearn_uniroute._numerics._cascade import (
    Beliefs,
    contenders,
    expected_best,
    first_beliefs,
    follow_policy,
    next_calls,
    revise,
)
from sklearn_uniroute._numerics._score_evidence import ScoreEvidence


def evidence_of(correlation, cost_ratio=(1.0, 1.0, 1.0)):
    """Scores in three bins, that depend on the prompt through the quality of the answer alone."""
    right, wrong = np.array([0.1, 0.3, 0.6]), np.array([0.5, 0.3, 0.2])
    odds, edges = np.log(right / wrong), np.arange(1.0, 3.0)
    return ScoreEvidence(edges, 1.0, odds, right, wrong, np.array(cost_ratio), correlation)


EVIDENCE = evidence_of(0.0)


def joint(first, second, correlation):
    """Probability of each pair of outcomes (right is 1) of two models."""
    both = first * second + correlation * np.sqrt(first * (1 - first) * second * (1 - second))
    return {
        (1, 1): both,
        (1, 0): first - both,
        (0, 1): second - both,
        (0, 0): 1 - first - second + both,
    }


def chance_of_bin(outcome, place):
    return (EVIDENCE.right if outcome else EVIDENCE.wrong)[place]


def pairs_after(first, second, correlation, place, told):
    """Probability of a score of the first model, with each pair of outcomes.

    The score tells more of the second model than the outcome of the first one does.
    """
    chance = first * EVIDENCE.right[place] + (1 - first) * EVIDENCE.wrong[place]
    change = first * EVIDENCE.right[place] / chance - first
    more = np.sqrt(second * (1 - second) / (first * (1 - first))) * (told - correlation) * change
    found = {}
    for pair, p in joint(first, second, correlation).items():
        outcome = (first if pair[0] else 1 - first) * chance_of_bin(pair[0], place)
        found[pair] = p * chance_of_bin(pair[0], place) + (1 if pair[1] else -1) * more * outcome
    return found


def values_of_policies(quality, costs, correlation, evidence, cost_weight, check_cost):
    """Enumerate the policies of at most two calls: value by first model and whether to check."""
    n_models, bins = len(quality), range(len(EVIDENCE.right))
    found = {}
    for a in range(n_models):
        price = cost_weight * costs[a]
        found[a, False] = quality[a] - price
        value = -price - cost_weight * check_cost
        for k in bins:
            right = quality[a] * EVIDENCE.right[k]
            chance = right + (1 - quality[a]) * EVIDENCE.wrong[k]
            # What the rest of the policy is worth, times the probability of this score.
            options = [right]
            for b in range(n_models):
                if b == a:
                    continue
                pairs = pairs_after(quality[a], quality[b], correlation, k, evidence.correlation)
                paid = cost_weight * costs[b] * chance * evidence.cost_ratio[k]
                b_right = pairs[1, 1] + pairs[0, 1]
                options.append(max(right, b_right) - paid)
                kept = 0.0
                for second in bins:
                    seen = {pair: p * chance_of_bin(pair[1], second) for pair, p in pairs.items()}
                    kept += max(seen[1, 1] + seen[1, 0], seen[1, 1] + seen[0, 1])
                options.append(kept - paid - cost_weight * check_cost * chance)
            value += max(options)
        found[a, True] = value
    return found


# Correlation, and what scores tell of other models and of costs: nothing, as much as the outcome,
# and more.
TOLD = [
    (0.0, evidence_of(0.0)),
    (0.3, evidence_of(0.3)),
    (0.2, evidence_of(0.5, [1.6, 1.0, 0.8])),
]


@pytest.mark.parametrize(("correlation", "evidence"), TOLD)
@pytest.mark.parametrize("check_cost", [0.0, 0.05])
def test_first_calls_are_those_of_the_best_policy(correlation, evidence, check_cost):
    rng = np.random.RandomState(0)
    n_checked = 0
    for _ in range(150):
        quality, costs = rng.uniform(0.3, 0.7, size=3), rng.uniform(0, 1, size=3)
        cost_weight = rng.choice([0.0, 0.1, 0.3, 1.0])
        call, check = next_calls(
            first_beliefs(quality[None]),
            costs[None],
            2,
            evidence=evidence,
            correlation=correlation,
            cost_weight=cost_weight,
            check_cost=check_cost,
        )
        values = values_of_policies(quality, costs, correlation, evidence, cost_weight, check_cost)
        # Several policies may be equally good.
        assert values[call[0], check[0]] == pytest.approx(max(values.values()), abs=1e-9)
        n_checked += check[0]
    assert n_checked > 20


@pytest.mark.parametrize(("correlation", "evidence"), TOLD)
def test_second_calls_are_those_of_the_best_policy(correlation, evidence):
    rng = np.random.RandomState(1)
    n_asked = 0
    for _ in range(150):
        quality, costs = rng.uniform(0.3, 0.7, size=3), rng.uniform(0, 0.5, size=3)
        first, score, cost_weight = rng.randint(3), rng.randint(3), rng.choice([0.0, 0.1, 0.3])
        beliefs = revise(
            first_beliefs(quality[None]),
            np.array([first]),
            np.array([score]),
            evidence,
            correlation,
        )
        call, check = next_calls(
            beliefs,
            costs[None],
            1,
            evidence=evidence,
            correlation=correlation,
            cost_weight=cost_weight,
            check_cost=0.01,
        )
        right = quality[first] * EVIDENCE.right[score]
        chance = right + (1 - quality[first]) * EVIDENCE.wrong[score]
        assert beliefs.best[0] == pytest.approx(right / chance)
        options = {(-1, False): right / chance}
        for b in set(range(3)) - {first}:
            pairs = {
                pair: p / chance
                for pair, p in pairs_after(
                    quality[first], quality[b], correlation, score, evidence.correlation
                ).items()
            }
            price = cost_weight * costs[b] * evidence.cost_ratio[score]
            b_right = pairs[1, 1] + pairs[0, 1]
            assert beliefs.quality[0, b] == pytest.approx(b_right)
            options[b, False] = max(right / chance, b_right) - price
            kept = sum(
                max(
                    pairs[1, 1] * EVIDENCE.right[k] + pairs[1, 0] * EVIDENCE.wrong[k],
                    (pairs[1, 1] + pairs[0, 1]) * EVIDENCE.right[k],
                )
                for k in range(3)
            )
            options[b, True] = kept - price - cost_weight * 0.01
        assert options[call[0], check[0]] == pytest.approx(max(options.values()), abs=1e-9)
        n_asked += call[0] >= 0
    assert 20 < n_asked < 150


def test_the_answer_at_hand_is_revised_by_the_score_of_another():
    quality = np.array([[0.6, 0.5]])
    pairs = joint(0.6, 0.5, 0.4)
    for first, second in product(range(3), repeat=2):
        beliefs = first_beliefs(quality)
        for call, place in ((0, first), (1, second)):
            beliefs = revise(beliefs, np.array([call]), np.array([place]), evidence_of(0.4), 0.4)
        seen = {
            pair: p * chance_of_bin(pair[0], first) * chance_of_bin(pair[1], second)
            for pair, p in pairs.items()
        }
        total = sum(seen.values())
        each = (seen[1, 1] + seen[1, 0]) / total, (seen[1, 1] + seen[0, 1]) / total
        assert beliefs.best[0] == pytest.approx(max(each))
        assert beliefs.kept[0] == np.argmax(each)


def test_the_better_answer_by_hand():
    # Without correlation: 0.5 at hand, and another model of quality 0.5.
    expected = expected_best(np.array([0.5]), np.array([0.5]), np.array([0.5]), EVIDENCE)
    # The other answer is kept with the last score alone: 0.5 * 0.6 + 0.5 * (1 - 0.4).
    assert expected == pytest.approx(0.6)
    assert expected_best(np.array([0.0]), np.array([0.3]), np.array([0.3]), EVIDENCE) == (
        pytest.approx(0.3)
    )
    assert expected_best(np.array([1.0]), np.array([0.3]), np.array([0.3]), EVIDENCE) == (
        pytest.approx(1.0)
    )


def test_contenders_leave_out_what_is_never_asked(monkeypatch):
    rng = np.random.RandomState(0)
    quality, costs = rng.uniform(0.1, 0.9, size=(40, 14)), rng.uniform(size=(40, 14))
    settings = {"evidence": EVIDENCE, "correlation": 0.1, "cost_weight": 0.3, "check_cost": 0.0}
    few = next_calls(first_beliefs(quality), costs, 2, **settings)
    places = contenders(quality, costs, np.ones(quality.shape, dtype=bool), 2)
    assert places.shape[1] < 14
    monkeypatch.setattr(_cascade, "_FEW", 20)
    everything = next_calls(first_beliefs(quality), costs, 2, **settings)
    for one, other in zip(few, everything, strict=True):
        np.testing.assert_array_equal(one, other)
    # Of equal models, as many as there are calls.
    same = contenders(np.full((1, 12), 0.5), np.ones((1, 12)), np.ones((1, 12), dtype=bool), 3)
    assert same.tolist() == [[0, 1, 2]]


def test_blocks_of_prompts_choose_alike(monkeypatch):
    rng = np.random.RandomState(0)
    quality, costs = rng.uniform(0.1, 0.9, size=(50, 4)), rng.uniform(size=(50, 4))
    settings = {"evidence": EVIDENCE, "correlation": 0.2, "cost_weight": 0.2, "check_cost": 0.0}
    whole = next_calls(first_beliefs(quality), costs, 2, **settings)
    monkeypatch.setattr(_cascade, "_BLOCK_CELLS", 300)
    for one, other in zip(
        next_calls(first_beliefs(quality), costs, 2, **settings), whole, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_draws_follow_what_is_expected():
    quality, n_prompts = np.array([0.6, 0.7]), 20_000
    rng = np.random.RandomState(0)
    tall = np.tile(quality, (n_prompts, 1))
    costs = np.tile([1.0, 10.0], (n_prompts, 1))
    outcome = follow_policy(
        tall,
        costs,
        costs,
        2,
        draws=rng.uniform(size=(n_prompts, 2)),
        evidence=EVIDENCE,
        correlation=0.0,
        cost_weight=np.array([0.02]),
        check_cost=0.0,
    )
    # The cheap model is asked first, and the dear one after the lowest score.
    low = 0.6 * 0.1 + 0.4 * 0.5
    assert outcome.cost.mean() == pytest.approx(1 + 10 * low, rel=0.03)
    assert outcome.n_calls.mean() == pytest.approx(1 + low, rel=0.02)


def test_beliefs_after_three_answers_stay_probabilities():
    rng = np.random.RandomState(0)
    beliefs = first_beliefs(rng.uniform(0, 1, size=(200, 5)))
    for _ in range(3):
        call = beliefs.free.argmax(axis=1)
        beliefs = revise(beliefs, call, rng.randint(3, size=200), evidence_of(0.9), 0.8)
        assert isinstance(beliefs, Beliefs)
        for values in (beliefs.quality, beliefs.best):
            assert values.min() >= 0
            assert values.max() <= 1
    assert (beliefs.free.sum(axis=1) == 2).all()
