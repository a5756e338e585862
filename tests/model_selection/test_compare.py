import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.utils import Bunch

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter, KNeighborsRouter, ZeroRouter
from sklearn_uniroute.datasets import load_routing_data, make_routing_data
from sklearn_uniroute.metrics import deferral_area_score, deferral_curve, quality_neutral_cost
from sklearn_uniroute.model_selection import RouterComparison, compare_routers
from sklearn_uniroute.model_selection._compare import baseline_inputs
from sklearn_uniroute.model_selection._split import draw_split
from sklearn_uniroute.utils._statistics import mean_interval, t_test

ROUTERS = {"zero": ZeroRouter(), "kmeans": KMeansRouter(6), "neighbors": KNeighborsRouter(15)}


def test_a_trial_by_hand(data):
    comparison = compare_routers({"kmeans": KMeansRouter(6)}, data, n_trials=2, n_validation=30)
    seed = np.random.SeedSequence(0).generate_state(2)[1]
    split = comparison.splits[1]
    rows, known, unseen = split.training, split.training_models, split.unseen_models
    router = KMeansRouter(6, random_state=int(seed % 2**31))
    router.fit(
        data.X[rows], data.y[rows][:, known], data.costs[known], X_val=data.X[split.validation]
    )
    for model in unseen:
        router.add_model(1 - data.y[split.validation, model], cost=data.costs[model])
    pool = [5, 6, 7]
    error = router.predict_error(data.X[split.test], pool)
    y_test = data.y[split.test][:, unseen]
    assert comparison.area[1, 0] == deferral_area_score(y_test, error, data.costs[unseen])
    assert comparison.qnc[1, 0] == quality_neutral_cost(y_test, error, data.costs[unseen])
    assert comparison.area[1, 0] == router.score(data.X[split.test], y_test, pool=pool)


def test_splits_share_nothing():
    costs = np.arange(1.0, 10.0)
    split = draw_split(np.random.RandomState(0), 100, costs, 10, 6)
    assert [len(split.training), len(split.validation), len(split.test)] == [60, 10, 30]
    prompts = np.concatenate([split.training, split.validation, split.test])
    assert sorted(prompts) == list(range(100))
    assert sorted([*split.training_models, *split.unseen_models]) == list(range(9))
    assert len(split.unseen_models) == 3
    # More validation prompts than a tenth come from the training prompts.
    split = draw_split(np.random.RandomState(0), 100, costs, 40, 6)
    assert [len(split.training), len(split.validation), len(split.test)] == [30, 40, 30]


