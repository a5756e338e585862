import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from sklearn_uniroute.utils._files import (
    as_json,
    read_array,
    read_members,
    read_whole,
    size_limit,
    write_whole,
)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.array("text"),
        np.array(["a", "bc"]),
        np.zeros((0, 3)),
        np.array(True),
    ],
)
def test_arrays_are_read_as_numpy_reads_them(array):
    found = read_array(npy(array))
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert found.flags.writeable


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy(np.arange(3.0))[:-1],
        npy(np.arange(3.0)) + b"more",
        npy(np.array([{}], dtype=object)),
        npy(np.zeros((2, 3))).replace(b"(2, 3)", b"(-2,3)"),
        npy(np.zeros((2, 3))).replace(b"(2, 3)", b"(9**9,"),
    ],
)
def test_damaged_arrays_are_refused(content):
    with pytest.raises(ValueError, match="array"):
        read_array(content)


def test_archives_are_bounded_by_their_size():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0" * 10**6)
    assert read_members(file.getvalue()) == {"a": b"0" * 10**6}
    with pytest.raises(ValueError, match="far more than its file"):
        read_members(file.getvalue(), compressed=False)
    assert size_limit(10) == 2**28
    assert size_limit(2**28) == 100 * 2**28


def test_values_as_json():
    value = {"a": np.array([[1.5, np.nan]]), "b": (np.int64(3), np.inf), "c": None, "d": "x"}
    assert as_json(value) == {"a": [[1.5, None]], "b": [3, None], "c": None, "d": "x"}


def test_pipes_devices_and_folders_are_neither_read_nor_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for call in (read_whole, lambda path: write_whole(path, b"content")):
        for path in (pipe, "/dev/null"):
            with pytest.raises(OSError, match="is a pipe or a device"):
                call(path)
        with pytest.raises(IsADirectoryError, match="is a folder"):
            call(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "none")
    assert pipe.is_fifo()


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*results; create it first"):
        write_whole(tmp_path / "results" / "router.npz", b"content")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    """Only that: a writer that still runs keeps its file, until it is an hour old."""
    code = (
        "import os, sys; from sklearn_uniroute.utils import _files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "_files.write_whole(sys.argv[1], b'content')"
    )
    path = tmp_path / "file"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    own = tmp_path / f".uniroute-{os.uname().nodename}-{os.getpid()}-0"
    elsewhere = tmp_path / ".uniroute-other-host-1-0"
    for left in (own, elsewhere):
        left.write_bytes(b"")
    write_whole(path, b"new")
    assert {file.name for file in tmp_path.iterdir()} == {"file", own.name, elsewhere.name}
    for left in (own, elsewhere):
        os.utime(left, (time.time() - 4000,) * 2)
    write_whole(path, b"newer")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"newer"
