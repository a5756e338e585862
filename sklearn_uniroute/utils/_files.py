"""What goes into files: values as JSON, and writes that are atomic."""

import os
import stat
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from sklearn_uniroute.utils._typing import StrPath

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def as_json(value: Any) -> Any:
    """Convert to plain dicts, lists and numbers; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def write_whole(path: StrPath, content: bytes) -> None:
    """Write a file atomically: write a temporary file beside it, then rename that file.

    Readers find either the old file or the new one, even after a crash.
    """
    # Replace the target of a link, not the link itself, and keep the file mode.
    path = Path(path).resolve()
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    temporary = path.with_name(f".{uuid4().hex}")
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