def test_numbers_do_not_depend_on_the_number_of_jobs(data):
    one, two = (
        compare_routers(ROUTERS, data, n_trials=3, n_validation=30, n_jobs=n_jobs)
        for n_jobs in (1, 2)
    )
    for name in ("area", "qnc", "peak", "curves"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    other = compare_routers(ROUTERS, data, n_trials=3, n_validation=30, random_state=1)
    assert not np.array_equal(one.area, other.area)


def test_trials_do_not_depend_on_their_number(data):
    few, more = (compare_routers(ROUTERS, data, n_trials=n, n_validation=30) for n in (2, 4))
    np.testing.assert_array_equal(few.area, more.area[:2])


def test_splits_without_a_range_of_costs_are_redrawn():
    data = make_routing_data(n_prompts=100, n_models=6, random_state=0)
    data.costs = np.array([1.0, 1, 1, 1, 1, 2])
    comparison = compare_routers({"zero": ZeroRouter()}, data, n_trials=8, model_share=0.5)
    assert sum(split.n_redrawn for split in comparison.splits) > 0
    assert all(5 in split.unseen_models for split in comparison.splits)
    assert np.isfinite(comparison.area).all()


def test_costs_per_call(data):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    data = Bunch(**{**data, "costs": calls})
    comparison = compare_routers(ROUTERS, data, n_trials=2, n_validation=30)
    assert comparison.grid[[0, -1]] == pytest.approx(np.sort(calls.mean(axis=0))[[0, -1]])
    # One trial by hand: what is paid is seen on validation prompts only, and accounted in full.
    seed = np.random.SeedSequence(0).generate_state(2)[1]
    split = comparison.splits[1]
    known, unseen = split.training_models, split.unseen_models
    for number, router in enumerate(ROUTERS.values()):
        router = clone(router).set_params(random_state=int(seed % 2**31))
        router.fit(
            data.X[split.training],
            data.y[np.ix_(split.training, known)],
            costs=calls[np.ix_(split.training, known)],
            X_val=data.X[split.validation],
        )
        for model in unseen:
            cost = calls[split.validation, model].mean()
            router.add_model(1 - data.y[split.validation, model], cost=cost)
        pool = len(known) + np.arange(len(unseen))
        area = deferral_area_score(
            data.y[np.ix_(split.test, unseen)],
            router.predict_error(data.X[split.test], pool),
            calls[np.ix_(split.test, unseen)],
            routing_costs=router.costs_[pool],
        )
        assert comparison.area[1, number] == pytest.approx(area)


def test_curves_start_at_the_cheapest_unseen_model(data):
    comparison = compare_routers(ROUTERS, data, n_trials=3, n_validation=30)
    for split, curves in zip(comparison.splits, comparison.curves, strict=True):
        below = comparison.grid < data.costs[split.unseen_models].min()
        assert np.isnan(curves[:, below]).all()
        assert np.isfinite(curves[:, ~below]).all()


def test_intervals_are_those_of_student():
    values = np.array([[1.0], [2.0], [4.0]])
    mean, half_width = mean_interval(values)
    low, high = t.interval(0.95, 2, loc=mean, scale=values.std(ddof=1) / np.sqrt(3))
    np.testing.assert_allclose([mean - half_width, mean + half_width], [low, high])
    assert np.isnan(mean_interval(values[:1])[1])


@pytest.mark.parametrize(
    ("changes", "params", "message"),
    [
        ({"X": None}, {}, "the data has no embeddings; add them to a table as columns x0"),
        ({"costs": None}, {}, "the data has no costs"),
        ({"costs": np.ones(8)}, {}, "not all of the same cost; got 8 models.*from 1 to 1"),
        ({}, {"model_share": 0.9}, "2 unseen models.*; got 8 models, 7 of them for training"),
        ({}, {"model_share": 0.1}, "0 of them for training"),
        ({}, {"model_share": 1.5}, "`model_share` must lie between 0 and 1; got 1.5"),
        ({}, {"n_trials": 0}, "n_trials == 0, must be >= 1"),
        ({}, {"n_validation": 0}, "know new models by their answers alone"),
        (
            {},
            {"n_validation": 280},
            "`n_validation` leave 0 training prompts and 120 test prompts of 400",
        ),
    ],
)
def test_bad_input(data, changes, params, message):
    data = Bunch(**{**data, **changes})
    with pytest.raises(ValueError, match=message):
        compare_routers(ROUTERS, data, **{"n_trials": 1, **params})


@pytest.mark.slow
def test_routing_pays_on_real_data(real_path):
    routers = {"zero": ZeroRouter(), "kmeans": KMeansRouter(8)}
    comparison = compare_routers(routers, load_routing_data(real_path), n_trials=10, n_jobs=2)
    assert np.diff(comparison.area, axis=1).mean() > 0


def test_frames_compare_as_arrays_do():
    data = make_routing_data(n_prompts=120, n_models=6, random_state=0)
    frames = Bunch(
        **data
        | {
            "y": pd.DataFrame(data.y, columns=data.models),
            "costs": pd.DataFrame(np.tile(data.costs, (120, 1)), columns=data.models),
        }
    )
    arrays = Bunch(**data | {"costs": np.tile(data.costs, (120, 1))})
    routers = {"zero": ZeroRouter(), "kmeans": KMeansRouter(3)}
    areas = [compare_routers(routers, one, n_trials=2).area for one in (arrays, frames)]
    np.testing.assert_array_equal(*areas)


THREE_ROUTERS = {"zero": ZeroRouter(), "six": KMeansRouter(6), "two": KMeansRouter(2)}
BASELINES = ("random", "cheapest", "best", "oracle")


@pytest.fixture(scope="module")
def comparison(data):
    return compare_routers(THREE_ROUTERS, data, n_trials=12, n_validation=30, baselines=BASELINES)


def test_frame_holds_the_statistics(comparison):
    frame = comparison.to_frame()
    assert frame.index.tolist() == [*THREE_ROUTERS, *BASELINES]
    gain = comparison.area[:, 1] - comparison.area[:, 0]
    row = frame.loc["six"]
    assert row["gain"] == pytest.approx(gain.mean())
    assert row["p_value"] == t_test(gain)
    mean, half = mean_interval(comparison.area[:, 1])
    assert (row["area"], row["area_half_width"]) == pytest.approx((mean, half))
    # Five others have an area to compare to the first's, of which two are routers.
    assert frame["p_value"].isna().sum() == 2
    assert frame["p_holm"].dropna().index.tolist() == ["six", "two"]
    p_values = frame["p_value"][["six", "two"]]
    assert frame.loc[p_values.idxmin(), "p_holm"] == pytest.approx(min(1, 2 * p_values.min()))
    assert np.all(frame["p_holm"].dropna() >= p_values)
    # Baselines have the interval of a single test.
    mean, half = mean_interval(comparison.area[:, 3] - comparison.area[:, 0])
    row = frame.loc["random"]
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((mean - half, mean + half))


def test_intervals_and_p_values_of_a_row_agree():
    """An interval excludes 0 if and only if the adjusted p-value is below .05."""
    rng, seen = np.random.RandomState(0), set()
    for _ in range(50):
        area = rng.normal(size=(6, 5)) + np.array([0, 0.5, 1, 1.5, 2])
        comparison = RouterComparison(
            ["first", *"bcd", "random"],
            ["random"],
            area,
            *[np.ones((6, 5))] * 2,
            *[np.empty(0)] * 5,
        )
        frame = comparison.to_frame()
        for name in "bcd":
            low, high, p_holm = frame.loc[name, ["gain_low", "gain_high", "p_holm"]]
            assert (low > 0 or high < 0) == (p_holm < 0.05)
            seen.add(bool(p_holm < 0.05))
        low, high, p_value = frame.loc["random", ["gain_low", "gain_high", "p_value"]]
        assert (low > 0 or high < 0) == (p_value < 0.05)
    assert seen == {True, False}


def test_it_prints_as_a_table(comparison):
    lines = str(comparison).splitlines()
    assert lines[0].split() == ["router", "area", "gain", "p", "QNC", "reached", "peak", "saved"]
    assert len(lines) == 1 + len(comparison.routers)
    gain = (comparison.area[:, 1] - comparison.area[:, 0]).mean()
    assert f"{gain:+.3f} [" in lines[2]
    assert lines[6].split()[:4] == ["best", "-", "-", "-"]


def test_it_is_a_table_in_notebooks_and_a_line_without_pandas(comparison, monkeypatch):
    html = comparison._repr_html_()
    assert html.count("<tr") == 1 + len(comparison.routers)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert str(comparison) == (
        "<RouterComparison of 'zero', 'six', 'two', 'random', 'cheapest', 'best', 'oracle', "
        "12 trials>"
    )
    assert comparison._repr_html_() == ""


def test_baselines_by_hand(data, comparison):
    for number, split in enumerate(comparison.splits):
        unseen = split.unseen_models
        y, y_val = (data.y[np.ix_(rows, unseen)] for rows in (split.test, split.validation))
        costs = data.costs[unseen]
        random, cheapest, best, oracle = range(3, 7)
        assert comparison.peak[number, cheapest] == pytest.approx(y[:, costs.argmin()].mean())
        assert comparison.area[number, cheapest] == pytest.approx(y[:, costs.argmin()].mean())
        chosen = y_val.mean(axis=0).argmax()
        assert comparison.peak[number, best] == pytest.approx(y[:, chosen].mean())
        relative = costs[chosen] / costs[y.mean(axis=0).argmax()]
        if y.mean(axis=0).argmax() == chosen:
            assert comparison.qnc[number, best] == pytest.approx(relative)
        assert np.isnan(comparison.area[number, best])
        assert comparison.peak[number, oracle] == pytest.approx(y.max(axis=1).mean())
        assert comparison.area[number, oracle] >= np.nanmax(comparison.area[number]) - 1e-9
        # At random, quality lies between those of the models.
        assert comparison.peak[number, random] <= y.max(axis=1).mean()
    mean = data.y.mean()
    assert comparison.curves[:, 3, -1].mean() == pytest.approx(mean, abs=0.05)


def test_hindsight_knows_what_calls_cost(data):
    calls = data.costs * np.random.RandomState(0).lognormal(size=data.y.shape)
    y = data.y.copy()
    gap = np.random.RandomState(1).uniform(size=y.shape) < 0.1
    y[gap] = calls[gap] = np.nan
    with_calls = Bunch(**{**data, "y": y, "costs": calls})
    comparison = compare_routers(THREE_ROUTERS, with_calls, n_trials=4, baselines=BASELINES)
    assert np.all(comparison.area[:, 6] > np.nanmax(comparison.area[:, :6], axis=1))
    split = comparison.splits[0]
    unseen = np.ix_(split.test, split.unseen_models)
    assert comparison.peak[0, 6] == pytest.approx(np.nanmax(y[unseen], axis=1).mean())


def test_picture_has_the_mean_curves_and_their_intervals(comparison):
    displays = comparison.plot()
    assert [display.line_.get_label() for display in displays] == comparison.routers
    # No trial enters later, with its cheapest model, and makes the mean drop.
    first = max(np.isnan(one).sum() for one in comparison.curves[:, 1])
    mean = comparison.curves[:, 1, first:].mean(axis=0)
    assert len(mean) < len(comparison.grid)
    np.testing.assert_allclose(displays[1].quality, mean)
    assert np.all(displays[1].quality_low <= mean)
    assert np.all(displays[1].quality_high >= mean)
    assert displays[1].fill_between_ is not None
    assert len({display.ax_ for display in displays}) == 1
    assert comparison.plot(confidence=0)[1].fill_between_ is None
    plt.close("all")


def test_baselines_settle_ties_by_cost_and_quality():
    y = np.tile([[1.0, 1.0, 0.2, 0.9]], (6, 1))
    costs = np.array([9.0, 5.0, 1.0, 1.0])
    rng = np.random.RandomState(0)
    for name, chosen in (("best", 1), ("cheapest", 3)):
        error, prices = baseline_inputs(name, y, y, costs, costs, rng)
        assert set(error.argmin(axis=1)) == {chosen}
        assert np.ptp(prices) == 0


@pytest.mark.parametrize(
    ("routers", "baselines"),
    [({"best": ZeroRouter()}, ["best"]), ({}, []), (THREE_ROUTERS, ["best"] * 2)],
)
def test_rows_have_names_of_their_own(data, routers, baselines):
    with pytest.raises(ValueError, match="routers and baselines of different names; got"):
        compare_routers(routers, data, baselines=baselines)


def test_an_unknown_baseline(data):
    with pytest.raises(ValueError, match="`baselines` must be one of 'random', 'cheapest'"):
        compare_routers(THREE_ROUTERS, data, baselines=["luck"])


def test_curve_of_routers_that_ignore_the_prompt(data):
    """Their curves begin and end at the range of costs, but for rounding."""
    costs = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.2, 1.3])
    results = cross_validate(
        ZeroRouter(random_state=0),
        data.X,
        data.y,
        params={"costs": costs},
        cv=3,
        return_estimator=True,
        return_indices=True,
    )
    display = DeferralCurveDisplay.from_cv_results(results, data.X, data.y)
    assert display.cost[[0, -1]] == pytest.approx([0.1, 1.3])
    assert display.quality[0] == pytest.approx(data.y[:, 0].mean(), abs=0.01)
    plt.close("all")


