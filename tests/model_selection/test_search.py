import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.metrics import deferral_area_score, peak_quality_score
from sklearn_uniroute.model_selection import (
    DynamicPoolSplit,
    PoolFold,
    dynamic_cross_validate,
    make_deferral_scorer,
)
from tests.all_routers import ROUTERS

CV = DynamicPoolSplit(3, random_state=0)


def test_folds_part_prompts_and_models(data):
    folds = list(
        DynamicPoolSplit(7, test_size=0.2, model_share=0.5, random_state=1).split(
            data.X, data.y, data.costs
        )
    )
    assert len(folds) == DynamicPoolSplit(7).get_n_splits() == 7
    for fold in folds:
        assert sorted([*fold.training, *fold.test]) == list(range(400))
        assert sorted([*fold.training_models, *fold.unseen_models]) == list(range(8))
        assert len(fold.test) == 80
        assert len(fold.unseen_models) == 4
    assert len({tuple(fold.unseen_models) for fold in folds}) > 1
    again = DynamicPoolSplit(7, test_size=0.2, model_share=0.5, random_state=1)
    for fold, same in zip(folds, again.split(data.X, data.y, data.costs), strict=True):
        np.testing.assert_array_equal(fold.test, same.test)


def test_unseen_models_differ_in_cost(data):
    costs = np.array([1.0, 1, 1, 1, 1, 1, 1, 2])
    for fold in DynamicPoolSplit(20, random_state=0).split(data.X, data.y, costs):
        assert 7 in fold.unseen_models


@pytest.mark.parametrize("per_call", [False, True])
def test_scores_by_hand(data, calls, per_call):
    costs = calls if per_call else data.costs
    router = KMeansRouter(random_state=0)
    grid = {"n_clusters": [1, 6], "representation": ["mean", "posterior"]}
    results = dynamic_cross_validate(
        router, data.X, data.y, costs, param_grid=grid, cv=CV, n_validation=30
    )
    assert len(results["params"]) == 4
    for number, setting in enumerate(results["params"]):
        assert results["param_n_clusters"][number] == setting["n_clusters"]
        scores = []
        for fold in CV.split(data.X, data.y, costs):
            fitted = clone(router).set_params(n_validation=30, **setting)
            X, y, paid = data.X[fold.training], data.y[fold.training], calls[fold.training]
            known, unseen = fold.training_models, fold.unseen_models
            fitted.fit(X, y[:, known], costs=paid[:, known] if per_call else costs[known])
            run = fitted.validation_indices_
            for model in unseen:
                cost = paid[run, model] if per_call else costs[model]
                fitted.add_model(1 - y[run, model], cost=cost)
            for models, pool in ((unseen, [5, 6, 7]), (known, range(5))):
                test = np.ix_(fold.test, models)
                error = fitted.predict_error(data.X[fold.test], pool)
                prices = fitted.costs_[list(pool)]
                scores.append(
                    deferral_area_score(data.y[test], error, calls[test], routing_costs=prices)
                    if per_call
                    else deferral_area_score(data.y[test], error, prices)
                )
        for fold in range(3):
            assert results[f"split{fold}_test_score"][number] == pytest.approx(scores[2 * fold])
            assert results[f"split{fold}_known_score"][number] == pytest.approx(
                scores[2 * fold + 1]
            )
        assert results["mean_test_score"][number] == pytest.approx(np.mean(scores[::2]))
        assert results["std_test_score"][number] == pytest.approx(np.std(scores[::2]))
        assert results["mean_fit_time"][number] > 0
    best = results["mean_test_score"].argmax()
    assert results["rank_test_score"][best] == 1


@pytest.mark.parametrize(
    "router",
    [
        pytest.param(
            router, id=type(router).__name__, marks=[pytest.mark.slow] * hasattr(router, "device")
        )
        for router in {type(router): router for router in ROUTERS}.values()
    ],
)
def test_any_router_and_any_number_of_jobs(router, data):
    one, two = (
        dynamic_cross_validate(
            router, data.X, data.y, data.costs, cv=CV, n_validation=30, n_jobs=n_jobs
        )
        for n_jobs in (1, 2)
    )
    assert one["params"] == [{}]
    np.testing.assert_array_equal(one["mean_test_score"], two["mean_test_score"])
    assert 0.3 < one["mean_test_score"][0] < 1


