from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._numerics import _routing
from sklearn_uniroute._numerics._routing import (
    _first_moves,
    choose,
    choose_by_product,
    hull_walk,
    leave_one_choice,
    walk_points,
    weight_within_budget,
)
from tests import reference

# Eighths and small integers add and divide without rounding, so that ties are true ties.
EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)


@st.composite
def problems(draw):
    n_prompts, n_models = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    error = draw(arrays(np.float64, (n_prompts, n_models), elements=EIGHTHS))
    # Costs of models, or of each call.
    shape = draw(st.sampled_from([(n_models,), (n_prompts, n_models)]))
    costs = draw(arrays(np.float64, shape, elements=st.integers(0, 4).map(float)))
    return error, costs


def paid(error, costs, chosen):
    """Cost of the chosen model of each prompt."""
    return np.broadcast_to(costs, error.shape)[np.arange(len(error)), chosen]


@given(problems(), EIGHTHS)
def test_choose_agrees_with_the_reference(problem, cost_weight):
    error, costs = problem
    by_prompt = np.broadcast_to(costs, error.shape)
    expected = [
        reference.choose(row, prices, cost_weight)
        for row, prices in zip(error, by_prompt, strict=True)
    ]
    np.testing.assert_array_equal(choose(error, costs, cost_weight), expected)


def test_choose_breaks_ties_by_cost_then_error_then_position():
    assert choose(np.array([[0.5, 0.25]]), np.array([1.0, 2.0]), 0.25) == [0]
    # So large a cost term that both scores round to the same number.
    assert choose(np.array([[0.5, 0.25]]), np.array([1.0, 1.0]), 1e20) == [1]
    assert choose(np.array([[0.5, 0.5]]), np.array([1.0, 1.0]), 0.0) == [0]


def test_choose_counts_in_double_precision():
    error = np.array([[0.5, 0.5 - 1e-6]], dtype=np.float32)
    costs = np.array([[1e4, 1e4 + 1]], dtype=np.float32)
    # The scores differ by 1e-7, and in single precision by nothing.
    for prices in (costs, costs[0]):
        assert choose(error, prices, 8e-7) == [1]
        assert choose(error, prices, 1.2e-6) == [0]


@given(problems(), EIGHTHS, EIGHTHS)
def test_a_higher_cost_weight_never_chooses_a_dearer_model(problem, one, other):
    error, costs = problem
    low, high = sorted([one, other])
    thrifty, lavish = choose(error, costs, high), choose(error, costs, low)
    assert np.all(paid(error, costs, thrifty) <= paid(error, costs, lavish))


@given(problems(), EIGHTHS)
def test_a_dominated_model_is_never_chosen(problem, cost_weight):
    error, costs = problem
    worse_error = np.column_stack([error, error[:, 0]])
    np.testing.assert_array_equal(
        choose(worse_error, np.append(costs, costs[..., :1], axis=-1), cost_weight),
        choose(error, costs, cost_weight),
    )


@given(problems(), st.integers(0, 64).map(lambda n: n / 16))
def test_walk_stands_where_choose_stands_at_every_cost_weight(problem, cost_weight):
    error, costs = problem
    walk = hull_walk(error, costs)
    position = walk.start.copy()
    for row, source, target, threshold in zip(
        walk.row, walk.source, walk.target, walk.cost_weight, strict=True
    ):
        # At the threshold itself both models tie, and the cheaper one is kept.
        if threshold > cost_weight:
            assert position[row] == source
            position[row] = target
    np.testing.assert_array_equal(position, choose(error, costs, cost_weight))


@given(problems())
def test_walk_moves_to_dearer_models_of_less_error_at_falling_cost_weights(problem):
    error, costs = problem
    walk = hull_walk(error, costs)
    assert np.all(np.diff(walk.cost_weight) <= 0)
    by_prompt = np.broadcast_to(costs, error.shape)
    assert np.all(by_prompt[walk.row, walk.target] > by_prompt[walk.row, walk.source])
    assert np.all(error[walk.row, walk.target] < error[walk.row, walk.source])


