import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from threadpoolctl import threadpool_info

from sklearn_uniroute import KMeansRouter, LearnedMapRouter
from sklearn_uniroute._numerics._features import softmax_map
from sklearn_uniroute.routers._torch import ClusterMap, RepresentationLoss
from tests.test_import import BLOCKED


@pytest.fixture
def router(device):
    """A router that looks at its network alone, on the device that the tests are run for."""
    return LearnedMapRouter(
        6,
        hidden_layer_sizes=(16,),
        cluster_weight=0,
        net_params={"device": device},
        random_state=0,
    )


def set_net(router, **params):
    """Set parameters of the network beside those it has."""
    return router.set_params(net_params={**router.net_params, **params})


class FixedCenters(BaseEstimator):
    """A clusterer that knows its centres beforehand."""

    def __init__(self, centers):
        self.centers = centers

    def fit(self, X):
        self.cluster_centers_ = self.centers
        return self


def cells(y):
    """Cells of quality that no model was run on."""
    return np.random.RandomState(1).uniform(size=y.shape) < 0.3


@pytest.mark.parametrize("hidden_layer_sizes", [(), (16,), [16, 8]])
def test_exported_weights_are_those_of_torch(router, data, hidden_layer_sizes):
    router.set_params(hidden_layer_sizes=hidden_layer_sizes).fit(data.X * 30 + 5, data.y)
    module = ClusterMap(5, hidden_layer_sizes, 6)
    module.load_state_dict({name: torch.tensor(value) for name, value in router._map_state.items()})
    X = (data.X * 30 + 5).astype(np.float32)
    standardised = (X - X.mean(axis=0)) / X.std(axis=0)
    with torch.no_grad():
        expected = module.eval()(torch.tensor(standardised)).numpy()
    for dtype in (np.float32, np.float64):
        features = softmax_map(
            X.astype(dtype), router._map_means, router.coefs_, router.intercepts_
        )
        assert features.dtype == dtype
        np.testing.assert_allclose(features, expected, atol=1e-5)
        error = router.predict_error(X.astype(dtype))
        np.testing.assert_allclose(error, expected @ router.representation_.T, atol=1e-5)
    assert [coef.shape for coef in router.coefs_] == list(
        zip([5, *hidden_layer_sizes], [*hidden_layer_sizes, 6], strict=True)
    )


@pytest.mark.parametrize("squared", [False, True])
def test_loss_by_hand(squared):
    rng = np.random.RandomState(0)
    features = rng.dirichlet(np.ones(3), size=4)
    representation = rng.uniform(0.1, 0.9, size=(2, 3))
    errors = rng.randint(2, size=(4, 2)).astype(float)
    errors[0, 1] = errors[2, 0] = errors[2, 1] = np.nan
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    losses, counts = [], []
    for i in range(4):
        for m in range(2):
            gamma = sum(features[i, k] * representation[m, k] for k in range(3))
            if errors[i, m] == 1:
                losses.append((1 - gamma) ** 2 if squared else -np.log(gamma))
            elif errors[i, m] == 0:
                losses.append(gamma**2 if squared else -np.log(1 - gamma))
            if not np.isnan(errors[i, m]):
                counts.append(weights[i])
    loss = RepresentationLoss(representation, squared)
    weighted = torch.tensor(np.column_stack([errors, weights]))
    value = loss(torch.tensor(features), weighted)
    assert float(value) == pytest.approx(np.dot(losses, counts) / len(losses))
    nothing = loss(torch.tensor(features[2:3]), weighted[2:3])
    assert float(nothing) == 0


def test_training_lowers_the_loss_and_takes_its_settings(router, data):
    y = np.where(cells(data.y), np.nan, data.y)
    set_net(router, max_epochs=8, lr=0.02, batch_size=32).fit(data.X, y)
    assert len(router.loss_curve_) == 8
    assert router.loss_curve_[-1] < router.loss_curve_[0]
    slower = set_net(clone(router), lr=1e-6).fit(data.X, y)
    assert slower.loss_curve_[-1] > router.loss_curve_[-1]


