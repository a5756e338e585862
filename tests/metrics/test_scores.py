import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_uniroute import KMeansRouter, KNeighborsRouter, LinearRouter
from sklearn_uniroute._numerics._routing import choose
from sklearn_uniroute.metrics import (
    aiq_score,
    apgr_score,
    cost_saving_score,
    cpt_score,
    deferral_area_score,
    deferral_curve,
    peak_quality_score,
    quality_neutral_cost,
)
from tests import reference

METRICS = [deferral_area_score, quality_neutral_cost, peak_quality_score, deferral_curve]
BOOLEANS = st.booleans()
EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)


@st.composite
def problems(draw, per_call=BOOLEANS, missing=BOOLEANS):
    """Quality, predicted errors and costs, with many ties; the first model costs least."""
    n_prompts, n_models = draw(st.integers(1, 7)), draw(st.integers(2, 5))
    shape = (n_prompts, n_models)
    y = draw(arrays(np.float64, shape, elements=EIGHTHS))
    error = draw(arrays(np.float64, shape, elements=EIGHTHS))
    prices = st.integers(1, 6).map(float)
    costs = draw(arrays(np.float64, shape if draw(per_call) else n_models, elements=prices))
    costs[..., 0] = 0.5
    if draw(missing):
        # The first prompt was run on all models, and the cheapest model on all prompts.
        holes = draw(arrays(bool, shape))
        holes[0] = False
        holes[:, 0] = False
        y[holes] = np.nan
        if costs.ndim == 2:
            costs[holes] = np.nan
    return y, error, costs


def expected_points(y, error, costs, weights=None):
    weights = np.ones(len(y)) if weights is None else weights
    routing_costs = reference.model_means(costs, weights)
    points = reference.curve(y, error, costs, routing_costs, weights)
    return points, routing_costs, reference.model_means(y, weights)


@given(problems())
def test_curve_has_the_points_of_the_reference(problem):
    y, error, costs = problem
    try:
        points, _, _ = expected_points(y, error, costs)
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="no prompt has a known"):
            deferral_curve(y, error, costs)
        return
    cost, quality, cost_weight = deferral_curve(y, error, costs)
    path = list(zip(cost, quality, strict=True))
    distinct = [path[0]]
    for point in path[1:]:
        if not np.allclose(point, distinct[-1], rtol=0, atol=1e-12):
            distinct.append(point)
    unequal = [points[0]]
    for point in points[1:]:
        if not np.allclose(point, unequal[-1], rtol=0, atol=1e-12):
            unequal.append(point)
    np.testing.assert_allclose(distinct, unequal, rtol=0, atol=1e-12)
    assert cost_weight[-1] == 0
    assert np.all(np.diff(cost_weight) < 0)


@given(problems())
def test_scores_agree_with_the_reference(problem):
    y, error, costs = problem
    try:
        points, model_costs, qualities = expected_points(y, error, costs)
    except ZeroDivisionError:
        return
    np.testing.assert_allclose(
        deferral_area_score(y, error, costs), reference.area(points, model_costs), atol=1e-9
    )
    assert peak_quality_score(y, error, costs) == pytest.approx(max(q for _, q in points))
    if costs.ndim == 1:
        expected = reference.quality_neutral_cost(points, model_costs, qualities)
        assert quality_neutral_cost(y, error, costs) == pytest.approx(expected, abs=1e-9)


def test_scores_agree_with_the_reference_on_many_models():
    rng = np.random.RandomState(0)
    y, error = rng.uniform(size=(2, 60, 9))
    costs, weights = rng.uniform(size=9), rng.uniform(size=60)
    points, model_costs, qualities = expected_points(y, error, costs, weights)
    area = deferral_area_score(y, error, costs, sample_weight=weights)
    assert area == pytest.approx(reference.area(points, model_costs), abs=1e-9)
    good = 1 - y
    points, model_costs, qualities = expected_points(y, good, costs, weights)
    qnc = quality_neutral_cost(y, good, costs, sample_weight=weights)
    expected = reference.quality_neutral_cost(points, model_costs, qualities)
    assert np.isfinite(qnc)
    assert qnc == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    # Prompt 0: all models are right. Prompt 1: only the dear one is, and is known to be.
    y, error, costs = [[1, 1, 1], [0, 0, 1]], [[0.1, 0.1, 0.1], [0.9, 0.8, 0.1]], [1, 2, 5]
    cost, quality, cost_weight = deferral_curve(y, error, costs)
    # The model of cost 2 lies above the line from (1, .9) to (5, .1), and is never chosen.
    np.testing.assert_allclose(cost, [1, 3])
    np.testing.assert_allclose(quality, [0.5, 1])
    np.testing.assert_allclose(cost_weight, [0.4, 0])
    # (1 + .5) / 2 over the costs 1 to 3, then 1 up to 5.
    assert deferral_area_score(y, error, costs) == pytest.approx((0.75 * 2 + 1 * 2) / 4)
    assert quality_neutral_cost(y, error, costs) == pytest.approx(3 / 5)
    assert peak_quality_score(y, error, costs) == 1


