"""Routing data from files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_array

from sklearn_uniroute.datasets._layouts import arrays_of
from sklearn_uniroute.datasets._readers import (
    SUFFIXES,
    as_table,
    check_mapping,
    read_table,
    suffix_of,
)
from sklearn_uniroute.datasets._tables import as_frames, naming, object_array, texts
from sklearn_uniroute.utils._files import (
    check_regular,
    read_array,
    read_gzip,
    read_members,
    size_limit,
)
from sklearn_uniroute.utils._scales import warn_of_scales
from sklearn_uniroute.utils._validation import (
    FLOATS,
    check_choice,
    check_costs,
    check_names_differ,
    check_quality,
    listing,
    repeated,
)

_ARRAYS = (
    *("X", "y", "models", "costs", "source", "cost_unit"),
    *("features", "feature_names", "params_b"),
)


def load_routing_data(
    path_or_frame: Any,
    *,
    columns: Mapping[str, str] | None = None,
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    duplicates: str = "error",
    as_frame: bool = False,
) -> Bunch:
    r"""Load prompt embeddings, the quality of each model on each prompt, and costs.

    Parameters
    ----------
    path_or_frame : str, path-like or DataFrame
        Table, or path of a file, which is one of

        - an ``.npz`` file with arrays `X` of shape (n_prompts, n_features), `y` of shape
          (n_prompts, n_models) with NaN where a model was not run, and `models` of shape
          (n_models,); optionally `costs` of shape (n_models,) or (n_prompts, n_models), `source`
          of shape (n_prompts,), `cost_unit`, `features` of shape (n_models, n_model_features) with
          `feature_names`, and `params_b` of shape (n_models,), billions of parameters. If there is
          a file ``NAME.prompts.jsonl.gz`` beside it, the texts of the prompts are read from there:
          one JSON object with a `text` per line;
        - a long table, such as a log, with one row for each call, and with columns `prompt_id`,
          `model`, `quality` and optionally `cost`. Without `prompt_id`, calls with the same text in
          a column `prompt` belong to one prompt;
        - a wide table with one row per prompt and one column of quality per model, and optionally
          with the costs of the calls in columns ``<model>|cost`` or ``<model>|total_cost``. In
          the table of RouterBench, answers and the oracle's choice are ignored.

        Tables are DataFrames (pandas, or any with a method `to_pandas`, such as those of polars),
        or CSV (``.csv``), TSV (``.tsv``), JSON Lines (``.jsonl``), all three also with ``.gz``, or
        Parquet (``.parquet``) files. They may have columns `prompt` (texts) and `source`, and
        embeddings in columns `x0`, `x1`, ... or as lists in a column `embedding`. A long table
        repeats these values in each row of a prompt; its other columns are ignored. Spaces around
        names of columns, of models and of prompts are ignored. An index is ignored unless it is
        named like a column of prompts, models or texts.
    columns : mapping of str to str, default=None
        Names of the table's columns, where they differ: ``{"model": "llm", "quality": "grade"}``.
        Keys are among `prompt_id`, `model`, `quality`, `cost`, `prompt`, `source` and `embedding`.
        A column that has such a name itself is then ignored. ``{"embedding": "e*"}`` takes columns
        `e0`, `e1`, ... for those of the embedding.
    scale : tuple of two numbers or mapping, default=None
        Worst and best grade, which become qualities of 0 and 1: ``(1, 5)``. A mapping gives those
        of some models, ``{"large": (1, 5)}``. By default, grades are taken as they are; booleans
        are 0 and 1.
    duplicates : {"error", "mean", "last"}, default="error"
        What to do with several rows of one prompt and model: refuse them, average them, or keep
        the last value. Missing values do not count.
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

        Prompts are in the order in which they first come.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the table is damaged or has none of these forms, if `columns` names a column that it
        does not have, if a grade is beyond `scale`, if names of models look alike, or if a wide
        table has a column of dates. The message names the array, or the column and the row
        (counted from 0). Also if the content takes more than 256 MiB and more than 100 times the
        size of the file.
    TypeError
        If `path_or_frame` is neither a path nor a DataFrame, or if `columns` or `scale` has another
        type.
    ImportError
        If the data is a table and pandas is not installed.

    Warns
    -----
    UserWarning
        If the values of a model have another range than those of the others: the column may be no
        model, or be on another scale.

    See Also
    --------
    load_prices : Loads prices of tokens.
    call_costs : Computes costs of calls from numbers of tokens.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_uniroute.datasets import load_routing_data
    >>> log = pd.DataFrame(
    ...     [["a", "small", 1], ["a", "large", 5], ["b", "large", 4]],
    ...     columns=["id", "llm", "stars"],
    ... )
    >>> names = {"prompt_id": "id", "model": "llm", "quality": "stars"}
    >>> data = load_routing_data(log, columns=names, scale=(1, 5))
    >>> data.models
    array(['small', 'large'], dtype=object)
    >>> data.y
    array([[0.  , 1.  ],
           [ nan, 0.75]])
    """
    check_mapping(columns)
    check_choice(duplicates, "duplicates", ("error", "mean", "last"))
    if hasattr(path_or_frame, "collect") or hasattr(path_or_frame, "compute"):
        raise TypeError("this DataFrame is lazy; pass the result of its `collect` or `compute`")
    if hasattr(path_or_frame, "columns"):
        table = as_table(path_or_frame, columns)
        limit = size_limit(int(table.memory_usage().sum()))
        checked = _checked(arrays_of(table, limit, scale, duplicates))
    else:
        path = _check_path(path_or_frame)
        with naming(path):
            if suffix_of(path) == ".npz":
                if columns is not None or scale is not None:
                    raise ValueError("`columns` and `scale` are for tables, not for .npz files")
                data = _read_npz(path)
            elif suffix_of(path) in SUFFIXES:
                table = read_table(path, columns)
                data = arrays_of(table, size_limit(path.stat().st_size), scale, duplicates)
            else:
                raise ValueError(
                    "expected a file that ends in .npz, .parquet, or in .csv, .tsv or .jsonl with "
                    "or without .gz"
                )
            checked = _checked(data)
    return as_frames(checked) if as_frame else checked


def _check_path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"expected a path or a DataFrame; got {type(path).__name__}")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no routing data at {path}")
    check_regular(path)
    return path


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