def test_prompts_are_assigned_by_what_the_labels_tell(device):
    # Clusters are far apart along the first axis, but which models are right turns on the second.
    rng = np.random.RandomState(0)
    side, kind = rng.randint(2, size=(2, 2000))
    X = np.stack([10 * side, kind], axis=1) + rng.normal(scale=0.1, size=(2000, 2))
    # Models differ a little by cluster, which is all that the map can work with.
    rate = np.array([[0.1, 0.9], [0.9, 0.1]])[kind]
    y = (rng.uniform(size=(2000, 2)) < rate).astype(float)
    y[(side == 0) & (rng.uniform(size=2000) < 0.3)] = [1, 0]
    y[(side == 1) & (rng.uniform(size=2000) < 0.3)] = [0, 1]
    settings = {"n_clusters": 2, "n_validation": 100, "random_state": 0}
    plain = KMeansRouter(**settings).fit(X[:1000], y[:1000])
    net_params = {"device": device, "max_epochs": 20}
    learned = LearnedMapRouter(cluster_weight=0, net_params=net_params, **settings)
    learned.fit(X[:1000], y[:1000])
    assert learned.score(X[1000:], y[1000:]) > plain.score(X[1000:], y[1000:]) + 0.05


def test_full_cluster_weight_is_the_kmeans_router(data):
    router = LearnedMapRouter(6, cluster_weight=1, n_validation=50, random_state=0)
    router.fit(data.X, data.y[:, :6])
    kmeans = KMeansRouter(6, n_validation=50, random_state=0).fit(data.X, data.y[:, :6])
    np.testing.assert_array_equal(router.validation_indices_, kmeans.validation_indices_)
    np.testing.assert_allclose(router.predict_error(data.X), kmeans.predict_error(data.X))


def test_responsibilities_are_averaged(router, data):
    alone = router.fit(data.X, data.y)._features(data.X)
    kmeans = KMeansRouter(6, random_state=0).fit(data.X, data.y)._features(data.X)
    mixed = clone(router).set_params(cluster_weight=0.25).fit(data.X, data.y)._features(data.X)
    np.testing.assert_allclose(mixed, 0.75 * alone + 0.25 * kmeans)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (16,)])
def test_scales_and_offsets_of_features_do_not_matter(router, data, hidden_layer_sizes):
    """Also where a few steps are too few for running averages."""
    router.set_params(hidden_layer_sizes=hidden_layer_sizes)
    X, y = data.X[:100], data.y[:100]
    # The same clusters for all, whatever rounding makes of K-means.
    kmeans = KMeans(6, random_state=0).fit(X).cluster_centers_
    router.set_params(clusterer=FixedCenters(kmeans)).fit(X, y)
    expected = router.predict_error(data.X)
    for scale, offset in ((1e-3, 0.0), (1.0, 1e3), (50.0, -20.0)):
        centers = FixedCenters(kmeans * scale + offset)
        moved = clone(router).set_params(clusterer=centers).fit(X * scale + offset, y)
        error = moved.predict_error(data.X * scale + offset)
        np.testing.assert_allclose(error, expected, atol=1e-3)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (16,)])
