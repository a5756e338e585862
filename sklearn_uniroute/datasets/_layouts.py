"""Layouts of tables: a row for each call, a row for each prompt, and that of RouterBench."""

import re
from typing import Any

import numpy as np

from sklearn_uniroute.datasets._readers import encoded_texts
from sklearn_uniroute.datasets._tables import (
    join_turns,
    missing_texts,
    numbers,
    object_array,
    refuse_rows,
    rescaled,
    scale_ends,
)
from sklearn_uniroute.utils._files import check_size
from sklearn_uniroute.utils._validation import listing

# Columns of a table that do not name a model.
_RESERVED = ("prompt_id", "prompt", "source", "embedding")
_LONG = ("prompt_id", "model", "quality")
# Ends of the names of columns with costs; the second is that of RouterBench.
_COSTS = ("|cost", "|total_cost")
# A name that begins or ends with "cost".
_COST_WORD = re.compile(
    r"^(total[ _-]?)?costs?([ _.:|/-]|$)|(^|[ _.:|/-])(total[ _-]?)?costs?$", re.IGNORECASE
)
_RESPONSE = "|model_response"
_ORACLE = "oracle_model_to_route_to"


def arrays_of(table: Any, limit: int, scale: Any, duplicates: str) -> dict[str, Any]:
    """Turn a table into arrays by prompt and model; `limit` bounds their number of bytes."""
    if {"model", "quality"} <= set(table.columns):
        if "prompt_id" in table:
            return _from_long(table, limit, scale, duplicates)
        if "prompt" in table:
            # Without ids, the text says which calls are of one prompt.
            refuse_rows(table["prompt"].isna() | (table["prompt"] == ""), "prompt", "is empty")
            named = encoded_texts(table["prompt"], "prompt")
            return _from_long(table.assign(prompt_id=named), limit, scale, duplicates)
    return _from_wide(table, scale, duplicates)


def _from_long(table: Any, limit: int, scale: Any, duplicates: str) -> dict[str, Any]:
    for name in ("prompt_id", "model"):
        refuse_rows(table[name].isna() | (table[name] == ""), name, "is empty")
    prompt, prompt_ids = table["prompt_id"].factorize()
    model, models = table["model"].factorize()
    shape = len(prompt_ids), len(models)
    size = shape[0] * shape[1]
    check_size(16 * size, limit, "a table of all prompts and models")
    call = prompt * len(models) + model
    if duplicates == "error" and np.bincount(call).max() > 1:
        refuse_rows(
            table.duplicated(["prompt_id", "model"]),
            "model",
            "repeats a model on the same prompt",
            advice="pass duplicates='mean' or 'last' to merge the calls",
        )
    data: dict[str, Any] = {"models": object_array(map(str, models)), "y": None}
    ends = scale_ends(scale, data["models"])
    for column, name in (("quality", "y"), ("cost", "costs")):
        if column in table:
            values = numbers(table, column)
            refuse_rows(np.isinf(values), column, "is infinite")
            if column == "quality" and ends is not None:
                values = rescaled(values, data["models"][model], ends[model])
            if column == "cost":
                refuse_rows(values < 0, column, "is negative", table[column])
            data[name] = _merge(values, call, size, duplicates).reshape(shape)
    return data | _columns_by_prompt(table, prompt)


def _merge(values: np.ndarray, place: np.ndarray, size: int, duplicates: str) -> np.ndarray:
    """Put values into their places, merged where several share one; NaN where there is none."""
    known = ~np.isnan(values)
    values, place = values[known], place[known]
    if duplicates == "mean":
        counts = np.bincount(place, minlength=size)
        sums = np.bincount(place, values, minlength=size)
        return np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    merged = np.full(size, np.nan)
    merged[place] = values
    return merged


