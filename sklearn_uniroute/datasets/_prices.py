"""Prices of tokens, as public lists keep them, and costs of calls."""

import json
import re
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from sklearn_uniroute.datasets._readers import SUFFIXES, as_table, read_table, suffix_of
from sklearn_uniroute.datasets._tables import naming, numbers, once
from sklearn_uniroute.utils._files import read_whole
from sklearn_uniroute.utils._logs import check_calls, check_feedback
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import (
    FLOATS,
    as_numbers,
    check_names_differ,
    check_same_order,
    listing,
    repeated,
    select_columns,
)

_MILLION = 1e6
# Words that the name of a price may have beside what it is for.
_FILLERS = {"price", "prices", "cost", "costs", "usd", "dollar", "dollars", "eur", "per", "of"}
_TOKENS = {"token", "tokens", "tok", "toks"}
_MULTIPLES = {"": 1, "k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "mtok": 1e6, "mtoks": 1e6}
_KINDS = {
    "reasoning": {"reasoning"},
    "cached": {"cached", "cache", "read"},
    "input": {"input", "prompt"},
    "output": {"output", "completion"},
}
# Fields of LiteLLM's map, all per token.
_LITELLM = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "output_cost_per_reasoning_token": "reasoning",
}
_REQUEST = "input_cost_per_request"
_LITELLM_TIER = re.compile("_above_([0-9]+)k_tokens$")
# Fields of OpenRouter's list: per token, but for that of requests.
_OPENROUTER = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cached",
    "internal_reasoning": "reasoning",
}
# What the lists say of models beside prices.
_LIMITS = ("max_input_tokens", "max_output_tokens")
_TIER = re.compile("(.+)_above_([0-9]+)k$")


def load_prices(path: StrPath | Mapping[str, Any] | Any) -> Any:
    """Load prices of tokens from a public list or a table.

    Parameters
    ----------
    path : str, path-like, dict, list or DataFrame
        The list, or the path of its file, which is one of

        - LiteLLM's map ``model_prices_and_context_window.json``;
        - OpenRouter's list of models, as its API returns it: ``{"data": [...]}``;
        - a table (CSV, TSV, JSON Lines, Parquet or DataFrame) with a column `model` and columns of
          prices, whose names say what they are for: ``input_per_million``,
          ``output_cost_per_token``, ``usd_per_1k_tokens``. A single price holds for input and
          output.

        A price is per token, per thousand or per million, as the name of its field says; the size
        of the numbers is never used.

    Returns
    -------
    prices : DataFrame of shape (n_models, n_columns)
        Indexed by the names of the models, with the columns

        - `input`, `output`: price of a million tokens;
        - `cached`, `reasoning`, if the list has them: price of a million input tokens that were
          read from a cache, and of a million output tokens of reasoning;
        - `request`, if the list has it: price of a call;
        - ``input_above_200k`` and others, if the list has them: prices for calls with more input
          tokens;
        - `max_input_tokens`, `max_output_tokens` and ``supports_...``: limits and abilities, where
          the list has them.

        Prices and limits that are not known are NaN; abilities that are not listed are False.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the list has another form, if the name of a column of prices does not say what it is
        for, if a price is no number or negative, or if a model comes twice.
    ImportError
        If pandas is not installed.

    Warns
    -----
    UserWarning
        If models have no price for input or output; the message names them.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import load_prices
    >>> prices = load_prices({
    ...     "org/small": {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7},
    ...     "org/large": {"input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5},
    ... })
    >>> prices.loc["org/large"].round(6).to_dict()
    {'input': 3.0, 'output': 15.0}
    """
    if isinstance(path, Mapping | list):
        prices = _from_list(path)
    elif hasattr(path, "columns"):
        prices = _from_table(as_table(path, None))
    else:
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"there are no prices at {path}")
        with naming(path):
            if path.suffix.lower() == ".json":
                content = read_whole(path).decode("utf-8")
                prices = _from_list(json.loads(content, object_pairs_hook=once))
            elif suffix_of(path) in SUFFIXES:
                prices = _from_table(read_table(path, None))
            else:
                raise ValueError("expected a .json file or a table (.csv, .tsv, .jsonl, .parquet)")
    names = prices.index.tolist()
    if repeated(names):
        raise ValueError(f"model(s) {listing(repeated(names))} come more than once; keep one")
    check_names_differ(names, "the prices")
    _check_amounts(prices)
    missing = prices.index[prices[["input", "output"]].isna().any(axis=1)].tolist()
    if missing:
        warnings.warn(
            f"no price per token for {len(missing)} model(s): {listing(missing, 10)}. Set them in "
            "the DataFrame, or leave these models out.",
            UserWarning,
            stacklevel=2,
        )
    return prices


