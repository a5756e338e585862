import copy
import io
import json
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_uniroute
from sklearn_uniroute import (
    AttributeEncoder,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    _persistence,
    load_router,
    save_router,
)
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._router_checks import assert_same, grown, validation_errors
from tests.all_routers import ROUTERS
from tests.damage import load_damaged

RELEASED = Path(__file__).parent / "files"


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_what_is_read_is_what_was_written(router, data, tmp_path):
    router = grown(router, data)
    save_router(router, tmp_path / "router.skops")
    other = load_router(str(tmp_path / "router.skops"))
    assert_same(router, other, data.X)
    errors = validation_errors(router, data, 2)
    for one in (router, other):
        one.add_model(errors, cost=3.0)
    assert_same(router, other, data.X)


def test_all_routers_are_trusted():
    routers = [
        kind
        for kind in vars(sklearn_uniroute).values()
        if isinstance(kind, type) and issubclass(kind, BaseRouter)
    ]
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in routers}
    assert names < _persistence._trusted(())
    # Files name public paths alone, so that no later move of a module breaks them.
    assert all(name.count(".") == 1 for name in names)


def test_pipelines_clusterers_and_unfitted_routers(data, tmp_path):
    path = tmp_path / "router.skops"
    router = KMeansRouter(clusterer=MiniBatchKMeans(5, random_state=0), random_state=0)
    pipeline = make_pipeline(StandardScaler(), PCA(3, random_state=0), router)
    save_router(pipeline.fit(data.X, data.y), path)
    np.testing.assert_array_equal(load_router(path).predict(data.X), pipeline.predict(data.X))
    attributes = data.X[:, :2] > 0
    encoder = AttributeEncoder().fit(data.X, attributes)
    pipeline = make_pipeline(encoder, KMeansRouter(2, random_state=0)).fit(data.X, data.y)
    save_router(pipeline, path)
    np.testing.assert_array_equal(load_router(path).predict(data.X), pipeline.predict(data.X))
    save_router(KMeansRouter(3), path)
    assert load_router(path).get_params() == KMeansRouter(3).get_params()


def test_what_would_not_be_trusted_is_not_written(data, tmp_path):
    path = tmp_path / "router.skops"
    for router in (
        KNeighborsRouter(metric=print),
        LearnedMapRouter(net_params={"callbacks": [_Callback()]}),
    ):
        with pytest.raises(TypeError, match="holds types that load_router would not trust"):
            save_router(router, path)
    for other in (LogisticRegression(), make_pipeline(PCA()), None):
        with pytest.raises(TypeError, match="must be a router"):
            save_router(other, path)
    search = GridSearchCV(KMeansRouter(), {"n_clusters": [3]}).fit(data.X, data.y)
    with pytest.raises(TypeError, match="Pass its `best_estimator_`"):
        save_router(search, path)
    assert not path.exists()
    save_router(search.best_estimator_, path)


class _Callback:
    pass


