import pytest
from huggingface_hub import close_session, constants

from sklearn_uniroute.datasets._hub import fetch_file, list_files
from tests.fake_hub import FakeHub

REPOSITORY = "someone/data"
CONTENT = b"prompt,label\n1,0\n"
SHA256 = "0" * 64


@pytest.fixture(autouse=True)
def _quiet_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    close_session()


@pytest.fixture
def fetch(tmp_path):
    def fetch(filename="table.csv", **options):
        options = {"data_home": tmp_path, "download_if_missing": True} | options
        return fetch_file(REPOSITORY, filename, "main", **options)

    return fetch


def serve(monkeypatch, **options):
    hub = FakeHub({REPOSITORY: {"table.csv": CONTENT, "data/part.csv": CONTENT}}, **options)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return hub


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("filename", ["table.csv", "data/part.csv"])
def test_a_file_is_downloaded_once(fetch, monkeypatch, large, filename):
    with serve(monkeypatch, large=large) as hub:
        path = fetch(filename)
        assert path.read_bytes() == CONTENT
        n_requests = len(hub.requests)
        assert n_requests > 0
        assert fetch(filename) == path
        assert len(hub.requests) == n_requests
    assert fetch(filename, download_if_missing=False) == path


def test_a_missing_file_is_not_downloaded_unasked(fetch, monkeypatch):
    with serve(monkeypatch) as hub:
        with pytest.raises(FileNotFoundError, match="`download_if_missing` is False"):
            fetch(download_if_missing=False)
        assert not hub.requests


def test_bytes_other_than_announced_are_refused_and_removed(fetch, monkeypatch):
    with (
        serve(monkeypatch, corrupt=True),
        pytest.raises(OSError, match=r"checksum .* was damaged, or"),
    ):
        fetch()
    with serve(monkeypatch):
        assert fetch().read_bytes() == CONTENT


def test_bytes_other_than_known_are_refused(fetch, monkeypatch):
    with serve(monkeypatch), pytest.raises(OSError, match=f"expected {SHA256}"):
        fetch(sha256=SHA256)


def test_a_file_that_was_changed_is_refused_and_kept(fetch, monkeypatch):
    with serve(monkeypatch):
        path = fetch()
    path.write_bytes(CONTENT + b"2,1\n")
    with pytest.raises(OSError, match=r"was changed later\. Delete it"):
        fetch()
    assert path.exists()


def test_a_file_put_there_by_hand_is_read_and_must_stay(fetch, tmp_path):
    path = tmp_path / "sklearn_uniroute" / "someone__data" / "main" / "table.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(download_if_missing=False) == path
    path.write_bytes(b"")
    with pytest.raises(OSError, match="changed"):
        fetch(download_if_missing=False)
    with pytest.raises(OSError, match=rf"expected {SHA256}\. The file belongs to another"):
        fetch(download_if_missing=False, sha256=SHA256)
    assert path.exists()


def test_errors_of_the_file_system_stay_what_they_are(fetch, monkeypatch, tmp_path):
    folder = tmp_path / "sklearn_uniroute" / "someone__data"
    folder.mkdir(parents=True)
    (folder / "main").write_text("in the way of a folder")
    with serve(monkeypatch), pytest.raises(OSError, match="main") as caught:
        fetch()
    assert not isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize(
    ("refusal", "filename", "error", "message"),
    [
        ("GatedRepo", "table.csv", PermissionError, "accept its terms"),
        (None, "other.csv", FileNotFoundError, "has no other.csv"),
        ("RevisionNotFound", "table.csv", FileNotFoundError, "at revision 'main'"),
        ("RepoNotFound", "table.csv", FileNotFoundError, "moved or renamed"),
        ("SomethingNew", "table.csv", ConnectionError, "cannot be downloaded"),
    ],
)
def test_refusals_of_the_hub_are_explained(fetch, monkeypatch, refusal, filename, error, message):
    with serve(monkeypatch, refusal=refusal), pytest.raises(error, match=message):
        fetch(filename)


def test_an_absent_network_is_told_at_once(fetch, monkeypatch):
    with serve(monkeypatch):
        pass
    with pytest.raises(ConnectionError, match=r"Without a network connection, put it into .*main"):
        fetch()


def test_files_are_listed_as_they_first_were(monkeypatch, tmp_path):
    where = {"data_home": tmp_path, "download_if_missing": True}
    with serve(monkeypatch) as hub:
        names = list_files(REPOSITORY, "main", **where)
        assert sorted(names) == ["data/part.csv", "table.csv"]
        hub.files[REPOSITORY]["new.csv"] = b""
        assert list_files(REPOSITORY, "main", **where) == names
    assert list_files(REPOSITORY, "main", **where) == names
    with pytest.raises(ConnectionError, match=r"list of files.*`download_if_missing=False`"):
        list_files("someone/else", "main", **where)


def test_without_the_hub_files_at_hand_are_listed(tmp_path):
    path = tmp_path / "sklearn_uniroute" / "someone__data" / "main" / "sub" / "a.json"
    path.parent.mkdir(parents=True)
    path.touch()
    names = list_files(REPOSITORY, "main", data_home=tmp_path, download_if_missing=False)
    assert names == ["sub/a.json"]
