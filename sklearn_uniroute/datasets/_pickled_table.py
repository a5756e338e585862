"""Pickled tables of other projects, read without running anything that a pickle may hold.

A pickle is a program: it names functions and says what to call them with. Here no name leads to a
function. Each stands for a record of what it would have been called with, and the table is put
together from these records.
"""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.utils._model_validation import repeated
from sklearn_uniroute.utils._optional import import_optional

# All that pandas from 1.3 on writes a DataFrame of numbers and plain objects with.
_NAMES = {
    ("builtins", "slice"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("pandas", "DataFrame"),
    ("pandas", "Index"),
    ("pandas", "RangeIndex"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.internals.managers", "BlockManager"),
}


class _Record:
    """What a pickle would have called something with, and the state it would have given it."""

    def __new__(cls, *args: Any) -> "_Record":
        record = super().__new__(cls)
        record.args = args
        record.state = None
        return record

    args: tuple[Any, ...]
    state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Recorder(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        if (module, name) not in _NAMES:
            raise ValueError(f"it holds {module}.{name}, which is no part of a table")
        return type(name, (_Record,), {})


def read_pickled_table(path: Path) -> Any:
    """Read a pickled DataFrame of numbers and texts.

    Returns
    -------
    table : DataFrame

    Raises
    ------
    ValueError
        If the file is no pickle, is damaged, or names anything that such a table does not need.
    """
    pandas = import_optional("pandas", "datasets")
    with open(path, "rb") as file:
        try:
            columns = _columns(_Recorder(file).load())
        # What is in the file decides which error there is.
        except Exception as error:
            raise ValueError(f"this is no pickled table that can be read: {error}") from error
    return pandas.DataFrame(columns)


def _columns(frame: Any) -> dict[str, np.ndarray]:
    """Put the columns of a table together, by name."""
    blocks, (columns, rows) = _called(
        _called(frame, "DataFrame").state["_mgr"], "BlockManager"
    ).args
    names, n_rows = _index(columns), len(_index(rows))
    if not all(isinstance(name, str) for name in names) or repeated(names):
        raise ValueError("columns go by other names than texts, or two by one name")
    found: dict[int, np.ndarray] = {}
    for block in blocks:
        values, places, _ = _called(block, "_unpickle_block").args
        values = _array(values)
        if values.ndim != 2 or values.shape[1] != n_rows:
            raise ValueError(f"a block of shape {values.shape} has not {n_rows} rows")
        for place, column in zip(_placement(places, len(names)), values, strict=True):
            if place in found:
                raise ValueError(f"two blocks hold column {place}")
            found[place] = column
    if len(found) < len(names):
        raise ValueError(f"there are {len(found)} columns for {len(names)} names")
    return {name: found[place] for place, name in enumerate(names)}


def _called(record: Any, name: str) -> _Record:
    if not isinstance(record, _Record) or type(record).__name__ != name:
        raise ValueError(f"expected a {name}, got a {type(record).__name__}")
    return record


def _index(record: Any) -> Any:
    kind, fields = _called(record, "_new_Index").args
    if kind.__name__ == "RangeIndex":
        return range(fields["start"], fields["stop"], fields["step"])
    return _array(fields["data"]).tolist()


def _placement(record: Any, n_columns: int) -> list[int]:
    if type(record).__name__ == "slice":
        return list(range(n_columns)[slice(*record.args)])
    return list(_array(record).tolist())


def _array(record: Any) -> np.ndarray:
    if type(record).__name__ == "_frombuffer":
        data, dtype, shape, order = record.args
    else:
        _, shape, dtype, is_fortran, data = _called(record, "_reconstruct").state
        order = "F" if is_fortran else "C"
    dtype = _called(dtype, "dtype")
    code, byte_order = dtype.args[0], dtype.state[1]
    if code[0] == "O":
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise ValueError(f"an array of shape {shape} has other than so many objects")
        values = np.empty(len(data), dtype=object)
        values[:] = data
    elif code[0] in "biuf":
        values = np.frombuffer(data, np.dtype(byte_order + code))
    else:
        raise ValueError(f"an array is of type {code!r}")
    return values.reshape(shape, order=order)
