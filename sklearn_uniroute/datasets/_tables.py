"""Checks of tables that were read from files. Messages name the file, the column and the row."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._validation import listing


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


def fetched(
    *,
    y: np.ndarray,
    models: np.ndarray,
    prompts: np.ndarray,
    source: np.ndarray,
    descr: str,
    return_X_y: bool,
    as_frame: bool,
    costs: np.ndarray | None = None,
    cost_unit: str = "cost",
    **more: np.ndarray,
) -> Any:
    """Arrange a data set as the caller asks for it."""
    data = Bunch(
        X=None,
        y=y,
        costs=costs,
        models=models,
        prompts=prompts,
        source=source,
        cost_unit=cost_unit,
        DESCR=descr,
        **more,
    )
    if as_frame:
        data = as_frames(data, *more)
    return (data.prompts, data.y) if return_X_y else data


def as_frames(data: Bunch, *more: str) -> Bunch:
    """Let arrays with a column for each model be DataFrames with the models' names."""
    pandas = import_optional("pandas", "pandas")
    frames = {}
    for name in ("y", "costs", *more):
        if data[name] is not None and data[name].ndim == 2:
            frames[name] = pandas.DataFrame(data[name], columns=data.models)
    if data.costs is not None and data.costs.ndim == 1:
        frames["costs"] = pandas.Series(data.costs, index=data.models)
    if data.prompts is not None:
        frames["prompts"] = pandas.Series(data.prompts, name="prompt")
    return Bunch(**data | frames)
