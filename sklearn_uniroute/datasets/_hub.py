"""Files of public data sets: downloaded once, and checked whenever they are read."""

import hashlib
import json
import os
from pathlib import Path
from typing import NoReturn

from sklearn.datasets import get_data_home

from sklearn_uniroute.utils._files import write_whole
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath

_SHA256_LENGTH = 64


def hub_folder(repository: str, revision: str, data_home: StrPath | None) -> Path:
    """Find where the files of a data set are kept."""
    home = Path(get_data_home(data_home))
    return home / "sklearn_uniroute" / repository.replace("/", "__") / revision


def fetch_file(
    repository: str,
    filename: str,
    revision: str,
    *,
    data_home: StrPath | None,
    download_if_missing: bool,
    sha256: str | None = None,
) -> Path:
    """Find a file of a data set on the Hugging Face hub, and download it if it is not there yet.

    The file must have the checksum given here or, without one, that which the hub announced when
    it was downloaded.

    Returns
    -------
    path : Path

    Raises
    ------
    OSError
        If the file is missing and may not or cannot be downloaded, or has another checksum.
    ImportError
        If it is to be downloaded and huggingface_hub is not installed.
    """
    folder = hub_folder(repository, revision, data_home)
    path = folder / filename
    note = path.with_name(path.name + ".checksum")
    if not path.exists():
        if not download_if_missing:
            raise FileNotFoundError(
                f"{path} is missing, and `download_if_missing` is False; set it to True, or put "
                f"{filename} of the data set {repository} there."
            )
        # What stands at its place is whole and checked, whenever this is interrupted.
        downloaded, announced = _download(repository, filename, revision, folder)
        expected = sha256 or announced
        found = _checksum(downloaded, expected)
        if found != expected:
            downloaded.unlink()
            raise OSError(
                f"{filename} of the data set {repository} was downloaded with the checksum "
                f"{found}, expected {expected}: it was damaged on its way, or the data set has "
                "changed. It is removed again."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, found.encode())
        os.replace(downloaded, path)
        return path
    known = sha256 or (note.read_text(encoding="utf-8") if note.exists() else None)
    found = _checksum(path, known)
    if known is None:
        # A file that was put there by hand is what it is; from now on it must stay so.
        write_whole(note, found.encode())
    elif found != known:
        raise OSError(
            f"{path} has the checksum {found}, expected {known}: it is another file than that "
            "of this revision, or was changed since. Delete it to download it again."
        )
    return path


def list_files(
    repository: str,
    revision: str,
    *,
    data_home: StrPath | None,
    download_if_missing: bool,
) -> list[str]:
    """Name the files of a data set, as the hub had them when it was first asked.

    Where it was never asked and may not be, these are the files that are there.

    Returns
    -------
    names : list of str

    Raises
    ------
    OSError
        If the hub is to be asked and does not answer.
    ImportError
        If it is to be asked and huggingface_hub is not installed.
    """
    folder = hub_folder(repository, revision, data_home)
    listed = folder / "files.json"
    if listed.exists():
        return list(json.loads(listed.read_text(encoding="utf-8")))
    if not download_if_missing:
        found = (path for path in folder.rglob("*") if path.is_file())
        return [str(path.relative_to(folder)) for path in found if path.suffix != ".checksum"]
    hub = import_optional("huggingface_hub", "datasets")
    try:
        names = hub.HfApi(endpoint=_endpoint()).list_repo_files(
            repository, repo_type="dataset", revision=revision
        )
    except Exception as error:
        advice = "pass `download_if_missing=False` to read the files that are there"
        _refuse(error, repository, "list of files", revision, advice)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(listed, json.dumps(names).encode())
    return list(names)


def _download(repository: str, filename: str, revision: str, folder: Path) -> tuple[Path, str]:
    """Download a file beside its place, and return it with its checksum as the hub announces it."""
    hub = import_optional("huggingface_hub", "datasets")
    where = {"repo_type": "dataset", "revision": revision, "endpoint": _endpoint()}
    staging = folder / ".download"
    try:
        # This asks once, so that a missing network shows at once.
        announced = hub.get_hf_file_metadata(hub.hf_hub_url(repository, filename, **where)).etag
        hub.hf_hub_download(repository, filename, local_dir=staging, **where)
    except Exception as error:
        _refuse(error, repository, filename, revision, f"put it into {folder} by hand")
    return staging / filename, str(announced)


def _endpoint() -> str | None:
    # The hub's own package reads it when it is imported.
    return os.environ.get("HF_ENDPOINT")


def _refuse(
    error: Exception, repository: str, filename: str, revision: str, advice: str
) -> NoReturn:
    """Tell what the hub's client raised, which is of another package from version to version."""
    if isinstance(error, OSError) and error.filename is not None:
        # Of the file system, not of the network.
        raise error
    errors = import_optional("huggingface_hub.errors", "datasets")
    if isinstance(error, errors.GatedRepoError):
        raise PermissionError(
            f"the data set {repository} is only for those who accept its terms: do so on its page "
            "of the Hugging Face hub, and log in with `hf auth login` or the variable HF_TOKEN."
        ) from error
    missing = (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.RemoteEntryNotFoundError,
    )
    if isinstance(error, missing):
        raise FileNotFoundError(
            f"the Hugging Face hub has no {filename} in the data set {repository} at revision "
            f"{revision!r}; see whether it was moved or renamed, and pass another `revision`."
        ) from error
    raise ConnectionError(
        f"{filename} of the data set {repository} cannot be downloaded ({error!r}). Where there is "
        f"no network, {advice}."
    ) from error


def _checksum(path: Path, like: str | None) -> str:
    """Digest of a file: SHA-256, or git's SHA-1 where that is what the hub announces."""
    sha1 = like is not None and len(like) < _SHA256_LENGTH
    digest = hashlib.sha1(usedforsecurity=False) if sha1 else hashlib.sha256()
    if sha1:
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