@pytest.mark.parametrize("per_call", [False, True])
def test_curve_of_a_cross_validation(data, per_call):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    costs = calls if per_call else data.costs
    results = cross_validate(
        KMeansRouter(6, random_state=0),
        data.X,
        data.y,
        params={"costs": costs},
        cv=4,
        return_estimator=True,
        return_indices=True,
    )
    display = DeferralCurveDisplay.from_cv_results(results, data.X, data.y, costs=costs, name="CV")
    assert display.line_.get_label() == "CV"
    place = len(display.cost) // 2
    heights = []
    for router, test in zip(results["estimator"], results["indices"]["test"], strict=True):
        cost, quality, _ = deferral_curve(
            data.y[test],
            router.predict_error(data.X[test]),
            costs[test] if per_call else costs,
            routing_costs=router.costs_,
        )
        heights.append(np.interp(display.cost[place], np.maximum.accumulate(cost), quality))
    mean, half = mean_interval(np.array(heights))
    assert display.quality[place] == pytest.approx(mean)
    assert display.quality_low[place] == pytest.approx(mean - half)
    assert display.fill_between_ is not None
    with pytest.raises(ValueError, match="has no estimator and no indices; call cross_validate"):
        DeferralCurveDisplay.from_cv_results({}, data.X, data.y)
    plt.close("all")


def test_a_comparison_from_cards_alone(data):
    cards = pd.DataFrame({"score": data.y.mean(axis=0)}, index=[f"m{place}" for place in range(8)])
    y = pd.DataFrame(data.y, columns=cards.index)
    routers = {"coarse": KMeansRouter(2), "kmeans": KMeansRouter(4)}
    arguments = {"n_trials": 3, "n_validation": 0}
    found = compare_routers(
        *(routers, data.X, y, data.costs),
        model_features=cards[::-1],
        baselines=["cheapest", "oracle"],
        **arguments,
    )
    by_position = compare_routers(
        routers, data.X, data.y, data.costs, model_features=cards.to_numpy(), **arguments
    )
    np.testing.assert_array_equal(found.area[:, :2], by_position.area)
    assert found.area[:, 0].mean() > found.area[:, 2].mean()
    for baselines, given, message in (
        (["best"], cards, "'best' know new models by their answers alone"),
        ([], None, "'coarse', 'kmeans' know"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_routers(
                *(routers, data.X, y, data.costs),
                model_features=given,
                baselines=baselines,
                **arguments,
            )
