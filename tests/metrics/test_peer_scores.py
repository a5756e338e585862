import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_uniroute.metrics import (
    aiq_score,
    apgr_score,
    cost_saving_score,
    cpt_score,
    deferral_area_score,
    quality_neutral_cost,
)
from tests import reference

EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)


@st.composite
def problems(draw, n_models=None):
    n_prompts = draw(st.integers(1, 6))
    n_models = n_models or draw(st.integers(2, 5))
    y = draw(arrays(np.float64, (n_prompts, n_models), elements=EIGHTHS))
    error = draw(arrays(np.float64, (n_prompts, n_models), elements=EIGHTHS))
    costs = draw(arrays(np.float64, n_models, elements=st.integers(1, 6).map(float)))
    costs[0] = 0.5
    return y, error, costs


def curve(y, error, costs):
    return reference.curve(y, error, costs, costs, np.ones(len(y)))


@given(problems())
def test_aiq_is_the_area_under_the_hull(problem):
    y, error, costs = problem
    expected = reference.concave_hull_area(curve(y, error, costs), costs)
    assert aiq_score(y, error, costs) == pytest.approx(expected, abs=1e-9)
    assert aiq_score(y, error, costs) >= deferral_area_score(y, error, costs) - 1e-9


def strong_and_weak(problem):
    y, error, costs = problem
    y = y.copy()
    # Better on the first prompt by more than it may be worse elsewhere.
    y[0, 1] = 2 * len(y)
    return y, error, costs


def gap_points(y, error, costs):
    """Shares of calls to the strong model, by how much better it is predicted to do, and the gap
    recovered; prompts that are predicted alike go together."""
    weak, strong = y.mean(axis=0)
    gain = error[:, 0] - error[:, 1]
    points = []
    for threshold in [gain.max() + 1, *sorted(set(gain), reverse=True)]:
        calls = gain >= threshold
        quality = np.where(calls, y[:, 1], y[:, 0]).mean()
        points.append((calls.mean(), (quality - weak) / (strong - weak)))
    return points


@given(problems(n_models=2).map(strong_and_weak))
def test_apgr_averages_the_gap_recovered_over_calls(problem):
    expected = reference.area(gap_points(*problem), [0.0, 1.0])
    assert apgr_score(*problem) == pytest.approx(expected, abs=1e-9)


@given(problems(n_models=2).map(strong_and_weak), EIGHTHS)
def test_cpt_is_the_least_share_of_calls(problem, recovered):
    points = gap_points(*problem)
    least = np.inf
    for (c0, r0), (c1, r1) in zip(points, [*points[1:], points[-1]], strict=True):
        if r0 >= recovered - 1e-12:
            least = min(least, c0)
        elif r1 >= recovered - 1e-12:
            least = min(least, c0 + (recovered - r0) / (r1 - r0) * (c1 - c0))
    assert cpt_score(*problem, recovered=recovered) == pytest.approx(least, abs=1e-9)


@given(problems(), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_saving_is_what_a_share_of_the_quality_costs_less(problem, quality_share):
    y, error, costs = problem
    y = y + 0.125
    points = curve(y, error, costs)
    best = y.mean(axis=0).max()
    price = min(c for c, q in zip(costs, y.mean(axis=0), strict=True) if q >= best - 1e-12)
    target, least = quality_share * best, np.inf
    for (c0, q0), (c1, q1) in zip(points, [*points[1:], points[-1]], strict=True):
        if q0 >= target - 1e-12:
            least = min(least, c0)
        elif q1 >= target - 1e-12:
            least = min(least, c0 + (target - q0) / (q1 - q0) * (c1 - c0))
    saving = cost_saving_score(y, error, costs, quality_share=quality_share)
    assert saving == pytest.approx(1 - least / price, abs=1e-9)
    if quality_share == 1:
        assert saving == pytest.approx(1 - quality_neutral_cost(y, error, costs), abs=1e-9)


def test_choosing_at_random_recovers_half_of_the_gap():
    rng = np.random.RandomState(0)
    y = (rng.uniform(size=(20000, 2)) < [0.3, 0.8]).astype(float)
    error = rng.uniform(size=y.shape)
    assert apgr_score(y, error, [1, 9]) == pytest.approx(0.5, abs=0.01)
    assert cpt_score(y, error, [1, 9], recovered=0.4) == pytest.approx(0.4, abs=0.02)


def test_perfect_foresight_recovers_the_gap_with_the_calls_that_help():
    y = np.array([[1.0, 1], [1, 1], [0, 1], [0, 1]])
    assert cpt_score(y, 1 - y, [1, 9], recovered=1) == 0.5
    # 0 to 1 over the first half of the calls, then 1.
    assert apgr_score(y, 1 - y, [1, 9]) == pytest.approx(0.75)
    # The order of the models does not matter, nor does the unit of the costs.
    assert apgr_score(y[:, ::-1], 1 - y[:, ::-1], [0.9, 0.1]) == pytest.approx(0.75)


def test_all_calls_go_to_the_strong_model_in_the_end():
    # Predicted to do worse on one prompt, and right on both.
    arrays = {"y_true": [[0, 1], [0, 1]], "error_pred": [[0.1, 0.2], [0.9, 0.1]], "costs": [1, 2]}
    assert cpt_score(**arrays, recovered=0.8) == pytest.approx(0.8)
    assert apgr_score(**arrays) == pytest.approx(0.5)


def test_costs_of_calls_and_weights():
    rng = np.random.RandomState(1)
    y, error, calls = rng.uniform(size=(3, 40, 3))
    weights = rng.randint(1, 4, 40)
    again = np.repeat(np.arange(40), weights)
    for score in (aiq_score, cost_saving_score):
        once = score(y, error, calls, sample_weight=weights)
        assert once == pytest.approx(score(y[again], error[again], calls[again]))
    y[0, 1] += 100
    calls[:, 1] += 1
    for score in (apgr_score, cpt_score):
        once = score(y[:, :2], error[:, :2], calls[:, :2], sample_weight=weights)
        repeated = score(y[again, :2], error[again, :2], calls[again, :2])
        assert once == pytest.approx(repeated)


THREE = {"y_true": [[0, 1, 1]], "error_pred": [[0, 1, 1]], "costs": [1, 2, 3]}


@pytest.mark.parametrize(
    ("score", "changes", "message"),
    [
        (aiq_score, {"costs": [1, 1]}, "all models of the pool have one mean cost"),
        (
            apgr_score,
            {"y_true": [[0, 1, 1]], "error_pred": [[0, 1, 1]], "costs": [1, 2, 3]},
            "3 mo",
        ),
        (apgr_score, {"costs": [2, 1]}, "the dearer of the two models to be the better one; got"),
        (cpt_score, {"costs": [1, 1]}, "the dearer of the two models to be the better one; got"),
        (cpt_score, {"recovered": 1.5}, "recovered == 1.5, must be <= 1"),
        (cost_saving_score, {"quality_share": -1}, "quality_share == -1, must be >= 0"),
        (cost_saving_score, {"costs": [1, 0]}, "the best model is free"),
        (cost_saving_score, {"y_true": [[-2, -1]]}, "where that is above 0; got -1"),
    ],
)
def test_bad_input(score, changes, message):
    arguments = {"y_true": [[0, 1]], "error_pred": [[0.5, 0.1]], "costs": [1, 2], **changes}
    with pytest.raises(ValueError, match=message):
        score(**arguments)
