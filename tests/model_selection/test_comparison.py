import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.model_selection import cross_validate
from sklearn.utils import Bunch

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter, ZeroRouter
from sklearn_uniroute.metrics import deferral_curve
from sklearn_uniroute.model_selection import compare_routers
from sklearn_uniroute.model_selection._compare import baseline_inputs
from sklearn_uniroute.utils._statistics import bootstrap_interval, mean_interval, sign_test

ROUTERS = {"zero": ZeroRouter(), "six": KMeansRouter(6), "two": KMeansRouter(2)}
BASELINES = ("random", "cheapest", "best", "oracle")


@pytest.fixture(scope="module")
def comparison(data):
    return compare_routers(ROUTERS, data, n_trials=12, n_validation=30, baselines=BASELINES)


def test_frame_holds_the_statistics(comparison):
    frame = comparison.to_frame()
    assert frame.index.tolist() == [*ROUTERS, *BASELINES]
    gain = comparison.area[:, 1] - comparison.area[:, 0]
    row = frame.loc["six"]
    assert row["gain"] == pytest.approx(gain.mean())
    assert (row["gain_low"], row["gain_high"]) == bootstrap_interval(gain)
    assert row["p_value"] == sign_test(gain)
    mean, half = mean_interval(comparison.area[:, 1])
    assert (row["area"], row["area_half_width"]) == pytest.approx((mean, half))
    # Five others have an area to compare to the first's.
    p_values = frame["p_value"].drop(["zero", "best"])
    assert frame["p_value"].isna().sum() == 2
    assert frame.loc[p_values.idxmin(), "p_holm"] == pytest.approx(min(1, 5 * p_values.min()))
    assert np.all(frame["p_holm"].dropna() >= p_values)


def test_it_prints_as_a_table(comparison):
    lines = str(comparison).splitlines()
    assert lines[0].split() == ["router", "area", "gain", "p", "QNC", "reached", "peak", "saved"]
    assert len(lines) == 2 + len(comparison.routers)
    gain = (comparison.area[:, 1] - comparison.area[:, 0]).mean()
    assert f"{gain:+.3f} [" in lines[3]
    assert lines[7].split()[:4] == ["best", "-", "-", "-"]


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
    comparison = compare_routers(ROUTERS, with_calls, n_trials=4, baselines=BASELINES)
    assert np.all(comparison.area[:, 6] > np.nanmax(comparison.area[:, :6], axis=1))
    split = comparison.splits[0]
    unseen = np.ix_(split.test, split.unseen_models)
    assert comparison.peak[0, 6] == pytest.approx(np.nanmax(y[unseen], axis=1).mean())


def test_picture_has_the_mean_curves_and_their_intervals(comparison):
    displays = comparison.plot()
    assert [display.line_.get_label() for display in displays] == comparison.routers
    shown = np.isfinite(comparison.curves[:, 0]).mean(axis=0) >= 0.5
    mean = np.nanmean(comparison.curves[:, 1][:, shown], axis=0)
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
    [({"best": ZeroRouter()}, ["best"]), ({}, []), (ROUTERS, ["best"] * 2)],
)
def test_rows_have_names_of_their_own(data, routers, baselines):
    with pytest.raises(ValueError, match="routers and baselines of different names; got"):
        compare_routers(routers, data, baselines=baselines)


def test_an_unknown_baseline(data):
    with pytest.raises(ValueError, match="`baselines` must be one of 'random', 'cheapest'"):
        compare_routers(ROUTERS, data, baselines=["luck"])


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