def _check_amounts(prices: Any) -> None:
    """Refuse prices that are negative or infinite."""
    for name in prices.columns:
        if str(name).split("_above_")[0] not in {*_KINDS, "request"}:
            continue
        amounts = prices[name].to_numpy(dtype=np.float64)
        wrong = np.flatnonzero((amounts < 0) | np.isinf(amounts))
        if len(wrong):
            raise ValueError(
                f"the price of {name} of model {prices.index[wrong[0]]!r} is "
                f"{amounts[wrong[0]]:g}; expected a finite number of at least 0"
            )


def _from_list(content: Any) -> Any:
    """Read LiteLLM's map or OpenRouter's list."""
    pandas = import_optional("pandas", "pandas")
    if isinstance(content, Mapping) and isinstance(content.get("data"), list):
        content = content["data"]
    if isinstance(content, list) and all(
        isinstance(one, Mapping) and isinstance(one.get("pricing"), Mapping) and "id" in one
        for one in content
    ):
        rows = {str(one["id"]): _openrouter_row(one) for one in content}
        if len(rows) < len(content):
            twice = repeated([str(one["id"]) for one in content])
            raise ValueError(f"model(s) {listing(twice)} come more than once; keep one")
    elif (
        isinstance(content, Mapping)
        and all(isinstance(one, Mapping) for one in content.values())
        and any(name in one for one in content.values() for name in _LITELLM)
    ):
        # The map begins with a description of its fields.
        rows = {
            str(name): _litellm_row(name, one)
            for name, one in content.items()
            if name != "sample_spec"
        }
    else:
        rows = {}
    if not rows:
        raise ValueError(
            "expected LiteLLM's map, an object for each model with prices such as "
            "'input_cost_per_token', or OpenRouter's list of objects with an `id` and `pricing`"
        )
    prices = pandas.DataFrame.from_dict(rows, orient="index")
    numeric = [name for name in prices if not name.startswith("supports_")]
    numeric = list(dict.fromkeys(["input", "output", *numeric]))
    abilities = [name for name in prices if name not in numeric]
    prices = prices.reindex(columns=[*numeric, *abilities]).astype(dict.fromkeys(numeric, float))
    for name in abilities:
        # What is not listed is not supported.
        prices[name] = prices[name].eq(other=True)
    prices.index.name = "model"
    return prices


