"""Routing data from files."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_array

from sklearn_uniroute.datasets._tables import (
    as_frames,
    check_columns,
    missing_texts,
    naming,
    numbers,
    object_array,
    read_csv,
    refuse_rows,
    texts,
)
from sklearn_uniroute.utils._files import (
    check_regular,
    check_size,
    read_array,
    read_gzip,
    read_members,
    size_limit,
)
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._scales import warn_of_scales
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import (
    FLOATS,
    check_costs,
    check_names_differ,
    check_quality,
    listing,
    repeated,
)

# Columns of a table that do not name a model.
_RESERVED = ("prompt_id", "prompt", "source", "embedding")
_LONG = ("prompt_id", "model", "quality")
_TEXTS = ("prompt_id", "model", "prompt", "source")
# Ends of the names of columns with costs; the second is that of RouterBench.
_COSTS = ("|cost", "|total_cost")
_ARRAYS = (
    *("X", "y", "models", "costs", "source", "cost_unit"),
    *("features", "feature_names", "params_b"),
)


def load_routing_data(path: StrPath, *, as_frame: bool = False) -> Bunch:
    r"""Load prompt embeddings, the quality of each model on each prompt, and costs.

    Parameters
    ----------
    path : str or path-like
        Path of the file, which is one of

        - an ``.npz`` file with arrays `X` of shape (n_prompts, n_features), `y` of shape
          (n_prompts, n_models) with NaN where a model was not run, and `models` of shape
          (n_models,); optionally `costs` of shape (n_models,) or (n_prompts, n_models), `source`
          of shape (n_prompts,), `cost_unit`, `features` of shape (n_models, n_model_features) with
          `feature_names`, and `params_b` of shape (n_models,), billions of parameters. If there is
          a file ``NAME.prompts.jsonl.gz`` beside it, the texts of the prompts are read from there:
          one JSON object with a `text` per line;
        - a long table with one row for each prompt and model that was run on it, and with columns
          `prompt_id`, `model`, `quality` and optionally `cost`;
        - a wide table with one row per prompt and one column of quality per model, and optionally
          with the costs of the calls in columns ``<model>|cost`` or ``<model>|total_cost``.

        Tables are CSV (``.csv``, ``.csv.gz``) or Parquet (``.parquet``) files. They may have
        columns `prompt` (texts) and `source`, and embeddings in columns `x0`, `x1`, ... or, in
        Parquet files, as lists in a column `embedding`. A long table repeats these values in each
        row of a prompt; its other columns are ignored. Spaces around names of columns, of models
        and of prompts are ignored. An index of a Parquet file is ignored unless it is named
        `prompt_id` or `model`.
    as_frame : bool, default=False
        Whether to return `y` and `costs` as DataFrames with the names of the models as columns,
        `model_features` as a DataFrame with these names as index, and `prompts` as a Series, so
        that a router knows the models by name. Costs per model are returned as a Series.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `X`: prompt embeddings, or None if a table has none.
        - `y`: quality of each model on each prompt, with NaN where the model was not run.
        - `costs`: cost of each model, or of each call with NaN where it was not recorded; None if
          the file has no costs.
        - `models`: names of the models, an array of objects.
        - `prompts`: texts of the prompts, an array of objects, or None if there are none.
        - `source`: source of each prompt, or None if there are none.
        - `cost_unit`: unit of the costs, or "cost" if it is not known.
        - `model_features`: features of each model, for `fit` of routers over clusters: `features`
          of the file, and the logarithm of `params_b` as "log_params_b". NaN where a feature is
          not known; None if the file has neither.
        - `model_feature_names`: their names, an array of objects.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is damaged or has none of these forms, if names of models look alike, or if a
        wide table repeats a prompt or has a column of dates. The message names the array, or the
        column and the row (counted from 0). Also if the content takes more than 256 MiB and more
        than 100 times the size of the file.
    ImportError
        If the file is a table and pandas is not installed.

    Warns
    -----
    UserWarning
        If the values of a model have another range than those of the others: the column may be no
        model, or be on another scale.

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
    array(['small', 'large'], dtype=object)
    >>> data.y
    array([[0., 1.],
           [1., 1.]])
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no routing data at {path}")
    check_regular(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
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
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        raise ValueError("this is no .npz file with named arrays, as numpy.savez writes it")
    members = read_members(content)
    files = {name.removesuffix(".npy"): part for name, part in members.items()}
    missing = [name for name in ("X", "y", "models") if name not in files]
    if missing:
        raise ValueError(f"it has no array(s) {listing(missing)}; it has {listing(files)}")
    arrays: dict[str, Any] = {}
    for name in _ARRAYS:
        if name in files:
            try:
                arrays[name] = read_array(files[name])
            except ValueError as error:
                raise ValueError(f"array {name!r} cannot be read: {error}") from error
    if "cost_unit" in arrays:
        arrays["cost_unit"] = str(arrays["cost_unit"])
    beside = path.with_name(path.stem + ".prompts.jsonl.gz")
    if beside.exists():
        arrays["prompts"] = _read_prompts(beside)
    return arrays


def _read_prompts(path: Path) -> np.ndarray:
    try:
        lines = read_gzip(path).removesuffix(b"\n").split(b"\n")
        found = [json.loads(line)["text"] for line in lines]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path.name} beside it must hold a JSON object with a `text` per line ({error!r})"
        ) from error
    return texts(found, "text")


