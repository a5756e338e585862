import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import DBSCAN, KMeans, MiniBatchKMeans

from sklearn_uniroute import KMeansRouter


def test_representation_is_equation_12_by_hand(data):
    router = KMeansRouter(5, representation="mean", temperature=0, n_validation=40, random_state=0)
    router.fit(data.X, data.y[:, :3], costs=data.costs[:3])
    errors = 1 - data.y[router.validation_indices_, 5]
    router.add_model(errors, cost=1.0)
    distances = ((data.X[:, None] - router.cluster_centers_) ** 2).sum(axis=2)
    labels = distances.argmin(axis=1)
    for k in range(5):
        for model in range(3):
            in_cluster = 1 - data.y[labels == k, model]
            assert router.representation_[model, k] == pytest.approx(in_cluster.mean())
        in_cluster = errors[labels[router.validation_indices_] == k]
        assert router.representation_[3, k] == pytest.approx(in_cluster.mean())
    np.testing.assert_array_equal(router.predict_error(data.X), router.representation_.T[labels])


def by_hand(x, centers, training_X):
    """Responsibilities of one prompt at a temperature of a tenth of the mean squared distance."""
    spread = np.mean([min(((row - c) ** 2).sum() for c in centers) for row in training_X])
    weights = [np.exp(-((x - c) ** 2).sum() / (0.1 * spread)) for c in centers]
    return np.array(weights) / sum(weights)


def test_prompts_between_clusters_are_estimated_from_all_of_them(data):
    y = data.y.copy()
    # One of the models was run on a few prompts only.
    y[20:, 1] = np.nan
    router = KMeansRouter(5, n_validation=40, random_state=0).fit(data.X, y)
    # Half way between two centres, and thereabouts.
    middle = router.cluster_centers_[[0, 2]].mean(axis=0)
    prompts = np.vstack([middle, middle + 0.1, data.X[:3]])
    features = np.array([by_hand(x, router.cluster_centers_, data.X) for x in prompts])
    assert features[0, 0] == pytest.approx(features[0, 2])
    error, std = router.predict_error(prompts, [7, 1], return_std=True)
    np.testing.assert_allclose(error, features @ router.representation_[[7, 1]].T, atol=1e-12)
    for column, n_prompts in enumerate((400, 20)):
        # The covariance after all of the model's errors, by inverting matrices.
        precision = np.linalg.inv(router.prior_covariance_)
        for x in data.X[:n_prompts]:
            phi = by_hand(x, router.cluster_centers_, data.X)
            precision += np.outer(phi, phi) / (phi @ router.noise_)
        variance = [phi @ np.linalg.inv(precision) @ phi for phi in features]
        np.testing.assert_allclose(std[:, column], np.sqrt(variance), rtol=1e-6)


def test_a_low_temperature_is_the_nearest_cluster(data):
    hard = KMeansRouter(5, temperature=0, random_state=0).fit(data.X, data.y, data.costs)
    cold = KMeansRouter(5, temperature=1e-9, random_state=0).fit(data.X, data.y, data.costs)
    np.testing.assert_allclose(hard.predict_error(data.X), cold.predict_error(data.X))
    np.testing.assert_array_equal(
        hard.predict(data.X, cost_weight=0.01), cold.predict(data.X, cost_weight=0.01)
    )
    assert hard.cost_weight_for_budget(9) == pytest.approx(cold.cost_weight_for_budget(9))


def test_prompts_that_are_their_own_centres_have_one_cluster_each():
    router = KMeansRouter(2, random_state=0).fit([[0.0], [1.0], [0.0]], [[1, 0], [0, 1], [1, 0]])
    assert router.temperature_ == 0
    assert router.predict([[0.2], [0.9]]).tolist() == [0, 1]


def two_groups(gap):
    """Both models are right on the left; the cheap one fails half of the time on the right."""
    X = np.concatenate([np.linspace(-1, 1, 200), gap + np.linspace(-1, 1, 200)])[:, None]
    y = np.ones((400, 2))
    y[200::2, 0] = 0
    return X, y


@pytest.mark.parametrize("gap", [5.0, 5.25, 5.75, 6.0])
def test_clusters_far_away_decide_no_tie(gap):
    X, y = two_groups(gap)
    router = KMeansRouter(2, representation="mean", random_state=0).fit(X, y, costs=[1, 100])
    assert set(router.predict(X[:100])) == {0}
    assert set(router.predict(X[-100:])) == {1}
    for budget in range(1, 100, 3):
        weight = router.cost_weight_for_budget(budget)
        paid = router.costs_[router.predict(X, cost_weight=weight)].mean()
        assert paid <= budget * (1 + 1e-9)


