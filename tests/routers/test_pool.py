import copy
import re
import sys
import threading
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import KMeansRouter, MLPRouter, ZeroRouter
from sklearn_uniroute.utils._router_checks import grown
from tests.all_routers import ROUTERS


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_frames_have_mean_costs_and_errors(router, data):
    router = grown(router, data)
    frame = router.pool_frame()
    assert frame.index.name == "model"
    assert frame.index.tolist() == list(range(8))
    np.testing.assert_array_equal(frame["cost"], router.costs_)
    known, weights = router.X_val_, router.validation_weights_
    if hasattr(router, "cluster_shares_"):
        known, weights = data.X[:300], None
    expected = np.average(router.predict_error(known), axis=0, weights=weights)
    np.testing.assert_allclose(frame["error"], expected, atol=1e-6)


def test_frames_without_costs_and_by_name(data):
    y = pd.DataFrame(data.y[:, :2], columns=["small", "large"])
    frame = ZeroRouter().fit(data.X, y).pool_frame()
    assert frame.columns.tolist() == ["error", "n_errors"]
    np.testing.assert_allclose(frame["error"], 1 - y.mean())
    assert frame["n_errors"].tolist() == [len(y)] * 2
    with pytest.raises(NotFittedError):
        ZeroRouter().pool_frame()


def test_notebooks_show_the_pool(data, monkeypatch):
    y = pd.DataFrame(data.y[:, :2], columns=["small", "<b>large</b>"])
    router = ZeroRouter()
    plain = router._repr_html_()
    assert "<th>error</th>" not in plain
    router.fit(data.X, y, costs=[0.125, 12345.678])
    for html in (router._repr_html_(), router._repr_mimebundle_()["text/html"]):
        table = re.sub(r">\s+<", "><", html[html.rindex("<table") :])
        assert "<th>cost</th><th>error</th>" in table
        error = 1 - data.y[:, 0].mean()
        assert f"<th>small</th><td>0.125</td><td>{error:.4g}</td>" in table
        assert "<th>&lt;b&gt;large&lt;/b&gt;</th><td>1.235e+04</td>" in table
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        assert "<th>&lt;b&gt;large" not in router._repr_html_()
    with config_context(display="text"):
        assert not hasattr(router, "_repr_html_")
        assert "text/html" not in router._repr_mimebundle_()


def test_large_pools_are_cut(data):
    y = np.random.RandomState(0).randint(2, size=(400, 60))
    html = KMeansRouter(2, random_state=0).fit(data.X, y)._repr_html_()
    assert "<th>24</th>" in html
    assert "<th>25</th>" not in html
    assert "<th>59</th>" in html


def test_pipelines_show_as_they_do(data):
    pipeline = make_pipeline(StandardScaler(), KMeansRouter(2, random_state=0))
    assert "KMeansRouter" in pipeline.fit(data.X, data.y)._repr_html_()


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_errors_with_an_index_go_by_it(router, data):
    """After a join or a sort, errors are in another order than the validation prompts."""
    X, y = data.X[:300], pd.DataFrame(data.y[:300, :3], columns=list("abc"))
    fitted = clone(router).fit(X, y, costs=dict(zip("abc", data.costs[:3], strict=True)))
    rows = fitted.validation_indices_
    errors = pd.Series(1 - data.y[rows, 3], index=rows)
    expected = copy.deepcopy(fitted).add_model(errors.to_numpy(), name="d", cost=1.0)
    shuffled = errors.sample(frac=1, random_state=0)
    assert not shuffled.index.equals(errors.index)
    by_position = pd.Series(errors.to_numpy()).sample(frac=1, random_state=1)
    for given in (errors, errors.sort_index(), shuffled, by_position):
        found = copy.deepcopy(fitted).add_model(given, name="d", cost=1.0)
        np.testing.assert_array_equal(found.predict_error(X), expected.predict_error(X))
        updated = [
            copy.deepcopy(one).update_model("a", values).predict_error(X)
            for one, values in ((fitted, given), (fitted, errors.to_numpy()))
        ]
        np.testing.assert_array_equal(*updated)
    before = fitted.predict_error(X)
    for index in (rows + 1000, np.repeat(rows[:1], len(rows)), [f"p{row}" for row in rows]):
        wrong = errors.set_axis(index)
        for call in (
            lambda wrong=wrong: fitted.add_model(wrong, name="d", cost=1.0),
            lambda wrong=wrong: fitted.update_model("a", wrong),
        ):
            with pytest.raises(ValueError, match=r"index of `val_errors`.*pass val_errors\.to"):
                call()
    np.testing.assert_array_equal(fitted.predict_error(X), before)


