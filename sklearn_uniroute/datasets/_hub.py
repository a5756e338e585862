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
    """Get the folder of a data set."""
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
    """Find a file of a data set of the Hugging Face hub on disk; download it if it is missing.

    The file must have the checksum `sha256`. By default, it must have the checksum that the hub
    announced when the file was downloaded.

    Returns
    -------
    path : Path
        Path of the file.

    Raises
    ------
    OSError
        If the file is missing and may not or cannot be downloaded, or if its checksum is wrong.
    ImportError
        If the file must be downloaded and huggingface_hub is not installed.
    """
    folder = hub_folder(repository, revision, data_home)
    path = folder / filename
    note = path.with_name(path.name + ".checksum")
    if not path.exists():
        if not download_if_missing:
            raise FileNotFoundError(
                f"{path} is missing, and `download_if_missing` is False; pass True, or put "
                f"{filename} of the data set {repository} there."
            )
        # The file moves to `path` only when complete and checked, in case of an interruption.
        downloaded, announced = _download(repository, filename, revision, folder)
        expected = sha256 or announced
        found = _checksum(downloaded, expected)
        if found != expected:
            downloaded.unlink()
            raise OSError(
                f"{filename} of the data set {repository} was downloaded with the checksum "
                f"{found}; expected {expected}. The download was damaged, or the data set has "
                "changed. The file was deleted; try again."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, found.encode())
        os.replace(downloaded, path)
        return path
    known = sha256 or (note.read_text(encoding="utf-8") if note.exists() else None)
    found = _checksum(path, known)
    if known is None:
        # A file put there by hand has no known checksum: record it, so that later changes show.
        write_whole(note, found.encode())
    elif found != known:
        raise OSError(
            f"{path} has the checksum {found}; expected {known}. The file belongs to another "
            "revision, or was changed later. Delete it to download it again."
        )
    return path


def list_files(
    repository: str,
    revision: str,
    *,
    data_home: StrPath | None,
    download_if_missing: bool,
) -> list[str]:
    """List the files of a data set.

    The list is requested from the hub once and read from disk afterwards. If it was never requested
    and `download_if_missing` is False, the files on disk are listed.

    Returns
    -------
    names : list of str
        Paths of the files in the data set.

    Raises
    ------
    OSError
        If the list must be requested and the hub does not answer.
    ImportError
        If the list must be requested and huggingface_hub is not installed.
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
        advice = "pass `download_if_missing=False` to read the files on disk"
        _refuse(error, repository, "list of files", revision, advice)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(listed, json.dumps(names).encode())
    return list(names)


def _download(repository: str, filename: str, revision: str, folder: Path) -> tuple[Path, str]:
    """Download a file to a staging folder; return its path and the announced checksum."""
    hub = import_optional("huggingface_hub", "datasets")
    where = {"repo_type": "dataset", "revision": revision, "endpoint": _endpoint()}
    staging = folder / ".download"
    try:
        # This request is not retried, so a missing network shows at once.
        announced = hub.get_hf_file_metadata(hub.hf_hub_url(repository, filename, **where)).etag
        hub.hf_hub_download(repository, filename, local_dir=staging, **where)
    except Exception as error:
        _refuse(error, repository, filename, revision, f"put it into {folder} by hand")
    return staging / filename, str(announced)


def _endpoint() -> str | None:
    # huggingface_hub reads the variable only when it is imported.
    return os.environ.get("HF_ENDPOINT")


def _refuse(
    error: Exception, repository: str, filename: str, revision: str, advice: str
) -> NoReturn:
    """Replace an error of the hub's client, whose type depends on the version, by a clear one."""
    if isinstance(error, OSError) and error.filename is not None:
        # The file system failed, not the network.
        raise error
    errors = import_optional("huggingface_hub.errors", "datasets")
    if isinstance(error, errors.GatedRepoError):
        raise PermissionError(
            f"the data set {repository} requires you to accept its terms: accept them on its page "
            "on the Hugging Face hub, and log in with `hf auth login` or the variable HF_TOKEN."
        ) from error
    missing = (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.RemoteEntryNotFoundError,
    )
    if isinstance(error, missing):
        raise FileNotFoundError(
            f"the Hugging Face hub has no {filename} in the data set {repository} at revision "
            f"{revision!r}; check whether it was moved or renamed, and pass another `revision`."
        ) from error
    raise ConnectionError(
        f"{filename} of the data set {repository} cannot be downloaded ({error!r}). Without a "
        f"network connection, {advice}."
    ) from error


def _checksum(path: Path, like: str | None) -> str:
    """Compute the SHA-256 of a file, or git's SHA-1 if the checksum `like` is a SHA-1."""
    sha1 = like is not None and len(like) < _SHA256_LENGTH
    digest = hashlib.sha1(usedforsecurity=False) if sha1 else hashlib.sha256()
    if sha1:
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