@pytest.mark.parametrize("temperature", [-0.1, np.inf, np.nan])
def test_bad_temperatures(data, temperature):
    with pytest.raises(ValueError, match="temperature"):
        KMeansRouter(temperature=temperature).fit(data.X, data.y)


@pytest.mark.parametrize("representation", ["mean", "posterior"])
def test_a_training_model_added_on_all_training_prompts_is_represented_alike(data, representation):
    router = KMeansRouter(5, representation=representation, n_validation=None, random_state=0)
    router.fit(data.X, data.y)
    for model in range(8):
        router.add_model(1 - data.y[router.validation_indices_, model])
    np.testing.assert_allclose(router.representation_[8:], router.representation_[:8])


def test_an_empty_cluster_falls_back_to_the_overall_error(data):
    router = KMeansRouter(5, representation="mean", random_state=0).fit(data.X, data.y)
    nearest = router.cluster_centers_[:1]
    router.add_model([1.0, 0.0, 0.0], X_val=np.repeat(nearest, 3, axis=0))
    np.testing.assert_allclose(router.representation_[-1], 1 / 3)


@pytest.mark.parametrize(
    "clusterer", [MiniBatchKMeans(3, random_state=1), KMeans(3, random_state=1)]
)
def test_any_clusterer_with_centers_drops_in(data, clusterer):
    router = KMeansRouter(clusterer=clusterer).fit(data.X, data.y)
    assert not hasattr(clusterer, "labels_")
    expected = clone(clusterer).fit(data.X).cluster_centers_
    np.testing.assert_array_equal(router.cluster_centers_, expected)
    assert router.representation_.shape == (8, 3)


def test_a_clusterer_without_centers_is_refused_and_nothing_changes(data):
    router = KMeansRouter(random_state=0).fit(data.X, data.y)
    before = dict(vars(router))
    router.set_params(clusterer=DBSCAN())
    with pytest.raises(
        TypeError, match=r"`clusterer` must have `cluster_centers_`.*DBSCAN has none"
    ):
        router.fit(data.X[:, :2], data.y)
    assert {**vars(router), "clusterer": None} == before


def test_choices_are_as_fine_as_double_precision_for_single_precision_prompts():
    X = np.array([[0.0], [1.0]], dtype=np.float32)
    y = np.array([[0.5, 0.5 + 1e-9], [0.5, 0.5 + 1e-9]])
    router = KMeansRouter(1, random_state=0).fit(X, y, costs=[1.0, 1.0])
    assert router.predict(X).tolist() == [1, 1]


def test_kmeans_is_the_clusterer(data):
    router = KMeansRouter(6, random_state=3).fit(data.X, data.y)
    kmeans = KMeans(6, random_state=np.random.RandomState(3)).fit(data.X)
    np.testing.assert_array_equal(router.cluster_centers_, kmeans.cluster_centers_)


def test_budgets_are_kept_on_a_part_of_many_training_prompts(data, monkeypatch):
    monkeypatch.setattr("sklearn_uniroute.routers._cluster._CALIBRATION_PROMPTS", 150)
    router = KMeansRouter(5, random_state=0).fit(data.X, data.y, data.costs)
    order = np.random.RandomState(router._selection_seed).permutation(400)
    part = data.X[np.sort(order[:150])]
    assert router._calibration_prompts["features"].shape == (150, 5)
    weight = router.cost_weight_for_budget(9)
    assert weight == pytest.approx(router.cost_weight_for_budget(9, X=part), rel=1e-3)


def test_centers_of_whole_numbers(data):
    class Corners(KMeans):
        def fit(self, X):
            self.cluster_centers_ = np.eye(5, dtype=int)
            return self

    router = KMeansRouter(clusterer=Corners(), random_state=0).fit(data.X, data.y)
    assert router.cluster_centers_.dtype == np.float64
    assert router.predict(data.X.astype(np.float32)).shape == (400,)


def test_prompts_without_labels_form_clusters_and_tell_no_errors(data):
    labelled = np.arange(len(data.X)) % 3 == 0
    y = np.where(labelled[:, None], data.y, np.nan)
    router = KMeansRouter(5, representation="mean", temperature=0, random_state=0).fit(data.X, y)
    every = clone(router).fit(data.X, data.y)
    np.testing.assert_array_equal(router.cluster_centers_, every.cluster_centers_)
    labels = every.transform(data.X).argmax(axis=1)
    for k in range(5):
        known = 1 - data.y[labelled & (labels == k)]
        np.testing.assert_allclose(router.representation_[:, k], known.mean(axis=0))
