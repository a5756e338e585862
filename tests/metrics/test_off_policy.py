import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.metrics import off_policy_value

ESTIMATORS = ("doubly_robust", "ips", "self_normalized")


@pytest.fixture(scope="module")
def world():
    """Qualities of three models on prompts, what is predicted of them, and two policies."""
    rng = np.random.RandomState(0)
    chance = rng.uniform(0.2, 0.9, size=(1500, 3))
    predicted = np.clip(chance + rng.normal(scale=0.1, size=chance.shape), 0, 1)
    probability = 0.1 * np.ones((1500, 3))
    probability[np.arange(1500), predicted[:, ::-1].argmax(axis=1)] += 0.7
    return chance, predicted, probability, predicted.argmax(axis=1)


def drawn(world, seed):
    """A log: what was chosen with what probability, and what came of it."""
    chance, predicted, probability, target = world
    rng = np.random.RandomState(seed)
    chosen = (rng.uniform(size=(1500, 1)) > probability.cumsum(axis=1)).sum(axis=1)
    rows = np.arange(1500)
    quality = (rng.uniform(size=1500) < chance[rows, chosen]).astype(float)
    return quality, chosen, probability[rows, chosen], target, predicted


def valued(log, **params):
    *inputs, predicted = log
    return off_policy_value(*inputs, **{"predicted": predicted, **params})


def test_values_by_hand():
    # The first and the third call agree; they were chosen with 1/2 and 1/4.
    quality, chosen, propensity = [1.0, 0.0, 0.5, 1.0], [0, 1, 1, 0], [0.5, 0.5, 0.25, 1.0]
    target = [0, 0, 1, 1]
    predicted = [[0.9, 0.1], [0.4, 0.2], [0.3, 0.7], [0.6, 0.8]]
    with pytest.warns(UserWarning, match="fewer than 30"):
        found = [
            off_policy_value(
                quality, chosen, propensity, target, predicted=predicted, estimator=name
            )
            for name in ESTIMATORS
        ]
    robust, ips, normalized = found
    terms = np.array([0.9 + 2 * 0.1, 0.4, 0.7 - 4 * 0.2, 0.8])
    assert robust.value == pytest.approx(terms.mean())
    assert robust.std == pytest.approx(terms.std(ddof=1) / 2)
    assert ips.value == pytest.approx((2 * 1.0 + 4 * 0.5) / 4)
    assert normalized.value == pytest.approx((2 * 1.0 + 4 * 0.5) / 6)
    assert robust.effective_sample_size == pytest.approx(6**2 / (4 + 16))
    assert robust.n_shared == 2
    assert (robust.low + robust.high) / 2 == pytest.approx(robust.value)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_are_unbiased_and_intervals_cover(world, estimator):
    chance, _, _, target = world
    truth = chance[np.arange(1500), target].mean()
    found = [valued(drawn(world, seed), estimator=estimator) for seed in range(300)]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(300)
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.91 < covered < 0.99
    assert np.mean([one.std for one in found]) == pytest.approx(values.std(), rel=0.2)


def test_predictions_make_estimates_more_precise(world):
    robust, ips, normalized = (
        np.mean([valued(drawn(world, seed), estimator=name).std for seed in range(20)])
        for name in ESTIMATORS
    )
    assert robust < normalized < ips


def test_a_log_of_the_same_router_gives_its_mean(world):
    quality, chosen, _, _, predicted = drawn(world, 0)
    for estimator in ESTIMATORS:
        found = off_policy_value(
            quality, chosen, np.ones(1500), chosen, predicted=predicted, estimator=estimator
        )
        assert found.value == pytest.approx(quality.mean())
        assert found.effective_sample_size == pytest.approx(1500)


@given(seed=st.integers(0, 2**16))
def test_the_order_of_calls_and_models_does_not_matter(world, seed):
    quality, chosen, propensity, target, predicted = drawn(world, 1)
    rng = np.random.RandomState(seed)
    order, models = rng.permutation(1500), rng.permutation(3)
    names = np.array(["a", "b", "c"])
    table = pd.DataFrame(predicted, columns=names)[names[models]]
    inputs = (quality, names[chosen], propensity, names[target])
    found = off_policy_value(
        *(one[order] for one in inputs), predicted=table.to_numpy()[order], models=names[models]
    )
    by_name = off_policy_value(*inputs, predicted=table)
    expected = valued(drawn(world, 1))
    for one in (found, by_name):
        assert one.value == pytest.approx(expected.value)
        assert one.std == pytest.approx(expected.std)