def test_costs_of_calls_with_an_index_go_by_it(data, calls):
    router = KMeansRouter(4, n_validation=50, cost_model="cluster", random_state=0)
    router.fit(data.X, data.y[:, :7], costs=calls[:, :7])
    rows = router.validation_indices_
    errors, paid = 1 - data.y[rows, 7], pd.Series(calls[rows, 7], index=rows)
    found = [
        copy.deepcopy(router).add_model(errors, cost=cost).cost_representation_[-1]
        for cost in (paid.to_numpy(), paid.sort_index())
    ]
    np.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match="the index of `cost`"):
        router.add_model(errors, cost=paid.set_axis(rows + 1000))


def test_errors_on_prompts_of_a_frame_go_by_their_labels(data):
    prompts = pd.DataFrame(data.X[:20], index=[f"p{row}" for row in range(20)])
    router = KMeansRouter(3, random_state=0).fit(data.X, data.y[:, :3])
    errors = pd.Series(1 - data.y[:20, 3], index=prompts.index)
    found = [
        copy.deepcopy(router).add_model(one, X_val=prompts).representation_
        for one in (errors, errors[::-1])
    ]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_all_training_prompts_as_validation_prompts_keep_their_order(router, data):
    """Errors in the order of the training prompts were taken for those of a permutation."""
    for n_validation in (None, 300, 400):
        fitted = clone(router).set_params(n_validation=n_validation)
        fitted.fit(data.X[:300], data.y[:300, :3])
        np.testing.assert_array_equal(fitted.validation_indices_, np.arange(300))
        np.testing.assert_array_equal(fitted.validation_weights_, np.ones(300))
        np.testing.assert_array_equal(fitted.X_val_, data.X[:300])


@pytest.mark.parametrize("other", ["a ", " a", "e\u0301", "a\0"])
def test_names_that_look_alike_are_refused(data, other):
    known = "\u00e9" if other == "e\u0301" else "a"
    y = pd.DataFrame(data.y[:, :2], columns=[known, "b"])
    router = KMeansRouter(3, random_state=0).fit(data.X, y, costs={known: 1, "b": 2})
    before = router.predict_error(data.X)
    message = "NUL character" if "\0" in other else "differ only in spaces"
    with pytest.raises(ValueError, match=message):
        router.add_model(1 - data.y[router.validation_indices_, 2], name=other, cost=1.0)
    with pytest.raises(ValueError, match=message):
        KMeansRouter(3).fit(data.X, y.set_axis([known, other], axis=1))
    a, b = [known] * 399 + [other], ["b"] * 400
    with pytest.raises(ValueError, match=message):
        router.add_models_from_preferences(data.X, a, b, ["tie"] * 400, costs={other: 1.0})
    np.testing.assert_array_equal(router.predict_error(data.X), before)


def test_very_long_names_are_refused(data):
    y = pd.DataFrame(data.y[:, :2], columns=["a" * 1001, "b"])
    with pytest.raises(ValueError, match="a name of 1001 characters"):
        KMeansRouter(3).fit(data.X, y)


def test_errors_on_another_scale_draw_a_warning(data):
    graded = 4 * data.y + 1
    router = KMeansRouter(3, random_state=0).fit(data.X, graded[:, :7])
    errors = 1 - graded[router.validation_indices_, 7]
    copy.deepcopy(router).add_model(errors)
    for wrong, ends in (
        (1 - errors, "from 1 to 5, but those of the training models from -4 to 0"),
        (errors / 4 + 1, "from 0 to 1"),
        (errors * 25, "from -100 to 0"),
    ):
        with pytest.warns(UserWarning, match=f"errors of model 7 go {ends}") as caught:
            copy.deepcopy(router).add_model(wrong)
        assert caught[0].filename == __file__
        with pytest.warns(UserWarning, match=f"errors of model 0 go {ends}"):
            copy.deepcopy(router).update_model(0, wrong)
    percent = KMeansRouter(3, random_state=0).fit(data.X, 100 * data.y[:, :7])
    with pytest.warns(UserWarning, match="one minus quality"):
        percent.add_model(100 * data.y[percent.validation_indices_, 7])


