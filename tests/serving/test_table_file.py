import json
import os
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sklearn_uniroute import FeatureMapRouter, KMeansRouter, KNeighborsRouter, RoutingTable
from sklearn_uniroute.serving import _table_file
from sklearn_uniroute.serving._table_file import FORMAT
from sklearn_uniroute.utils._router_checks import N_TRAINING, grown
from tests.all_routers import ROUTERS
from tests.damage import load_damaged

RELEASED = Path(__file__).parents[1] / "files"


@pytest.fixture
def saved(data, tmp_path):
    """A table with all that a file may hold, and its path."""
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    router = KMeansRouter(4, cost_model="cluster", fallback=2, far_share=0.1, random_state=0)
    router.fit(data.X, data.y, costs=calls)
    table = router.routing_table(budget=40, randomize=True)
    path = tmp_path / "table.npz"
    table.save(path, embedder="minilm", fingerprint="abc")
    return table, path


def assert_same(table, other, X):
    assert table.models == other.models
    np.testing.assert_array_equal(table.route_many(X), other.route_many(X))
    for x in X[:10]:
        one, two = table.explain(x), other.explain(x)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])


# A feature map is no array.
SAVED = [router for router in ROUTERS if not isinstance(router, FeatureMapRouter)]


@pytest.mark.parametrize("router", SAVED, ids=str)
def test_what_is_read_is_what_was_written(router, data, tmp_path):
    router = grown(router, data)
    path = tmp_path / "table.npz"
    for settings in ({"cost_weight": 0.003}, {"budget": 20}, {"budget": 20, "randomize": True}):
        table = router.routing_table(**settings)
        table.save(path)
        other = RoutingTable.load(path, n_features=data.X.shape[1])
        assert_same(table, other, data.X[N_TRAINING:])
        assert other.embedder is None
        first = path.read_bytes()
        other.save(path)
        assert path.read_bytes() == first


def test_names_and_missing_costs(data, tmp_path):
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y)
    router.routing_table().save(tmp_path / "table.npz")
    table = RoutingTable.load(str(tmp_path / "table.npz"))
    assert table.costs is None
    assert isinstance(table.route(data.X[0]), int)
    with np.load(tmp_path / "table.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["centers"], router.cluster_centers_)


def test_what_a_file_says_of_the_embeddings(saved):
    table, path = saved
    assert (table.embedder, table.fingerprint) == (None, None)
    loaded = RoutingTable.load(path, n_features=5, embedder="minilm", fingerprint="abc")
    assert (loaded.embedder, loaded.fingerprint) == ("minilm", "abc")
    loaded.save(path)
    assert RoutingTable.load(path).embedder == "minilm"
    with pytest.raises(ValueError, match=r"`n_features` should be 6, but .* records 5"):
        RoutingTable.load(path, n_features=6)
    with pytest.raises(ValueError, match=r"`embedder` should be 'other', but .* records 'minilm'"):
        RoutingTable.load(path, embedder="other")
    table.save(path)
    with pytest.raises(ValueError, match=r"`fingerprint` should be 'abc', but .* does not record"):
        RoutingTable.load(path, fingerprint="abc")
    with pytest.raises(TypeError, match="`embedder` must be a string"):
        table.save(path, embedder=3)


def test_a_crash_leaves_the_old_file(saved, data, monkeypatch):
    table, path = saved
    before = path.read_bytes()

    def crash(*_):
        raise OSError("no space left")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, crash)
            with pytest.raises(OSError, match="no space"):
                table.save(path)
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["table.npz"]


def test_files_keep_their_mode_and_links(saved, tmp_path, monkeypatch):
    table, path = saved
    path.chmod(0o600)
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    modes = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: modes.append(os.fstat(file).st_mode) or fsync(file)
    )
    table.save(link, embedder="other")
    assert stat.S_IMODE(modes[0]) == 0o600
    assert link.is_symlink()
    assert RoutingTable.load(path).embedder == "other"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_function_for_a_metric_cannot_be_saved(data, tmp_path):
    router = KNeighborsRouter(3, metric=lambda a, b: abs(a - b).sum())
    table = router.fit(data.X[:50], data.y[:50]).routing_table()
    assert table.route(data.X[0]) in table.models
    with pytest.raises(TypeError, match="cannot be saved"):
        table.save(tmp_path / "table.npz")
    assert not list(tmp_path.iterdir())


def test_damage_is_an_error_or_changes_nothing(saved, data):
    table, path = saved
    outcomes = load_damaged(path, RoutingTable.load, n_times=2000)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ValueError)]
    assert 1000 < len(refused) < 2000
    for outcome in outcomes:
        if isinstance(outcome, ValueError):
            assert "is damaged or is not a routing table" in str(outcome)
        else:
            assert_same(table, outcome, data.X[:20])


def test_foreign_files(tmp_path):
    path = tmp_path / "table.npz"
    with pytest.raises(FileNotFoundError):
        RoutingTable.load(path)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", b" " * 10**7)
    contents = [b"", b"{}", b"PK", pickle.dumps({"a": 1})]
    contents += [(tmp_path / name).read_bytes() for name in ("other.npz", "bomb.npz")]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"table\.npz is damaged or is not a routing table"):
            RoutingTable.load(path)


