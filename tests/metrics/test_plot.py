import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import CascadeRouter, DeferralCurveDisplay, KMeansRouter
from sklearn_uniroute.metrics import deferral_curve


@pytest.fixture
def router(data):
    return KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=data.costs)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_from_predictions_draws_the_curve_and_the_models(data, router, ax):
    error = router.predict_error(data.X)
    display = DeferralCurveDisplay.from_predictions(data.y, error, data.costs, ax=ax, name="mine")
    cost, quality, _ = deferral_curve(data.y, error, data.costs)
    np.testing.assert_array_equal(display.line_.get_xdata(), cost)
    np.testing.assert_array_equal(display.line_.get_ydata(), quality)
    crosses = np.column_stack([data.costs, data.y.mean(axis=0)])
    np.testing.assert_allclose(display.scatter_.get_offsets(), crosses)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mine", "single models"]
    # Costs from 1 to 100.
    assert ax.get_xscale() == "log"


def test_from_estimator_is_from_predictions(data, router, ax):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    pool = [1, 4, 6]
    display = DeferralCurveDisplay.from_estimator(
        router, data.X, data.y[:, pool], calls[:, pool], pool=pool, ax=ax
    )
    error = router.predict_error(data.X, pool)
    cost, quality, _ = deferral_curve(
        data.y[:, pool], error, calls[:, pool], routing_costs=data.costs[pool]
    )
    np.testing.assert_allclose(display.cost, cost)
    np.testing.assert_allclose(display.quality, quality)
    assert display.line_.get_label() == "KMeansRouter"


def test_a_pipeline_that_ends_in_a_router(data, ax):
    pipeline = make_pipeline(StandardScaler(), KMeansRouter(6, random_state=0))
    pipeline.fit(data.X, data.y, kmeansrouter__costs=data.costs)
    display = DeferralCurveDisplay.from_estimator(pipeline, data.X, data.y, ax=ax)
    error = pipeline[-1].predict_error(pipeline[:-1].transform(data.X))
    np.testing.assert_allclose(display.quality, deferral_curve(data.y, error, data.costs)[1])
    assert display.line_.get_label() == "KMeansRouter"


def test_plot_takes_a_name_and_keywords(ax):
    display = DeferralCurveDisplay(np.array([1.0, 2.0]), np.array([0.5, 1.0]), name="one")
    assert display.plot(ax, name="two", curve_kwargs={"color": "red"}) is display
    assert display.line_.get_label() == "two"
    assert display.line_.get_color() == "red"
    assert display.scatter_ is None
    assert ax.get_xscale() == "linear"


def test_a_curve_without_a_name_has_no_legend(ax):
    DeferralCurveDisplay(np.array([1.0, 2.0]), np.array([0.5, 1.0])).plot(ax)
    assert ax.get_legend() is None


def test_new_axes_are_made():
    import matplotlib.pyplot as plt

    display = DeferralCurveDisplay(np.array([1.0, 2.0]), np.array([0.5, 1.0])).plot()
    assert display.figure_ in map(plt.figure, plt.get_fignums())
    plt.close(display.figure_)


def test_the_axis_names_the_unit_of_costs(data, router, ax):
    for unit, label in ((None, "Average cost per prompt"), ("s", "Average cost per prompt (s)")):
        display = DeferralCurveDisplay.from_estimator(router, data.X, data.y, ax=ax, cost_unit=unit)
        assert display.ax_.get_xlabel() == label


def test_arguments_that_have_no_effect_are_refused(data, router, scored_log):
    with pytest.raises(ValueError, match="takes no `scores`"):
        DeferralCurveDisplay.from_estimator(router, data.X, data.y, scores=data.y)
    log = scored_log
    cascade = CascadeRouter(KMeansRouter(4, random_state=0))
    cascade.fit(log.X[:900], log.y[:900], log.costs, scores=log.scores[:900])
    known = log.X[900:], log.y[900:], log.costs
    eligible = np.ones(log.y[900:].shape, dtype=bool)
    with pytest.raises(ValueError, match="takes no `eligible`"):
        DeferralCurveDisplay.from_estimator(
            cascade, *known, scores=log.scores[900:], eligible=eligible
        )