def test_replacing_a_model_forgets_its_costs(data, calls):
    router = KMeansRouter(4, cost_model="cluster", random_state=0)
    router.fit(data.X, data.y, costs=calls)
    fresh = copy.deepcopy(router).remove_model(3)
    errors = 1 - data.y[router.validation_indices_, 3]
    fresh.add_model(errors, name=3, cost=5.0)
    router.add_model(errors, name=3, cost=5.0, replace=True)
    np.testing.assert_allclose(
        router.cost_representation_[3], fresh.cost_representation_[-1], rtol=1e-12
    )


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_readers_see_one_state_while_another_thread_changes_the_pool(router, data):
    fitted = clone(router).fit(data.X[:300], data.y[:300], costs=data.costs)
    X = data.X[300:320]
    whole = fitted.predict_error(X)
    rows = fitted.validation_indices_
    states, wrong, stop = [whole[:, 1:]], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                error = fitted.predict_error(X)
                same = [one.shape == error.shape and np.allclose(one, error) for one in states]
                if not any(same):
                    wrong.append(error)
                fitted.predict(X, cost_weight=0.01)
            except Exception as failure:
                wrong.append(failure)

    fitted.remove_model(0)
    changed = copy.deepcopy(fitted).add_model(1 - data.y[rows, 0], name=0, cost=1.0)
    states.append(changed.predict_error(X))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=read) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(10 if isinstance(router, MLPRouter) else 40):
            fitted.add_model(1 - data.y[rows, 0], name=0, cost=1.0)
            fitted.remove_model(0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not wrong


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_arrays_of_the_caller_may_change_later(router, data):
    X, X_val = data.X[:300].copy(), data.X[300:340].copy()
    y = data.y[:300].copy()
    fitted = clone(router).fit(X, y, costs=data.costs, X_val=X_val)
    fitted.add_model(1 - data.y[300:340, 0], cost=1.0, X_val=X_val)
    expected = copy.deepcopy(fitted).update_model(8, 1 - data.y[300:340, 1])
    X[:], X_val[:], y[:] = 7, 7, 0
    fitted.update_model(8, 1 - data.y[300:340, 1])
    np.testing.assert_array_equal(fitted.predict_error(data.X), expected.predict_error(data.X))


def test_errors_go_by_the_labels_of_a_shuffled_frame(data):
    """Labels of the training prompts are not their positions."""
    shuffled = pd.DataFrame(data.X, columns=list("vwxyz")).sample(frac=1, random_state=0)
    y = data.y[shuffled.index]
    for n_validation in (None, 60):
        router = KMeansRouter(4, n_validation=n_validation, random_state=0)
        router.fit(shuffled, y[:, :3])
        labels = shuffled.index[router.validation_indices_]
        errors = pd.Series(1 - y[router.validation_indices_, 3], index=labels)
        expected = copy.deepcopy(router).add_model(errors.to_numpy()).representation_
        if n_validation is None:
            # The labels could be positions as well.
            with pytest.raises(ValueError, match="or their positions, which differ"):
                router.add_model(errors)
            continue
        for given in (errors, errors.sort_index()):
            found = copy.deepcopy(router).add_model(given).representation_
            np.testing.assert_array_equal(found, expected)
    router.fit(data.X, data.y[:, :3], X_val=shuffled.to_numpy())
    named = router.fit(
        pd.DataFrame(data.X, columns=list("vwxyz")), data.y[:, :3], X_val=shuffled[:50]
    )
    errors = pd.Series(1 - y[:50, 3], index=shuffled.index[:50])
    found = [
        copy.deepcopy(named).add_model(one).representation_
        for one in (errors.to_numpy(), errors, errors.sort_index())
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_prices_may_be_decimals_and_arrays_of_one_number(data):
    router = KMeansRouter(3, random_state=0).fit(data.X, data.y, costs=data.costs)
    router.set_cost(0, Decimal("0.5")).set_cost(1, np.array(2.0))
    assert router.costs_[:2].tolist() == [0.5, 2.0]


def test_numbers_in_another_order_than_the_columns_draw_a_warning(data):
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs)
    errors = 1 - data.y[router.validation_indices_, 0]
    router.remove_model(0).add_model(errors, name=0, cost=data.costs[0])
    with pytest.warns(UserWarning, match="in the order of `models_`"):
        router.score(data.X, data.y)
    frame = pd.DataFrame(data.y)
    with pytest.warns(UserWarning, match="`costs` has no names of models"):
        router.score(data.X, frame, data.costs)
    named = router.score(data.X, frame, dict(enumerate(data.costs)))
    assert named == router.score(data.X, data.y, data.costs, pool=range(8))


def test_decimal_budgets(data):
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs)
    budget, weight = Decimal(str(data.costs.mean())), Decimal("0.01")
    assert router.cost_weight_for_budget(budget) == router.cost_weight_for_budget(float(budget))
    for given in ({"budget": budget}, {"cost_weight": weight}):
        plain = {name: float(value) for name, value in given.items()}
        assert (router.predict(data.X, **given) == router.predict(data.X, **plain)).all()
    found = router.decision_function(data.X, cost_weight=weight)
    np.testing.assert_array_equal(found, router.decision_function(data.X, cost_weight=0.01))