def _read_table(path: Path) -> dict[str, Any]:
    pandas = import_optional("pandas", "pandas")
    try:
        table = _read_parquet(path) if path.suffix.lower() == ".parquet" else read_csv(path, _TEXTS)
    except (pandas.errors.EmptyDataError, StopIteration):
        raise ValueError("this table is empty") from None
    # Whatever is wrong with a table, its bytes are to blame.
    except Exception as error:
        raise ValueError(f"pandas cannot read this table: {error}") from error
    if not len(table):
        raise ValueError("this table has no rows")
    if table.columns.nlevels > 1:
        raise ValueError(
            "its columns have several levels, as a pivot of several values has; write one table of "
            f"quality, and name columns of costs '<model>{_COSTS[0]}'"
        )
    table.columns = [re.sub(r"\s*\|\s*", "|", str(name).strip()) for name in table.columns]
    check_columns(table.columns)
    for name in set(_TEXTS) & set(table.columns):
        if name != "prompt":
            table[name] = _stripped(table[name], name)
    if set(_LONG) <= set(table.columns):
        return _from_long(table, size_limit(path.stat().st_size))
    return _from_wide(table)


def _read_parquet(path: Path) -> Any:
    parquet = import_optional("pyarrow.parquet", "pandas")
    arrow = import_optional("pyarrow", "pandas")
    content = path.read_bytes()
    limit = size_limit(len(content))
    with parquet.ParquetFile(io.BytesIO(content)) as file:
        found = file.metadata
        check_columns(range(found.num_columns))
        # Not from the metadata of columns: pyarrow ends the process if they are damaged.
        check_size(8 * found.num_rows * found.num_columns, limit, "this table")
        groups = range(found.num_row_groups)
        size = sum(found.row_group(number).total_byte_size for number in groups)
        check_size(size, limit, "this table")
        # Texts that are repeated are kept once.
        names = [field.name for field in file.schema_arrow if arrow.types.is_string(field.type)]
    with parquet.ParquetFile(io.BytesIO(content), read_dictionary=names) as file:
        columns = file.read()
    # Texts that are no UTF-8, among others, only show when they are used.
    columns.validate(full=True)
    table = columns.to_pandas()
    categories = {name: object for name in table if table[name].dtype == "category"}
    table = table.astype(categories)
    # An index is no model; it may hold the keys of a long table.
    table.index.names = [str(name).strip() for name in table.index.names]
    keys = [name for name in table.index.names if name in _TEXTS and name not in table]
    return (
        table.reset_index(level=keys).reset_index(drop=True)
        if keys
        else (table.reset_index(drop=True))
    )


def _stripped(column: Any, name: str) -> Any:
    """Strip the names of models or prompts, which must not become alike by that."""
    present = column.notna()
    known = column[present].unique().tolist()
    if not any(isinstance(value, str) for value in known):
        return column
    if name == "model":
        check_names_differ(known, "column 'model'")
    stripped = {value: value.strip() if isinstance(value, str) else value for value in known}
    if len(set(stripped.values())) < len(known):
        alike = repeated(stripped.values())
        raise ValueError(f"column {name!r} has {listing(alike, 3)} with and without spaces")
    return column.map(stripped).where(present, None)


