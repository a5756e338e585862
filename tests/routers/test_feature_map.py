import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from sklearn_uniroute import FeatureMapRouter, HybridRouter, KMeansRouter, load_router, save_router
from sklearn_uniroute.metrics import deferral_area_score


def features_by_hand(router, X):
    mapped = router.feature_map_.transform(X)
    center = router.feature_map_.transform(X).mean(axis=0)
    scale = 1 / np.sqrt(((mapped - center) ** 2).sum(axis=1).mean())
    return np.column_stack([np.ones(len(X)), (mapped - center) * scale])


def test_an_added_model_is_a_gaussian_process(data):
    """Conditioning in the space of prompts, with the covariance of prompts under the prior."""
    router = FeatureMapRouter(
        Nystroem(n_components=30, random_state=0), n_validation=50, random_state=0
    ).fit(data.X, data.y[:, :6])
    features = features_by_hand(router, data.X)
    np.testing.assert_allclose(router.transform(data.X), features, atol=1e-9)
    picked = router.validation_indices_
    errors = 1 - data.y[picked, 7]
    router.add_model(errors)
    phi = features[picked]
    total = phi @ router.prior_covariance_ @ phi.T + router.noise_[0] * np.eye(50)
    cross = features @ router.prior_covariance_ @ phi.T
    expected = features @ router.prior_mean_
    expected += cross @ np.linalg.solve(total, errors - phi @ router.prior_mean_)
    error, std = router.predict_error(data.X, [6], return_std=True)
    np.testing.assert_allclose(error[:, 0], expected, atol=1e-8)
    variance = np.einsum("nf,fg,ng->n", features, router.prior_covariance_, features)
    variance -= np.einsum("nv,nv->n", cross, np.linalg.solve(total, cross.T).T)
    np.testing.assert_allclose(std[:, 0] ** 2, variance, atol=1e-8)


def test_principal_components_are_those_of_a_hybrid_router_of_one_cluster(data):
    mapped = FeatureMapRouter(PCA(3, random_state=0), random_state=0).fit(data.X, data.y)
    hybrid = HybridRouter(1, n_components=3, random_state=0).fit(data.X, data.y)
    np.testing.assert_allclose(
        mapped.predict_error(data.X), hybrid.predict_error(data.X), atol=0.02
    )


def test_task_labels(data):
    """Tasks that decide everything: the label is worth more than the embedding."""
    rng = np.random.RandomState(0)
    task = rng.randint(4, size=2000)
    X = np.column_stack([rng.normal(size=(2000, 5)), task])
    rate = rng.uniform(size=(4, 6))
    y = (rng.uniform(size=(2000, 6)) < rate[task]).astype(float)
    label = ColumnTransformer([("task", OneHotEncoder(), [5])])
    costs = np.arange(1.0, 7.0)
    router = FeatureMapRouter(label, random_state=0).fit(X[:1000], y[:1000, :5], costs=costs[:5])
    router.add_model(1 - y[router.validation_indices_, 5], cost=costs[5])
    error = router.predict_error(X[1000:])
    assert np.abs(error - (1 - rate[task[1000:]])).mean() < 0.04
    plain = KMeansRouter(4, random_state=0).fit(X[:1000, :5], y[:1000], costs=costs)
    off = plain.predict_error(X[1000:, :5])
    area = [deferral_area_score(y[1000:], one, costs) for one in (error, off)]
    assert area[0] > area[1] + 0.02


@pytest.mark.parametrize(
    "feature_map",
    [
        GaussianMixture(3, random_state=0),
        FeatureUnion([("pca", PCA(2)), ("kernel", Nystroem(n_components=5, random_state=0))]),
        PCA(2).set_output(transform="pandas"),
    ],
    ids=str,
)
def test_all_kinds_of_maps(data, feature_map):
    router = FeatureMapRouter(feature_map, n_validation=40, random_state=0)
    router.fit(data.X, data.y[:, :7], costs=data.costs[:7])
    router.add_model(1 - data.y[router.validation_indices_, 7], cost=data.costs[7])
    table = router.routing_table(cost_weight=0.003)
    chosen = router.predict(data.X, cost_weight=0.003)
    np.testing.assert_array_equal(table.route_many(data.X), chosen)
    assert [table.route(x) for x in data.X[:20]] == chosen[:20].tolist()
    assert table.explain(data.X[0]).cluster is None


def test_a_frozen_classifier_is_not_fitted_again(data):
    classifier = LogisticRegression().fit(data.X, data.X[:, 0] > 0)
    before = classifier.coef_.copy()
    router = FeatureMapRouter(FrozenEstimator(classifier), random_state=0).fit(data.X, data.y)
    np.testing.assert_array_equal(classifier.coef_, before)
    assert router.representation_.shape == (8, 3)


def test_the_next_prompts_to_run(data):
    router = FeatureMapRouter(PCA(4), n_validation=40, random_state=0)
    router.fit(data.X[:200], data.y[:200, :7])
    router.add_model(1 - data.y[router.validation_indices_, 7])
    chosen = router.suggest_prompts(7, 20, data.X[200:])
    assert len(set(chosen)) == 20
    before = router.representation_std_[-1].copy()
    X_val = data.X[200:][chosen]
    router.update_model(7, 1 - data.y[200:, 7][chosen], X_val=X_val)
    assert (router.representation_std_[-1] <= before).all()
    with pytest.raises(ValueError, match="n_prompts"):
        router.suggest_prompts(7, 300, data.X[200:])


def test_files(data, tmp_path):
    router = FeatureMapRouter(Nystroem(n_components=10, random_state=0), random_state=0)
    router.fit(data.X, data.y, costs=data.costs)
    save_router(router, tmp_path / "router.skops")
    loaded = load_router(tmp_path / "router.skops")
    np.testing.assert_array_equal(loaded.predict_error(data.X), router.predict_error(data.X))
    table = loaded.routing_table(cost_weight=0.01)
    with pytest.raises(TypeError, match="feature map"):
        table.save(tmp_path / "table.npz")
    with pytest.raises(NotImplementedError, match="feature map"):
        table.to_onnx()


class Broken(TransformerMixin, BaseEstimator):
    """Maps prompts to something that is no table of finite features."""

    def __init__(self, result=None):
        self.result = result

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.full((len(X), 2), np.nan) if self.result == "nan" else np.zeros(len(X))


@pytest.mark.parametrize(
    ("feature_map", "error", "match"),
    [
        (None, TypeError, "feature_map"),
        ("pca", TypeError, "feature_map"),
        (LogisticRegression, TypeError, "feature_map"),
        (Broken("nan"), ValueError, "NaN"),
        (Broken("flat"), ValueError, "shape"),
    ],
)
def test_maps_that_are_refused(data, feature_map, error, match):
    with pytest.raises(error, match=match):
        FeatureMapRouter(feature_map).fit(data.X, data.y)


def test_features_that_do_not_vary_leave_the_level(data):
    constant = FunctionTransformer(np.zeros_like)
    router = FeatureMapRouter(constant, random_state=0).fit(data.X, data.y)
    error = router.predict_error(data.X)
    assert np.ptp(error, axis=0).max() < 1e-9
