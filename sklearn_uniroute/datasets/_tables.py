"""Checks of tables that were read from files. Messages name the file, the column and the row."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.utils._model_validation import listing
from sklearn_uniroute.utils._optional import import_optional


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of what a file holds name the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def refuse_rows(wrong: Any, column: str, problem: str, values: Any = None) -> None:
    """Refuse a column with rows that are wrong, and name the first of them."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        value = "" if values is None else f" ({listing([np.asarray(values, object)[rows[0]]])})"
        raise ValueError(
            f"column {column!r} {problem} in row {rows[0]}{value}"
            + (f", and in {len(rows) - 1} more" if len(rows) > 1 else "")
        )


def refuse_missing(found: Iterable[str], expected: Iterable[str]) -> None:
    """Refuse a table of a public data set without the columns that it is known to have."""
    found = list(found)
    missing = [name for name in expected if name not in found]
    if missing:
        raise ValueError(
            f"it has no column(s) {listing(missing)}; it has {listing(found)}. The data set has "
            "changed: pass an earlier `revision`."
        )


def numbers(table: Any, column: str) -> np.ndarray:
    """Read a column of numbers, NaN where a cell is empty."""
    values = import_optional("pandas", "pandas").to_numeric(table[column], errors="coerce")
    refuse_rows(values.isna() & table[column].notna(), column, "is not a number", table[column])
    cells: np.ndarray = values.to_numpy(dtype=np.float64)
    return cells


def texts(values: Iterable[Any], column: str) -> np.ndarray:
    """Read a column of texts, none of which may be missing."""
    cells = np.array(list(values), dtype=object)
    refuse_rows([not isinstance(text, str) for text in cells], column, "is no text", cells)
    return cells
