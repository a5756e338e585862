"""Files: archives read within bounds, values as JSON, and writes that are atomic."""

import gzip
import io
import math
import os
import platform
import stat
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from sklearn_uniroute.utils._typing import StrPath

# A file may hold so many bytes once it is decompressed, or so many times its size if that is more.
_LARGEST, _LARGEST_RATIO = 2**28, 100
# Temporary files are named by their writer. One that is older than this, in seconds, is stale even
# if it cannot be told whether its writer still runs.
_TEMPORARY, _STALE = ".uniroute-", 3600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def size_limit(n_bytes: int) -> int:
    """Get the number of bytes that a file of `n_bytes` may hold once it is decompressed."""
    return max(_LARGEST, _LARGEST_RATIO * n_bytes)


def check_size(n_bytes: float, limit: int, what: str) -> None:
    """Refuse content that is much larger than its file."""
    if n_bytes > limit:
        raise ValueError(
            f"{what} would take {n_bytes / 2**20:,.0f} MiB, far more than its file; the limit is "
            f"{limit / 2**20:,.0f} MiB ({_LARGEST / 2**20:.0f} MiB, or {_LARGEST_RATIO} times the "
            "file if that is more)."
        )


def read_whole(path: StrPath) -> bytes:
    """Read a file, but no pipe or device, which may have no end."""
    path = Path(path)
    if path.exists():
        check_regular(path)
    return path.read_bytes()


def read_members(content: bytes, *, compressed: bool = True) -> dict[str, bytes]:
    """Read all members of a zip archive, whose total size is checked before.

    If they may not be compressed, they take no more than the archive.

    Raises
    ------
    ValueError
        If the archive is damaged, encrypted or too large, or repeats a name.
    """
    limit = size_limit(len(content)) if compressed else len(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            infos = file.infolist()
            check_size(sum(info.file_size for info in infos), limit, "the content of this archive")
            members = {info.filename: file.read(info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, OverflowError) as error:
        raise ValueError(f"this archive is damaged ({error})") from error
    # An encrypted member, or an unknown compression.
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(f"this archive cannot be read ({error})") from error
    if len(members) < len(infos):
        raise ValueError("this archive has two members of the same name")
    return members


def read_array(content: bytes) -> np.ndarray:
    """Read an array from the content of an .npy file, whose shape is checked before.

    Raises
    ------
    ValueError
        If the content is damaged, holds objects, or has another size than its shape says.
    """
    shape, dtype, order, start = _array_header(content)
    count = math.prod(shape)
    values = np.frombuffer(content, dtype, count, offset=start) if count else np.empty(0, dtype)
    return values.reshape(shape, order=order).copy(order="K")


def check_arrays(content: bytes) -> None:
    """Check the total size of a zip archive and the shapes of all arrays in it."""
    for name, part in read_members(content).items():
        if name.endswith(".npy"):
            _array_header(part)


def _array_header(content: bytes) -> tuple[tuple[int, ...], np.dtype, Literal["C", "F"], int]:
    """Shape, dtype and order of an array, and where its values start."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        headers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, is_fortran, dtype = headers[version](file)
    except KeyError:
        raise ValueError("this array has an unknown format") from None
    # What is wrong with a header can raise any error.
    except Exception as error:
        raise ValueError(f"the header of this array is damaged ({error})") from error
    if dtype.hasobject:
        raise ValueError(
            "this array holds objects; save numbers or strings, such as models.astype(str)"
        )
    if min(shape, default=0) < 0 or (
        math.prod(map(int, shape)) * dtype.itemsize != len(content) - file.tell()
    ):
        raise ValueError(
            f"this array has {len(content) - file.tell()} bytes, but its shape is {shape}"
        )
    return shape, dtype, "F" if is_fortran else "C", file.tell()


def read_gzip(path: Path) -> bytes:
    """Read a gzip file, up to a limit.

    Raises
    ------
    ValueError
        If the file is damaged or too large.
    """
    limit = size_limit(path.stat().st_size)
    try:
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error
    check_size(len(content), limit, path.name)
    return content


def as_json(value: Any) -> Any:
    """Convert to plain dicts, lists and numbers; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biu" or (value.dtype.kind == "f" and np.isfinite(value).all()):
            return value.tolist()
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def write_whole(path: StrPath, content: bytes) -> None:
    """Write a file atomically: write a temporary file beside it, then rename that file.

    Readers find either the old file or the new one, even after a crash. Temporary files of killed
    writers are removed by later ones.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    OSError
        If the target is something else than a file, such as a folder, a pipe or a device.
    """
    # Replace the target of a link, not the link itself, and keep the file mode.
    path = Path(path).resolve()
    mode = None
    if path.exists():
        check_regular(path)
        mode = stat.S_IMODE(path.stat().st_mode)
    elif not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}; create it first.")
    remove_stale(path.parent)
    writer = f"{platform.node()}-{os.getpid()}"
    temporary = path.with_name(f"{_TEMPORARY}{writer}-{uuid4().hex}")
    try:
        with open(os.open(temporary, _NEW, 0o666 if mode is None else mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_regular(path: Path) -> None:
    """Refuse a folder, a pipe or a device in place of a file."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file.")
    if not path.is_file():
        raise OSError(f"{path} is a pipe or a device; expected a file.")


def remove_stale(folder: Path) -> None:
    """Remove temporary files that killed writers left in a folder."""
    for left in folder.glob(f"{_TEMPORARY}*"):
        try:
            if _is_killed(left.name) or time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
        except OSError:
            # Another writer was faster, or it is not ours to remove.
            continue


def _is_killed(name: str) -> bool:
    """Whether the process that wrote a temporary file on this machine is no more."""
    *node, process, _ = name.removeprefix(_TEMPORARY).split("-")
    if "-".join(node) != platform.node() or os.name != "posix":
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False
    return False
