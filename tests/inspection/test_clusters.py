import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, ShuffleSplit, TimeSeriesSplit

from sklearn_uniroute import (
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LinearRouter,
    RoutingTable,
    ZeroRouter,
)
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.inspection import (
    ModelSimilarityDisplay,
    cluster_report,
    drift_report,
    excess_risk,
    model_similarity,
)

FILES = Path(__file__).parents[1] / "files"


@pytest.fixture
def router(data):
    return KMeansRouter(6, n_validation=60, random_state=0).fit(data.X, data.y)


@pytest.mark.parametrize("bandwidth", [None, 0.2])
def test_similarity_by_hand(router, bandwidth):
    psi, shares = router.representation_, router.cluster_shares_
    distance = np.array(
        [[np.sqrt(sum(shares * (one - other) ** 2)) for other in psi] for one in psi]
    )
    width = bandwidth or np.median(distance[np.triu_indices(8, 1)])
    expected = np.exp(-(distance**2) / (2 * width**2))
    np.testing.assert_allclose(model_similarity(router, bandwidth=bandwidth), expected)
    pool = [5, 0, 3]
    np.testing.assert_allclose(
        model_similarity(router, pool, bandwidth=width), expected[np.ix_(pool, pool)]
    )


def test_equal_models_are_alike(data):
    y = data.y[:, [0, 0, 0, 7]]
    similarity = model_similarity(KMeansRouter(6, random_state=0).fit(data.X, y))
    np.testing.assert_allclose(similarity[:3, :3], 1)
    assert np.all(similarity[3, :3] < 1)
    np.testing.assert_allclose(
        model_similarity(KMeansRouter(6, random_state=0).fit(data.X, y[:, :3])), 1
    )


def test_the_map_puts_those_alike_side_by_side(data):
    y = pd.DataFrame(data.y[:, [0, 7, 0, 7, 0]], columns=list("axbyc"))
    router = HybridRouter(6, random_state=0).fit(data.X, y)
    display = ModelSimilarityDisplay.from_estimator(router, image_kwargs={"cmap": "magma"})
    names = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert sorted(map("".join, (sorted(names[:2]), sorted(names[-2:])))) in (
        [["ab", "xy"], ["ac", "xy"], ["bc", "xy"]]
    )
    order = display.order_
    expected = model_similarity(router)[np.ix_(order, order)]
    np.testing.assert_allclose(display.image_.get_array(), expected)
    assert display.image_.get_cmap().name == "magma"
    alone = ModelSimilarityDisplay.from_estimator(router, pool=["x"])
    assert alone.order_.tolist() == [0]


def test_clusters_are_described(router, data):
    report = cluster_report(router, data.X, pool=[7, 2], n_typical=4, confidence=0.5)
    labels = np.argmin(
        [np.linalg.norm(data.X - center, axis=1) for center in router.cluster_centers_], axis=0
    )
    for cluster, center in enumerate(router.cluster_centers_):
        members = np.flatnonzero(labels == cluster)
        assert report.size[cluster] == len(members)
        assert report.share[cluster] == pytest.approx(len(members) / 400)
        distance = np.linalg.norm(data.X[members] - center, axis=1)
        assert report.typical[cluster] == members[np.argsort(distance)[:4]].tolist()
    error = router.representation_[[7, 2]].T
    np.testing.assert_array_equal(report.error, error)
    std = router.representation_std_[[7, 2]].T
    # Half of Student's t with as many degrees of freedom as the covariance of eight models.
    width = student_t.ppf(0.75, 7)
    np.testing.assert_allclose(np.subtract(report.high, error), width * std)
    np.testing.assert_allclose(error - np.array(report.low), width * std)
    assert report.best == [7 if one < other else 2 for one, other in error]
    assert cluster_report(router).typical is None
    plain = KMeansRouter(6, representation="mean").fit(data.X, data.y)
    assert cluster_report(plain).low is None