def test_prediction_normalises_as_training_does(router, data, hidden_layer_sizes):
    router.set_params(hidden_layer_sizes=hidden_layer_sizes).fit(data.X[:90], data.y[:90])
    module = ClusterMap(5, hidden_layer_sizes, 6)
    module.load_state_dict({name: torch.tensor(value) for name, value in router._map_state.items()})
    standardised = (data.X[:90] - router._map_means) / router._map_scales
    with torch.no_grad():
        # By the statistics of this very batch, which is the whole of the training prompts.
        expected = module.train()(torch.tensor(standardised, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(router._features(data.X[:90]), expected, atol=0.01)


def test_seeds_decide_and_global_states_stay(router, data):
    torch.manual_seed(3)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    first = clone(router).fit(data.X, data.y)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert (torch.get_num_threads(), [p["num_threads"] for p in threadpool_info()]) == threads
    torch.manual_seed(4)
    second = clone(router).fit(data.X, data.y)
    np.testing.assert_array_equal(first.predict_error(data.X), second.predict_error(data.X))
    other = clone(router).set_params(random_state=1).fit(data.X, data.y)
    assert not np.allclose(first.predict_error(data.X), other.predict_error(data.X))


def test_fitted_routers_work_without_torch(router, data, tmp_path):
    router.fit(data.X, data.y[:, :7], costs=data.costs[:7])
    (tmp_path / "router.pkl").write_bytes(pickle.dumps(router))
    skops.io.dump(router, tmp_path / "router.skops")
    np.save(tmp_path / "X.npy", data.X)
    code = f"""
{BLOCKED.format(missing={"torch", "skorch"})}
import copy, pickle
import numpy as np
import skops.io
X = np.load("X.npy")
with open("router.pkl", "rb") as file:
    routers = [pickle.load(file)]
trusted = skops.io.get_untrusted_types(file="router.skops")
routers.append(skops.io.load("router.skops", trusted=trusted))
routers.append(copy.deepcopy(routers[0]))
for router in routers:
    router.add_model(np.zeros(len(router.X_val_)), cost=0.5)
    print(router.predict(X, cost_weight=0.01).tolist())
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    router.add_model(np.zeros(len(router.X_val_)), cost=0.5)
    expected = str(router.predict(data.X, cost_weight=0.01).tolist())
    assert result.stdout.splitlines() == [expected] * 3, result.stderr


def test_losses_suit_the_qualities(router, data):
    y = 10 * data.y - 3
    router.fit(data.X, y)
    assert np.isfinite(router.predict_error(data.X)).all()
    assert router.loss_curve_[0] > 1
    with pytest.raises(ValueError, match="needs qualities between 0 and 1, but `y` goes from -3 t"):
        router.set_params(loss="log_loss").fit(data.X, y)
    squared = clone(router).set_params(loss="squared_error").fit(data.X, data.y)
    default = clone(router).set_params(loss="auto").fit(data.X, data.y)
    logarithmic = clone(router).fit(data.X, data.y)
    np.testing.assert_array_equal(default.coefs_[0], logarithmic.coefs_[0])
    assert not np.array_equal(default.coefs_[0], squared.coefs_[0])


def test_a_warm_start_goes_on(router, data):
    cold = clone(router).fit(data.X, data.y)
    router.set_params(warm_start=True).fit(data.X, data.y)
    np.testing.assert_array_equal(router.coefs_[0], cold.coefs_[0])
    centers = router.cluster_centers_
    flipped = data.y.copy()
    flipped[:5] = 1 - flipped[:5]
    router.fit(data.X, flipped)
    assert router.cluster_centers_ is centers
    assert router.loss_curve_[0] < cold.loss_curve_[0]
    before = dict(vars(router))
    with pytest.raises(ValueError, match="from a map of 5 features, but X has 4"):
        router.fit(data.X[:, :4], data.y)
    assert vars(router) == before
    router.set_params(n_clusters=5)
    with pytest.raises(ValueError, match="a map of 6 clusters, but `n_clusters` is 5"):
        router.fit(data.X, data.y)
    router.set_params(n_clusters=6, hidden_layer_sizes=(8,))
    with pytest.raises(ValueError, match="continues from a map with other layers"):
        router.fit(data.X, data.y)
    router.set_params(warm_start=False).fit(data.X, data.y)
    assert router.coefs_[0].shape == (5, 8)


class Counter(Callback):
    epochs = 0

    def on_epoch_end(self, net, **kwargs):
        Counter.epochs += 1
        self.seen_ = True


class Interruption(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_callbacks_and_further_parameters_go_to_skorch(router, data):
    counter = Counter()
    plain = clone(router)
    set_net(router, callbacks=[counter], optimizer=torch.optim.SGD)
    router.fit(data.X, data.y)
    assert Counter.epochs == 2
    # What was passed to the constructor stays as it was.
    assert not hasattr(counter, "seen_")
    assert router.loss_curve_ != plain.fit(data.X, data.y).loss_curve_
    stopping = EarlyStopping(patience=1, threshold=10, threshold_mode="abs")
    set_net(plain, callbacks=[stopping], train_split=ValidSplit(5), max_epochs=50)
    plain.fit(data.X, data.y)
    assert len(plain.loss_curve_) < 5


def test_an_interrupted_fit_changes_nothing(router, data):
    router.fit(data.X, data.y)
    before = dict(vars(router))
    set_net(router, callbacks=[Interruption()])
    with pytest.raises(KeyboardInterrupt):
        router.fit(data.X, data.y)
    assert {**vars(router), "net_params": before["net_params"]} == before


def test_fits_in_threads_do_not_disturb_one_another(router, data):
    expected = clone(router).fit(data.X, data.y).coefs_[0]
    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(3) as executor:
        fits = list(executor.map(lambda _: clone(router).fit(data.X, data.y), range(6)))
    for fitted in fits:
        np.testing.assert_array_equal(fitted.coefs_[0], expected)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_line_an_epoch_if_verbose(router, data, capsys):
    set_net(router, max_epochs=3).fit(data.X, data.y)
    assert capsys.readouterr().out == ""
    set_net(router, verbose=1).fit(data.X, data.y)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.split()[:1] in (["1"], ["2"], ["3"]) for line in lines) == 3


def test_a_last_batch_of_one_prompt_is_left_for_the_next_epoch(router, data):
    router.fit(data.X[:65], data.y[:65])
    with pytest.raises(ValueError, match="at least 2 training prompts; got n_samples=1"):
        router.set_params(n_clusters=1).fit(data.X[:1], data.y[:1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named(router, data):
    with pytest.raises(ValueError, match="`device`='cuda', but torch finds no CUDA device here"):
        set_net(router, device="cuda").fit(data.X, data.y)
    with pytest.raises(ValueError, match="`device` must be 'auto' or a device that torch knows"):
        set_net(router, device="abacus").fit(data.X, data.y)
    set_net(router, device="auto").fit(data.X, data.y)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"hidden_layer_sizes": 16}, TypeError, "must be a tuple of integers"),
        ({"hidden_layer_sizes": (16, 0)}, ValueError, "each of hidden_layer_sizes == 0"),
        ({"cluster_weight": 1.5}, ValueError, "cluster_weight == 1.5"),
        ({"cluster_weight": np.nan}, ValueError, "`cluster_weight` must be finite"),
        ({"net_params": {"lr": 0}}, ValueError, r"`net_params\['lr'\]` must be above 0"),
        ({"net_params": {"max_epochs": 0}}, ValueError, r"max_epochs'\] == 0"),
        ({"net_params": {"batch_size": 0}}, ValueError, r"batch_size'\] == 0"),
        ({"net_params": {"batch_size": 1}}, ValueError, r"batch_size'\] == 1, must be >= 2"),
        ({"net_params": [1]}, TypeError, "`net_params` must be a mapping"),
        ({"net_params": {"criterion": None}}, ValueError, "`net_params` cannot set 'criterion'"),
        ({"net_params": {"module__n_clusters": 3}}, ValueError, "cannot set 'module__n_clusters'"),
        ({"loss": "hinge"}, ValueError, "`loss` must be one of 'auto', 'log_loss'"),
        ({"net_params": {"lr": 1e30}}, ValueError, "training the network diverged"),
    ],
)
def test_bad_parameters(router, data, parameters, error, message):
    router.fit(data.X, data.y)
    before = {**vars(router), **parameters}
    with pytest.raises(error, match=message):
        router.set_params(**parameters).fit(data.X, data.y)
    assert {**vars(router)} == before


def test_grid_search_over_the_map_is_deterministic(router, data):
    grid = {"n_clusters": [2, 6], "net_params": [{"lr": 0.001}, {"lr": 0.01}]}
    searches = [
        GridSearchCV(router, grid, cv=2, n_jobs=n_jobs).fit(data.X, data.y) for n_jobs in (1, 2)
    ]
    first, second = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) > 1
