import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter, LinearRouter
from sklearn_uniroute.datasets import make_routing_data

ROUTERS = [
    KMeansRouter(6, random_state=0),
    KMeansRouter(6, temperature=0, random_state=0),
    LearnedMapRouter(6, random_state=0),
    HybridRouter(6, n_components=3, random_state=0),
]


@pytest.mark.parametrize("router", ROUTERS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transform_gives_the_features_that_predict_errors(router, data, dtype):
    X = data.X.astype(dtype)
    features = router.fit(X, data.y).transform(X)
    assert features.dtype == dtype
    np.testing.assert_allclose(
        features @ router.representation_.T, router.predict_error(X), atol=1e-5
    )
    np.testing.assert_allclose(features[:, :6].sum(axis=1), 1, atol=1e-5)
    assert len(router.get_feature_names_out()) == features.shape[1]


def test_a_router_goes_before_another(data):
    pipeline = make_pipeline(KMeansRouter(6, random_state=0), LinearRouter(random_state=0))
    pipeline.fit(data.X, data.y, linearrouter__costs=data.costs)
    assert pipeline[-1].n_features_in_ == 6
    assert pipeline.predict(data.X).shape == (400,)


def test_output_as_a_frame_disturbs_nothing(data):
    router = KMeansRouter(6, random_state=0).set_output(transform="pandas")
    plain = KMeansRouter(6, random_state=0).fit(data.X, data.y[:, :6])
    router.fit(data.X, data.y[:, :6])
    assert isinstance(router.transform(data.X), pd.DataFrame)
    rng = np.random.RandomState(0)
    a, b = np.array([rng.permutation(8)[:2] for _ in data.X]).T
    margin = data.y[np.arange(400), a] - data.y[np.arange(400), b]
    winner = np.array(["model_b", "tie", "model_a"])[margin.astype(int) + 1]
    for one in (router, plain):
        one.add_models_from_preferences(data.X, a, b, winner)
    np.testing.assert_array_equal(router.predict_error(data.X), plain.predict_error(data.X))


def test_a_subclass_may_set_the_representation(data):
    class MeanRouter(KMeansRouter):
        def __init__(self, n_clusters=4, random_state=None):
            super().__init__(n_clusters, representation="mean", random_state=random_state)

    router = MeanRouter(random_state=0).fit(data.X, data.y)
    expected = KMeansRouter(4, representation="mean", random_state=0).fit(data.X, data.y)
    np.testing.assert_array_equal(router.representation_, expected.representation_)
    assert router.representation_std_ is None


def test_out_of_fold_scores(data):
    router = KMeansRouter(4, cost_weight=0.001, random_state=0)
    cv = KFold(3)
    y = data.y.astype(int)
    scores = cross_val_predict(
        router, data.X, y, cv=cv, method="decision_function", params={"costs": data.costs}
    )
    for training, test in cv.split(data.X):
        router.fit(data.X[training], data.y[training], costs=data.costs)
        np.testing.assert_allclose(scores[test], router.decision_function(data.X[test]))


@pytest.mark.parametrize("kind", ["grades", "never right", "gaps"])
def test_scores_of_encoded_quality_are_refused(data, kind):
    y = data.y.copy()
    if kind == "grades":
        y = y + np.random.RandomState(0).uniform(size=y.shape)
    elif kind == "never right":
        # scikit-learn encodes a column of ones by zeros.
        y[:, 2] = 1
    else:
        y[::7, 3] = np.nan
    with pytest.raises(AttributeError, match="encodes each column of `y` as class numbers"):
        cross_val_predict(KMeansRouter(4), data.X, y, cv=3, method="decision_function")


def test_prompts_drawn_at_random_may_be_any_that_are_left():
    data = make_routing_data(n_prompts=3000, n_models=4, n_features=4, random_state=0)
    router = KMeansRouter(4, n_validation=40).fit(data.X, data.y)
    seen = set()
    for seed in range(40):
        rng = np.random.RandomState(0)
        order = rng.permutation(3000)
        rng = WithOrder(order, seed)
        rows, _ = router._choose_validation_prompts(data.X, 40, rng, None)
        seen |= set(rows[30:].tolist()) & set(order[:2048].tolist())
    assert len(seen) > 100


class WithOrder:
    """Draws of a seed, after the same order of the prompts."""

    def __init__(self, order, seed):
        self.order, self.rng = order, np.random.RandomState(seed)

    def permutation(self, values):
        order, self.order = self.order, None
        return self.rng.permutation(values) if order is None else order