def _from_wide(table: Any, scale: Any, duplicates: str) -> dict[str, Any]:
    if any(name.endswith(_RESPONSE) for name in table):
        unused = [name for name in table if name.endswith(_RESPONSE) or name == _ORACLE]
        table = table.drop(columns=unused)
        if "prompt" in table:
            table["prompt"] = table["prompt"].map(join_turns, na_action="ignore")
    odd = [name for name in table if name == "model" or name.startswith("Unnamed: ") or not name]
    if odd:
        raise ValueError(
            f"column(s) {listing(odd)} cannot be models; a long table needs columns "
            f"{listing(_LONG)}, and a wide table must be written without its index"
        )
    prompt = np.arange(len(table))
    if "prompt_id" in table:
        twice = table.duplicated("prompt_id") & table["prompt_id"].notna()
        if duplicates == "error":
            refuse_rows(
                twice,
                "prompt_id",
                "repeats an earlier prompt",
                table["prompt_id"],
                "pass duplicates='mean' or 'last' to merge the rows",
            )
        elif twice.any():
            # Prompts without an id are prompts of their own.
            own = [object() for _ in prompt]
            ids = table["prompt_id"].astype(object).where(table["prompt_id"].notna(), own)
            prompt, _ = ids.factorize()
    features = _feature_columns(table)
    costs = [name for name in table if name.endswith(_COSTS)]
    skip = {*_RESERVED, *features, *costs}
    models = [name for name in table if name not in skip]
    _check_are_models(models)
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
    data: dict[str, Any] = {"models": object_array(models)}
    ends = scale_ends(scale, data["models"])
    data["y"] = y if ends is None else rescaled(y, data["models"], ends)
    if costs:
        data["costs"] = _costs_by_model(table, models, costs)
    if prompt.max() + 1 < len(table):
        for name in data.keys() - {"models"}:
            for model, values in zip(models, data[name].T, strict=True):
                refuse_rows(np.isinf(values), model, "is infinite")
            columns = [_merge(one, prompt, prompt.max() + 1, duplicates) for one in data[name].T]
            data[name] = np.column_stack(columns)
    return data | _columns_by_prompt(table, prompt)


def _check_are_models(names: list[str]) -> None:
    """Refuse columns that are costs or embeddings by other names."""
    for name in names:
        if _COST_WORD.search(name):
            raise ValueError(
                f"column {name!r} holds costs, but would be read as a model; name it "
                f"'<model>{_COSTS[0]}', with the model's name"
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


def _columns_by_prompt(table: Any, prompt: np.ndarray) -> dict[str, Any]:
    """Read what is the same in all rows of a prompt; `prompt` numbers them as they first come."""
    data = {}
    features = _feature_columns(table)
    if features and "embedding" in table:
        raise ValueError("it has embeddings in columns x0, x1, ... and in 'embedding'; drop one")
    first = np.empty(prompt.max() + 1, dtype=np.intp)
    # The last one that is written is the first row.
    first[prompt[::-1]] = np.arange(len(table))[::-1]
    if features:
        X = np.column_stack([numbers(table, name) for name in features])
        for name, column in zip(features, X.T, strict=True):
            refuse_rows(~np.isfinite(column), name, "is empty or not finite", table[name])
            _refuse_other(column != column[first][prompt], name)
        data["X"] = X[first]
    elif "embedding" in table:
        _refuse_text_embeddings(table)
        lengths = table["embedding"].map(len)
        refuse_rows(lengths != lengths.iloc[0], "embedding", "differs in length from the first")
        X = np.array(table["embedding"].tolist(), dtype=np.float64)
        _refuse_other((X[first][prompt] != X).any(axis=1), "embedding")
        data["X"] = X[first]
    for column, name in (("prompt", "prompts"), ("source", "source")):
        if column in table:
            text = table[column]
            if len(first) < len(table):
                expected = text.iloc[first].array[prompt]
                _refuse_other(~(text == expected) & ~(text.isna() & expected.isna()), column)
            data[name] = missing_texts(text.iloc[first])
    return data


def _refuse_other(differs: np.ndarray, column: str) -> None:
    refuse_rows(differs, column, "differs from an earlier row of the same prompt")


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