def _litellm_row(model: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in fields.items():
        tier = _LITELLM_TIER.search(name)
        kind = _LITELLM.get(name[: tier.start()] if tier else name)
        if kind is not None:
            price = _price(value, name, model)
            row[f"{kind}_above_{tier[1]}k" if tier else kind] = price * _MILLION
        elif name == _REQUEST:
            row["request"] = _price(value, name, model)
        elif name in _LIMITS:
            row[name] = _number(value)
        elif name.startswith("supports_"):
            row[name] = value is True
    return row


def _openrouter_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    model, row = fields["id"], {}
    for name, kind in _OPENROUTER.items():
        if name in fields["pricing"]:
            price = _price(fields["pricing"][name], name, model)
            # The price of a router is that of the model that it finds, and is listed as -1.
            row[kind] = np.nan if price == -1 else price * _MILLION
    row["request"] = max(_price(fields["pricing"].get("request", 0), "request", model), 0.0)
    provider = fields.get("top_provider") or {}
    row["max_input_tokens"] = _number(fields.get("context_length"))
    row["max_output_tokens"] = _number(provider.get("max_completion_tokens"))
    architecture = fields.get("architecture") or {}
    abilities = [*(fields.get("supported_parameters") or ())]
    abilities += [f"{name}_input" for name in architecture.get("input_modalities") or ()]
    return row | {f"supports_{name}": True for name in abilities}


def _price(value: Any, field: str, model: Any) -> float:
    """Read a price, which may be a string or missing."""
    if value is None:
        return np.nan
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{field!r} of model {model!r} is {value!r}, which is no price") from None


def _number(value: Any) -> float:
    """Read a limit; the lists also hold texts in their place."""
    try:
        return np.nan if value is None else float(value)
    except (TypeError, ValueError):
        return np.nan


def _from_table(table: Any) -> Any:
    pandas = import_optional("pandas", "pandas")
    if "model" not in table or table["model"].isna().any():
        raise ValueError(
            f"a table of prices needs a column `model` without gaps; it has {listing(table)}"
        )
    found: dict[str, np.ndarray] = {}
    others = {}
    for name in table.columns.drop("model"):
        if name in _LIMITS or name.startswith("supports_"):
            # What is not listed is not supported.
            values = numbers(table, name)
            others[name] = values == 1 if name.startswith("supports_") else values
            continue
        factor, kinds = _meaning(name)
        for kind in kinds:
            if kind in found:
                raise ValueError(f"column {name!r} is a second price of {kind}; keep one")
            found[kind] = factor * numbers(table, name)
    lacking = [kind for kind in ("input", "output") if kind not in found]
    if lacking:
        raise ValueError(
            f"the table has no price of {listing(lacking)}; add columns such as "
            "'input_per_million' and 'output_per_million', or one 'usd_per_million_tokens'"
        )
    index = pandas.Index(table["model"].astype(object), name="model")
    return pandas.DataFrame({**found, **others}, index=index)


def _meaning(name: str) -> tuple[float, tuple[str, ...]]:
    """Find what a price is for by its name: how many of it make a million tokens, and the kinds.

    Every word of the name must be known, so that prices of images or of writes to a cache are not
    taken for prices of tokens.
    """
    words = re.findall(r"[0-9][0-9,_]*|[a-z]+|/", re.sub(r"([0-9])([a-z])", r"\1 \2", name.lower()))
    kinds = tuple(kind for kind, own in _KINDS.items() if own & set(words))
    numbers_in = [float(re.sub("[,_]", "", word)) for word in words if word[0].isdigit()]
    multiples = [word for word in words if word in _MULTIPLES]
    known = {*_FILLERS, *_TOKENS, *_MULTIPLES, "/", *(w for own in _KINDS.values() for w in own)}
    is_counted = bool(numbers_in or multiples or _TOKENS & set(words))
    says_unit = (
        (is_counted and not {"per", "/"}.isdisjoint(words))
        or not {"mtok", "mtoks"}.isdisjoint(words)
        or words[-2:] == ["token", "cost"]
    )
    odd = [word for word in words if word not in known and not word[0].isdigit()]
    if odd or not says_unit or len(numbers_in) > 1 or len(multiples) > 1:
        raise ValueError(
            f"column {name!r} does not say what its prices are for"
            + (f" ({listing(odd)} is not known)" if odd else "")
            + "; name it such as 'input_per_million', 'output_cost_per_token' or "
            "'usd_per_1k_tokens', or drop it"
        )
    n_tokens = (numbers_in or [1.0])[0] * _MULTIPLES[(multiples or [""])[0]]
    # A cache holds input, and reasoning is output.
    return _MILLION / n_tokens, kinds[:1] or ("input", "output")


def call_costs(
    prices: Any,
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    *,
    cached_tokens: ArrayLike | None = None,
    reasoning_tokens: ArrayLike | None = None,
    models: ArrayLike | None = None,
) -> Any:
    """Compute costs of calls from their numbers of tokens.

    Parameters
    ----------
    prices : DataFrame
        Prices, as :func:`load_prices` returns them.
    input_tokens, output_tokens : array-like
        Numbers of tokens. With `models`, of shape (n_calls,). Otherwise of shape (n_prompts,
        n_models), as arrays in the order of `prices` or as DataFrames whose columns name models.
        NaN where a call was not made or its tokens were not recorded.
    cached_tokens : array-like of the same shape, default=None
        Number of the input tokens that were read from a cache. NaN means none. They are paid at
        the price of input if the list has no price of them. Where an API counts them apart from
        the input, as that of Anthropic, add them to `input_tokens` first.
    reasoning_tokens : array-like of the same shape, default=None
        Number of the output tokens that were reasoning. NaN means none. They are paid at the price
        of output if the list has no price of them.
    models : array-like of shape (n_calls,), default=None
        Name of the model of each call.

    Returns
    -------
    costs : ndarray of the shape of `input_tokens`
        Cost of each call, in the currency of the prices. NaN where a number of tokens or the price
        of the model is not known. With DataFrames, a DataFrame with their index and columns.

    Raises
    ------
    ValueError
        If shapes or labels disagree, if a model is not in `prices`, if a number of tokens is
        negative, or if more tokens are cached or reasoning than there are.

    Warns
    -----
    UserWarning
        If models that were called have no price; the message names them.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import call_costs, load_prices
    >>> prices = load_prices({
    ...     "org/small": {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7},
    ...     "org/large": {"input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5},
    ... })
    >>> call_costs(prices, [1000, 1000], [500, 20], models=["org/small", "org/large"])
    array([0.0003, 0.0033])
    """
    counts = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cached_tokens": cached_tokens,
        "reasoning_tokens": reasoning_tokens,
    }
    counts = {name: values for name, values in counts.items() if values is not None}
    check_same_order(**counts, models=models)
    if not hasattr(prices, "columns") or not {"input", "output"} <= set(prices.columns):
        raise TypeError("`prices` must be a DataFrame, as load_prices returns it.")
    if not prices.index.is_unique:
        raise ValueError(f"`prices` lists {listing(repeated(prices.index))} more than once.")
    _check_amounts(prices)
    frame: Any = input_tokens if models is None and hasattr(input_tokens, "columns") else None
    if models is not None:
        names = np.asarray(models, dtype=object).tolist()
        check_calls(models, len(names), "models")
        arrays = {name: check_feedback(one, len(names), name) for name, one in counts.items()}
    else:
        names = list(prices.index if frame is None else frame.columns)
        arrays = {name: _by_model(one, names, name) for name, one in counts.items()}
    unnamed = [name for name, one in counts.items() if not hasattr(one, "columns")]
    if frame is not None and unnamed and names != prices.index.tolist():
        raise ValueError(
            f"`input_tokens` is a DataFrame, but `{unnamed[0]}` has no names of models; pass both "
            "as DataFrames, or both as arrays in the order of `prices`."
        )
    _check_priced(prices, names)
    shape = arrays["input_tokens"].shape
    for name, values in arrays.items():
        if values.shape != shape:
            raise ValueError(
                f"`{name}` has shape {values.shape} but `input_tokens` has shape {shape}."
            )
        _refuse_counts(values < 0, values, name, "must be at least 0")
    rows = prices.index.get_indexer(names)
    total = _total(prices, rows, **{name: one.astype(np.float64) for name, one in arrays.items()})
    lost = np.isnan(total) & ~np.isnan(arrays["input_tokens"] + arrays["output_tokens"])
    if lost.any():
        unpriced = dict.fromkeys(np.asarray(names, dtype=object)[np.nonzero(lost)[-1]].tolist())
        warnings.warn(
            f"no price for model(s) {listing(unpriced, 10)}; the costs of their calls are NaN. Set "
            "their prices, or leave these models out.",
            UserWarning,
            stacklevel=2,
        )
    if frame is None or not hasattr(frame, "index"):
        return total
    pandas = import_optional("pandas", "pandas")
    return pandas.DataFrame(total, index=frame.index, columns=frame.columns)