def test_walk_by_hand():
    # Hull of (1, .8), (2, .5), (4, .4); the model at cost 3 lies above it.
    walk = hull_walk(np.array([[0.8, 0.5, 0.48, 0.4]]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert walk.start.tolist() == [0]
    assert walk.source.tolist() == [0, 1]
    assert walk.target.tolist() == [1, 3]
    np.testing.assert_allclose(walk.cost_weight, [0.3, 0.05])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [7, (50, 7)])
def test_walk_in_blocks_is_the_walk_in_one(monkeypatch, dtype, shape):
    rng = np.random.RandomState(0)
    error, costs = rng.uniform(size=(50, 7)).astype(dtype), rng.uniform(size=shape)
    whole = hull_walk(error, costs)
    monkeypatch.setattr(_routing, "_WALK_CELLS", 7 * 3)
    for one, other in zip(whole, hull_walk(error, costs), strict=True):
        np.testing.assert_array_equal(one, other)


@given(problems(), st.integers(0, 40).map(lambda n: n / 10))
def test_the_weight_within_a_budget_is_the_least(problem, budget):
    error, costs = problem
    weights = np.full(len(error), 1 / len(error))
    lowest = np.broadcast_to(costs, error.shape).min(axis=1).mean()
    if budget < lowest - 1e-9:
        with pytest.raises(ValueError, match="below the least mean cost"):
            weight_within_budget(budget, error, costs, weights)
        return
    cost_weight = weight_within_budget(budget, error, costs, weights)
    assert paid(error, costs, choose(error, costs, cost_weight)).mean() <= budget + 1e-9
    lower = choose(error, costs, max(cost_weight * (1 - 1e-5) - 1e-12, 0))
    assert cost_weight == 0 or paid(error, costs, lower).mean() > budget


def test_a_budget_is_kept_where_rounding_makes_the_move_that_it_forbids():
    error, costs = np.array([[0.9999999996353158, 0.9999999997264869]]), np.array([1e11 + 2, 1e11])
    cost_weight = weight_within_budget(1e11 + 1.58, error, costs, np.ones(1))
    assert choose(error, costs, cost_weight) == [1]


@given(problems(), st.sampled_from([0.0, 0.5, 1e20]), st.data())
def test_one_choice_is_left(problem, cost_weight, draw):
    error, costs = problem
    rows = draw.draw(arrays(bool, len(error)))
    model = draw.draw(st.integers(0, error.shape[1] - 1))
    chosen = choose(*leave_one_choice(error, costs, rows, model), cost_weight)
    assert np.all(chosen[rows] == model)
    np.testing.assert_array_equal(chosen[~rows], choose(error, costs, cost_weight)[~rows])


@given(problems(), EIGHTHS)
def test_a_product_chooses_as_sums_do_or_says_so(problem, cost_weight):
    error, costs = problem
    costs = costs if costs.ndim == 1 else costs[0]
    features = np.random.RandomState(0).dirichlet(np.ones(3), size=50)
    representation = np.resize(error, (len(costs), 3))
    chosen, close = choose_by_product(features, representation, cost_weight * costs)
    expected = choose(features @ representation.T, costs, cost_weight)
    np.testing.assert_array_equal(chosen[~close], expected[~close])
    scores = np.sort(features @ representation.T + cost_weight * costs, axis=1)
    if len(costs) > 1:
        np.testing.assert_array_equal(close, scores[:, 1] - scores[:, 0] < 1e-10)
    else:
        assert not close.any()


def test_predicted_choices_do_not_depend_on_the_product(data):
    """Models that are alike, or nearly so, tie as in sums of each entry on its own."""
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=data.costs)
    errors = 1 - data.y[router.validation_indices_, 3]
    for cost in (5.0, 3.0, 5.0, 3.0):
        router.add_model(errors, cost=cost)
    index = np.arange(12)
    for weight in (0.0, 1e-15, 0.01, 1e12):
        predictor = router._predictor(index)
        error, costs = predictor.terms(data.X)
        np.testing.assert_array_equal(
            router.predict(data.X, cost_weight=weight), choose(error, costs, weight)
        )
        assert 9 in router.predict(data.X, [8, 9, 10, 11], cost_weight=weight)


DECIMALS = [number / 10 for number in range(11)]


@given(
    error=arrays(int, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.integers(0, 10)),
    data=st.data(),
)
def test_ties_of_decimals_are_ties_in_any_unit_offset_and_precision(error, data):
    """Rounding of decimals decided ties, for the dearer model in 37 of 220 cases."""
    n_models = error.shape[1]
    costs = np.array(data.draw(st.permutations(range(1, 10))))[:n_models]
    cost_weight = data.draw(st.integers(0, 5))
    # By hand, in whole numbers: the lowest score, then the lowest cost.
    score = error + cost_weight * costs
    expected = [
        min(range(n_models), key=lambda model, row=row: (row[model], costs[model])) for row in score
    ]
    for scale, offset, unit in ((0.1, 0, 1), (0.1, 1000, 1), (0.1, 0, 3e5), (0.1, 0, 1 / 3)):
        scaled, weight = error * scale + offset, cost_weight * scale / unit
        assert choose(scaled, unit * costs, weight).tolist() == expected
        by_call = np.tile(unit * costs, (len(error), 1))
        assert choose(scaled, by_call, weight).tolist() == expected
    single = (error * 0.1).astype(np.float32)
    assert choose(single, costs.astype(np.float32), cost_weight * 0.1).tolist() == expected


@given(
    error=arrays(int, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.integers(0, 10)),
    data=st.data(),
)
def test_moves_at_one_cost_weight_happen_together_in_any_unit_offset_and_precision(error, data):
    costs = np.array(data.draw(st.permutations(range(1, 10))))[: error.shape[1]]
    # Slopes of whole numbers, exactly.
    walk = hull_walk(error.astype(float), costs.astype(float))
    points, _ = walk_points(walk)
    slopes = {
        Fraction(int(error[r, s] - error[r, t]), int(costs[t] - costs[s]))
        for r, s, t in zip(walk.row, walk.source, walk.target, strict=True)
    }
    assert len(points) == 1 + len(slopes)
    for scale, offset, unit in ((0.1, 0, 1), (0.1, 1000, 1), (0.1, 0, 3e5), (0.1, 0, 1 / 3)):
        other = hull_walk(error * scale + offset, unit * costs)
        assert len(walk_points(other)[0]) == len(points)
    other = hull_walk((error * 0.1).astype(np.float32), costs.astype(np.float32))
    assert len(walk_points(other)[0]) == len(points)


def test_many_close_moves_do_not_all_happen_together():
    """Each move is within rounding of the next, but not of the last."""
    cost_weight = 1 - np.arange(1000) * 1e-8
    first = _first_moves(cost_weight, np.full(1000, 1e-8))
    assert 300 < len(first) < 400
    widths = cost_weight[first] - cost_weight[np.append(first[1:], 1000) - 1]
    assert widths.max() <= 2.001e-8


def test_costs_in_single_precision_keep_a_budget_of_their_own():
    costs = np.array([0.1, 0.3], dtype=np.float32).astype(float)
    error = np.array([[0.5, 0.2]])
    for budget in (0.1, 0.3):
        weight = weight_within_budget(budget, error, costs, np.ones(1))
        assert costs[choose(error, costs, weight)] == pytest.approx(budget)