def _from_long(table: Any, limit: int) -> dict[str, Any]:
    for name in ("prompt_id", "model"):
        refuse_rows(table[name].isna() | (table[name] == ""), name, "is empty")
    refuse_rows(
        table.duplicated(["prompt_id", "model"]), "model", "repeats a model on the same prompt"
    )
    features = _feature_columns(table)
    prompt, prompt_ids = table["prompt_id"].factorize()
    model, models = table["model"].astype(str).factorize()
    check_size(16 * len(prompt_ids) * len(models), limit, "a table of all prompts and models")
    data = {"models": object_array(models), "y": None}
    for column, name in (("quality", "y"), ("cost", "costs")):
        if column in table:
            cells = np.full((len(prompt_ids), len(models)), np.nan)
            cells[prompt, model] = numbers(table, column)
            data[name] = cells
    if "cost" in table:
        refuse_rows(numbers(table, "cost") < 0, "cost", "is negative", table["cost"])
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
    odd = [name for name in table if name == "model" or name.startswith("Unnamed: ") or not name]
    if odd:
        raise ValueError(
            f"column(s) {listing(odd)} cannot be models; a long table needs columns "
            f"{listing(_LONG)}, and a wide table must be written without its index"
        )
    if "prompt_id" in table:
        refuse_rows(
            table.duplicated("prompt_id") & table["prompt_id"].notna(),
            "prompt_id",
            "repeats an earlier prompt",
            table["prompt_id"],
        )
    features = _feature_columns(table)
    costs = [name for name in table if name.endswith(_COSTS)]
    skip = {*_RESERVED, *features, *costs}
    models = [name for name in table if name not in skip]
    check_are_models(models)
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
    data = {"models": object_array(models), "y": y}
    if costs:
        data["costs"] = _costs_by_model(table, models, costs)
    return data | _columns_by_prompt(table)


def check_are_models(names: list[str]) -> None:
    """Refuse columns that are costs or embeddings by other names."""
    for name in names:
        prefix = re.sub(r"[ _.:|/-]*(total[ _-]?)?costs?$", "", name, flags=re.IGNORECASE)
        if prefix != name and (prefix in names or not prefix):
            raise ValueError(
                f"column {name!r} holds costs, but would be read as a model; name it "
                f"'{prefix or '<model>'}{_COSTS[0]}'"
            )
        if re.fullmatch(r"X\d+", name):
            raise ValueError(
                f"column {name!r} would be read as a model; name columns of embeddings x0, x1, ..."
            )


def _costs_by_model(table: Any, models: list[str], costs: list[str]) -> np.ndarray:
    columns: dict[str, str] = {}
    for name in costs:
        model = name.rpartition("|")[0]
        if model in columns:
            raise ValueError(f"columns {listing([columns[model], name])} hold costs of one model")
        columns[model] = name
    free = [model for model in models if model not in columns]
    if free:
        raise ValueError(
            f"column(s) {listing(free)}, read as models, have no cost column "
            f"'<model>{_COSTS[0]}', but others have; add these columns, or drop columns that are "
            "not models"
        )
    unknown = [name for model, name in columns.items() if model not in models]
    if unknown:
        raise ValueError(
            f"column(s) {listing(unknown)} hold costs of models that have no quality column"
        )
    for name in costs:
        refuse_rows(numbers(table, name) < 0, name, "is negative", table[name])
    return np.column_stack([numbers(table, columns[model]) for model in models])


