"""The policy of a cascade: first and next calls, simulations and budgets."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_uniroute import DeferralCurveDisplay, RoutingTable
from tests.routers.test_cascade import TEST, fit


def walk(cascade, log, cost_weight, max_calls=2):
    """Follow the policy by its public methods: cost and number of calls of each prompt."""
    X, scores = log.X[TEST], log.scores[TEST]
    rows = np.arange(len(X))
    model, check = cascade.first(X, cost_weight=cost_weight, return_check=True)
    asked, seen = model[:, None], np.where(check, scores[rows, model], np.nan)[:, None]
    cost = log.costs[model] + cascade.check_cost * check
    going, calls = check.copy(), np.ones(len(X))
    for _ in range(max_calls - 1):
        model, check = cascade.next(X, asked, seen, cost_weight=cost_weight, return_check=True)
        going &= ~(asked == model[:, None]).any(axis=1)
        cost += going * (log.costs[model] + cascade.check_cost * check)
        calls += going
        # Where no model is asked, some other one stands in the table, without a score.
        fill = np.array([min(set(range(6)) - set(row)) for row in asked.tolist()])
        model = np.where(going, model, fill)
        asked = np.column_stack([asked, model])
        seen = np.column_stack([seen, np.where(going & check, scores[rows, model], np.nan)])
    return cost, calls


@pytest.mark.parametrize("check_cost", [0.0, 0.5])
@pytest.mark.parametrize("cost_weight", [0.001, 0.004, 0.02])
def test_simulations_follow_first_and_next(scored_log, cost_weight, check_cost):
    log = scored_log
    cascade = fit(log, check_cost=check_cost)
    curve = cascade.simulate(
        log.X[TEST], log.y[TEST], scores=log.scores[TEST], cost_weight=cost_weight
    )
    cost, calls = walk(cascade, log, cost_weight)
    assert curve.cost == pytest.approx([cost.mean()])
    assert curve.n_calls == pytest.approx([calls.mean()])
    model, check = cascade.first(log.X[TEST], cost_weight=cost_weight, return_check=True)
    rows = np.arange(len(model))
    seen = np.where(check, log.scores[TEST][rows, model], np.nan)
    second, again = cascade.next(
        log.X[TEST], model, seen, cost_weight=cost_weight, return_check=True
    )
    two = np.column_stack([model, second])
    asks = check & (second != model)
    kept = model.copy()
    scores = np.column_stack([seen, np.where(again, log.scores[TEST][rows, second], np.nan)])
    kept[asks] = cascade.next(log.X[TEST][asks], two[asks], scores[asks], cost_weight=cost_weight)
    assert curve.quality == pytest.approx([log.y[TEST][rows, kept].mean()])
    assert 1 < curve.n_calls[0] < 2


def test_dear_checks_are_made_less_often(scored_log):
    log = scored_log
    share = []
    for check_cost in (0.0, 2.0, 1000.0):
        with warnings.catch_warnings():
            # The dearest checks do not pay, which fit may find out.
            warnings.filterwarnings("ignore", "the scores say nothing", UserWarning)
            cascade = fit(log, check_cost=check_cost)
        first, check = cascade.first(log.X[TEST], cost_weight=0.004, return_check=True)
        share.append(check.mean())
    assert 1 >= share[0] > share[1] > share[2] == 0
    alone = cascade.router_.predict(log.X[TEST], cost_weight=0.004)
    np.testing.assert_array_equal(first, alone)


def test_costs_fall_as_the_cost_weight_rises(scored_log):
    log = scored_log
    cascade = fit(log)
    curve = cascade.simulate(log.X[TEST], log.y[TEST], scores=log.scores[TEST])
    assert (np.diff(curve.cost_weight) < 0).all()
    assert curve.cost_weight[-1] == 0
    # Up to the noise of the sample.
    assert (np.diff(curve.cost) > -0.05 * curve.cost[:-1]).all()
    assert curve.cost[0] == pytest.approx(log.costs.min(), rel=0.3)
    weights = np.random.RandomState(0).uniform(size=600)
    weighted = cascade.simulate(
        log.X[TEST],
        log.y[TEST],
        scores=log.scores[TEST],
        sample_weight=weights,
        cost_weight=curve.cost_weight,
    )
    assert not np.allclose(weighted.quality, curve.quality)


@pytest.mark.parametrize("budget", [3.0, 10.0, 30.0])
def test_budgets_count_all_calls(scored_log, budget):
    log = scored_log
    cascade = fit(log)
    cost_weight = cascade.cost_weight_for_budget(budget, X=log.X[TEST])
    curve = cascade.simulate(
        log.X[TEST], log.y[TEST], scores=log.scores[TEST], cost_weight=cost_weight
    )
    assert curve.cost[0] == pytest.approx(budget, rel=0.2)
    by_budget = cascade.first(log.X[TEST], budget=budget)
    weight = cascade.cost_weight_for_budget(budget)
    np.testing.assert_array_equal(by_budget, cascade.first(log.X[TEST], cost_weight=weight))
    assert cascade.cost_weight_for_budget(1e6) == 0
    with pytest.raises(ValueError, match="below the least mean cost"):
        cascade.cost_weight_for_budget(0.01)


def test_pools_may_be_smaller(scored_log):
    log = scored_log
    cascade = fit(log)
    pool = [4, 1]
    first = cascade.first(log.X[TEST], pool, cost_weight=0.001)
    assert set(first.tolist()) <= {1, 4}
    low = np.where(np.arange(600) % 5, log.scores.min(), np.median(log.scores))
    second = cascade.next(log.X[TEST], first, low, pool, cost_weight=1e-5)
    assert (second != first)[np.arange(600) % 5 > 0].all()
    area = cascade.score(
        log.X[TEST], log.y[TEST][:, pool], pool=pool, scores=log.scores[TEST][:, pool]
    )
    other = cascade.score(
        log.X[TEST],
        log.y[TEST][:, pool[::-1]],
        pool=pool[::-1],
        scores=log.scores[TEST][:, pool[::-1]],
    )
    assert area == pytest.approx(other)


def test_unknown_qualities_are_left_out(scored_log):
    log = scored_log
    cascade = fit(log)
    y = log.y[TEST].copy()
    y[::3] = np.nan
    curve = cascade.simulate(log.X[TEST], y, scores=log.scores[TEST], cost_weight=0.004)
    whole = cascade.simulate(
        log.X[TEST][1::3], log.y[TEST][1::3], scores=log.scores[TEST][1::3], cost_weight=0.004
    )
    other = cascade.simulate(
        log.X[TEST][2::3], log.y[TEST][2::3], scores=log.scores[TEST][2::3], cost_weight=0.004
    )
    assert curve.quality == pytest.approx((whole.quality + other.quality) / 2)


@pytest.mark.parametrize(
    ("asked", "scores", "message"),
    [
        (np.zeros(600, int), np.zeros(500), "shape"),
        (np.zeros(500, int), np.zeros(500), "600 prompts"),
        (np.full(600, 9), np.zeros(600), "models that are not known"),
        (np.zeros((600, 2), int), np.zeros((600, 2)), "a model twice"),
        (np.zeros(600, int), np.full(600, np.inf), "infinity"),
    ],
)
def test_bad_calls_are_refused(scored_log, asked, scores, message):
    log = scored_log
    with pytest.raises(ValueError, match=message):
        fit(log).next(log.X[TEST], asked, scores)


def test_tables_of_the_router_are_left_alone(scored_log):
    log = scored_log
    table = fit(log).router_.routing_table(cost_weight=0.004)
    assert isinstance(table, RoutingTable)


def test_the_picture_has_the_router_beside_the_cascade(scored_log):
    log = scored_log
    cascade = fit(log)
    display = DeferralCurveDisplay.from_estimator(
        cascade, log.X[TEST], log.y[TEST], scores=log.scores[TEST], cost_unit="USD"
    )
    names = [line.get_label() for line in display.ax_.get_lines()]
    assert names == ["router alone", "CascadeRouter"]
    curve = cascade.simulate(log.X[TEST], log.y[TEST], scores=log.scores[TEST])
    np.testing.assert_array_equal(display.line_.get_ydata(), curve.quality)
    assert "USD" in display.ax_.get_xlabel()


def test_rows_go_by_their_labels(scored_log):
    log = scored_log
    cascade = fit(log)
    labels = [f"p{row}" for row in range(600)]
    X = pd.DataFrame(log.X[TEST], index=labels)
    first = cascade.first(X.to_numpy(), cost_weight=0.004)
    asked, seen = pd.Series(first, index=labels), pd.Series(np.zeros(600), index=labels)
    expected = cascade.next(X.to_numpy(), first, np.zeros(600), cost_weight=0.004)
    frame = cascade.next(log.X[TEST], asked, seen, cost_weight=0.004)
    np.testing.assert_array_equal(frame, expected)
    with pytest.raises(ValueError, match="another order"):
        cascade.next(X, asked[::-1], seen[::-1], cost_weight=0.004)


def test_an_answer_that_is_surely_wrong_is_still_an_answer(scored_log):
    log = type(scored_log)(**scored_log)
    log.y = log.y.copy()
    log.y[:, 0] = 0
    cascade = fit(log, check_cost=0.1)
    first, check = cascade.first(log.X[TEST], cost_weight=1.0, return_check=True)
    assert set(first.tolist()) == {0}
    assert not check.any()
    kept = cascade.next(log.X[TEST], first, np.full(600, np.nan), cost_weight=1.0)
    np.testing.assert_array_equal(kept, first)
