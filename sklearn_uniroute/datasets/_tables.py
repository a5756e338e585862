"""Checks of tables read from files. Messages name the file, the column and the row."""

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._validation import listing, repeated

# Number of columns from which on a table is refused.
_MOST_COLUMNS = 20_000


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of a file to errors about its content."""
    try:
        yield
    # Values of the wrong type can raise any of these.
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def refuse_rows(
    wrong: Any, column: str, problem: str, values: Any = None, advice: str = ""
) -> None:
    """Raise an error that names the first wrong row of a column, if there is one."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        value = "" if values is None else f" ({listing([np.asarray(values, object)[rows[0]]])})"
        raise ValueError(
            f"column {column!r} {problem} in row {rows[0]}{value}"
            + (f", and in {len(rows) - 1} more" if len(rows) > 1 else "")
            + (f"; {advice}" if advice else "")
        )


def refuse_missing(found: Iterable[str], expected: Iterable[str]) -> None:
    """Raise an error if a table of a public data set lacks an expected column."""
    found = list(found)
    missing = [name for name in expected if name not in found]
    if missing:
        raise ValueError(
            f"it has no column(s) {listing(missing)}; it has {listing(found)}. The data set has "
            "changed: pass an earlier `revision`."
        )


def check_columns(names: Any) -> None:
    """Refuse columns of the same name, and far too many."""
    if repeated(names):
        raise ValueError(f"the header repeats column(s) {listing(repeated(names))}")
    if len(names) > _MOST_COLUMNS:
        raise ValueError(f"it has {len(names)} columns; at most {_MOST_COLUMNS} are read")


def numbers(table: Any, column: str) -> np.ndarray:
    """Read a column of numbers, with NaN for empty cells."""
    if table[column].dtype.kind in "mM":
        raise ValueError(f"column {column!r} holds dates or times, not numbers; drop it")
    cells = table[column].astype(object) if "decimal" in str(table[column].dtype) else table[column]
    values = import_optional("pandas", "pandas").to_numeric(cells, errors="coerce")
    refuse_rows(values.isna() & table[column].notna(), column, "is not a number", table[column])
    return values.to_numpy(dtype=np.float64)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its entries, and refuse two of the same name."""
    twice = repeated([name for name, _ in pairs])
    if twice:
        raise ValueError(f"{listing(twice)} comes more than once; keep one")
    return dict(pairs)


def scale_ends(scale: Any, models: np.ndarray) -> np.ndarray | None:
    """Check the worst and best grade, of all models or by name.

    Returns
    -------
    ends : ndarray of shape (n_models, 2) or None
        NaN for models whose grades stay as they are.
    """
    if scale is None:
        return None
    scales = dict(scale) if isinstance(scale, Mapping) else dict.fromkeys(models, scale)
    unknown = [name for name in scales if name not in models]
    if unknown:
        raise ValueError(f"`scale` names {listing(unknown)}, but the models are {listing(models)}")
    for pair in scales.values():
        if np.shape(pair) != (2,) or not all(isinstance(one, Real) for one in pair):
            raise TypeError(
                "`scale` must be the worst and the best grade, such as (1, 5), or such pairs by "
                f"model; got {pair!r}"
            )
        if pair[0] == pair[1] or not np.isfinite(list(map(float, pair))).all():
            raise ValueError(f"`scale` must be two different finite grades; got {pair!r}")
    return np.array([scales.get(name, (np.nan, np.nan)) for name in models], dtype=np.float64)


def rescaled(grades: np.ndarray, models: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Bring grades to qualities from 0 to 1.

    Parameters
    ----------
    grades : ndarray of shape (n_rows,) or (n_rows, n_models)
    models : ndarray of shape (n_rows,) or (n_models,)
        Name of the model of each grade.
    ends : ndarray of shape (n_rows, 2) or (n_models, 2)
        Its worst and best grade; NaN where the grade stays as it is.
    """
    low, high = ends[:, 0], ends[:, 1]
    beyond = (grades < np.minimum(low, high)) | (grades > np.maximum(low, high))
    if beyond.any():
        at = tuple(np.argwhere(beyond)[0].tolist())
        raise ValueError(
            f"model {models[at[-1]]!r} has a grade of {grades[at]:g} in row {at[0]}, beyond the "
            f"`scale` from {low[at[-1]]:g} to {high[at[-1]]:g}; use NaN for no grade"
        )
    return np.where(np.isnan(low), grades, (grades - low) / (high - low))


def object_array(values: Iterable[Any]) -> np.ndarray:
    """Make an array of objects, which takes no more memory for short texts than for long ones."""
    values = list(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def missing_texts(column: Any) -> np.ndarray:
    """Read a column of texts; a missing text becomes an empty string."""
    cells: np.ndarray = column.astype(object).where(column.notna(), "").to_numpy()
    return object_array(map(str, cells))


def texts(values: Iterable[Any], column: str) -> np.ndarray:
    """Read a column of texts, without missing values."""
    cells = np.array(list(values), dtype=object)
    refuse_rows([not isinstance(text, str) for text in cells], column, "is not a string", cells)
    return cells


def join_turns(prompt: str) -> str:
    """Join the turns of a prompt that is written as a list; return others unchanged."""
    if not prompt.startswith("["):
        return prompt
    try:
        with warnings.catch_warnings():
            # Backslashes in texts cause warnings.
            warnings.simplefilter("ignore")
            turns = ast.literal_eval(prompt)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return prompt
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        return prompt
    return "\n\n".join(turns)


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
    """Return a data set in the form that the caller asks for."""
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
    """Convert the arrays of a data set to DataFrames and Series that name the models."""
    pandas = import_optional("pandas", "pandas")
    frames = {}
    for name in ("y", "costs", *more):
        if data[name] is not None and data[name].ndim == 2:
            frames[name] = pandas.DataFrame(data[name], columns=data.models)
    if data.costs is not None and data.costs.ndim == 1:
        frames["costs"] = pandas.Series(data.costs, index=data.models)
    if data.get("model_features") is not None:
        frames["model_features"] = pandas.DataFrame(
            data.model_features, index=data.models, columns=data.model_feature_names
        )
    if data.prompts is not None:
        frames["prompts"] = pandas.Series(data.prompts, name="prompt")
    return Bunch(**data | frames)