def test_calls_without_feedback_are_left_out(world):
    quality, *rest = drawn(world, 2)
    missing = np.arange(1500) % 5 == 0
    found = valued((np.where(missing, np.nan, quality), *rest))
    expected = valued((quality[~missing], *(one[~missing] for one in rest)))
    assert found == expected


def test_a_log_that_lacks_models_is_noticed(world):
    quality, chosen, propensity, _, predicted = drawn(world, 3)
    with pytest.warns(UserWarning, match="never chooses the model of the other one"):
        found = off_policy_value(
            quality, np.zeros(1500, int), np.ones(1500), chosen, predicted=predicted
        )
    assert found.n_shared == (chosen == 0).sum()
    with pytest.raises(ValueError, match="share no call"):
        off_policy_value(
            quality,
            np.zeros(1500, int),
            propensity,
            np.ones(1500, int),
            estimator="self_normalized",
        )


def test_propensities_that_are_too_low_are_noticed(world):
    quality, chosen, _, target, predicted = drawn(world, 4)
    with pytest.warns(UserWarning, match="the propensities are too low"):
        off_policy_value(quality, chosen, np.full(1500, 0.1), target, predicted=predicted)


@pytest.mark.filterwarnings("ignore:the calls that the two")
def test_one_shared_call_has_no_spread():
    found = off_policy_value(
        [1.0, 0.5], [0, 0], [0.5, 0.5], [0, 1], models=[0, 1], estimator="self_normalized"
    )
    assert found.value == 1
    assert np.isnan([found.std, found.low, found.high]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.ma.array(np.ones((1500, 3)), mask=np.eye(1500, 3))}, "must be finite"),
        ({"propensity": np.zeros(1500)}, "above 0 and at most 1; got 0.0 in row 0"),
        ({"propensity": np.full(1500, 1.5)}, "at most 1; got 1.5"),
        ({"propensity": np.full(1500, np.nan)}, "at most 1; got nan"),
        ({"propensity": np.ones(3)}, "one entry for each of the 1500 calls"),
        ({"chosen": np.full(1500, 3)}, "not known: 3"),
        ({"target": ["a"] * 1500}, "not known: 'a'"),
        ({"outcome": np.full(1500, np.nan)}, "no call has an outcome"),
        ({"outcome": np.full(1500, np.inf)}, "infinity"),
        ({"predicted": None}, "needs `predicted`"),
        ({"predicted": np.zeros((1500, 3)) * np.nan}, "must be finite"),
        ({"predicted": np.zeros((10, 3))}, "one row per call"),
        ({"models": ["a", "b"]}, "one row per call"),
        ({"estimator": "dr"}, "estimator"),
        ({"confidence": 95}, "confidence"),
    ],
)
def test_bad_logs_are_refused(world, change, message):
    names = ("outcome", "chosen", "propensity", "target", "predicted")
    inputs = dict(zip(names, drawn(world, 0), strict=True)) | change
    with pytest.raises((ValueError, TypeError), match=message):
        off_policy_value(**inputs)


def test_labels_in_another_order_are_refused(world):
    quality, chosen, propensity, target, predicted = drawn(world, 0)
    rows = [f"r{number}" for number in range(1500)]
    series = pd.Series(quality, index=rows)
    with pytest.raises(ValueError, match="in another order"):
        off_policy_value(
            series, chosen, propensity, pd.Series(target, index=rows[::-1]), predicted=predicted
        )


@pytest.fixture(scope="module")
def logged():
    data = make_routing_data(n_prompts=1500, n_models=4, random_state=0)
    router = KMeansRouter(random_state=0)
    router.fit(data.X[:200], data.y[:200], costs=data.costs)
    table = router.routing_table(cost_weight=0.001, exploration=1.0)
    X, y = data.X[200:], data.y[200:]
    decisions = [table.route_logged(x) for x in X]
    chosen = np.array([decision.model for decision in decisions])
    propensity = np.array([decision.propensity for decision in decisions])
    return router, X, chosen, y[np.arange(len(X)), chosen], propensity, data.costs[chosen]


@pytest.mark.parametrize("pool", [None, [3, 0, 1]])
def test_points_of_the_curve_are_the_values_at_their_cost_weights(logged, pool):
    router, X, chosen, quality, propensity, costs = logged
    display = DeferralCurveDisplay.from_log(router, X, chosen, quality, propensity, costs, pool)
    plain = DeferralCurveDisplay.from_log(router, X, chosen, quality, propensity, pool=pool)
    for cost_weight in (0.0, 0.0003, 0.001, 0.01):
        target = router.predict(X, pool, cost_weight=cost_weight)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = off_policy_value(
                quality, chosen, propensity, target, predicted=1 - router.predict_error(X)
            )
            paid = off_policy_value(
                costs, chosen, propensity, target, predicted=router.predict_cost(X)
            )
        place = np.abs(display.quality - value.value).argmin()
        assert display.quality[place] == pytest.approx(value.value)
        assert display.cost[place] == pytest.approx(paid.value)
        assert display.quality_low[place] == pytest.approx(value.low, abs=1e-4)
        np.testing.assert_allclose(plain.cost[place], router.costs_[target].mean())
    assert display.line_.get_label() == "KMeansRouter"


