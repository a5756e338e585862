"""Every documented bad input of a router: its message, and that the router stays as it was."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter, KNeighborsRouter, ZeroRouter
from sklearn_uniroute.metrics import deferral_area_score
from sklearn_uniroute.model_selection import compare_routers
from tests.all_routers import ROUTERS

NAMES = ["a", "b", "c"]
X = np.random.RandomState(0).normal(size=(70, 4))
Y = pd.DataFrame(np.random.RandomState(1).randint(2, size=(70, 3)), columns=NAMES)
COSTS = {"a": 1.0, "b": 2.0, "c": 3.0}
ERRORS = np.tile([0.0, 1.0], 30)


def fit(router, X=X, y=Y, costs=COSTS, **params):
    return router.fit(X, y, costs=costs, **params)


def with_params(**params):
    return lambda r: fit(r.set_params(**params))


def with_columns(columns):
    return pd.DataFrame(Y.to_numpy(), columns=columns)


def one_dimension(router):
    with pytest.warns(DataConversionWarning, match=r"pass y\.reshape\(-1, 1\) to silence"):
        fit(router, y=Y["a"].to_numpy(), costs=[1.0, 2.0, 3.0])


FIT = {
    "y of three dimensions": (
        lambda r: fit(r, y=np.ones((70, 3, 1))),
        r"`y` must be of shape \(n_prompts, n_models\).*got 3 dimension",
    ),
    "y of one dimension for three costs": (
        lambda r: one_dimension(r),
        "`costs` has 3 entries but there are 1 models",
    ),
    "y without models": (
        lambda r: fit(r, y=Y[[]]),
        "`y` has no columns; pass one column of quality per model",
    ),
    "y too short": (lambda r: fit(r, y=Y[:9]), "`y` has 9 rows but there are 70 prompts"),
    "y with infinity": (lambda r: fit(r, y=Y.replace(0, -np.inf)), "y contains infinity"),
    "a model never run": (
        lambda r: fit(r, y=Y.assign(b=np.nan)),
        r"no observed quality for model\(s\) 'b': every entry is NaN",
    ),
    "names of two kinds": (
        lambda r: fit(r, y=with_columns(["a", 1, "c"])),
        "name the models, by strings or by integers; got 'a', 1, 'c'",
    ),
    "a name twice": (
        lambda r: fit(r, y=with_columns(["a", "b", "a"])),
        "name models more than once: 'a'; give every model",
    ),
    "a single cost": (lambda r: fit(r, costs=3), "`costs` must be numbers, one per model.*got 3"),
    "costs in text": (lambda r: fit(r, costs=["$1", "$2", "$3"]), "`costs` must be numbers"),
    "costs too few": (
        lambda r: fit(r, costs=[1, 2]),
        r"`costs` has 2 entries but there are 3 models",
    ),
    "texts": (
        lambda r: r.fit(np.array([["a prompt"]] * len(X)), Y, costs=COSTS),
        "could not convert string.*Routers take embeddings of prompts, not texts",
    ),
    "costs as long as the data": (
        lambda r: fit(r, costs=np.ones(70)),
        "`costs` has 70 entries.*cross-validation slices",
    ),
    "costs of the wrong shape": (
        lambda r: fit(r, costs=np.ones((3, 70))),
        r"`costs` has shape \(3, 70\) but there are 3 models",
    ),
    "costs without a model": (
        lambda r: fit(r, costs={"a": 1, "c": 2, "d": 3}),
        r"`costs` has no entry for model\(s\) 'b'; it names 'a', 'c', 'd'",
    ),
    "costs by name for numbered models": (
        lambda r: fit(r, y=Y.to_numpy()),
        r"`costs` has no entry for model\(s\) 0, 1, 2; it names 'a', 'b', 'c'. Names of models",
    ),
    "a negative cost": (
        lambda r: fit(r, costs={**COSTS, "b": -1}),
        "`costs` must be finite and at least 0; got -1.0 for model 'b'",
    ),
    "a missing cost": (lambda r: fit(r, costs={**COSTS, "c": np.nan}), "got nan for model 'c'"),
    "an infinite cost of a call": (
        lambda r: fit(r, costs=np.where(Y == 5, 0, np.inf)),
        "got inf for model 'a' in row 0",
    ),
    "X_val of other features": (
        lambda r: fit(r, X_val=X[:, :2]),
        "`X_val` does not fit the prompts of this router. X has 2 features",
    ),
    "X_val with NaN": (
        lambda r: fit(r, X_val=X[:2] * np.nan),
        "`X_val` does not fit the prompts of this router. Input X contains NaN",
    ),
    "a negative cost_weight": (
        with_params(cost_weight=-1.0),
        "`cost_weight` must be a finite number of at least 0; got -1.0",
    ),
    "a cost_weight of None": (with_params(cost_weight=None), "`cost_weight` must be .* got None"),
    "a budget of text": (
        with_params(budget="low"),
        "`budget` must be a finite number of at least 0; got 'low'",
    ),
    "cost_weight and budget": (
        with_params(cost_weight=0.1, budget=2.0),
        "exclude each other; got cost_weight=0.1 and budget=2.0. Set one of them",
    ),
    "no validation prompts": (with_params(n_validation=0), "n_validation == 0, must be >= 1"),
}

CALLS = {
    "predict: an unknown model": (
        lambda r: r.predict(X, pool=["a", "z"]),
        r"`pool` names models that this router does not know: 'z'. Known models: 'a', 'b', 'c'",
    ),
    "predict: a repeated model": (
        lambda r: r.predict(X, pool=["a", "b", "a"]),
        "`pool` repeats 'a'; name each model once. Known models: 'a', 'b', 'c'",
    ),
    "predict: an empty pool": (
        lambda r: r.predict(X, pool=[]),
        "`pool` is empty; pass at least one of the known models: 'a', 'b', 'c'",
    ),
    "predict: a name for a pool": (
        lambda r: r.predict(X, pool="a"),
        "`pool` must be a sequence of model names; got 'a'",
    ),
    "predict: a mask for a pool": (
        lambda r: r.predict(X, pool=[True, False]),
        "does not know: True, False",
    ),
    "predict: what can be no name": (
        lambda r: r.predict(X, pool=[["a"]]),
        r"`pool` names models that this router does not know: \['a'\]",
    ),
    "predict: cost_weight and budget": (
        lambda r: r.predict(X, cost_weight=1, budget=2),
        "exclude each other; got cost_weight=1 and budget=2",
    ),
    "predict: an infinite cost_weight": (
        lambda r: r.predict(X, cost_weight=np.inf),
        "`cost_weight` must be a finite number of at least 0; got inf",
    ),
    "predict: a budget of NaN": (
        lambda r: r.predict(X, budget=np.nan),
        "`budget` must be a finite number of at least 0; got nan",
    ),
    "predict: a budget too low": (
        lambda r: r.predict(X, pool=["b", "c"], budget=1.5),
        "`budget` 1.5 is below the least mean cost.*from 2 to",
    ),
    "predict: other features": (lambda r: r.predict(X[:, :2]), "X has 2 features"),
    "predict_error: an unknown model": (
        lambda r: r.predict_error(X, pool=[0]),
        "does not know: 0. Known",
    ),
    "decision_function: a negative cost_weight": (
        lambda r: r.decision_function(X, cost_weight=-1),
        "`cost_weight` must be",
    ),
    "cost_weight_for_budget: None": (
        lambda r: r.cost_weight_for_budget(None),
        "`budget` must be a finite number of at least 0; got None",
    ),
    "cost_weight_for_budget: too low": (
        lambda r: r.cost_weight_for_budget(0.5),
        "`budget` 0.5 is below the least mean cost of this pool; mean costs from 1 to",
    ),
    "score: a column missing": (
        lambda r: r.score(X, Y[["a", "b"]]),
        r"`y` has no column for model\(s\) 'c'; it has 'a', 'b'. Add the columns, or pass a `pool`",
    ),
    "score: columns too few": (
        lambda r: r.score(X, Y.to_numpy()[:, :2]),
        "`y` has 2 columns but the pool has 3 models; pass one column per model of the pool",
    ),
    "score: rows too few": (lambda r: r.score(X, Y[:3]), "`y` has 3 rows but there are 70 prompts"),
    "score: costs too few": (lambda r: r.score(X, Y, costs=[1, 2]), "`costs` has 2 entries"),
    "add_model: no name": (
        lambda r: r.add_model(ERRORS, cost=1),
        "`name` is missing: the models of this router have names.*pass the new model's name",
    ),
    "add_model: a known name": (
        lambda r: r.add_model(ERRORS, name="a", cost=1),
        "model 'a' is known already; pass replace=True .* or call update_model",
    ),
    "add_model: no cost": (
        lambda r: r.add_model(ERRORS, name="d"),
        "`cost` of model 'd' is missing.*would count as free; pass one",
    ),
    "add_model: a negative cost": (
        lambda r: r.add_model(ERRORS, name="d", cost=-1),
        "`cost` of model 'd' must be one finite number of at least 0, or one for each.*; got -1",
    ),
    "add_model: two costs": (
        lambda r: r.add_model(ERRORS, name="d", cost=[1, 2]),
        r"`cost` of model 'd' has shape \(2,\) but `val_errors` has shape \(60,\); pass one number",
    ),
    "add_model: the cost of a call infinite": (
        lambda r: r.add_model(ERRORS, name="d", cost=np.where(ERRORS == 0, np.inf, 1)),
        "`cost` of model 'd' must be finite and at least 0; got inf in row 0",
    ),
    "set_cost: of calls": (
        lambda r: r.set_cost("a", ERRORS),
        "`cost` of model 'a' must be one finite number of at least 0; got array",
    ),
    "add_model: errors too few": (
        lambda r: r.add_model(ERRORS[:3], name="d", cost=1),
        r"one error per row of .* `X_val_`, of shape \(60,\); got shape \(3,\). Put NaN",
    ),
    "add_model: errors of two dimensions": (
        lambda r: r.add_model(ERRORS[:, None], name="d", cost=1),
        r"got shape \(60, 1\)",
    ),
    "add_model: no errors known": (
        lambda r: r.add_model(ERRORS * np.nan, name="d", cost=1),
        "`val_errors` is NaN throughout",
    ),
    "add_model: infinite errors": (
        lambda r: r.add_model(ERRORS + np.inf, name="d", cost=1),
        "val_errors contains infinity",
    ),
    "add_model: own prompts, too few": (
        lambda r: r.add_model(ERRORS, name="d", cost=1, X_val=X[:9]),
        r"one error per row of `X_val`, of shape \(9,\); got shape \(60,\)",
    ),
    "add_model: own prompts of other features": (
        lambda r: r.add_model(ERRORS[:9], name="d", cost=1, X_val=X[:9, :2]),
        "`X_val` does not fit the prompts of this router. X has 2 features",
    ),
    "update_model: an unknown model": (
        lambda r: r.update_model("z", ERRORS),
        "`name` names models that this router does not know: 'z'",
    ),
    "update_model: errors too few": (
        lambda r: r.update_model("a", ERRORS[:3]),
        r"of shape \(60,\); got shape \(3,\)",
    ),
    "set_cost: an unknown model": (lambda r: r.set_cost("z", 1), "does not know: 'z'"),
    "set_cost: no cost": (lambda r: r.set_cost("a", None), "`cost` of model 'a' is missing"),
    "set_cost: a cost of NaN": (lambda r: r.set_cost("a", np.nan), "got nan"),
    "remove_model: an unknown model": (lambda r: r.remove_model("z"), "does not know: 'z'"),
}

WITHOUT_COSTS = {
    "predict with a cost_weight": (
        lambda r: r.predict(X, cost_weight=1),
        "`cost_weight`=1 needs costs, but this router was fitted without; pass `costs` to fit",
    ),
    "predict with a budget": (lambda r: r.predict(X, budget=1), "`budget`=1 needs costs"),
    "cost_weight_for_budget": (lambda r: r.cost_weight_for_budget(1), "`budget`=1 needs costs"),
    "add_model with a cost": (
        lambda r: r.add_model(ERRORS, name="d", cost=1),
        "`cost` was given for model 'd', but this router was fitted without costs",
    ),
    "set_cost": (lambda r: r.set_cost("a", 1), "fitted without costs"),
    "set_cost to nothing": (
        lambda r: r.set_cost("a", None),
        "model 'a' has no cost to change, because this router was fitted without costs",
    ),
    "a curve": (
        lambda r: DeferralCurveDisplay.from_estimator(r, X, Y),
        "a deferral curve needs costs",
    ),
}


def cases(table):
    return pytest.mark.parametrize(("call", "message"), table.values(), ids=table)


def state(router):
    """What is fitted: attributes that begin or end with an underscore."""
    return {name: value for name, value in vars(router).items() if "_" in (name[0], name[-1])}


@pytest.fixture(params=ROUTERS, ids=str)
def router(request):
    return clone(request.param)


@cases(FIT)
def test_fit(router, call, message):
    before = state(fit(router))
    with pytest.raises(ValueError, match=message):
        call(router)
    after = state(router)
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


@cases(CALLS)
def test_calls(router, call, message):
    fit(router)
    before = state(router)
    with pytest.raises(ValueError, match=message):
        call(router)
    after = state(router)
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_the_last_model_stays(router):
    fit(router).remove_model("a").remove_model("b")
    before = state(router)
    with pytest.raises(ValueError, match="model 'c' is the only one of this router; add another"):
        router.remove_model("c")
    assert all(before[name] is value for name, value in state(router).items())


@cases(WITHOUT_COSTS)
def test_calls_without_costs(router, call, message):
    before = state(fit(router, costs=None))
    with pytest.raises(ValueError, match=message):
        call(router)
    assert all(before[name] is value for name, value in state(router).items())


def test_names_of_the_other_kind(router):
    fit(router)
    with pytest.raises(TypeError, match=r"go by strings .*; got 3"):
        router.add_model(ERRORS, name=3, cost=1)
    fit(router, y=Y.to_numpy(), costs=None)
    for name in ("d", True, 2**70):
        with pytest.raises(TypeError, match=rf"go by integers .*; got {name!r}"):
            router.add_model(ERRORS, name=name)


def test_methods_before_fit(router):
    for call in (
        lambda: router.predict(X),
        lambda: router.predict_error(X),
        lambda: router.decision_function(X),
        lambda: router.score(X, Y),
        lambda: router.add_model(ERRORS),
        lambda: router.update_model("a", ERRORS),
        lambda: router.set_cost("a", 1),
        lambda: router.remove_model("a"),
        lambda: router.cost_weight_for_budget(1),
        lambda: DeferralCurveDisplay.from_estimator(router, X, Y),
    ):
        with pytest.raises(NotFittedError):
            call()


def test_a_first_fit_that_fails_leaves_an_unfitted_router(router):
    with pytest.raises(ValueError, match="`costs` has 2 entries"):
        fit(router, costs=[1, 2])
    assert state(router) == {}


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_clusters": 0}, ValueError, "n_clusters == 0, must be >= 1"),
        ({"n_clusters": 2.5}, TypeError, "n_clusters must be an instance of"),
        ({"n_clusters": 71}, ValueError, r"`n_clusters`=71 asks for more.*n_samples=70"),
        ({"representation": "median"}, ValueError, "must be one of 'posterior', 'mean'; got 'med"),
        ({"validation": "best"}, ValueError, "`validation` must be one of 'greedy', 'random'"),
        ({"n_validation": 2.5}, TypeError, "n_validation must be an instance of"),
    ],
)
def test_parameters_of_kmeans(params, error, message):
    with pytest.raises(error, match=message):
        fit(KMeansRouter(**params))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors == 0, must be >= 1"),
        ({"metric": "far"}, "far|metric"),
        ({"weights": "far"}, "`weights` must be one of 'uniform', 'distance'; got 'far'"),
    ],
)
def test_parameters_of_neighbors(params, message):
    with pytest.raises(ValueError, match=message):
        fit(KNeighborsRouter(**params))


def test_long_lists_of_names_are_cut():
    y = np.ones((70, 30))
    router = KMeansRouter().fit(X, y)
    with pytest.raises(ValueError, match=r"18, 19, and 10 more"):
        router.predict(X, pool=["z"])


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_rows_with_labels_in_another_order_are_refused(router, data):
    """A join or a sort of one table alone was taken by position."""
    X = pd.DataFrame(data.X[:300], index=[f"p{row}" for row in range(300)])
    X.columns = [f"f{number}" for number in range(5)]
    y = pd.DataFrame(data.y[:300], index=X.index)
    calls = pd.DataFrame(np.tile(data.costs, (300, 1)), index=X.index)
    fitted = clone(router).fit(X, y, costs=calls)
    expected = clone(router).fit(data.X[:300], data.y[:300], costs=calls.to_numpy())
    np.testing.assert_allclose(fitted.predict_error(X), expected.predict_error(data.X[:300]))
    shuffled = y.sample(frac=1, random_state=0)
    for call in (
        lambda: clone(router).fit(X, shuffled),
        lambda: clone(router).fit(X, y, costs=calls[::-1]),
        lambda: fitted.score(X, shuffled),
        lambda: fitted.score(X, y, calls[::-1]),
        lambda: fitted.score(X, y, sample_weight=pd.Series(1.0, index=X.index[::-1])),
    ):
        with pytest.raises(ValueError, match="have the labels of the rows of `X` in another order"):
            call()
    # Other labels say nothing.
    clone(router).fit(X, y.reset_index(drop=True))


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_masked_cells_are_missing(router, data):
    y = data.y[:300].astype(np.float32).copy()
    mask = np.random.RandomState(0).uniform(size=y.shape) < 0.2
    missing = np.where(mask, np.float32(np.nan), y)
    masked = np.ma.masked_array(np.where(mask, np.float32(9), y), mask)
    fitted = clone(router).fit(data.X[:300], masked, costs=data.costs)
    expected = clone(router).fit(data.X[:300], missing, costs=data.costs)
    np.testing.assert_array_equal(fitted.predict_error(data.X), expected.predict_error(data.X))
    rows = fitted.validation_indices_
    fitted.add_model(1 - masked[rows, 0], cost=1.0)
    expected.add_model(1 - missing[rows, 0], cost=1.0)
    np.testing.assert_array_equal(fitted.predict_error(data.X), expected.predict_error(data.X))
    hidden = np.ma.masked_array(data.X, data.X > 2)
    for call in (lambda: clone(router).fit(hidden, data.y), lambda: fitted.predict(hidden)):
        with pytest.raises(ValueError, match="contains NaN"):
            call()


def test_prices_that_are_nested_are_refused(data):
    nested = {model: {"input": 1e-6, "output": 2e-6} for model in range(8)}
    for costs in (nested, list(nested.values()), pd.Series(nested)):
        with pytest.raises(ValueError, match=r"`costs` must have one cost per model.*several"):
            KMeansRouter(3).fit(data.X, data.y, costs=costs)


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_a_cost_is_the_mean_of_those_recorded(router, data, calls):
    missing = np.random.RandomState(0).uniform(size=calls.shape) < 0.3
    recorded = np.where(missing, np.nan, calls)
    fitted = clone(router).fit(data.X, data.y, costs=recorded)
    np.testing.assert_allclose(fitted.costs_, np.nanmean(recorded, axis=0))
    rows = fitted.validation_indices_
    paid = recorded[rows, 0]
    fitted.add_model(1 - data.y[rows, 0], cost=paid)
    weights = fitted.validation_weights_[~np.isnan(paid)]
    expected = weights @ paid[~np.isnan(paid)] / weights.sum()
    assert fitted.costs_[-1] == pytest.approx(expected)
    recorded[:, 2] = np.nan
    with pytest.raises(ValueError, match=r"no recorded cost for model\(s\) 2"):
        clone(router).fit(data.X, data.y, costs=recorded)
    with pytest.raises(ValueError, match="is NaN throughout: no cost was recorded"):
        fitted.add_model(1 - data.y[rows, 0], cost=np.full(len(rows), np.nan))


def test_costs_by_cluster_need_the_cost_of_every_call(data, calls):
    recorded = calls.copy()
    recorded[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"model 2 in row 3.*fill in the mean cost of the model"):
        KMeansRouter(3, cost_model="cluster").fit(data.X, data.y, costs=recorded)
    with pytest.raises(ValueError, match="fill in the mean cost"):
        deferral_area_score(data.y, 1 - data.y, recorded)


def test_models_on_another_scale_draw_a_warning(data):
    y = pd.DataFrame(data.y[:, :3], columns=list("abc"))
    message = "those of 'c' from 1 to 5, but the others from 0 to 1"
    with pytest.warns(UserWarning, match=message) as caught:
        KMeansRouter(3, random_state=0).fit(data.X, y.assign(c=4 * y["c"] + 1))
    assert [one.filename for one in caught] == [__file__]
    with pytest.warns(UserWarning, match="'a' from 0 to 1, but the others from 0 to 100"):
        KMeansRouter(3, random_state=0).fit(data.X, y.assign(b=100 * y["b"], c=100 * y["c"]))


def test_qualities_without_names_draw_a_warning_where_models_have_names(router, data):
    y = pd.DataFrame(data.y[:, :4], columns=list("dbca"))
    router.fit(data.X, y[["a", "b", "c"]], costs=data.costs[:3])
    router.add_model(1 - y["d"][router.validation_indices_], name="d", cost=data.costs[3])
    by_name = router.score(data.X, y)
    with pytest.warns(UserWarning, match="in the order of `models_` \\('a', 'b', 'c', 'd'\\)"):
        assert router.score(data.X, y.to_numpy()) != by_name
    assert router.score(data.X, y.to_numpy(), pool=list("dbca")) == pytest.approx(by_name)


@pytest.mark.parametrize("gap", [False, True])
def test_qualities_and_costs_that_are_swapped_draw_a_warning(router, data, calls, gap):
    quality = data.y.copy()
    if gap:
        quality[3, 1] = np.nan
    with pytest.warns(UserWarning, match="all of `costs` are 0 or 1, and not all qualities are"):
        router.fit(data.X, calls, costs=data.y)
    # Both may be 0 or 1, and costs may be 1 throughout.
    router.fit(data.X, quality, costs=data.y)
    router.fit(data.X, calls, costs=np.broadcast_to(np.arange(8) % 2, calls.shape))
    router.fit(data.X, np.ones_like(calls), costs=data.y)


def test_quality_and_costs_of_an_array_of_prompts_share_their_order(data, calls):
    y = pd.DataFrame(data.y, columns=list("abcdefgh"))
    costs = pd.DataFrame(calls, columns=y.columns)[::-1]
    router = KMeansRouter(3, random_state=0).fit(data.X, y)
    for call in (
        lambda: KMeansRouter(3).fit(data.X, y, costs=costs),
        lambda: router.score(data.X, y, costs),
        lambda: compare_routers(ZeroRouter(), data.X, y, costs, n_trials=1),
        lambda: compare_routers(
            ZeroRouter(), pd.DataFrame(data.X, index=y.index[::-1]), y, data.costs, n_trials=1
        ),
    ):
        with pytest.raises(ValueError, match=r"the rows of `.*` have the labels .* another order"):
            call()


def test_rows_of_other_prompts_are_refused(data):
    labels = [f"p{row}" for row in range(400)]
    X = pd.DataFrame(data.X, index=labels, columns=list("vwxyz"))
    y = pd.DataFrame(data.y, index=labels)
    with pytest.raises(ValueError, match=r"other labels .* and some in common"):
        KMeansRouter(3).fit(X[:200], y[100:300])
    # One of them may have been numbered anew.
    KMeansRouter(3, random_state=0).fit(X[100:300], y[100:300].reset_index(drop=True))


@pytest.mark.parametrize("unit", ["M8[D]", "m8[s]"])
def test_dates_and_durations_are_no_numbers(data, unit):
    router = KMeansRouter(3, random_state=0).fit(data.X, data.y, costs=data.costs)
    table = router.routing_table(cost_weight=0.1)
    errors = 1 - data.y[:, 0]

    def times(values):
        return np.asarray(values).astype(np.int64).astype(unit)

    for call in (
        lambda: KMeansRouter(3).fit(data.X, times(data.y)),
        lambda: KMeansRouter(3).fit(data.X, pd.DataFrame(times(data.y))),
        lambda: KMeansRouter(3).fit(times(data.X), data.y),
        lambda: router.predict(times(data.X)),
        lambda: table.route_many(times(data.X)),
        lambda: table.route(times(data.X[0])),
        lambda: router.add_model(times(errors), cost=1.0),
        lambda: router.add_model(errors, cost=times(errors)),
        lambda: router.score(data.X, data.y, sample_weight=times(np.ones(400))),
        lambda: deferral_area_score(data.y, times(data.y), data.costs),
    ):
        with pytest.raises(ValueError, match=r"no numbers here|must be real numbers"):
            call()
    assert len(router.models_) == 8