@pytest.mark.parametrize("routing", [False, True])
def test_pipelines_texts_and_data_frames(data, calls, routing):
    names = [f"m{number}" for number in range(8)]
    X = pd.DataFrame(data.X, columns=list("abcde"))
    y, costs = pd.DataFrame(data.y, columns=names), dict(zip(names, data.costs, strict=True))
    pipeline = make_pipeline(StandardScaler(), KMeansRouter(random_state=0))
    grid = [{"kmeansrouter__n_clusters": [6]}, {"kmeansrouter__temperature": [0, 0.1]}]
    with config_context(enable_metadata_routing=routing):
        results = dynamic_cross_validate(pipeline, X, y, costs, param_grid=grid, cv=CV)
    assert results["param_kmeansrouter__n_clusters"].mask.tolist() == [False, True, True]
    assert np.all(results["mean_test_score"] > 0.5)
    texts = [f"topic{topic} word{number % 7}" for number, topic in enumerate(data.source)]
    pipeline = make_pipeline(
        TfidfVectorizer(), TruncatedSVD(6, random_state=0), KMeansRouter(6, random_state=0)
    )
    results = dynamic_cross_validate(pipeline, texts, data.y, calls, cv=CV, n_validation=60)
    assert results["mean_test_score"][0] > 0.5


def test_other_scores_and_other_splits(data):
    scorer = make_deferral_scorer(peak_quality_score)
    folds = list(CV.split(data.X, data.y, data.costs))[:2]
    results = dynamic_cross_validate(
        KMeansRouter(6, random_state=0), data.X, data.y, data.costs, cv=folds, scoring=scorer
    )
    assert "split1_test_score" in results
    assert "split2_test_score" not in results
    area = dynamic_cross_validate(
        KMeansRouter(6, random_state=0), data.X, data.y, data.costs, cv=folds
    )
    assert np.all(results["mean_test_score"] > area["mean_test_score"])


def test_it_tells_what_suits_unseen_models(data):
    """With few validation prompts, many clusters help models that are known more than others."""
    router = KMeansRouter(representation="mean", validation="random", random_state=0)
    results = dynamic_cross_validate(
        router,
        data.X,
        data.y,
        data.costs,
        param_grid={"n_clusters": [2, 40]},
        cv=DynamicPoolSplit(10, random_state=0),
        n_validation=8,
    )
    unseen, known = results["mean_test_score"], results["mean_known_score"]
    assert known[1] - known[0] > unseen[1] - unseen[0] + 0.01


def test_training_models_of_one_cost_are_not_scored(data):
    costs = np.array([1.0, 1, 1, 1, 1, 2, 3, 4])
    rows = np.arange(400)
    alike, mixed = np.arange(5), np.array([0, 1, 5])
    folds = [
        PoolFold(rows[:300], rows[300:], known, np.setdiff1d(np.arange(8), known))
        for known in (alike, mixed)
    ]
    grid = {"n_clusters": [1, 4]}
    router = KMeansRouter(random_state=0)
    results = dynamic_cross_validate(router, data.X, data.y, costs, param_grid=grid, cv=folds)
    assert np.isnan(results["split0_known_score"]).all()
    np.testing.assert_array_equal(results["mean_known_score"], results["split1_known_score"])
    assert sorted(results["rank_known_score"]) == [1, 2]
    assert np.isfinite(results["mean_test_score"]).all()
    results = dynamic_cross_validate(router, data.X, data.y, costs, param_grid=grid, cv=folds[:1])
    assert np.isnan(results["mean_known_score"]).all()
    assert results["rank_known_score"].tolist() == [1, 1]


def test_splits_that_are_none(data):
    with pytest.raises(TypeError, match="`cv` must be a DynamicPoolSplit or a list of PoolFold"):
        dynamic_cross_validate(KMeansRouter(3), data.X, data.y, data.costs, cv=3)


@pytest.mark.parametrize(
    ("cv", "changes", "message"),
    [
        (DynamicPoolSplit(0), {}, "n_splits == 0, must be >= 1"),
        (DynamicPoolSplit(test_size=1.0), {}, "`test_size` must lie between 0 and 1; got 1.0"),
        (DynamicPoolSplit(test_size=0.001), {}, "leave 400 training prompts and 0 test prompts"),
        (DynamicPoolSplit(model_share=0.9), {}, "2 unseen models.*got 8 models, 7 of them"),
        (CV, {"costs": np.ones(8)}, "not all of the same cost"),
        (CV, {"costs": np.ones(5)}, "`costs` has 5 entries but there are 8 models"),
        (CV, {"X": np.ones((3, 2))}, "inconsistent numbers of samples"),
        (CV, {"n_validation": 0}, "n_validation == 0, must be >= 1"),
        (
            CV,
            {"param_grid": {"n_validation": [5, 9]}},
            "`param_grid` sets 'n_validation', which is",
        ),
        ([], {}, "`cv` must split prompts and models"),
        ([(np.arange(3), np.arange(3))], {}, "`cv` must split prompts and models"),
    ],
)
def test_bad_input(data, cv, changes, message):
    arguments = {"X": data.X, "y": data.y, "costs": data.costs, "cv": cv, **changes}
    with pytest.raises(ValueError, match=message):
        dynamic_cross_validate(KMeansRouter(3), **arguments)
