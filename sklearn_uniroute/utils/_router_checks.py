"""Checks of the promises that every router of this package keeps.

scikit-learn's estimator checks see a single model, and say next to nothing about routing.
"""

import copy
import pickle
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch

from sklearn_uniroute.utils._optional import import_optional

N_TRAINING = 300
N_VALIDATION = 60
COST_WEIGHTS = (0.0, 0.001, 0.01, 0.1, 10.0)


def check_router(router: Any, *, expected_failed_checks: Mapping[str, str] | None = None) -> None:
    """Check that a router keeps the promises of this package.

    Each check fits clones of the router on small synthetic data and compares what its public
    methods return: decisions depend on the prompt alone, not on the order of rows or of the pool;
    evidence adds up; copies and files predict the same; names, precision and costs are respected;
    and so on. Run :func:`sklearn.utils.estimator_checks.check_estimator` as well.

    Parameters
    ----------
    router : router
        Unfitted router. Its parameters `n_validation` and `random_state`, if it has them, are set
        by the checks.
    expected_failed_checks : mapping of str to str, default=None
        Names of checks that the router is known to fail, and the reason for each. They are not run.

    Raises
    ------
    AssertionError
        If checks fail. The message names each of them and its error.
    ValueError
        If `expected_failed_checks` names an unknown check.
    TypeError
        If `router` is a class.
    ImportError
        If pandas or skops is not installed.

    Examples
    --------
    >>> from sklearn_uniroute import ZeroRouter
    >>> from sklearn_uniroute.utils import check_router
    >>> check_router(ZeroRouter())
    """
    if isinstance(router, type):
        raise TypeError(f"pass a router, such as `{router.__name__}()`, not its class.")
    expected = {} if expected_failed_checks is None else expected_failed_checks
    checks = {check.__name__: check for check in router_checks()}
    unknown = sorted(set(expected) - set(checks))
    if unknown:
        raise ValueError(
            f"`expected_failed_checks` names unknown check(s) {unknown}; the checks are "
            f"{sorted(checks)}."
        )
    failures = {}
    for name, check in checks.items():
        if name not in expected:
            try:
                check(router, routing_data())
            # Whatever goes wrong is reported beside the others.
            except Exception as error:
                failures[name] = error
    if failures:
        lines = [f"{name}: {type(error).__name__}: {error}" for name, error in failures.items()]
        raise AssertionError(
            f"{type(router).__name__} fails {len(failures)} of {len(checks)} checks:\n\n"
            + "\n\n".join(lines)
        ) from next(iter(failures.values()))


def router_checks() -> list[Callable[[Any, Bunch], None]]:
    """List the checks that :func:`check_router` runs; each takes an unfitted router and data."""
    return [
        value
        for name, value in globals().items()
        if name.startswith("check_") and value is not check_router
    ]


@cache
def routing_data() -> Bunch:
    """Draw prompts in six clusters, and eight models in rising order of cost and skill."""
    rng = np.random.RandomState(0)
    centers = rng.normal(size=(6, 5))
    cluster = rng.randint(6, size=400)
    X = centers[cluster] + 0.3 * rng.normal(size=(400, 5))
    odds = np.linspace(0, 3, 8) + rng.normal(size=(6, 1)) + rng.normal(scale=1.5, size=(6, 8))
    y = (rng.uniform(size=(400, 8)) < 1 / (1 + np.exp(-odds[cluster]))).astype(np.float64)
    return Bunch(X=X, y=y, costs=np.geomspace(1, 100, 8))


def unfitted(router: Any, **params: Any) -> Any:
    """Clone a router, with few validation prompts and a seed where it has these parameters."""
    params = {"n_validation": N_VALIDATION, "random_state": 0, **params}
    known = router.get_params(deep=False)
    settings = {name: value for name, value in params.items() if name in known}
    return clone(router).set_params(**settings)


def fitted(
    router: Any,
    data: Bunch,
    *,
    n_models: int = 6,
    dtype: Any = np.float64,
    **fit_params: Any,
) -> Any:
    """Fit a clone of a router on the first models and the training prompts."""
    fit_params = {"costs": data.costs[:n_models], **fit_params}
    X = data.X[:N_TRAINING].astype(dtype)
    return unfitted(router).fit(X, data.y[:N_TRAINING, :n_models], **fit_params)