def _columns_by_prompt(table: Any) -> dict[str, Any]:
    data = {}
    features = _feature_columns(table)
    if features and "embedding" in table:
        raise ValueError("it has embeddings in columns x0, x1, ... and in 'embedding'; drop one")
    if features:
        data["X"] = np.column_stack([numbers(table, name) for name in features])
        for name, column in zip(features, data["X"].T, strict=True):
            refuse_rows(~np.isfinite(column), name, "is empty or not finite", table[name])
    elif "embedding" in table:
        _refuse_text_embeddings(table)
        lengths = table["embedding"].map(len)
        refuse_rows(lengths != lengths.iloc[0], "embedding", "differs in length from the first")
        data["X"] = np.array(table["embedding"].tolist(), dtype=np.float64)
    for column, name in (("prompt", "prompts"), ("source", "source")):
        if column in table:
            data[name] = missing_texts(table[column])
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
    models = data["models"]
    if models.ndim != 1 or not (models.dtype == object or models.dtype.kind == "U"):
        raise ValueError(
            "`models` must be an array of strings of shape (n_models,); got dtype "
            f"{models.dtype} and shape {models.shape}"
        )
    models = object_array(models.tolist())
    twice = repeated(models.tolist())
    if twice:
        raise ValueError(f"`models` names {listing(twice)} more than once")
    check_names_differ(models, "`models`")
    check_finite(data["y"], models, "y")
    y = check_quality(data["y"], labels=models)
    if y.shape[1] != len(models):
        raise ValueError(f"`y` has {y.shape[1]} columns but `models` has {len(models)} names")
    X = data.get("X")
    if X is not None:
        # Half precision is only for storage; computations use single or double precision.
        dtype = np.float32 if np.asarray(X).dtype == np.float16 else FLOATS
        check_numbers(X, "X")
        X = check_array(X, dtype=dtype, input_name="X")
    for name in ("X", "prompts", "source"):
        if data.get(name) is not None and np.shape(data[name])[:1] != (len(y),):
            raise ValueError(f"`{name}` has shape {np.shape(data[name])} but `y` has {len(y)} rows")
    costs = data.get("costs")
    if costs is not None:
        costs = check_costs(costs, models, quality=y, recorded=False)
    warn_of_scales(y, models, stacklevel=4)
    features, feature_names = _model_features(data, len(models))
    return Bunch(
        X=X,
        y=y,
        costs=costs,
        models=models,
        prompts=data.get("prompts"),
        source=None if data.get("source") is None else object_array(data["source"].tolist()),
        cost_unit=data.get("cost_unit", "cost"),
        model_features=features,
        model_feature_names=feature_names,
    )


def _model_features(data: dict[str, Any], n_models: int) -> tuple[Any, Any]:
    """Join the features of models and the logarithm of their sizes."""
    columns: list[np.ndarray] = []
    names: list[Any] = []
    if "features" in data:
        features = check_array(
            data["features"], dtype=np.float64, ensure_all_finite="allow-nan", input_name="features"
        )
        if "feature_names" not in data or np.shape(data["feature_names"]) != features.shape[1:]:
            raise ValueError(
                f"`features` has shape {features.shape}, so `feature_names` must hold "
                f"{features.shape[1]} names"
            )
        columns, names = list(features.T), list(map(str, data["feature_names"].tolist()))
    if "params_b" in data:
        sizes = check_array(
            data["params_b"],
            dtype=np.float64,
            ensure_2d=False,
            ensure_all_finite="allow-nan",
            input_name="params_b",
        )
        if (sizes <= 0).any():
            raise ValueError("`params_b` must be above 0, or NaN where a size is not known")
        columns.append(np.log(sizes))
        names.append("log_params_b")
    if not columns:
        return None, None
    short = [name for name, one in zip(names, columns, strict=True) if one.shape != (n_models,)]
    if short or repeated(names):
        raise ValueError(
            f"features of models must have different names and one number per model; check "
            f"{listing(short or names)} for {n_models} models"
        )
    return np.column_stack(columns), object_array(names)


def check_numbers(values: Any, name: str) -> None:
    """Refuse embeddings that are not finite, by their row and column."""
    values = np.asarray(values)
    if values.dtype.kind == "f" and values.ndim == 2 and not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"`{name}` is {values[row, column]} in row {row}, column {column}; embeddings must be "
            "finite"
        )


def check_finite(y: np.ndarray, models: np.ndarray, name: str) -> None:
    """Refuse infinite numbers, by their row and model."""
    if y.ndim == 2 and y.shape[1] == len(models) and y.dtype.kind == "f" and np.isinf(y).any():
        row, column = np.argwhere(np.isinf(y))[0]
        raise ValueError(f"`{name}` is infinite for model {models[column]!r} in row {row}")
