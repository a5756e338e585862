import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import KMeansRouter, ZeroRouter
from sklearn_uniroute.model_selection import (
    DynamicPoolSplit,
    PoolFold,
    compare_routers,
    dynamic_cross_validate,
    few_shot_curve,
)


def folds(data, n_splits=3, **params):
    return list(
        DynamicPoolSplit(n_splits, random_state=0, **params).split(data.X, data.y, data.costs)
    )


def test_no_split_depends_on_how_many_there_are(data):
    for one, other in zip(folds(data, 2), folds(data, 5), strict=False):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("n_validation", [None, 40])
def test_prompts_and_models_stand_on_one_side(data, n_validation):
    for fold in folds(data, train_size=0.4, n_validation=n_validation):
        parts = [fold.training, fold.test]
        if n_validation is None:
            assert fold.validation is None
        else:
            parts.append(fold.validation)
            assert len(fold.validation) == n_validation
        assert [len(fold.training), len(fold.test)] == [160, 120]
        together = np.concatenate(parts)
        assert len(np.unique(together)) == len(together)
        models = np.concatenate([fold.training_models, fold.unseen_models])
        assert sorted(models) == list(range(8))


def test_random_states_of_all_kinds(data):
    one, two = (
        list(
            DynamicPoolSplit(2, random_state=np.random.RandomState(0)).split(
                data.X, data.y, data.costs
            )
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(one[1].test, two[1].test)
    fold = next(DynamicPoolSplit(1).split(data.X, data.y, data.costs))
    assert isinstance(fold, PoolFold)


@pytest.mark.parametrize("train_size", [0, 1.5, -0.5])
def test_a_train_size_out_of_range(data, train_size):
    with pytest.raises(ValueError, match="`train_size` must lie between 0 and 1"):
        folds(data, train_size=train_size)


def test_folds_with_validation_prompts_are_used(data):
    cv = DynamicPoolSplit(2, n_validation=30, random_state=0)
    found = dynamic_cross_validate(
        ZeroRouter(n_validation=5), data.X, data.y, data.costs, cv=cv, n_validation=5
    )
    router = ZeroRouter()
    (fold, *_) = cv.split(data.X, data.y, data.costs)
    known, unseen = fold.training_models, fold.unseen_models
    router.fit(data.X[fold.training], data.y[np.ix_(fold.training, known)], data.costs[known])
    for model in unseen:
        router.add_model(
            1 - data.y[fold.validation, model],
            cost=data.costs[model],
            X_val=data.X[fold.validation],
        )
    expected = router.score(data.X[fold.test], data.y[np.ix_(fold.test, unseen)], pool=[5, 6, 7])
    assert found["split0_test_score"][0] == pytest.approx(expected)


def test_data_may_come_as_a_mapping(data):
    mapping = {"X": data.X, "y": data.y, "costs": data.costs}
    router = KMeansRouter(4, random_state=0)
    for function, params in (
        (few_shot_curve, {"n_validation": [20], "n_splits": 2}),
        (compare_routers, {"n_trials": 2}),
    ):
        apart = function(router, data.X, data.y, data.costs, **params)
        np.testing.assert_array_equal(function(router, mapping, **params).area, apart.area)
        # Costs that are passed as well count in place of those of the mapping.
        other = function(router, mapping, costs=data.costs[::-1], **params)
        assert not np.array_equal(other.area, apart.area)
        without = {"X": data.X, "y": data.y, "costs": None}
        np.testing.assert_array_equal(
            function(router, without, costs=data.costs, **params).area, apart.area
        )


def test_a_pipeline_that_ends_in_a_search(data):
    search = GridSearchCV(KMeansRouter(), {"n_clusters": [2, 4]}, cv=2)
    pipeline = make_pipeline(StandardScaler(), search)
    arguments = (pipeline, data.X, data.y, data.costs)
    assert few_shot_curve(*arguments, n_validation=[30], n_splits=2).area.shape == (1, 2)
    assert dynamic_cross_validate(*arguments, n_validation=30)["mean_test_score"][0] > 0
    no_refit = GridSearchCV(KMeansRouter(), {"n_clusters": [2, 4]}, cv=2, refit=False)
    with pytest.raises(TypeError, match="refit=True"):
        few_shot_curve(no_refit, data.X, data.y, data.costs, n_validation=[30], n_splits=2)


def test_other_splitters_are_refused(data):
    from sklearn.model_selection import KFold

    with pytest.raises(TypeError, match="must be a DynamicPoolSplit"):
        dynamic_cross_validate(ZeroRouter(), data.X, data.y, data.costs, cv=KFold(3))
