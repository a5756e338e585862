import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.base import clone
from sklearn.utils import Bunch

from sklearn_uniroute import KMeansRouter, KNeighborsRouter, ZeroRouter
from sklearn_uniroute.datasets import load_routing_data, make_routing_data
from sklearn_uniroute.metrics import deferral_area_score, quality_neutral_cost
from sklearn_uniroute.model_selection import compare_routers
from sklearn_uniroute.model_selection._split import draw_split
from sklearn_uniroute.utils._statistics import mean_interval

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
        ({"costs": np.ones(8)}, {}, "not all of one cost; got 8 models.*from 1 to 1"),
        ({}, {"model_share": 0.9}, "2 unseen models.*; got 8 models, 7 of them for training"),
        ({}, {"model_share": 0.1}, "0 of them for training"),
        ({}, {"model_share": 1.5}, "`model_share` must lie between 0 and 1; got 1.5"),
        ({}, {"n_trials": 0}, "n_trials == 0, must be >= 1"),
        ({}, {"n_validation": 0}, "n_validation == 0, must be >= 1"),
        ({}, {"n_validation": 280}, "`n_validation`=280 leaves no training prompts: of 400"),
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