def test_curves_of_pipelines_and_missing_feedback(logged):
    router, X, chosen, quality, propensity, costs = logged
    pipeline = make_pipeline(StandardScaler().fit(np.zeros((2, X.shape[1]))), router)
    missing = np.arange(len(X)) % 4 == 0
    found = DeferralCurveDisplay.from_log(
        pipeline, X, chosen, np.where(missing, np.nan, quality), propensity, costs
    )
    kept = [one[~missing] for one in (X, chosen, quality, propensity, costs)]
    expected = DeferralCurveDisplay.from_log(router, *kept)
    np.testing.assert_allclose(found.quality, expected.quality)
    np.testing.assert_allclose(found.cost, expected.cost)


def test_curves_warn_of_a_log_without_the_best_models(logged):
    router, X, *_, costs = logged
    best = router.predict_error(X).argmin(axis=1)
    chosen = (best + 1) % 4
    log = chosen, np.ones(len(X)), np.ones(len(X))
    with pytest.warns(UserWarning, match="never chooses the model of the other one"):
        DeferralCurveDisplay.from_log(router, X, *log, costs)


def test_curves_refuse_bad_logs(logged):
    router, X, chosen, quality, propensity, costs = logged
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        DeferralCurveDisplay.from_log(router, X, chosen, quality, 0 * propensity)
    with pytest.raises(ValueError, match="one entry for each of the 9 calls"):
        DeferralCurveDisplay.from_log(router, X[:9], chosen, quality, propensity)
    with pytest.raises(ValueError, match="at least 0"):
        DeferralCurveDisplay.from_log(router, X, chosen, quality, propensity, -costs)
    with pytest.raises(ValueError, match="no call has an outcome"):
        DeferralCurveDisplay.from_log(router, X, chosen, np.nan * quality, propensity)
    free = KMeansRouter(4, random_state=0).fit(X, np.ones((len(X), 4)))
    with pytest.raises(ValueError, match="needs costs"):
        DeferralCurveDisplay.from_log(free, X, chosen, quality, propensity)


def test_estimates_beyond_all_outcomes_are_named():
    n_calls = 4000
    rng = np.random.RandomState(0)
    chosen, target = rng.randint(2, size=n_calls), np.zeros(n_calls, dtype=int)
    quality = np.where(chosen == 0, 0.9, 0.2)
    log = quality, chosen, np.full(n_calls, 0.5), target
    off_policy_value(*log, predicted=np.tile([0.9, 0.2], (n_calls, 1)))
    # All calls are known to be right, and count twice as often as they should.
    log = quality, chosen, np.full(n_calls, 0.25), target
    with (
        pytest.warns(UserWarning, match="pass `predicted` on the scale of the outcomes"),
        pytest.warns(UserWarning, match="the propensities are too low"),
    ):
        off_policy_value(*log, predicted=np.zeros((n_calls, 2)))


def test_predictions_between_equal_outcomes_draw_no_warning():
    chosen = np.tile([0, 1], 100)
    log = np.ones(200), chosen, np.full(200, 0.5), np.zeros(200, dtype=int)
    assert off_policy_value(*log, predicted=np.full((200, 2), 0.6)).value <= 1.4


def test_columns_of_predicted_need_names_if_models_have_them():
    log = [1.0, 0.0], ["a", "b"], [1.0, 1.0], ["a", "b"]
    with pytest.raises(ValueError, match="but the columns of `predicted` have no names"):
        off_policy_value(*log, predicted=np.zeros((2, 2)))


def test_columns_of_predicted_may_be_those_of_other_models():
    log = [1.0, 0.0] * 50, [0, 2] * 50, [1.0, 1.0] * 50, [0, 2] * 50
    predicted = np.array([[0.9, 0.1, 0.2]] * 100)
    with pytest.warns(UserWarning, match="taken for the models 0 to 2"):
        off_policy_value(*log, predicted=predicted)
    named = off_policy_value(*log, predicted=predicted, models=[0, 3, 2])
    assert named.value == off_policy_value(*log, predicted=predicted, models=[0, 1, 2]).value
