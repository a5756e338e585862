"""Files that are written whole or not at all."""

import os
import shutil
from pathlib import Path
from uuid import uuid4


def write_whole(path, content):
    """Write bytes to a file beside the target, then rename it.

    A reader, or a crash at any moment, finds the old file or the new one.
    """
    # What a link points to is replaced, not the link.
    path = Path(path).resolve()
    temporary = path.with_name(f".{uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
