"""The EmbedLLM data set."""

from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.datasets._hub import fetch_file
from sklearn_uniroute.datasets._tables import fetched, naming, refuse_missing, refuse_rows
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import check_choice

_REPOSITORY = "RZ412/EmbedLLM"
_REVISION = "266ae3e180ccb533c86afc9cfb2f5db99d171aea"
_SUBSETS = ("train", "val", "test")
_COLUMNS = ["prompt_id", "model_name", "category", "label", "prompt"]
_KEY = ["prompt_id", "category"]
# Rows that are read at a time: a text stands in the file once for each model.
_CHUNK_SIZE = 200_000
_DESCR = """\
EmbedLLM (Zhuang et al., 2024, arXiv 2410.02223): whether each of 112 open models answered prompts
of ten benchmarks correctly. The data set is RZ412/EmbedLLM on the Hugging Face hub, Apache-2.0."""


def fetch_embedllm(
    *,
    subset: str = "all",
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    revision: str = _REVISION,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Fetch the EmbedLLM data set: 112 open models, about 36,000 prompts, right or wrong.

    The files take 3.3 GB. They are downloaded from the Hugging Face hub once and read from disk
    after that.

    Parameters
    ----------
    subset : {"all", "train", "val", "test"}, default="all"
        Which of the authors' splits to read.
    data_home : str or path-like, default=None
        Where data sets are kept, scikit-learn's folder by default.
    download_if_missing : bool, default=True
        Whether to download what is not there; else that is an error.
    revision : str
        Commit, branch or tag of the data set; by default a commit that this function is known to
        read.
    return_X_y : bool, default=False
        Whether to return prompts and qualities alone.
    as_frame : bool, default=False
        Whether to return `y` as a DataFrame with the models' names for columns, and `prompts` as a
        Series.

    Returns
    -------
    data : Bunch
        With `prompts` of shape (n_prompts,), the texts; `y` of shape (n_prompts, n_models), 1 =
        right and 0 = wrong, NaN where a model was not run, the mean where it was run on a prompt
        several times; `models` of shape (n_models,); `source` of shape (n_prompts,), the category.
        The data set has no embeddings, so that `X` is None (see :func:`embed_prompts`), and no
        prices, so that `costs` is None: the paper takes the number of parameters. A text that
        stands in several categories has a row in each.
    (prompts, y) : tuple
        If `return_X_y` is True.

    Raises
    ------
    ValueError
        If the files have other columns than expected, labels that are not 0 and 1, or several
        texts under one number.
    OSError
        If files are missing and may not or cannot be downloaded, or their checksums are wrong.
    ImportError
        If pandas is not installed, or huggingface_hub is not and files are missing.

    References
    ----------
    "EmbedLLM: Learning Compact Representations of Large Language Models", arXiv 2410.02223.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import fetch_embedllm
    >>> data = fetch_embedllm(subset="test")  # doctest: +SKIP
    """
    check_choice(subset, "subset", ("all", *_SUBSETS))
    pandas = import_optional("pandas", "datasets")
    paths = [
        fetch_file(
            _REPOSITORY,
            f"{name}.csv",
            revision,
            data_home=data_home,
            download_if_missing=download_if_missing,
        )
        for name in (_SUBSETS if subset == "all" else [subset])
    ]
    tables, texts = [], []
    for path in paths:
        with naming(path):
            table, prompts = _read(path, pandas)
        tables.append(table)
        texts.append(prompts)
    texts = pandas.concat(texts).drop_duplicates().set_index(_KEY)["prompt"]
    twice = texts.index[texts.index.duplicated()]
    if len(twice):
        raise ValueError(
            f"the prompt_id {twice[0][0]!r} of category {twice[0][1]!r} stands for several texts; "
            "expected one."
        )
    quality = pandas.concat(tables).groupby([*_KEY, "model_name"], sort=False)["label"].mean()
    quality = quality.unstack("model_name").reindex(texts.index).sort_index(axis=1)
    return fetched(
        y=quality.to_numpy(dtype=np.float64),
        models=quality.columns.to_numpy(dtype=str),
        prompts=texts.to_numpy(dtype=object),
        source=texts.index.get_level_values("category").to_numpy(dtype=str),
        descr=_DESCR,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _read(path: Path, pandas: Any) -> tuple[Any, Any]:
    """Read labels by prompt and model, and the texts of prompts, chunk by chunk."""
    refuse_missing(pandas.read_csv(path, nrows=0), _COLUMNS)
    labels, texts = [], []
    as_text = dict.fromkeys(_COLUMNS, str)
    with pandas.read_csv(
        path, usecols=_COLUMNS, dtype=as_text, keep_default_na=False, chunksize=_CHUNK_SIZE
    ) as chunks:
        for chunk in chunks:
            texts.append(chunk[[*_KEY, "prompt"]].drop_duplicates())
            labels.append(chunk.drop(columns="prompt"))
    table = pandas.concat(labels)
    if not len(table):
        raise ValueError("this table has no rows")
    refuse_rows(~table["label"].isin(["0", "1"]), "label", "is not 0 or 1", table["label"])
    return table.astype({"label": np.int8}), pandas.concat(texts)
