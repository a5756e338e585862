"""The SPROUT data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.datasets._hub import fetch_file
from sklearn_uniroute.datasets._tables import fetched, naming, refuse_missing, refuse_rows, texts
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import check_choice, listing

_REPOSITORY = "CARROT-LLM-Routing/SPROUT"
_FILES = {
    "train": [f"data/train-0000{number}-of-00003.parquet" for number in range(3)],
    "validation": ["data/validation-00000-of-00001.parquet"],
    "test": ["data/test-00000-of-00001.parquet"],
}
_FIELDS = ("score", "num_input_tokens", "num_output_tokens")
# Prices in USD per million input and output tokens, from the authors' code.
_PRICES = {
    "aws-claude-3-5-sonnet-v1": (3, 15),
    "aws-titan-text-premier-v1": (0.8, 3.2),
    "openai-gpt-4o": (2.5, 10),
    "openai-gpt-4o-mini": (0.15, 0.6),
    "wxai-granite-3-2b-instruct-8k-max-tokens": (0.1, 0.1),
    "wxai-granite-3-8b-instruct-8k-max-tokens": (0.2, 0.2),
    "wxai-llama-3-1-70b-instruct": (0.9, 0.9),
    "wxai-llama-3-1-8b-instruct": (0.2, 0.2),
    "wxai-llama-3-2-1b-instruct": (0.06, 0.06),
    "wxai-llama-3-2-3b-instruct": (0.06, 0.06),
    "wxai-llama-3-3-70b-instruct": (0.9, 0.9),
    "wxai-llama-3-405b-instruct": (3.5, 3.5),
    "wxai-mixtral-8x7b-instruct-v01": (0.6, 0.6),
}
_DESCR = """\
SPROUT (Somerstep et al., 2025, arXiv 2502.03261): a judge's scores for the answers of 13 models to
prompts of six benchmarks, and the number of tokens of each call. Source: CARROT-LLM-Routing/SPROUT
on the Hugging Face hub."""


def fetch_sprout(
    *,
    subset: str = "all",
    prices: Mapping[str, tuple[float, float]] | None = None,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    revision: str = "main",
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Fetch the SPROUT data set: scores and token counts of 13 models on about 44,000 prompts.

    The files take about 580 MB. They are downloaded from the Hugging Face hub once and read from
    disk afterwards. The texts of the answers are not read.

    Parameters
    ----------
    subset : {"all", "train", "validation", "test"}, default="all"
        Split to load, as defined by the authors.
    prices : mapping of str to (float, float), default=None
        Prices of a million input tokens and of a million output tokens of each model, in USD. By
        default, the prices that the authors of the data set use.
    data_home : str or path-like, default=None
        Folder to store data sets in. By default, the data folder of scikit-learn.
    download_if_missing : bool, default=True
        Whether to download missing files. If False, missing files raise an error.
    revision : str, default="main"
        Commit, branch or tag of the data set.
    return_X_y : bool, default=False
        Whether to return only ``(prompts, y)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether to return `y`, `costs` and numbers of tokens as DataFrames with the names of the
        models as columns, and `prompts` as a Series.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `prompts` of shape (n_prompts,): texts of the prompts.
        - `y` of shape (n_prompts, n_models): score of each answer, with NaN where there is none.
        - `costs` of shape (n_prompts, n_models): cost of each call in USD, with NaN where tokens
          were not counted. Routers need a cost for each call, so leave such calls out with
          ``y[np.isnan(costs)] = np.nan``.
        - `input_tokens` and `output_tokens` of shape (n_prompts, n_models): number of tokens of
          each call.
        - `models` of shape (n_models,): names of the models.
        - `source` of shape (n_prompts,): benchmark of each prompt.
        - `X`: None, since the data set has no embeddings; see :func:`embed_prompts`.
    (prompts, y) : tuple
        Only returned if `return_X_y` is True.

    Raises
    ------
    ValueError
        If a file lacks an expected column, if the files differ in their models, or if a model has
        no price.
    OSError
        If files are missing and may not or cannot be downloaded, or if their checksums are wrong.
    ImportError
        If pyarrow is not installed, or if files are missing and huggingface_hub is not installed.

    References
    ----------
    "CARROT: A Cost Aware Rate Optimal Router", arXiv 2502.03261.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import fetch_sprout
    >>> data = fetch_sprout(subset="test")  # doctest: +SKIP
    """
    check_choice(subset, "subset", ("all", *_FILES))
    import_optional("pyarrow", "datasets")
    subsets = _FILES if subset == "all" else [subset]
    paths = [
        fetch_file(
            _REPOSITORY,
            name,
            revision,
            data_home=data_home,
            download_if_missing=download_if_missing,
        )
        for one in subsets
        for name in _FILES[one]
    ]
    parts = []
    for path in paths:
        with naming(path):
            parts.append(_read(path))
    models = parts[0]["models"]
    for path, part in zip(paths, parts, strict=True):
        if part["models"] != models:
            raise ValueError(
                f"{path.name} has the models {listing(part['models'])}, but {paths[0].name} has "
                f"{listing(models)}; expected the same models in all files."
            )
    arrays = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("prompts", "source", *_FIELDS)
    }
    rates = _rates(models, _PRICES if prices is None else prices)
    tokens = np.stack([arrays["num_input_tokens"], arrays["num_output_tokens"]], axis=2)
    return fetched(
        y=arrays["score"],
        models=np.array(models),
        prompts=arrays["prompts"],
        source=arrays["source"],
        descr=_DESCR,
        return_X_y=return_X_y,
        as_frame=as_frame,
        costs=(tokens * rates).sum(axis=2) / 1e6,
        cost_unit="USD",
        input_tokens=arrays["num_input_tokens"],
        output_tokens=arrays["num_output_tokens"],
    )