def rewritten(path, change):
    """Write a file again with its parts changed and a checksum that holds."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist() if name != "sha256"}
    header = json.loads(members["header.json"])
    change(header, members)
    members["header.json"] = json.dumps(header).encode()
    members["sha256"] = _table_file._checksum(members)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def with_array(name, array):
    def change(header, members):
        path = Path(name)
        np.save(path, array, allow_pickle=True)
        members[name] = path.read_bytes()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, _: header.update(format=FORMAT + 1), "upgrade sklearn_uniroute"),
        (lambda header, _: header.update(n_features=6), "centers has shape"),
        (lambda header, _: header.update(models=list(range(7))), "prices has shape"),
        (lambda header, _: header.update(models=["a"] * 8), "unique and of one type"),
        (lambda header, _: header.update(models=[[one] for one in range(8)]), "TypeError"),
        (lambda header, _: header.update(models=[one / 2 for one in range(8)]), "or integers"),
        (lambda header, _: header.update(models="abcdefgh"), "is not of type"),
        (lambda header, _: header.update(models=[True] * 8), "unique and of one type"),
        (lambda header, _: header.update(pool=[0, 1]), "the pool has other models"),
        (lambda header, _: header.update(kind="other"), "KeyError: 'other'"),
        (lambda header, _: header["settings"].update(temperature=float("nan")), "out of range"),
        (lambda header, _: header["settings"].update(temperature=-1), "out of range"),
        (lambda header, _: header["settings"].update(temperature="1"), "is not of type int"),
        (lambda header, _: header["settings"].update(fallback_distance=-1), "out of range"),
        (lambda header, _: header["settings"].update(fallback_position=1.5), "is not of type"),
        (lambda header, _: header["settings"].update(fallback_position=8), "out of range"),
        (lambda header, _: header["operating_point"].update(share=2), "out of range"),
        (lambda header, _: header["operating_point"].update(cost_weight=-1), "out of range"),
        (lambda header, _: header["operating_point"].update(cost_weight=1e999), "out of range"),
        (lambda header, _: header["operating_point"].update(seed=-3), "out of range"),
        (lambda header, _: header["operating_point"].update(seed=True), "is not of type"),
        (lambda header, _: header.update(format=-5), "out of range"),
        (lambda header, _: header.update(embedder=[1]), "is not of type"),
        (lambda header, _: header.update(has_costs="false"), "is not of type"),
        (lambda header, members: members.pop("centers.npy"), "KeyError: 'centers'"),
        (with_array("centers.npy", np.ones((4, 5), dtype=int)), "dtype int64"),
        (with_array("centers.npy", np.ones((5, 5))), "expected"),
        (with_array("centers.npy", np.ones((4, 5, 1))), "has shape"),
        (with_array("centers.npy", np.full((4, 5), np.nan)), "not finite"),
        (with_array("centers.npy", np.full((4, 5), None)), "holds objects"),
        (with_array("prices.npy", np.arange(8.0) - 1), "rising cost"),
        (with_array("representation.npy", np.ones((8, 3))), "expected"),
        (with_array("more.npy", np.ones(3)), "unexpected arrays"),
    ],
)
def test_files_that_make_no_sense(saved, monkeypatch, change, message):
    _, path = saved
    monkeypatch.chdir(path.parent)
    rewritten(path, lambda header, members: None)
    RoutingTable.load(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=message):
        RoutingTable.load(path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("kmeans", with_array("prices.npy", np.arange(3.0)[::-1]), "rising cost"),
        ("learned_map", lambda _, members: members.pop("coef1.npy"), "expected"),
        ("learned_map", with_array("coef1.npy", np.ones((4, 2))), "expected"),
        ("learned_map", with_array("coef2.npy", np.ones((3, 3))), "intercept2"),
        ("mlp", with_array("network0_output.npy", np.ones((3, 9))), "output has shape"),
        ("mlp", with_array("network0_members.npy", np.array([0, 1, 1])), "one output for each"),
        ("mlp", lambda header, _: header["settings"].update(squared=["yes"]), "is not of type"),
        ("neighbors", lambda header, _: header["settings"].update(weights="x"), "weights"),
        ("neighbors", lambda header, _: header["settings"].update(n_neighbors=0), "out of range"),
        ("neighbors", with_array("errors.npy", np.full((3, 50), np.nan)), "never run"),
    ],
)
def test_files_of_other_routers_that_make_no_sense(tmp_path, monkeypatch, name, change, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "table.npz"
    path.write_bytes((RELEASED / f"table_0_1_{name}.npz").read_bytes())
    rewritten(path, change)
    with pytest.raises(ValueError, match=message):
        RoutingTable.load(path)


@pytest.mark.parametrize("path", sorted(RELEASED.glob("table_*.npz")), ids=lambda path: path.name)
def test_tables_of_earlier_releases(path):
    table = RoutingTable.load(path, n_features=5, embedder="example", fingerprint="1")
    expected = json.loads(path.with_suffix(".json").read_text())
    X = np.array(expected["X"])
    assert table.route_many(X).tolist() == expected["models"]
    np.testing.assert_allclose([table.explain(x).error for x in X], expected["error"], rtol=1e-12)


def test_there_are_tables_of_earlier_releases():
    assert len(list(RELEASED.glob("table_*.npz"))) >= 3