@pytest.mark.parametrize("missing", [False, True])
def test_excess_risk_by_hand(router, data, missing):
    y = data.y.copy()
    if missing:
        y[np.random.RandomState(0).uniform(size=y.shape) < 0.2] = np.nan
        y[:, 3] = data.y[:, 3]
    found = excess_risk(router, data.X, y, regressor=Ridge(2.0), cv=4)
    reference = np.empty(y.shape)
    for training, held_out in KFold(4).split(data.X):
        for model in range(8):
            run = training[~np.isnan(y[training, model])]
            ridge = Ridge(2.0).fit(data.X[run], 1 - y[run, model])
            reference[held_out, model] = ridge.predict(data.X[held_out])
    error = router.predict_error(data.X)
    halves = np.empty((2, *y.shape))
    for training, held_out in KFold(4).split(data.X):
        for model in range(8):
            run = training[~np.isnan(y[training, model])]
            for half in (0, 1):
                ridge = Ridge(2.0).fit(data.X[run[half::2]], 1 - y[run[half::2], model])
                halves[half, held_out, model] = ridge.predict(data.X[held_out])
    signal = np.mean((halves[0] - error) * (halves[1] - error))
    difference = np.abs(reference - error)
    difference *= np.sqrt(np.clip(signal / np.mean(difference**2), 0, 1))
    np.testing.assert_allclose(found.difference, difference, atol=1e-10)
    assert found.bound == pytest.approx(difference.max(axis=1).mean())
    np.testing.assert_allclose(found.by_model, difference.mean(axis=0))


def test_excess_risk_tells_which_number_of_clusters_suits():
    data = make_routing_data(3000, 6, n_features=5, n_clusters=6, random_state=0)
    bounds = []
    for router in (ZeroRouter(), KMeansRouter(2), KMeansRouter(6), KNeighborsRouter(30)):
        router.set_params(random_state=0).fit(data.X[:1500], data.y[:1500])
        forest = RandomForestRegressor(20, min_samples_leaf=20, random_state=0)
        found = excess_risk(router, data.X[1500:], data.y[1500:], regressor=forest, cv=3)
        bounds.append(found.bound)
    zero, two, six, neighbors = bounds
    assert six < two < zero
    assert neighbors < two


def test_excess_risk_of_a_part_of_the_pool_by_name(data):
    frame = pd.DataFrame(data.y, columns=list("abcdefgh"))
    router = KMeansRouter(6, random_state=0).fit(data.X, frame)
    part = excess_risk(router, data.X, frame, regressor=Ridge(), pool=["g", "b"])
    alone = KMeansRouter(6, random_state=0).fit(data.X, frame)
    for name in "acdefh":
        alone.remove_model(name)
    other_order = excess_risk(alone, data.X, frame[["b", "g"]], regressor=Ridge())
    np.testing.assert_allclose(part.difference, other_order.difference[:, ::-1])


def test_excess_risk_does_not_count_the_noise_of_its_regressor():
    """Without a signal, the router's own noise is all there is."""
    true, found = [], []
    for seed in range(20):
        rng = np.random.RandomState(seed)
        X, quality = rng.normal(size=(400, 16)), rng.uniform(0.3, 0.7, 30)
        y = (rng.uniform(size=(400, 30)) < quality) * 1.0
        router = KMeansRouter(1, representation="mean", random_state=0).fit(X[:200], y[:200])
        true.append(np.abs(router.representation_[:, 0] - (1 - quality)).max())
        found.append(excess_risk(router, X[200:], y[200:]).bound)
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.2)


@pytest.mark.parametrize(
    ("router", "message"),
    [
        (KMeansRouter(3, fallback="dearest"), "has a `fallback`"),
        (ZeroRouter(budget=5.0), "mixes models at random"),
    ],
)
def test_excess_risk_refuses_routers_that_it_says_nothing_of(data, router, message):
    router = clone(router).fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match=message):
        excess_risk(router, data.X, data.y)


def test_excess_risk_needs_prompts_to_learn_from(data):
    y = data.y.copy()
    y[2:, 4] = np.nan
    router = KMeansRouter(3, random_state=0).fit(data.X, data.y)
    with pytest.raises(ValueError, match=r"only \d were run by model\(s\) 4"):
        excess_risk(router, data.X, y)