def _read(path: Path) -> dict[str, Any]:
    parquet = import_optional("pyarrow.parquet", "datasets")
    types = import_optional("pyarrow.types", "datasets")
    schema = parquet.read_schema(path)
    models = []
    for column in schema:
        fields = {field.name for field in column.type} if types.is_struct(column.type) else set()
        if fields & set(_FIELDS):
            models.append(column.name)
            expected = [f"{column.name}.{field}" for field in _FIELDS]
            refuse_missing([f"{column.name}.{field}" for field in sorted(fields)], expected)
    expected = ["prompt", "dataset", *(models or [f"<model>: struct of {', '.join(_FIELDS)}"])]
    refuse_missing(schema.names, expected)
    # Answers make up most of the file and are not read.
    columns = ["prompt", "dataset", *(f"{model}.{field}" for model in models for field in _FIELDS)]
    with parquet.ParquetFile(path) as file:
        table = file.read(columns=columns)
    return {
        "models": models,
        "prompts": texts(table["prompt"].to_pylist(), "prompt"),
        "source": texts(table["dataset"].to_pylist(), "dataset").astype(str),
        **{
            field: np.column_stack([_numbers(table, model, field) for model in models])
            for field in _FIELDS
        },
    }


def _numbers(table: Any, model: str, field: str) -> np.ndarray:
    compute = import_optional("pyarrow.compute", "datasets")
    column = f"{model}.{field}"
    try:
        values = compute.struct_field(table[model], field).cast("float64")
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"column {column!r} must hold numbers ({error})") from error
    cells = np.asarray(values.combine_chunks().to_numpy(zero_copy_only=False))
    if field != "score":
        refuse_rows(cells < 0, column, "is below 0", cells)
    return cells


def _rates(models: list[str], prices: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Get the prices of input and output tokens, of shape (n_models, 2)."""
    missing = [model for model in models if model not in prices]
    if missing:
        raise ValueError(
            f"`prices` has no entry for {listing(missing)}; pass the prices of a million input and "
            "a million output tokens for each model."
        )
    rates = np.array([prices[model] for model in models], dtype=np.float64)
    if rates.shape != (len(models), 2) or not (np.isfinite(rates).all() and (rates >= 0).all()):
        raise ValueError(
            "`prices` must give two finite numbers of at least 0 for each model, the prices of a "
            f"million input and a million output tokens; got {dict(prices)!r}."
        )
    return rates
