import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.base import clone

from sklearn_uniroute import FewShotCurveDisplay, KMeansRouter, ZeroRouter
from sklearn_uniroute.model_selection import few_shot_curve
from sklearn_uniroute.model_selection._split import draw_split
from sklearn_uniroute.utils._statistics import mean_interval

ROUTER = KMeansRouter(5)


@pytest.mark.parametrize("per_call", [False, True])
def test_a_split_by_hand(data, per_call):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    costs = calls if per_call else data.costs
    curve = few_shot_curve(
        ROUTER, data.X, data.y, costs, n_validation=[10, 40], n_splits=2, random_state=3
    )
    np.testing.assert_array_equal(curve.n_validation, [10, 40])
    seed = np.random.SeedSequence(3).generate_state(2)[1]
    split = draw_split(np.random.RandomState(seed), 400, data.costs, 0, 5)
    known, unseen = split.training_models, split.unseen_models
    X, y, paid = data.X[split.training], data.y[split.training], calls[split.training]
    router = clone(ROUTER).set_params(n_validation=40, random_state=int(seed % 2**31))
    router.fit(X, y[:, known], costs=paid[:, known] if per_call else data.costs[known])
    run, weights = router.validation_indices_, router.validation_weights_
    for model in unseen:
        cost = np.average(paid[run, model], weights=weights) if per_call else data.costs[model]
        router.add_model(1 - y[run, model], cost=cost)
    area = router.score(
        data.X[split.test],
        data.y[np.ix_(split.test, unseen)],
        costs=calls[np.ix_(split.test, unseen)] if per_call else None,
        pool=[5, 6, 7],
    )
    assert curve.area[1, 1] == pytest.approx(area)


def test_more_prompts_help_and_jobs_do_not_matter(data):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    one, two = (
        few_shot_curve(
            ROUTER, data.X, data.y, calls, n_validation=[2, 200], n_splits=6, n_jobs=n_jobs
        )
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.area, two.area)
    assert one.area[1].mean() > one.area[0].mean()


def test_routers_share_their_splits(data):
    arguments = (data.X, data.y, data.costs)
    zero = few_shot_curve(ZeroRouter(), *arguments, n_validation=[240], n_splits=3)
    one = KMeansRouter(1, representation="mean")
    np.testing.assert_allclose(
        few_shot_curve(one, *arguments, n_validation=[240], n_splits=3).area, zero.area
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_validation": []}, r"len\(n_validation\) == 0, must be >= 1"),
        ({"n_validation": [0]}, "n_validation == 0, must be >= 1"),
        ({"n_validation": [10, 241]}, "`n_validation`=241 asks for more.*240 training prompts"),
        ({"n_splits": 0}, "n_splits == 0, must be >= 1"),
        ({"model_share": 2}, "`model_share` must lie between 0 and 1"),
        ({"costs": np.ones(8)}, "not all of the same cost"),
        ({"costs": np.ones(5)}, "`costs` has 5 entries but there are 8 models"),
        ({"y": np.ones(400)}, "`y` must be of shape"),
    ],
)
def test_bad_input(data, changes, message):
    arguments = {"X": data.X, "y": data.y, "costs": data.costs}
    with pytest.raises(ValueError, match=message):
        few_shot_curve(ROUTER, **{**arguments, **changes})


def test_display(data):
    ax = Figure().subplots()
    display = FewShotCurveDisplay.from_estimator(
        ROUTER,
        data.X,
        data.y,
        data.costs,
        n_validation=[10, 40],
        n_splits=3,
        ax=ax,
        curve_kwargs={"color": "red"},
    )
    mean, half_width = mean_interval(display.area.T)
    np.testing.assert_array_equal(display.line_.get_ydata(), mean)
    low, high = display.fill_between_.get_datalim(ax.transData).intervaly
    np.testing.assert_allclose([low, high], [(mean - half_width).min(), (mean + half_width).max()])
    assert display.line_.get_color() == "red"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["KMeansRouter"]
    assert display.plot(name="mine").line_.get_label() == "mine"
    import matplotlib.pyplot as plt

    plt.close(display.figure_)


def test_cards_start_the_curve_at_no_prompt(data):
    """By hand, from the mean quality of each model as its card."""
    cards = data.y.mean(axis=0, keepdims=True).T
    curve = few_shot_curve(
        ROUTER,
        *(data.X, data.y, data.costs),
        model_features=cards,
        n_validation=[0, 40],
        n_splits=2,
        random_state=3,
    )
    seed = np.random.SeedSequence(3).generate_state(2)[1]
    split = draw_split(np.random.RandomState(seed), 400, data.costs, 0, 5)
    known, unseen = split.training_models, split.unseen_models
    router = clone(ROUTER).set_params(random_state=int(seed % 2**31))
    X, y = data.X[split.training], data.y[split.training]
    router.set_params(n_validation=40)
    router.fit(X, y[:, known], costs=data.costs[known], model_features=cards[known])
    for size in (0, 1):
        for model in unseen:
            errors = 1 - y[router.validation_indices_, model] if size else None
            router.add_model(
                errors, name=model + 10, cost=data.costs[model], features=cards[model], replace=True
            )
        area = router.score(
            data.X[split.test], data.y[np.ix_(split.test, unseen)], pool=unseen + 10
        )
        assert curve.area[size, 1] == pytest.approx(area)
    plain = few_shot_curve(
        ROUTER, data.X, data.y, data.costs, n_validation=[40], n_splits=2, random_state=3
    )
    assert not np.array_equal(plain.area[0], curve.area[1])
    display = FewShotCurveDisplay(curve.n_validation, curve.area).plot()
    # A curve without cards beside it, which starts later.
    FewShotCurveDisplay(np.array([20, 40]), curve.area).plot(display.ax_)
    ticks = display.ax_.transData.transform([(size, 0) for size in (0, 20, 40)])[:, 0]
    assert np.diff(ticks).min() > 50
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["0", "20", "40"]


def test_no_prompt_needs_a_card(data):
    for router, cards in ((ROUTER, None), (ZeroRouter(), np.ones((8, 1)))):
        with pytest.raises(ValueError, match="n_validation == 0, must be >= 1"):
            few_shot_curve(
                *(router, data.X, data.y, data.costs), model_features=cards, n_validation=[0]
            )
    # A router that knows no cards does without.
    arguments = {"n_validation": [40], "n_splits": 2}
    one, other = (
        few_shot_curve(ZeroRouter(), data.X, data.y, data.costs, model_features=cards, **arguments)
        for cards in (None, np.ones((8, 1)))
    )
    np.testing.assert_array_equal(one.area, other.area)