def _total(
    prices: Any,
    rows: np.ndarray,
    input_tokens: np.ndarray,
    output_tokens: np.ndarray,
    cached_tokens: np.ndarray | None = None,
    reasoning_tokens: np.ndarray | None = None,
) -> np.ndarray:
    """Cost of calls; `rows` are the rows of the prices along the last axis."""

    def price(kind: str, otherwise: np.ndarray) -> np.ndarray:
        """Price of a million tokens of each call."""
        found = np.broadcast_to(otherwise, input_tokens.shape)
        if kind in prices:
            known = prices[kind].to_numpy(dtype=np.float64)[rows]
            found = np.where(np.isnan(known), otherwise, known)
        tiers = {
            int(m[2]): m[0] for m in map(_TIER.fullmatch, map(str, prices)) if m and m[1] == kind
        }
        for least in sorted(tiers):
            known = prices[tiers[least]].to_numpy(dtype=np.float64)[rows]
            found = np.where((input_tokens > 1000 * least) & ~np.isnan(known), known, found)
        return found

    total = np.zeros(input_tokens.shape)
    for kind, counts, part, part_counts in (
        ("input", input_tokens, "cached", cached_tokens),
        ("output", output_tokens, "reasoning", reasoning_tokens),
    ):
        whole = price(kind, np.array(np.nan))
        total += counts * whole
        if part_counts is not None:
            share = np.nan_to_num(part_counts)
            _refuse_counts(
                share > counts, share, f"{part}_tokens", f"are part of `{kind}_tokens`, not more"
            )
            total += share * (price(part, whole) - whole)
    total /= _MILLION
    if "request" in prices:
        total += np.nan_to_num(prices["request"].to_numpy(dtype=np.float64)[rows])
    return total