def test_no_drift_where_nothing_has_changed():
    data = make_routing_data(8000, 4, n_features=5, random_state=0)
    router = KMeansRouter(8, random_state=0).fit(data.X[:4000], data.y[:4000])
    report = drift_report(router, data.X[4000:], far_share=0.05)
    np.testing.assert_allclose(report.share, report.training_share, atol=0.03)
    assert report.moved_share < 0.05
    assert report.p_value > 0.01
    assert report.far_share == pytest.approx(0.05, abs=0.02)
    # The training prompts are nearer to the centres than new ones.
    own = drift_report(router, data.X[:4000], far_share=0.05)
    assert own.moved_share < 0.01
    assert own.far_share < 0.05
    assert drift_report(router, data.X[:4000], far_share=0).far == []


@pytest.mark.parametrize("n_clusters", [8, 64])
def test_few_training_prompts_raise_no_alarm(n_clusters):
    """A test of shares in clusters that were fitted on the prompts found drift in all traffic."""
    p_values = []
    for seed in range(40):
        data = make_routing_data(700, 2, n_clusters=4, random_state=seed)
        router = KMeansRouter(n_clusters, random_state=seed).fit(data.X[:300], data.y[:300])
        p_values.append(drift_report(router, data.X[300:]).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.15


def test_reports_are_json_and_work_from_tables(router, data, tmp_path):
    path = tmp_path / "table.npz"
    router.routing_table().save(path)
    report = drift_report(router, data.X + 0.3)
    for table in (router.routing_table(), RoutingTable.load(path)):
        assert drift_report(table, data.X + 0.3) == report
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    clusters = cluster_report(router, data.X)
    assert json.loads(json.dumps(clusters, allow_nan=False)) == clusters
    linear = LinearRouter().fit(data.X, data.y).routing_table()
    with pytest.raises(TypeError, match="has no clusters"):
        drift_report(linear, data.X)
    old = RoutingTable.load(FILES / "table_0_1_kmeans.npz")
    with pytest.raises(ValueError, match=r"written by version 0\.1"):
        drift_report(old, np.zeros((3, old.n_features)))


def test_drift_of_shares_and_of_prompts(router, data):
    one_cluster = data.X[data.source == 2]
    report = drift_report(router, one_cluster)
    assert report.moved_share > 0.5
    assert report.p_value < 1e-6
    moved = data.X.copy()
    moved[::10] += 100
    assert set(range(0, 400, 10)) <= set(drift_report(router, moved, far_share=0).far)


def test_reports_leave_the_router_as_it_was(router, data):
    before = copy.deepcopy(vars(router))
    cluster_report(router, data.X)
    drift_report(router, data.X)
    excess_risk(router, data.X, data.y)
    model_similarity(router)
    for name, value in vars(router).items():
        np.testing.assert_equal(value, before[name])


@pytest.mark.parametrize("function", [model_similarity, cluster_report])
def test_routers_without_clusters(data, function):
    with pytest.raises(TypeError, match="a KNeighborsRouter has none"):
        function(KNeighborsRouter().fit(data.X, data.y))
    with pytest.raises(TypeError, match="a ZeroRouter has none"):
        drift_report(ZeroRouter().fit(data.X, data.y), data.X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda router, data: model_similarity(router, bandwidth=0), "bandwidth"),
        (lambda router, data: model_similarity(router, [99]), "99"),
        (lambda router, data: cluster_report(router, n_typical=0), "n_typical"),
        (lambda router, data: cluster_report(router, confidence=2), "confidence"),
        (lambda router, data: cluster_report(router, data.X[:, :2]), "features"),
        (lambda router, data: drift_report(router, data.X, far_share=-1), "far_share"),
        (lambda router, data: excess_risk(router, data.X, data.y[:9]), "9 rows"),
        (lambda router, data: excess_risk(router, data.X, data.y[:, :3]), "3 columns"),
    ],
)
def test_bad_input(router, data, call, message):
    with pytest.raises(ValueError, match=message):
        call(router, data)


@pytest.mark.parametrize("cv", [ShuffleSplit(2, random_state=0), TimeSeriesSplit(3)])
def test_excess_risk_refuses_folds_that_are_no_partition(router, data, cv):
    with pytest.raises(ValueError, match="exactly once"):
        excess_risk(router, data.X, data.y, cv=cv)