def test_what_is_not_trusted_is_not_read(data, tmp_path):
    path = tmp_path / "router.skops"
    skops.io.dump({"format": 1, "package_version": "1", "router": _Callback()}, path)
    with pytest.raises(ValueError, match=r"not trusted: 'tests\.test_persistence\._Callback'"):
        load_router(path)
    others = [PCA(), None]
    others += [{"format": 1, "router": PCA()}, {"format": "1", "router": KMeansRouter()}]
    others += [{"format": 1, "package_version": "1"}, {"format": 1, "router": make_pipeline(PCA())}]
    for other in others:
        skops.io.dump(other, path)
        with pytest.raises(ValueError, match="holds no router"):
            load_router(path)
    skops.io.dump({"format": 3, "package_version": "9.1", "router": KMeansRouter()}, path)
    with pytest.raises(ValueError, match=r"by version 9\.1, .* upgrade sklearn_uniroute"):
        load_router(path)
    for content in (b"", b"PK", pickle.dumps(1)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged, or holds no router"):
            load_router(path)
    with pytest.raises(FileNotFoundError):
        load_router(tmp_path / "none.skops")


def test_a_crash_leaves_the_old_file(data, tmp_path, monkeypatch):
    path = tmp_path / "router.skops"
    save_router(KMeansRouter(3), path)

    def crash(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="no space"):
        save_router(KMeansRouter(4), path)
    assert load_router(path).n_clusters == 3
    assert [file.name for file in tmp_path.iterdir()] == ["router.skops"]


@pytest.mark.slow
def test_damage_is_an_error_or_changes_nothing(data, tmp_path):
    path = tmp_path / "router.skops"
    router = KMeansRouter(3, n_validation=30, random_state=0)
    save_router(router.fit(data.X[:100], data.y[:100], costs=data.costs), path)
    outcomes = load_damaged(path, load_router, n_times=2000)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ValueError)]
    assert 1000 < len(refused) < 2000
    for outcome in outcomes:
        if not isinstance(outcome, ValueError):
            assert_same(router, outcome, data.X[:20])


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.skops")), ids=lambda path: path.name)
def test_routers_of_earlier_releases(path):
    router = load_router(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    X = np.array(expected["X"])
    assert router.predict(X).tolist() == expected["models"]
    np.testing.assert_allclose(router.predict_error(X), expected["error"], rtol=1e-12)
    router.add_model(np.zeros(len(router.X_val_)), name="new", cost=0.5)
    assert set(router.predict(X, cost_weight=10)) == {"new"}


def test_there_are_routers_of_earlier_releases():
    assert list(RELEASED.glob("*.skops"))


def spoiled(router, name, change):
    """Copy a router, with one of its arrays changed."""
    router = copy.deepcopy(router)
    value = getattr(router, name) if hasattr(router, name) else router._evidence[name]
    changed = change(value)
    if name in router._evidence:
        router._evidence[name] = changed
    else:
        vars(router)[name] = changed
    return router


def with_nan(array):
    array = array.copy()
    array[(0,) * array.ndim] = np.nan
    return array


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cluster_centers_", with_nan),
        ("cluster_centers_", lambda centers: centers[:, :-1]),
        ("cluster_centers_", lambda centers: centers[:-1]),
        ("costs_", lambda costs: -costs),
        ("costs_", lambda costs: costs[:-1]),
        ("costs_", with_nan),
        ("models_", lambda names: np.array(["a"] * len(names))),
        ("models_", lambda names: np.array(["a", "a ", *"bcdefg"])),
        ("models_", lambda names: names.astype(float)),
        ("models_", lambda names: names[:-1]),
        ("representation_", with_nan),
        ("representation_", lambda rows: rows[:, :-1]),
        ("representation_", lambda rows: rows[:-1]),
        ("representation_std_", lambda rows: -rows),
        ("X_val_", with_nan),
        ("X_val_", lambda prompts: prompts[:, :-1]),
        ("validation_weights_", lambda weights: weights[:-1]),
        ("validation_weights_", np.zeros_like),
        ("validation_indices_", lambda rows: -1 - rows),
        ("cluster_shares_", np.zeros_like),
        ("temperature_", lambda _: np.nan),
        ("temperature_", lambda _: -1.0),
        ("prior_covariance_", lambda covariance: -covariance),
        ("prior_covariance_", lambda covariance: covariance + np.triu(np.ones_like(covariance))),
        ("noise_", lambda noise: -noise),
        ("distance_quantiles_", lambda quantiles: quantiles[::-1]),
        ("error_counts", lambda counts: -counts),
        ("error_sums", lambda sums: sums[:-1]),
        ("moments", with_nan),
        ("n_features_in_", lambda _: 4),
    ],
)
def test_states_that_fit_does_not_leave_are_not_loaded(data, tmp_path, name, change):
    router = KMeansRouter(6, n_validation=60, random_state=0)
    router.fit(data.X, data.y, costs=data.costs)
    path = tmp_path / "router.skops"
    save_router(router, path)
    assert_same(router, load_router(path), data.X)
    save_router(make_pipeline(StandardScaler().fit(data.X), spoiled(router, name, change)), path)
    with pytest.raises(ValueError, match="in a state that `fit` does not leave"):
        load_router(path)


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_states_of_all_routers_are_checked(router, data, tmp_path):
    router = grown(router, data)
    path = tmp_path / "router.skops"
    for name, change in (
        ("costs_", lambda costs: -costs),
        ("models_", lambda names: np.zeros_like(names)),
        ("n_features_in_", lambda number: number + 1),
    ):
        save_router(spoiled(router, name, change), path)
        with pytest.raises(ValueError, match="in a state that `fit` does not leave"):
            load_router(path)


def test_files_that_expand_are_not_loaded(data, tmp_path):
    path = tmp_path / "router.skops"
    save_router(KMeansRouter(3, random_state=0).fit(data.X, data.y), path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    array = next(name for name in members if name.endswith(".npy"))
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, shape)
    for content in (header.getvalue(), b"0" * (2**28 + 1)):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, member in members.items():
                file.writestr(name, content if name == array else member)
        tracemalloc.start()
        with pytest.raises(ValueError, match="is damaged, or holds no router"):
            load_router(path)
        assert tracemalloc.get_traced_memory()[1] < 2**28
        tracemalloc.stop()