def _by_model(counts: Any, names: list[Any], argument: str) -> np.ndarray:
    """Check numbers of tokens by prompt and model."""
    if np.ndim(counts) == 1:
        raise ValueError(
            f"`{argument}` has one dimension; pass `models`, the model of each call, or numbers of "
            "shape (n_prompts, n_models)."
        )
    selected = select_columns(as_numbers(counts), np.asarray(names, dtype=object), name=argument)
    checked: np.ndarray = check_array(
        selected, dtype=FLOATS, ensure_all_finite="allow-nan", input_name=argument
    )
    if checked.shape[1] != len(names):
        raise ValueError(
            f"`{argument}` has {checked.shape[1]} columns but there are prices of {len(names)} "
            "models; pass a DataFrame that names them, or `models` for one call per row."
        )
    return checked


def _check_priced(prices: Any, names: list[Any]) -> None:
    """Refuse models that the prices do not list."""
    listed = set(prices.index)
    unknown = list(dict.fromkeys(name for name in names if name not in listed))
    if unknown:
        close = get_close_matches(str(unknown[0]), map(str, prices.index), n=3)
        hint = f" {unknown[0]!r} may be {listing(close)}." if close else ""
        raise ValueError(
            f"`prices` does not list {listing(unknown)}.{hint} Rename models, as in "
            "prices.rename({'vendor/model': 'model'})."
        )


def _refuse_counts(wrong: np.ndarray, values: np.ndarray, argument: str, problem: str) -> None:
    places = np.argwhere(wrong)
    if len(places):
        at = tuple(places[0].tolist())
        raise ValueError(f"`{argument}` {problem}; got {values[at]:g} in row {at[0]}.")