def test_qnc_where_a_point_has_just_the_quality_of_the_best_model():
    y = [[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    error = [[1, 0, 1], [1, 0, 1], [1, 1, 0], [1, 1, 0]]
    cost, quality, _ = deferral_curve(y, error, [1, 3, 4])
    np.testing.assert_allclose(cost, [1, 2, 3.5])
    np.testing.assert_allclose(quality, [0, 0.5, 1])
    assert quality_neutral_cost(y, error, [1, 3, 4]) == pytest.approx(2 / 3)


def test_qnc_is_interpolated_inside_a_segment():
    # From (1, .5) to (3, 1); the best single model has quality .75 at cost 4, halfway up.
    y = [[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 1]]
    error = [[0.0, 1, 0.5], [0.0, 1, 0.5], [1, 0.0, 0.5], [1, 0.0, 0.5]]
    cost, quality, _ = deferral_curve(y, error, [1, 5, 4])
    np.testing.assert_allclose(cost, [1, 3])
    np.testing.assert_allclose(quality, [0.5, 1])
    assert quality_neutral_cost(y, error, [1, 5, 4]) == pytest.approx(2 / 4)


def test_each_point_is_where_the_router_works_at_its_cost_weight():
    rng = np.random.RandomState(0)
    y, error = rng.uniform(size=(2, 50, 6))
    costs = rng.uniform(size=6)
    for cost, quality, cost_weight in zip(*deferral_curve(y, error, costs), strict=True):
        chosen = choose(error, costs, cost_weight)
        assert costs[chosen].mean() == pytest.approx(cost)
        assert y[np.arange(50), chosen].mean() == pytest.approx(quality)


def test_costs_that_differ_by_rounding_alone_have_no_range():
    rng = np.random.RandomState(0)
    y, error, weight = *rng.uniform(size=(2, 30, 3)), rng.uniform(size=30)
    calls = np.full((30, 3), 0.1)
    y[1:][rng.uniform(size=(29, 3)) < 0.3] = np.nan
    calls[np.isnan(y)] = np.nan
    with pytest.raises(ValueError, match="the same mean cost"):
        deferral_area_score(y, error, calls, sample_weight=weight)


def test_qnc_is_infinite_where_the_curve_never_gets_there():
    assert quality_neutral_cost([[0, 1]], [[0, 1]], [1, 2]) == np.inf


def test_qnc_of_free_models():
    assert quality_neutral_cost([[1, 0]], [[0, 1]], [0, 2]) == 1
    assert quality_neutral_cost([[1, 0.5], [0, 0]], [[0.5, 0.5], [0.5, 0.5]], [0, 0]) == 1
    assert quality_neutral_cost([[0, 1], [1, 0]], [[0, 1], [1, 0]], [0, 0]) == np.inf
    # As good as the free model only with the help of the dear one.
    y, error = [[0, 0.5, 0.5]], [[0.5, 0.5, 0.1]]
    assert quality_neutral_cost(y, error, [0, 0, 1]) == np.inf


def test_best_model_shared_by_two_counts_at_the_lower_cost():
    assert quality_neutral_cost([[0, 1, 1]], [[1, 0, 0]], [1, 2, 8]) == 1


@given(problems(per_call=st.just(False), missing=st.just(False)), st.randoms(use_true_random=False))
def test_order_of_prompts_does_not_matter(problem, random):
    y, error, costs = problem
    order = list(range(len(y)))
    random.shuffle(order)
    for one, other in zip(
        deferral_curve(y, error, costs),
        deferral_curve(y[order], error[order], costs),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-12)


@given(problems(missing=st.just(False)), st.integers(-3, 3))
def test_unit_of_costs_does_not_matter(problem, power):
    y, error, costs = problem
    scaled = costs * 2.0**power
    assert deferral_area_score(y, error, scaled) == pytest.approx(
        deferral_area_score(y, error, costs)
    )
    assert quality_neutral_cost(y, error, scaled) == pytest.approx(
        quality_neutral_cost(y, error, costs)
    )


@given(problems(missing=st.just(False)), st.integers(1, 3))
def test_a_weight_counts_like_repetition(problem, times):
    y, error, costs = problem
    weight = np.ones(len(y))
    weight[0] = times
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    repeated_costs = costs[repeated] if costs.ndim == 2 else costs
    for metric in METRICS[:3]:
        assert metric(y, error, costs, sample_weight=weight) == pytest.approx(
            metric(y[repeated], error[repeated], repeated_costs)
        )


@given(problems(per_call=st.just(False), missing=st.just(False)))
def test_area_and_peak_lie_between_the_qualities(problem):
    y, error, costs = problem
    area = deferral_area_score(y, error, costs)
    assert y.min(axis=1).mean() - 1e-12 <= area <= y.max(axis=1).mean() + 1e-12
    assert area <= peak_quality_score(y, error, costs) + 1e-12


@given(problems(per_call=st.just(False), missing=st.just(False)))
def test_perfect_predictions_reach_every_prompts_best(problem):
    y, _, costs = problem
    assert peak_quality_score(y, 1 - y, costs) == pytest.approx(y.max(axis=1).mean())
    assert quality_neutral_cost(y, 1 - y, costs) <= 1 + 1e-12


def test_one_model():
    cost, quality, cost_weight = deferral_curve([[1], [0]], [[0.5], [0.5]], [3])
    assert (cost.tolist(), quality.tolist(), cost_weight.tolist()) == ([3], [0.5], [0])
    assert quality_neutral_cost([[1], [0]], [[0.5], [0.5]], [3]) == 1
    assert peak_quality_score([[1], [0]], [[0.5], [0.5]], [3]) == 0.5


def test_equal_costs_leave_no_area_but_the_other_scores():
    y, error, costs = [[1, 0], [0, 1]], [[0, 1], [1, 0]], [2, 2]
    with pytest.raises(ValueError, match=r"the same mean cost \(2\).*no area.*peak_quality_score"):
        deferral_area_score(y, error, costs)
    assert quality_neutral_cost(y, error, costs) == 1
    assert peak_quality_score(y, error, costs) == 1


def test_duplicate_models_change_nothing():
    rng = np.random.RandomState(0)
    y, error = rng.uniform(size=(2, 30, 4))
    costs = np.array([1.0, 2.0, 3.0, 4.0])
    twice = np.repeat(np.arange(4), 2)
    for metric in METRICS[:3]:
        assert metric(y[:, twice], error[:, twice], costs[twice]) == metric(y, error, costs)


def test_missing_quality_is_left_out_of_the_average_but_paid_for():
    # All prompts end at the dear model; on the second it was not run.
    y, error = [[0, 1], [0, np.nan], [0, 0]], [[1, 0]] * 3
    cost, quality, _ = deferral_curve(y, error, [1, 3])
    assert cost[-1] == 3
    assert quality[-1] == 0.5


def test_calls_are_routed_by_mean_or_given_costs_and_paid_as_they_are():
    y, error = [[0.0, 1.0], [0.0, 1.0]], [[1, 0], [1, 0.5]]
    costs = np.array([[1.0, 2.0], [3.0, 8.0]])
    # Mean costs 2 and 5: the first prompt moves at 1/3, the second at 1/6.
    cost, quality, cost_weight = deferral_curve(y, error, costs)
    np.testing.assert_allclose(cost, [2, 2.5, 5])
    np.testing.assert_allclose(quality, [0, 0.5, 1])
    np.testing.assert_allclose(cost_weight, [2 / 3, 1 / 4, 0])
    # Routed as if the second model were free: it is best from the start.
    cost, quality, _ = deferral_curve(y, error, costs, routing_costs=[1, 0])
    assert (cost.tolist(), quality.tolist()) == ([5], [1])


def test_costs_by_name():
    y = pd.DataFrame([[1, 1], [0, 1]], columns=["small", "large"])
    error = pd.DataFrame([[0.1, 0.1], [0.9, 0.1]], columns=["small", "large"])
    by_position = deferral_area_score(y, error, [1, 5])
    for costs in (
        {"large": 5, "small": 1, "another": 9},
        pd.Series({"large": 5, "small": 1}),
        pd.DataFrame({"large": [5, 5], "small": [1, 1]}),
    ):
        assert deferral_area_score(y, error, costs) == by_position


BAD = [
    ({"y_true": [1, 0]}, r"`y_true` must be of shape .* 1 dimension"),
    ({"y_true": [[np.inf, 1], [0, 1]]}, "y_true contains infinity"),
    ({"y_true": [[np.nan, 1], [np.nan, 1]]}, r"`y_true` has no observed quality for model\(s\) 0"),
    ({"error_pred": [[0.1, 0.1]]}, r"`error_pred` has shape \(1, 2\).*\(2, 2\)"),
    ({"error_pred": [[np.nan, 0.1], [0.9, 0.1]]}, "error_pred contains NaN"),
    ({"costs": [1, 2, 3]}, r"`costs` has 3 entries but there are 2 models.*cross-validation"),
    ({"costs": [[1, 2, 3]]}, r"`costs` has shape \(1, 3\)"),
    ({"costs": [1, -2]}, r"`costs` must be finite and at least 0; got -2.0 for model 1\."),
    ({"costs": [[1, 2], [np.nan, 2]]}, r"got nan for model 0 in row 1\. Only calls"),
    ({"costs": {0: 1}}, r"`costs` has no entry for model\(s\) 1; it names 0"),
    ({"routing_costs": [1, np.inf]}, "`routing_costs` must be finite"),
    ({"routing_costs": [[1, 2, 3]]}, r"`routing_costs` has shape \(1, 3\).*per model, or an array"),
    ({"routing_costs": [[1, np.nan], [3, 4]]}, r"got nan for model 1 in row 0\.$"),
    ({"sample_weight": [1]}, r"`sample_weight` has shape \(1,\) but there are 2 prompts"),
    ({"sample_weight": [-1, 2]}, "`sample_weight` must hold weights of at least 0"),
    ({"sample_weight": [0, 0]}, "not all of them zero"),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_bad_input(metric, wrong, message):
    arguments = {
        "y_true": [[1, 1], [0, 1]],
        "error_pred": [[0.1, 0.1], [0.9, 0.1]],
        "costs": [1, 5],
    }
    metric(**arguments)
    with pytest.raises(ValueError, match=message):
        metric(**{**arguments, **wrong})


def test_a_model_without_weight_is_an_error():
    with pytest.raises(ValueError, match="in column 0 have a `sample_weight` of 0"):
        quality_neutral_cost([[np.nan, 1], [0, 1]], [[1, 0]] * 2, [1, 2], sample_weight=[1, 0])


def test_a_point_without_a_known_quality_is_an_error():
    y = [[0, np.nan], [0, 1]]
    error = [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="no prompt has a known quality"):
        deferral_curve([[np.nan, 1], [0, np.nan]], [[0, 1], [1, 0]], [1, 2])
    deferral_curve(y, error, [1, 2])


PEER_EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)


@st.composite
def two_model_problems(draw, n_models=None):
    n_prompts = draw(st.integers(1, 6))
    n_models = n_models or draw(st.integers(2, 5))
    y = draw(arrays(np.float64, (n_prompts, n_models), elements=PEER_EIGHTHS))
    error = draw(arrays(np.float64, (n_prompts, n_models), elements=PEER_EIGHTHS))
    costs = draw(arrays(np.float64, n_models, elements=st.integers(1, 6).map(float)))
    costs[0] = 0.5
    return y, error, costs


def curve(y, error, costs):
    return reference.curve(y, error, costs, costs, np.ones(len(y)))


@given(two_model_problems())
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


@given(two_model_problems(n_models=2).map(strong_and_weak))
def test_apgr_averages_the_gap_recovered_over_calls(problem):
    expected = reference.area(gap_points(*problem), [0.0, 1.0])
    assert apgr_score(*problem) == pytest.approx(expected, abs=1e-9)


@given(two_model_problems(n_models=2).map(strong_and_weak), PEER_EIGHTHS)
def test_cpt_is_the_least_share_of_calls(problem, recovered):
    points = gap_points(*problem)
    least = np.inf
    for (c0, r0), (c1, r1) in zip(points, [*points[1:], points[-1]], strict=True):
        if r0 >= recovered - 1e-12:
            least = min(least, c0)
        elif r1 >= recovered - 1e-12:
            least = min(least, c0 + (recovered - r0) / (r1 - r0) * (c1 - c0))
    assert cpt_score(*problem, recovered=recovered) == pytest.approx(least, abs=1e-9)


@given(two_model_problems(), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
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
        (aiq_score, {"costs": [1, 1]}, "all models of the pool have the same mean cost"),
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
        (cost_saving_score, {"y_true": [[-2, -1]]}, "a quality above 0; got a best quality of -1"),
    ],
)
def test_bad_input_of_peers(score, changes, message):
    arguments = {"y_true": [[0, 1]], "error_pred": [[0.5, 0.1]], "costs": [1, 2], **changes}
    with pytest.raises(ValueError, match=message):
        score(**arguments)


METRICS_BY_NAME = [
    deferral_area_score,
    quality_neutral_cost,
    peak_quality_score,
    aiq_score,
    cost_saving_score,
]


@pytest.mark.parametrize("metric", METRICS_BY_NAME, ids=lambda metric: metric.__name__)
def test_predicted_errors_with_names_go_by_name(metric):
    rng = np.random.RandomState(0)
    p = rng.uniform(size=(300, 3))
    y = pd.DataFrame((rng.uniform(size=(300, 3)) < p) * 1.0, columns=list("abc"))
    error, costs = pd.DataFrame(1 - p, columns=list("abc")), {"a": 1, "b": 5, "c": 20}
    expected = metric(y.to_numpy(), error.to_numpy(), [1, 5, 20])
    # Added models come last in a router, and may come first in a table.
    with pytest.warns(UserWarning, match="`error_pred` has no names of models, and its columns"):
        assert metric(y, error.to_numpy(), costs) == expected
    assert metric(y, error, costs) == metric(y, error[["c", "a", "b"]], costs) == expected
    # Names of predicted errors name the models where the quality has none.
    with pytest.warns(UserWarning, match="`y_true` has no names of models, and its columns are"):
        assert metric(y.to_numpy(), error, costs) == expected
    with pytest.raises(ValueError, match=r"has column\(s\) 'p'.* `y_true` does not have"):
        metric(y, error.set_axis(["p", "b", "c"], axis=1), costs)
    with pytest.raises(ValueError, match=r"no column for model\(s\) 'c'"):
        metric(y, error[["a", "b"]], costs)
    with pytest.raises(ValueError, match=r"`error_pred` have the labels .* in another order"):
        metric(y, error.sample(frac=1, random_state=0), costs)
    with pytest.raises(ValueError, match=r"`sample_weight` have the labels .* in another order"):
        metric(y, error, costs, sample_weight=pd.Series(np.ones(300), index=range(299, -1, -1)))


def test_masked_cells_are_missing():
    y = np.ma.masked_array([[1.0, 0.0], [9.0, 1.0]], [[False, False], [True, False]])
    error, costs = [[0.1, 0.9], [0.5, 0.2]], [1, 2]
    plain = [[1.0, 0.0], [np.nan, 1.0]]
    assert deferral_area_score(y, error, costs) == deferral_area_score(plain, error, costs)
    masked = np.ma.masked_array(error, [[True, False], [False, False]])
    with pytest.raises(ValueError, match="error_pred contains NaN"):
        deferral_area_score(plain, masked, costs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_three_models_on_one_line(dtype):
    error = np.array([[0.3, 0.2, 0.1]], dtype=dtype)
    assert deferral_area_score([[0, 1, 0]], error, [1, 2, 3]) == 0
    assert quality_neutral_cost([[0, 1, 0]], error, [1, 2, 3]) == np.inf


@given(
    error=arrays(int, st.tuples(st.integers(1, 6), st.integers(2, 4)), elements=st.integers(0, 10)),
    data=st.data(),
)
def test_unit_offset_and_precision_of_errors_do_not_matter(error, data):
    """With 1000 added to all errors, 19 % of areas were others."""
    y = data.draw(arrays(int, error.shape, elements=st.integers(0, 1)))
    costs = np.array(data.draw(st.permutations(range(1, 8))))[: error.shape[1]]
    area = deferral_area_score(y, error / 10, costs)
    for changed in (error / 10 + 1000, error * 1e-7, (error / 10).astype(np.float32)):
        assert deferral_area_score(y, changed, costs) == pytest.approx(area, abs=1e-9)
    for unit in (3e5, 1 / 3, 1e-9):
        assert deferral_area_score(y, error / 10, unit * costs) == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_routers_score_as_the_metric_does(data, dtype):
    """On predicted errors, which come in the precision of the prompts."""
    X = data.X.astype(dtype)
    for router in (
        KMeansRouter(6, representation="mean", temperature=0, random_state=0),
        LinearRouter(),
        KNeighborsRouter(4, random_state=0),
    ):
        router.fit(X[:300], data.y[:300], costs=np.arange(1, 9))
        error = router.predict_error(X[300:])
        expected = deferral_area_score(data.y[300:], error, np.arange(1, 9))
        assert router.score(X[300:], data.y[300:]) == pytest.approx(expected, abs=1e-12)