def validation_errors(router: Any, data: Bunch, model: int) -> np.ndarray:
    """Look up the errors of a model on the validation prompts of a router."""
    return 1 - data.y[router.validation_indices_, model]


def grown(router: Any, data: Bunch, **fit_params: Any) -> Any:
    """Fit a clone of a router, and add the other models."""
    router = fitted(router, data, **fit_params)
    for model in range(6, 8):
        router.add_model(validation_errors(router, data, model), cost=data.costs[model])
    return router


def assert_same(router: Any, other: Any, X: np.ndarray, pool: Any = None) -> None:
    """Compare the predictions of two routers to the bit."""
    np.testing.assert_array_equal(router.predict_error(X, pool), other.predict_error(X, pool))
    for cost_weight in COST_WEIGHTS:
        np.testing.assert_array_equal(
            router.predict(X, pool, cost_weight=cost_weight),
            other.predict(X, pool, cost_weight=cost_weight),
        )


def check_choices_depend_on_their_own_row_only(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    X = data.X[N_TRAINING:]
    order = np.random.RandomState(0).permutation(len(X))
    for settings in (*({"cost_weight": weight} for weight in COST_WEIGHTS), {"budget": 20.0}):
        whole = router.predict(X, **settings)
        np.testing.assert_array_equal(router.predict(X[order], **settings), whole[order])
        parts = [router.predict(X[rows], **settings) for rows in np.array_split(range(len(X)), 9)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        assert router.predict(X[:1], **settings) == whole[:1]


def check_choices_are_the_argmin_of_error_and_weighted_cost(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    X = data.X[N_TRAINING:]
    for weight in COST_WEIGHTS:
        scores = router.predict_error(X) + weight * router.costs_
        np.testing.assert_allclose(router.decision_function(X, cost_weight=weight), -scores)
        chosen = router.predict(X, cost_weight=weight)
        taken = np.take_along_axis(scores, chosen[:, None], axis=1)[:, 0]
        np.testing.assert_allclose(taken, scores.min(axis=1), atol=1e-12)


def check_pool_restricts_and_its_order_does_not_matter(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    X = data.X[N_TRAINING:]
    pool = [7, 0, 4, 2]
    error = router.predict_error(X)
    np.testing.assert_array_equal(router.predict_error(X, pool), error[:, pool])
    for weight in COST_WEIGHTS:
        chosen = router.predict(X, pool, cost_weight=weight)
        np.testing.assert_array_equal(chosen, router.predict(X, sorted(pool), cost_weight=weight))
        # By hand: the lowest score wins, then the lower cost, then the lower error.
        known = np.sort(pool)
        costs = np.broadcast_to(router.costs_[known], (len(X), len(known)))
        keys = (error[:, known], costs, error[:, known] + weight * costs)
        np.testing.assert_array_equal(chosen, known[np.lexsort(keys)[:, 0]])
    np.testing.assert_array_equal(
        router.predict(X, pool, budget=50), router.predict(X, pool[::-1], budget=50)
    )


def check_a_higher_cost_weight_never_chooses_dearer(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    paid = [router.costs_[router.predict(data.X, cost_weight=weight)] for weight in COST_WEIGHTS]
    assert np.all(np.diff(paid, axis=0) <= 0)
    assert np.any(np.diff(paid, axis=0) < 0)


def check_a_dominated_model_changes_nothing(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    other = grown(router, data)
    other.add_model(np.ones(len(other.X_val_)), cost=other.costs_.max())
    for weight in COST_WEIGHTS:
        np.testing.assert_array_equal(
            router.predict(data.X, cost_weight=weight), other.predict(data.X, cost_weight=weight)
        )


def check_models_that_do_the_same_are_estimated_alike(router: Any, data: Bunch) -> None:
    # So that the cheaper of the two is chosen, wherever they stand.
    y = np.column_stack([data.y[:, 3], data.y, data.y[:, 3], data.y[:, 1]])
    costs = np.concatenate([[99], data.costs, [98, 97]])
    for dtype in (np.float32, np.float64):
        X = data.X.astype(dtype)
        other = unfitted(router).fit(X[:N_TRAINING], y[:N_TRAINING], costs=costs)
        error = other.predict_error(X)
        np.testing.assert_array_equal(error[:, [0, 9, 10]], error[:, [4, 4, 2]])
        chosen = other.predict(X)
        assert not set(chosen) & {0, 9, 10}


def check_removing_and_adding_again_is_nothing(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    other = grown(router, data).remove_model(7)
    assert other.models_.tolist() == list(range(7))
    other.add_model(validation_errors(other, data, 7), cost=data.costs[7])
    assert_same(router, other, data.X)
    other = grown(router, data).remove_model(2)
    assert other.models_.tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert_same(router, other, data.X, pool=[0, 1, 3, 4, 5, 6, 7])


def check_replacing_starts_afresh(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    other = grown(router, data)
    errors = validation_errors(router, data, 0)
    other.add_model(errors, name=3, cost=9.0, replace=True)
    assert other.models_.tolist() == router.models_.tolist()
    router.add_model(errors, cost=9.0)
    np.testing.assert_array_equal(
        other.predict_error(data.X, [3]), router.predict_error(data.X, [8])
    )
    assert other.costs_[3] == 9.0


def check_evidence_adds_up(router: Any, data: Bunch) -> None:
    """Errors told at once, in two parts, or with prompts of their own, are the same errors."""
    router = fitted(router, data)
    errors = validation_errors(router, data, 6)
    first = np.arange(len(errors)) < 25
    router.add_model(errors, name=10, cost=1.0)
    router.add_model(errors, name=11, cost=1.0, X_val=router.X_val_)
    router.add_model(np.where(first, errors, np.nan), name=12, cost=1.0)
    router.update_model(12, np.where(first, np.nan, errors))
    router.add_model(errors[first], name=13, cost=1.0, X_val=router.X_val_[first])
    router.update_model(13, errors[~first], X_val=router.X_val_[~first])
    router.add_model(errors[~first], name=14, cost=1.0, X_val=router.X_val_[~first])
    router.update_model(14, errors[first], X_val=router.X_val_[first])
    error = router.predict_error(data.X, [10, 11, 12, 13, 14])
    np.testing.assert_allclose(error, error[:, :1] * np.ones(5), atol=1e-12)
    twice = router.add_model(errors, name=15, cost=1.0).update_model(15, 1 - errors)
    assert not np.allclose(twice.predict_error(data.X, [15]), error[:, :1])


def check_logs_are_updates(router: Any, data: Bunch) -> None:
    """Compare a log with updates of each model; calls without feedback tell nothing."""
    router = grown(router, data)
    X, rng = data.X[N_TRAINING:], np.random.RandomState(0)
    chosen = rng.randint(8, size=len(X))
    errors = 1 - data.y[N_TRAINING:][np.arange(len(X)), chosen]
    errors[::7] = np.nan
    other = copy.deepcopy(router)
    snapshot = copy.copy(router)
    router.update_from_log(X, chosen, errors)
    for model in range(8):
        run = (chosen == model) & ~np.isnan(errors)
        other.update_model(model, errors[run], X_val=X[run])
    error = other.predict_error(data.X)
    np.testing.assert_allclose(router.predict_error(data.X), error, atol=1e-12)
    assert not np.allclose(snapshot.predict_error(data.X), error)
    router.update_from_log(X, chosen, np.full(len(X), np.nan))
    np.testing.assert_allclose(router.predict_error(data.X), error, atol=1e-12)


def check_missing_training_labels_are_left_out(router: Any, data: Bunch) -> None:
    # A training model is known by the prompts that it was run on, as an added one would be.
    y = data.y[:N_TRAINING, :6].copy()
    run = np.random.RandomState(0).uniform(size=N_TRAINING) < 0.7
    y[~run, 2] = np.nan
    router = unfitted(router).fit(data.X[:N_TRAINING], y, costs=data.costs[:6])
    router.add_model(1 - y[run, 2], cost=1.0, X_val=data.X[:N_TRAINING][run])
    error = router.predict_error(data.X, [2, 6])
    np.testing.assert_allclose(error[:, 0], error[:, 1], atol=1e-12)


def check_missing_validation_labels_are_left_out(router: Any, data: Bunch) -> None:
    router = fitted(router, data)
    errors = validation_errors(router, data, 6)
    errors[::3] = np.nan
    seen = ~np.isnan(errors)
    router.add_model(errors, name=7, cost=1.0)
    router.add_model(errors[seen], name=8, cost=1.0, X_val=router.X_val_[seen])
    error = router.predict_error(data.X, [7, 8])
    np.testing.assert_allclose(error[:, 0], error[:, 1], atol=1e-12)


def check_single_and_double_precision_agree(router: Any, data: Bunch) -> None:
    double = grown(router, data)
    X = data.X[N_TRAINING:].astype(np.float32)
    assert double.predict_error(X).dtype == np.float32
    np.testing.assert_allclose(double.predict_error(X), double.predict_error(X * 1.0), atol=1e-6)
    single = grown(router, data, dtype=np.float32)
    for weight in (0.003, 0.03):
        chosen = double.predict(X.astype(np.float64), cost_weight=weight)
        np.testing.assert_array_equal(double.predict(X, cost_weight=weight), chosen)
        np.testing.assert_array_equal(single.predict(X, cost_weight=weight), chosen)
    np.testing.assert_array_equal(
        double.predict(X, budget=20), double.predict(X.astype(np.float64), budget=20)
    )


def check_copies_predict_the_same(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    skops = import_optional("skops.io", "persist")
    trusted = skops.get_untrusted_types(data=skops.dumps(router))
    for other in (
        copy.copy(router),
        copy.deepcopy(router),
        pickle.loads(pickle.dumps(router)),
        skops.loads(skops.dumps(router), trusted=trusted),
    ):
        assert_same(router, other, data.X)
        np.testing.assert_array_equal(
            router.predict(data.X, budget=20), other.predict(data.X, budget=20)
        )


def check_a_copy_is_not_disturbed(router: Any, data: Bunch) -> None:
    # Changes make new arrays, so that a shallow copy keeps the old pool.
    router = grown(router, data)
    snapshot, expected = copy.copy(router), grown(router, data)
    router.set_cost(0, 55.0).remove_model(3)
    router.add_model(validation_errors(router, data, 7), cost=3.0)
    router.add_model(validation_errors(router, data, 7)[:9], cost=3.0, X_val=router.X_val_[:9])
    router.update_model(5, validation_errors(router, data, 7))
    assert_same(snapshot, expected, data.X)


def check_names_come_from_a_data_frame(router: Any, data: Bunch) -> None:
    pd = import_optional("pandas", "pandas")
    plain = fitted(router, data)
    names = [f"m{number}" for number in range(6)]
    X = pd.DataFrame(data.X, columns=list("abcde"))
    y = pd.DataFrame(data.y[:, :6], columns=names)
    costs = dict(zip(names[::-1], data.costs[:6][::-1], strict=True))
    for named_costs in (costs, pd.Series(costs), pd.DataFrame(costs, index=X.index[:N_TRAINING])):
        named = unfitted(router).fit(X[:N_TRAINING], y[:N_TRAINING], costs=named_costs)
        assert named.models_.tolist() == names
        assert named.feature_names_in_.tolist() == list("abcde")
        np.testing.assert_allclose(named.costs_, plain.costs_)
        for weight in COST_WEIGHTS:
            np.testing.assert_array_equal(
                named.predict(X, cost_weight=weight),
                np.array(names)[plain.predict(data.X, cost_weight=weight)],
            )
    named.add_model(validation_errors(named, data, 6), name="a much longer name", cost=0.0)
    assert named.predict(X[:5], cost_weight=1e3).tolist() == ["a much longer name"] * 5
    # By name, the order and further columns of y do not matter.
    extended = y.assign(other=0.0)[["other", *names[::-1]]]
    named = unfitted(router).fit(X[:N_TRAINING], y[:N_TRAINING], costs=costs)
    score = named.score(X, extended, pool=names)
    np.testing.assert_allclose(score, plain.score(data.X, data.y[:, :6]), rtol=1e-6)


def check_costs_per_call_count_by_their_mean(router: Any, data: Bunch) -> None:
    rng = np.random.RandomState(0)
    calls = data.costs[:6] * rng.uniform(0.5, 1.5, size=(N_TRAINING, 6))
    per_call = fitted(router, data, costs=calls)
    np.testing.assert_allclose(per_call.costs_, calls.mean(axis=0))
    assert_same(per_call, fitted(router, data, costs=calls.mean(axis=0)), data.X)
    y = data.y[:N_TRAINING, :6].copy()
    y[0, 0] = calls[0, 0] = np.nan
    router = unfitted(router).fit(data.X[:N_TRAINING], y, costs=calls)
    np.testing.assert_allclose(router.costs_[0], calls[1:, 0].mean(), rtol=1e-6)


def check_the_cost_of_an_added_model_may_be_by_call(router: Any, data: Bunch) -> None:
    router = fitted(router, data)
    errors = validation_errors(router, data, 6)
    calls = np.random.RandomState(0).uniform(1, 9, size=len(errors))
    errors[:5] = calls[:5] = np.nan
    router.add_model(errors, name=6, cost=calls)
    expected = np.average(calls[5:], weights=router.validation_weights_[5:])
    np.testing.assert_allclose(router.costs_[6], expected, rtol=1e-6)
    router.add_model(errors, name=7, cost=calls, X_val=router.X_val_)
    np.testing.assert_allclose(router.costs_[7], calls[5:].mean(), rtol=1e-6)
    np.testing.assert_allclose(
        router.predict_cost(data.X[:3], [7, 0]), np.tile(router.costs_[[7, 0]], (3, 1))
    )


def check_any_unit_of_quality_is_routed_alike(router: Any, data: Bunch) -> None:
    """Shifting and scaling the quality shifts and scales predictions, and changes no choice."""
    if "loss" in router.get_params():
        router = unfitted(router).set_params(loss="squared_error")
    plain, scaled = (
        unfitted(router).fit(data.X[:N_TRAINING], y[:N_TRAINING, :6], data.costs[:6])
        for y in (data.y, 25 * data.y - 40)
    )
    errors = validation_errors(plain, data, 6)
    plain.add_model(errors, cost=data.costs[6])
    scaled.add_model(16 + 25 * errors, cost=data.costs[6], name=6)
    error = plain.predict_error(data.X)
    tolerance = 1e-3 if "loss" in router.get_params() else 1e-9
    np.testing.assert_allclose(scaled.predict_error(data.X), 16 + 25 * error, atol=25 * tolerance)
    for weight in COST_WEIGHTS:
        chosen = scaled.predict(data.X, cost_weight=25 * weight)
        taken = np.take_along_axis(error + weight * plain.costs_, chosen[:, None], axis=1)
        best = (error + weight * plain.costs_).min(axis=1)
        np.testing.assert_allclose(taken[:, 0], best, atol=2 * tolerance)


def check_without_costs_the_error_decides(router: Any, data: Bunch) -> None:
    router = fitted(router, data, costs=None)
    assert router.costs_ is None
    router.add_model(validation_errors(router, data, 6))
    error = router.predict_error(data.X)
    chosen = router.predict(data.X)
    taken = np.take_along_axis(error, chosen[:, None], axis=1)[:, 0]
    np.testing.assert_array_equal(taken, error.min(axis=1))
    quality = np.take_along_axis(data.y[:, :7], chosen[:, None], axis=1).mean()
    np.testing.assert_allclose(router.score(data.X, data.y[:, :7]), quality, rtol=1e-6)
    # All at one cost: the same.
    np.testing.assert_allclose(
        router.score(data.X, data.y[:, :7], costs=np.full(7, 3.0)), quality, rtol=1e-6
    )


def check_the_budget_is_kept_in_single_precision(router: Any, data: Bunch) -> None:
    check_the_budget_is_kept(router, data, dtype=np.float32)


def check_the_order_of_the_pool_does_not_change_the_score(router: Any, data: Bunch) -> None:
    # Equal costs, so that ties abound.
    router = fitted(router, data, costs=[1, 1, 2, 2, 5, 5])
    y = data.y[:, [5, 1, 0, 4]]
    score = router.score(data.X, y, pool=[5, 1, 0, 4])
    assert score == router.score(data.X, y[:, ::-1], pool=[4, 0, 1, 5])
    calls = np.random.RandomState(0).uniform(size=y.shape)
    score = router.score(data.X, y, calls, pool=[5, 1, 0, 4])
    assert score == router.score(data.X, y[:, ::-1], calls[:, ::-1], pool=[4, 0, 1, 5])


def check_the_budget_is_kept(router: Any, data: Bunch, dtype: Any = np.float64) -> None:
    router = grown(router, data, dtype=dtype)
    # Routers over clusters know how the training prompts spread over them.
    X, weights = router.X_val_, router.validation_weights_
    if hasattr(router, "cluster_shares_"):
        X, weights = data.X[:N_TRAINING], None
    X = X.astype(dtype)
    for budget in (1.0, 5.0, 20.0, 60.0, 1e6):
        weight = router.cost_weight_for_budget(budget)
        paid = router.costs_[router.predict(X, cost_weight=weight)]
        assert np.average(paid, weights=weights) <= budget * (1 + 1e-9)
        if weight > 0:
            # No lower weight keeps it.
            lower = router.predict(X, cost_weight=weight * (1 - 1e-5))
            assert np.average(router.costs_[lower], weights=weights) > budget
    assert set(router.predict(X, budget=1.0)) == {0}
    weight = router.cost_weight_for_budget(30.0, pool=[0, 3, 7], X=data.X)
    assert router.costs_[router.predict(data.X, [0, 3, 7], cost_weight=weight)].mean() <= 30.0


def check_constructed_settings_are_defaults(router: Any, data: Bunch) -> None:
    if not {"cost_weight", "budget"} <= set(router.get_params(deep=False)):
        return
    plain = grown(router, data)
    weighted = grown(unfitted(router).set_params(cost_weight=0.01), data)
    np.testing.assert_array_equal(weighted.predict(data.X), plain.predict(data.X, cost_weight=0.01))
    np.testing.assert_array_equal(
        weighted.decision_function(data.X), plain.decision_function(data.X, cost_weight=0.01)
    )
    np.testing.assert_array_equal(
        weighted.predict(data.X, budget=9), plain.predict(data.X, budget=9)
    )
    thrifty = grown(unfitted(router).set_params(budget=9), data)
    np.testing.assert_array_equal(thrifty.predict(data.X), plain.predict(data.X, budget=9))
    np.testing.assert_array_equal(
        thrifty.predict(data.X, cost_weight=0.01), plain.predict(data.X, cost_weight=0.01)
    )
    np.testing.assert_array_equal(
        thrifty.decision_function(data.X),
        plain.decision_function(data.X, cost_weight=plain.cost_weight_for_budget(9)),
    )


def check_validation_prompts(router: Any, data: Bunch) -> None:
    chosen = fitted(router, data)
    assert len(np.unique(chosen.validation_indices_)) == len(chosen.X_val_)
    np.testing.assert_array_equal(chosen.X_val_, data.X[chosen.validation_indices_])
    np.testing.assert_array_equal(
        chosen.validation_indices_, fitted(router, data).validation_indices_
    )
    everything = unfitted(router, n_validation=None)
    if hasattr(everything, "n_validation") and everything.n_validation is None:
        everything.fit(data.X[:N_TRAINING], data.y[:N_TRAINING, :6])
        assert sorted(everything.validation_indices_) == list(range(N_TRAINING))
    # On average, the weights make up for clusters that were picked more often than others.
    assert chosen.validation_weights_.shape == (len(chosen.X_val_),)
    assert 0 < chosen.validation_weights_.mean() <= 1 + 1e-12
    passed = fitted(router, data, X_val=data.X[N_TRAINING:])
    assert passed.validation_indices_ is None
    np.testing.assert_array_equal(passed.validation_weights_, 1)
    np.testing.assert_array_equal(passed.X_val_, data.X[N_TRAINING:])


def check_weights_of_prompts(router: Any, data: Bunch) -> None:
    plain, weights = fitted(router, data), np.ones(N_TRAINING)
    try:
        equal = fitted(router, data, sample_weight=weights)
    except TypeError:
        # Weights are optional for routers of one's own.
        return
    np.testing.assert_allclose(
        equal.predict_error(data.X), plain.predict_error(data.X), rtol=1e-6, atol=1e-6
    )
    weights[::3] = 0
    weighted = fitted(router, data, sample_weight=weights)
    kept = np.flatnonzero(weights)
    without = unfitted(router).fit(
        data.X[kept], data.y[kept, :6], costs=data.costs[:6], sample_weight=weights[kept]
    )
    assert_same(weighted, without, data.X)
    np.testing.assert_array_equal(weighted.validation_indices_, kept[without.validation_indices_])


def check_fit_starts_afresh(router: Any, data: Bunch) -> None:
    router = grown(router, data)
    again = router.fit(data.X[:N_TRAINING], data.y[:N_TRAINING, :6], costs=data.costs[:6])
    assert_same(again, fitted(router, data), data.X)


def check_equal_seeds_give_equal_routers(router: Any, data: Bunch) -> None:
    assert_same(grown(router, data), grown(router, data), data.X)
