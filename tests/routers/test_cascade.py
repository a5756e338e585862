"""Cascades of routers: fit, pools that change, files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_uniroute import (
    CascadeRouter,
    EnsembleRouter,
    KMeansRouter,
    LinearRouter,
    ZeroRouter,
    load_router,
    save_router,
)
from sklearn_uniroute.routers import _cascade

TRAIN, TEST = slice(900), slice(900, 1500)


def fit(log, router=None, models=slice(None), **params):
    router = KMeansRouter(random_state=0) if router is None else router
    cascade = CascadeRouter(router, **params)
    cut = (TRAIN, models)
    return cascade.fit(log.X[TRAIN], log.y[cut], log.costs[models], scores=log.scores[cut])


def gain(cascade, log, scores=None, pool=None):
    models = slice(None) if pool is None else pool
    cells = (TEST, models)
    scores = log.scores if scores is None else scores
    alone = cascade.router_.score(log.X[TEST], log.y[cells], pool=pool)
    area = cascade.score(log.X[TEST], log.y[cells], pool=pool, scores=scores[cells])
    return area - alone


@pytest.mark.parametrize("calibration", ["isotonic", "logistic"])
@pytest.mark.parametrize(
    "router",
    [
        KMeansRouter(random_state=0),
        ZeroRouter(random_state=0),
        LinearRouter(random_state=0),
        EnsembleRouter([("kmeans", KMeansRouter()), ("linear", LinearRouter())], random_state=0),
    ],
    ids=lambda router: type(router).__name__,
)
def test_a_check_pays_with_any_router(scored_log, router, calibration):
    log = scored_log
    cascade = fit(log, router, calibration=calibration)
    assert cascade.informative_
    assert gain(cascade, log) > 0.02


def test_more_calls_are_worth_more(scored_log):
    log = scored_log
    gains = [gain(fit(log, max_calls=n), log) for n in (1, 2, 3)]
    assert gains[0] == pytest.approx(0, abs=0.002)
    assert gains[0] < gains[1] < gains[2] + 0.002


@pytest.mark.parametrize("scores", ["constant", "none", "noise"])
def test_scores_that_say_nothing_give_the_router_alone(scored_log, scores):
    log = scored_log
    values = {
        "constant": np.ones(log.y.shape),
        "none": np.full(log.y.shape, np.nan),
        "noise": np.random.RandomState(1).normal(size=log.y.shape),
    }[scores]
    cascade = CascadeRouter(KMeansRouter(random_state=0))
    with pytest.warns(UserWarning, match="say nothing"):
        cascade.fit(log.X[TRAIN], log.y[TRAIN], log.costs, scores=values[TRAIN])
    assert not cascade.informative_
    alone = KMeansRouter(random_state=0).fit(log.X[TRAIN], log.y[TRAIN], log.costs)
    X, y = log.X[TEST], log.y[TEST]
    for cost_weight in (0.0, 0.003, 0.02):
        first = cascade.first(X, cost_weight=cost_weight)
        np.testing.assert_array_equal(first, alone.predict(X, cost_weight=cost_weight))
        kept = cascade.next(X, first, np.full(len(X), 3.0), cost_weight=cost_weight)
        np.testing.assert_array_equal(kept, first)
    assert cascade.score(X, y, scores=values[TEST]) == alone.score(X, y)
    # Also where dearer models are the cheaper ones on some prompts.
    paid = log.costs * np.random.RandomState(2).lognormal(0, 2, size=y.shape)
    assert cascade.score(X, y, paid, scores=values[TEST]) == alone.score(X, y, paid)
    assert cascade.cost_weight_for_budget(10.0) == alone.cost_weight_for_budget(10.0)
    curve = cascade.simulate(X, y, scores=values[TEST], cost_weight=[0.003])
    chosen = alone.predict(X, cost_weight=0.003)
    assert curve.cost == pytest.approx([log.costs[chosen].mean()])


def test_a_fitted_router_is_used_as_it_is(scored_log):
    log = scored_log
    router = KMeansRouter(random_state=0).fit(log.X[:500], log.y[:500, :5], log.costs[:5])
    router.add_model(1 - log.y[router.validation_indices_, 5], cost=log.costs[5])
    cascade = CascadeRouter(FrozenEstimator(router))
    cascade.fit(log.X[500:900], log.y[500:900], log.costs, scores=log.scores[500:900])
    assert cascade.router_ is router
    assert gain(cascade, log) > 0.02
    wide = np.column_stack([log.y, log.y[:, 0]])
    with pytest.raises(ValueError, match="6 that the fitted router does not know"):
        cascade.fit(log.X, wide, np.arange(1.0, 8), scores=wide)


def test_an_added_model_works_from_few_scores_or_none(scored_log):
    log = scored_log
    shifted = log.scores + np.array([0, 0, 0, 0, 0, 2.0])
    cascade = fit(log, models=slice(5))
    rows = cascade.router_.validation_indices_[:60]
    errors, X_val = 1 - log.y[rows, 5], log.X[rows]
    without = clone(cascade).set_params(router=KMeansRouter(random_state=0))
    without.fit(log.X[TRAIN], log.y[TRAIN, :5], log.costs[:5], scores=log.scores[TRAIN, :5])
    without.add_model(errors, cost=log.costs[5], X_val=X_val)
    assert without.models_.tolist() == [0, 1, 2, 3, 4, 5]
    assert without.score_shifts_[5] == 0
    assert gain(without, log) > 0.02
    # Levels differ between models if the training models' do.
    scores = shifted + np.array([1.0, -1, 0.5, 0, -0.5, 0])
    cascade.fit(log.X[TRAIN], log.y[TRAIN, :5], log.costs[:5], scores=scores[TRAIN, :5])
    cascade.add_model(errors, cost=log.costs[5], X_val=X_val, scores=scores[rows, 5])
    assert cascade.score_shifts_[5] == pytest.approx(2, abs=0.4)
    assert gain(cascade, log, scores) > 0.02


def test_few_grades_are_mostly_the_lowest_and_the_highest(scored_log):
    log = scored_log
    rng = np.random.RandomState(0)
    grades = np.where(rng.uniform(size=log.y.shape) < 0.15, 1 - log.y, log.y)
    grades = np.where(rng.uniform(size=log.y.shape) < 0.08, rng.uniform(size=log.y.shape), grades)
    cascade = fit(log).fit(log.X[TRAIN], log.y[TRAIN], log.costs, scores=grades[TRAIN])
    assert cascade.score(log.X[TEST], log.y[TEST], log.costs, scores=grades[TEST]) > 0


@pytest.mark.parametrize("other", [lambda scores: 100 - scores, lambda scores: 1e3 + scores])
def test_scores_on_another_scale_draw_a_warning(scored_log, other):
    log = scored_log
    cascade = fit(log)
    X, y, scores = log.X[-50:], log.y[-50:], log.scores[-50:]
    asked = cascade.first(X, cost_weight=0.01)
    given = scores[np.arange(50), asked]
    cascade.next(X, asked, given, cost_weight=0.01)
    cascade.score(X, y, log.costs, scores=scores)
    with pytest.warns(UserWarning, match="keep to their scale"):
        cascade.next(X, asked, other(given), cost_weight=0.01)
    with pytest.warns(UserWarning, match="keep to their scale"):
        cascade.score(X, y, log.costs, scores=other(scores))


def test_what_was_learned_of_the_scores_of_a_model_goes_with_it(scored_log):
    log = scored_log
    levels = log.scores + np.array([1.0, -1, 0.5, 0, -0.5, 3])
    cascade = fit(log, models=slice(5))
    cascade.fit(log.X[TRAIN], log.y[TRAIN, :5], log.costs[:5], scores=levels[TRAIN, :5])
    rows = cascade.router_.validation_indices_
    errors = 1 - log.y[TRAIN][rows, 5]
    cascade.add_model(errors, cost=log.costs[5], scores=levels[TRAIN][rows, 5])
    assert cascade.score_shifts_[5] > 1
    assert cascade.remove_model(5).models_.tolist() == [0, 1, 2, 3, 4]
    assert 5 not in cascade.score_shifts_
    cascade.add_model(errors, name=5, cost=log.costs[5])
    assert cascade.score_shifts_[5] == 0
    with pytest.raises(ValueError, match="'other'"):
        cascade.remove_model("other")
    assert cascade.models_.tolist() == [0, 1, 2, 3, 4, 5]


def test_scores_must_fit_the_errors_of_an_added_model(scored_log):
    log = scored_log
    cascade = fit(log, models=slice(5))
    errors = 1 - log.y[cascade.router_.validation_indices_, 5]
    for scores, message in ((errors[:-1], "one score for each error"), (errors + np.inf, "inf")):
        with pytest.raises(ValueError, match=message):
            cascade.add_model(errors, cost=1.0, scores=scores)
    with pytest.raises(ValueError, match="one score for each error"):
        cascade.add_model(None, cost=1.0, scores=errors)
    assert len(cascade.models_) == 5


def test_pipelines_and_names(scored_log):
    log = scored_log
    names = [f"model-{place}" for place in range(6)]
    y, scores = (pd.DataFrame(table, columns=names) for table in (log.y, log.scores))
    costs = dict(zip(names, log.costs, strict=True))
    pipeline = make_pipeline(PCA(8, random_state=0), KMeansRouter(random_state=0))
    cascade = CascadeRouter(pipeline).fit(
        log.X[TRAIN], y[TRAIN], costs, scores=scores[TRAIN][names[::-1]]
    )
    plain = CascadeRouter(pipeline).fit(
        log.X[TRAIN], log.y[TRAIN], log.costs, scores=log.scores[TRAIN]
    )
    X = log.X[TEST]
    first = cascade.first(X, cost_weight=0.005)
    assert first.tolist() == [names[place] for place in plain.first(X, cost_weight=0.005)]
    area = cascade.score(X, y[TEST][names[::-1]], scores=scores[TEST])
    assert area == pytest.approx(plain.score(X, log.y[TEST], scores=log.scores[TEST]))
    table = cascade.routing_table(cost_weight=0.005)
    step = table.first(cascade.router_[:-1].transform(X)[0])
    assert step["ask"] == first[0]


def test_qualities_may_have_any_scale(scored_log):
    log = scored_log
    plain = fit(log)
    cascade = CascadeRouter(KMeansRouter(random_state=0)).fit(
        log.X[TRAIN], 1 + 4 * log.y[TRAIN], log.costs, scores=log.scores[TRAIN]
    )
    assert cascade.quality_range_ == (1, 5)
    X = log.X[TEST]
    for cost_weight in (0.001, 0.005):
        np.testing.assert_array_equal(
            cascade.first(X, cost_weight=4 * cost_weight), plain.first(X, cost_weight=cost_weight)
        )


def test_parameters_are_checked_and_searched(scored_log):
    log = scored_log
    for params, message in (
        ({"max_calls": 0}, "max_calls"),
        ({"calibration": "sigmoid"}, "calibration"),
        ({"check_cost": -1.0}, "check_cost"),
        ({"cost_weight": -1.0}, "cost_weight"),
        ({"cost_weight": 1.0, "budget": 1.0}, "exclude"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            fit(log, **params)
    cascade = fit(log, max_calls=50)
    assert len(set(cascade.first(log.X[TEST]).tolist())) > 0
    assert clone(cascade).get_params()["router__random_state"] == 0
    search = GridSearchCV(
        CascadeRouter(KMeansRouter(random_state=0)),
        {"router__n_clusters": [2, 8]},
        cv=2,
        scoring=lambda cascade, X, y: cascade.router_.score(X, y),
    )
    search.fit(log.X[TRAIN], log.y[TRAIN], costs=log.costs, scores=log.scores[TRAIN])
    assert search.best_estimator_.informative_


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, "missing"),
        (np.zeros((900, 5)), "shape"),
        (np.zeros((800, 6)), "shape"),
        (np.full((900, 6), np.inf), "infinity"),
        (pd.DataFrame(np.zeros((900, 5)), columns=range(5)), "5"),
        (np.zeros(900), "shape"),
        (np.full((900, 6), "good"), "convert|numbers"),
    ],
)
def test_bad_scores_are_refused(scored_log, scores, message):
    log = scored_log
    cascade = fit(log)
    before = cascade.router_
    with pytest.raises((ValueError, TypeError), match=message):
        cascade.fit(log.X[TRAIN], log.y[TRAIN], log.costs, scores=scores)
    assert cascade.router_ is before


def test_files_keep_the_cascade(scored_log, tmp_path):
    log = scored_log
    cascade = fit(log, check_cost=0.1)
    save_router(cascade, tmp_path / "cascade")
    loaded = load_router(tmp_path / "cascade")
    X = log.X[TEST]
    np.testing.assert_array_equal(
        loaded.first(X, cost_weight=0.004), cascade.first(X, cost_weight=0.004)
    )
    assert loaded.score(X, log.y[TEST], scores=log.scores[TEST]) == cascade.score(
        X, log.y[TEST], scores=log.scores[TEST]
    )
    for name, value in (("cost_ratio", np.zeros(16)), ("correlation", 1.5)):
        cascade._score_evidence = {**loaded._score_evidence, name: value}
        save_router(cascade, tmp_path / "damaged")
        with pytest.raises(ValueError, match="cost_ratio or correlation is impossible"):
            load_router(tmp_path / "damaged")


@pytest.mark.parametrize("kind", ["right or wrong", "five grades", "quality itself", "one in ten"])
def test_discrete_scores(scored_log, kind):
    log = type(scored_log)(**scored_log)
    log.scores = {
        "right or wrong": (log.scores > 0.5).astype(float),
        "five grades": np.clip(np.round(3 + 1.5 * (log.scores - 0.5)), 1, 5),
        "quality itself": log.y,
        "one in ten": np.where(np.random.RandomState(0).uniform(size=log.y.shape) < 0.1, log.y, -1),
    }[kind]
    cascade = fit(log)
    assert gain(cascade, log) > (0.004 if kind == "one in ten" else 0.02)
    assert len(set(cascade.first(log.X[TEST], cost_weight=1e-4).tolist())) > 1


def test_a_fallback_goes_by_name(scored_log):
    log = scored_log
    names = [f"m{place}" for place in range(6)]
    y, scores = (pd.DataFrame(table, columns=names) for table in (log.y, log.scores))
    router = KMeansRouter(fallback="m5", far_share=0.2, random_state=0)
    costs = dict(zip(names, log.costs, strict=True))
    cascade = CascadeRouter(router).fit(log.X[TRAIN], y[TRAIN], costs, scores=scores[TRAIN])
    far = log.X[:3] + 100
    assert cascade.first(far, cost_weight=10.0).tolist() == ["m5"] * 3


def test_a_fitted_router_needs_costs(scored_log):
    log = scored_log
    router = KMeansRouter(random_state=0).fit(log.X[:500], log.y[:500])
    with pytest.raises(ValueError, match="has no costs"):
        CascadeRouter(FrozenEstimator(router)).fit(
            log.X[500:900], log.y[500:900], log.costs, scores=log.scores[500:900]
        )


def test_all_calls_are_paid_for_where_the_router_has_one_choice():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(2000, 2)), rng.binomial(1, [0.8, 0.6], size=(2000, 2)).astype(float)
    scores = y + rng.normal(scale=0.5, size=y.shape)
    for costs in ([1.0, 1.5], [1.0, 1.0]):
        cascade = CascadeRouter(ZeroRouter()).fit(X[:1000], y[:1000], costs, scores=scores[:1000])
        curve = cascade.simulate(X[1000:], y[1000:], scores=scores[1000:])
        assert curve.cost[0] == pytest.approx(1)
        area = cascade.score(X[1000:], y[1000:], scores=scores[1000:])
        at_one = curve.quality[0]
        assert at_one == pytest.approx(0.8, abs=0.03)
        if costs[1] == 1:
            assert area == at_one
        else:
            inside = curve.cost <= 1.5
            assert at_one < area < curve.quality[inside].max()


def test_style_is_not_quality():
    """Good models have high scores for another reason."""
    rng = np.random.RandomState(0)
    X, rates = rng.normal(size=(3000, 3)), np.linspace(0.3, 0.9, 6)
    y = rng.binomial(1, rates, size=(3000, 6)).astype(float)
    style = np.linspace(-2, 2, 6)
    scores = y + style + rng.normal(scale=0.5, size=y.shape)
    cascade = CascadeRouter(ZeroRouter()).fit(X, y, np.geomspace(1, 10, 6), scores=scores)
    shifts = np.array(list(cascade.score_shifts_.values()))
    np.testing.assert_allclose(shifts, style, atol=0.05)


def test_a_router_alone_keeps_its_budget(scored_log):
    log = scored_log
    noise = np.random.RandomState(1).normal(size=log.y.shape)
    router = ZeroRouter(budget=None, random_state=0)
    with pytest.warns(UserWarning, match="say nothing"):
        cascade = CascadeRouter(router).fit(
            log.X[TRAIN], log.y[TRAIN], log.costs, scores=noise[TRAIN]
        )
    expected = cascade.router_.predict(log.X[TEST], budget=10.0)
    np.testing.assert_array_equal(cascade.first(log.X[TEST], budget=10.0), expected)


def test_scores_may_follow_the_cost_of_the_prompt(monkeypatch):
    """A low score goes with a long prompt, on which a second call costs more than expected."""
    rng = np.random.RandomState(0)
    X, length = rng.normal(size=(4000, 2)), rng.lognormal(0, 1.5, size=(4000, 1))
    hard = 1 / (1 + 0.3 * length)
    y = rng.binomial(1, hard * [0.7, 0.8, 0.9]).astype(float)
    costs, scores = length * [1.0, 3.0, 10.0], -np.log(length) + rng.normal(scale=0.2, size=y.shape)
    train, test = slice(2000), slice(2000, 4000)
    known = X[test], y[test], costs[test]

    def gain():
        cascade = CascadeRouter(KMeansRouter(random_state=0))
        cascade.fit(X[train], y[train], costs[train], scores=scores[train])
        return cascade.score(*known, scores=scores[test]) - cascade.router_.score(*known)

    found = gain()
    assert found > -0.001
    # Without what scores tell of costs and of other models, it loses.
    learn = _cascade.learn_evidence
    monkeypatch.setattr(
        _cascade,
        "learn_evidence",
        lambda *args: learn(*args)._replace(cost_ratio=np.ones(16), correlation=0.0),
    )
    monkeypatch.setattr(CascadeRouter, "_pays", lambda *_: True)
    assert gain() < found - 0.005


def test_a_policy_that_loses_is_left_to_the_router(monkeypatch, scored_log):
    log = scored_log
    monkeypatch.setattr(_cascade, "gain_of_scores", lambda *_: -0.001)
    with pytest.warns(UserWarning, match="too little to pay"):
        cascade = fit(log)
    assert not cascade.informative_
    monkeypatch.setattr(_cascade, "gain_of_scores", lambda *_: 0.001)
    assert fit(log).informative_


def test_scores_of_a_new_model_go_by_index(scored_log):
    log = scored_log
    cascades = [fit(log) for _ in range(2)]
    rows = cascades[0].router_.validation_indices_
    errors, scores = 1 - log.y[rows, 0], log.scores[rows, 0]
    cascades[0].add_model(errors, name=6, cost=1.0, scores=scores)
    by_index = pd.Series(scores, index=rows).sort_index()
    cascades[1].add_model(errors, name=6, cost=1.0, scores=by_index)
    assert cascades[0].score_shifts_ == cascades[1].score_shifts_
    with pytest.raises(ValueError, match="the index of `scores`"):
        cascades[0].add_model(errors, name=7, cost=1.0, scores=by_index.set_axis(rows + 10_000))


def test_masked_and_odd_models_that_were_asked(scored_log):
    log = scored_log
    cascade, X, none = fit(log), log.X[:2], np.full(2, np.nan)
    with pytest.raises(ValueError, match="`asked` has masked"):
        cascade.next(X, np.ma.array([0, 1], mask=[0, 1]), none)
    for odd in ([True, 0], [[0], 1]):
        with pytest.raises(ValueError, match="`asked` names models that are not known"):
            cascade.next(X, pd.Series(odd, dtype=object), none)
