"""Routing data from files."""

import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_array

from sklearn_uniroute.datasets._tables import as_frames, naming, numbers, refuse_rows
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import FLOATS, check_costs, check_quality, listing, repeated

# Columns of a table that do not name a model.
_RESERVED = ("prompt_id", "prompt", "source", "embedding")
_LONG = ("prompt_id", "model", "quality")


def load_routing_data(path: StrPath, *, as_frame: bool = False) -> Bunch:
    r"""Load prompt embeddings, the quality of each model on each prompt, and costs.

    Parameters
    ----------
    path : str or path-like
        Path of the file, which is one of

        - an ``.npz`` file with arrays `X` of shape (n_prompts, n_features), `y` of shape
          (n_prompts, n_models) with NaN where a model was not run, and `models` of shape
          (n_models,); optionally `costs` of shape (n_models,) or (n_prompts, n_models), `source`
          of shape (n_prompts,) and `cost_unit`. If there is a file ``NAME.prompts.jsonl.gz`` beside
          it, the texts of the prompts are read from there: one JSON object with a `text` per line;
        - a long table with one row for each prompt and model that was run on it, and with columns
          `prompt_id`, `model`, `quality` and optionally `cost`;
        - a wide table with one row per prompt and one column of quality per model, and optionally
          with the costs of the calls in columns ``<model>|cost``.

        Tables are CSV (``.csv``, ``.csv.gz``) or Parquet (``.parquet``) files. They may have
        columns `prompt` (texts) and `source`, and embeddings in columns `x0`, `x1`, ... or, in
        Parquet files, as lists in a column `embedding`. A long table repeats these values in each
        row of a prompt; its other columns are ignored.
    as_frame : bool, default=False
        Whether to return `y` and `costs` as DataFrames with the names of the models as columns, and
        `prompts` as a Series, so that a router knows the models by name. Costs per model are
        returned as a Series.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `X`: prompt embeddings, or None if a table has none.
        - `y`: quality of each model on each prompt, with NaN where the model was not run.
        - `costs`: cost of each model, or of each call with NaN for calls that were not made; None
          if the file has no costs.
        - `models`: names of the models.
        - `prompts`: texts of the prompts, or None if there are none.
        - `source`: source of each prompt, or None if there are none.
        - `cost_unit`: unit of the costs, or "cost" if it is not known.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file has none of these forms. The message names the array, or the column and the row
        (counted from 0).
    ImportError
        If the file is a table and pandas is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_uniroute.datasets import load_routing_data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "results.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("prompt_id,small,large,x0,x1\na,0,1,0.1,0.2\nb,1,1,0.3,0.4\n")
    ...     data = load_routing_data(path)
    >>> data.models
    array(['small', 'large'], dtype='<U5')
    >>> data.y
    array([[0., 1.],
           [1., 1.]])
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no routing data at {path}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file of routing data")
    suffixes = path.suffixes
    with naming(path):
        if suffixes[-1:] == [".npz"]:
            data = _read_npz(path)
        elif suffixes[-1:] in ([".csv"], [".parquet"]) or suffixes[-2:] == [".csv", ".gz"]:
            data = _read_table(path)
        else:
            raise ValueError("expected a file that ends in .npz, .csv, .csv.gz or .parquet")
        checked = _checked(data)
    return as_frames(checked) if as_frame else checked


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        file = np.load(path, allow_pickle=False)
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError("NumPy cannot read this .npz file") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError("this file holds a single array; expected an .npz file with named arrays")
    with file:
        missing = [name for name in ("X", "y", "models") if name not in file]
        if missing:
            raise ValueError(f"it has no array(s) {listing(missing)}; it has {listing(file.files)}")
        arrays: dict[str, Any] = {}
        for name in ("X", "y", "models", "costs", "source", "cost_unit"):
            if name in file:
                try:
                    arrays[name] = file[name]
                except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
                    raise ValueError(
                        f"array {name!r} cannot be read; expected numbers or strings ({error})"
                    ) from error
    if "cost_unit" in arrays:
        arrays["cost_unit"] = str(arrays["cost_unit"])
    texts = path.with_name(path.stem + ".prompts.jsonl.gz")
    if texts.exists():
        try:
            with gzip.open(texts, "rt", encoding="utf-8") as lines:
                arrays["prompts"] = np.array([json.loads(line)["text"] for line in lines])
        except (ValueError, OSError, EOFError, KeyError, TypeError) as error:
            raise ValueError(
                f"{texts.name} beside it must hold a JSON object with a `text` per line ({error!r})"
            ) from error
    return arrays


def _read_table(path: Path) -> dict[str, Any]:
    pandas = import_optional("pandas", "pandas")
    try:
        if path.suffix == ".parquet":
            table = pandas.read_parquet(path)
        else:
            header = pandas.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
            header = header.iloc[0].tolist()
            # Names and texts are read as strings: "1.10" is not "1.1", and "NA" is a name.
            as_text = dict.fromkeys(("prompt_id", "model", "prompt", "source"), str)
            empty = {
                name: ["", "NA", "NaN", "nan", "null"] for name in header if name not in as_text
            }
            table = pandas.read_csv(path, dtype=as_text, keep_default_na=False, na_values=empty)
            if repeated(header):
                raise ValueError(f"the header repeats column(s) {listing(repeated(header))}")
            if not isinstance(table.index, pandas.RangeIndex):
                raise ValueError("rows have more fields than the header has names")
    except pandas.errors.EmptyDataError:
        raise ValueError("this table is empty") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"pandas cannot read this table: {error}") from error
    if not len(table):
        raise ValueError("this table has no rows")
    table.columns = [str(name) for name in table.columns]
    return _from_long(table) if set(_LONG) <= set(table.columns) else _from_wide(table)


def _from_long(table: Any) -> dict[str, Any]:
    for name in ("prompt_id", "model"):
        refuse_rows(table[name].isna() | (table[name] == ""), name, "is empty")
    refuse_rows(
        table.duplicated(["prompt_id", "model"]), "model", "repeats a model on the same prompt"
    )
    features = _feature_columns(table)
    prompt, prompt_ids = table["prompt_id"].factorize()
    model, models = table["model"].astype(str).factorize()
    data = {"models": np.asarray(models, dtype=str), "y": None}
    for column, name in (("quality", "y"), ("cost", "costs")):
        if column in table:
            cells = np.full((len(prompt_ids), len(models)), np.nan)
            cells[prompt, model] = numbers(table, column)
            data[name] = cells
    if "cost" in table:
        wrong = ~(numbers(table, "cost") >= 0) & table["quality"].notna()
        refuse_rows(wrong, "cost", "is missing or negative", table["cost"])
    first_rows = np.flatnonzero(~table.duplicated("prompt_id"))
    per_prompt = table[[name for name in table if name in {*_RESERVED[1:], *features}]]
    if "embedding" in per_prompt:
        _refuse_text_embeddings(table)
        per_prompt = per_prompt.assign(embedding=[tuple(row) for row in per_prompt["embedding"]])
    expected = per_prompt.iloc[first_rows[prompt]].reset_index(drop=True)
    both_empty = per_prompt.isna() & expected.isna()
    differs = ~(per_prompt == expected).fillna(False).astype(bool) & ~both_empty
    for name in per_prompt:
        refuse_rows(differs[name], name, "differs from an earlier row of the same prompt")
    return data | _columns_by_prompt(per_prompt.iloc[first_rows].reset_index(drop=True))


def _from_wide(table: Any) -> dict[str, Any]:
    odd = [name for name in table if name == "model" or name.startswith("Unnamed: ")]
    if odd:
        raise ValueError(
            f"column(s) {listing(odd)} cannot be models; a long table needs columns "
            f"{listing(_LONG)}, and a wide table must be written without its index"
        )
    features = _feature_columns(table)
    costs = [name for name in table if name.endswith("|cost")]
    skip = {*_RESERVED, *features, *costs}
    models = [name for name in table if name not in skip]
    if not models:
        raise ValueError(
            f"no column names a model; the table has {listing(table.columns)}. Expected the "
            f"columns {listing(_LONG)} of a long table, or one column per model"
        )
    try:
        y = np.column_stack([numbers(table, name) for name in models])
    except ValueError as error:
        raise ValueError(
            f"{error}. In a wide table, all columns except {listing(_RESERVED)} and x0, x1, ... "
            f"are models; a long table needs columns {listing(_LONG)}; a CSV file needs commas as "
            "separators"
        ) from error
    data = {"models": np.array(models), "y": y}
    if costs:
        expected = [f"{model}|cost" for model in models]
        free = [model for model, name in zip(models, expected, strict=True) if name not in costs]
        if free:
            raise ValueError(
                f"column(s) {listing(free)}, read as models, have no cost column '<model>|cost', "
                "but others have; add these columns, or drop columns that are not models"
            )
        unknown = sorted(set(costs) - set(expected))
        if unknown:
            raise ValueError(
                f"column(s) {listing(unknown)} hold costs of models that have no quality column"
            )
        data["costs"] = np.column_stack([numbers(table, name) for name in expected])
    return data | _columns_by_prompt(table)


def _columns_by_prompt(table: Any) -> dict[str, Any]:
    data = {}
    features = _feature_columns(table)
    if features:
        data["X"] = np.column_stack([numbers(table, name) for name in features])
    elif "embedding" in table:
        _refuse_text_embeddings(table)
        lengths = table["embedding"].map(len)
        refuse_rows(lengths != lengths.iloc[0], "embedding", "differs in length from the first")
        data["X"] = np.array(table["embedding"].tolist(), dtype=np.float64)
    for column, name in (("prompt", "prompts"), ("source", "source")):
        if column in table:
            # A missing text becomes an empty string.
            data[name] = np.array(table[column].astype(object).fillna("").astype(str).tolist())
    return data


def _feature_columns(table: Any) -> list[str]:
    found = {name for name in table if re.fullmatch(r"x\d+", name)}
    names = [f"x{number}" for number in range(len(found))]
    if found != set(names):
        raise ValueError(
            f"columns of embeddings must be x0 to x{len(found) - 1} without a gap; missing: "
            f"{listing(sorted(set(names) - found))}"
        )
    return names


def _refuse_text_embeddings(table: Any) -> None:
    refuse_rows(table["embedding"].isna(), "embedding", "is empty")
    if isinstance(table["embedding"].iloc[0], str):
        raise ValueError(
            "column 'embedding' holds text; expected lists, which need a Parquet file. In a CSV "
            "file, put embeddings into columns x0, x1, ..."
        )


def _checked(data: dict[str, Any]) -> Bunch:
    models = np.asarray(data["models"])
    if models.ndim != 1 or models.dtype.kind != "U":
        raise ValueError(
            "`models` must be an array of strings of shape (n_models,); got dtype "
            f"{models.dtype} and shape {models.shape}"
        )
    twice = repeated(models.tolist())
    if twice:
        raise ValueError(f"`models` names {listing(twice)} more than once")
    y = check_quality(data["y"], labels=models)
    if y.shape[1] != len(models):
        raise ValueError(f"`y` has {y.shape[1]} columns but `models` has {len(models)} names")
    X = data.get("X")
    if X is not None:
        # Half precision is only for storage; computations use single or double precision.
        dtype = np.float32 if np.asarray(X).dtype == np.float16 else FLOATS
        X = check_array(X, dtype=dtype, input_name="X")
    for name in ("X", "prompts", "source"):
        if data.get(name) is not None and np.shape(data[name])[:1] != (len(y),):
            raise ValueError(f"`{name}` has shape {np.shape(data[name])} but `y` has {len(y)} rows")
    costs = data.get("costs")
    if costs is not None:
        costs = check_costs(costs, models, quality=y)
    return Bunch(
        X=X,
        y=y,
        costs=costs,
        models=models,
        prompts=data.get("prompts"),
        source=data.get("source"),
        cost_unit=data.get("cost_unit", "cost"),
    )
