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
# Number of rows read at a time. The file repeats each text once per model.
_CHUNK_SIZE = 200_000
_DESCR = """\
EmbedLLM (Zhuang et al., 2024, arXiv 2410.02223): correctness of 112 open models on prompts of ten
benchmarks. Source: RZ412/EmbedLLM on the Hugging Face hub. Licence: Apache-2.0."""


def fetch_embedllm(
    *,
    subset: str = "all",
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    revision: str = _REVISION,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Fetch the EmbedLLM data set: correctness of 112 open models on about 36,000 prompts.

    The files take 3.3 GB. They are downloaded from the Hugging Face hub once and read from disk
    afterwards.

    Parameters
    ----------
    subset : {"all", "train", "val", "test"}, default="all"
        Split to load, as defined by the authors.
    data_home : str or path-like, default=None
        Folder to store data sets in. By default, the data folder of scikit-learn.
    download_if_missing : bool, default=True
        Whether to download missing files. If False, missing files raise an error.
    revision : str
        Commit, branch or tag of the data set. By default, a commit that this function is known to
        read.
    return_X_y : bool, default=False
        Whether to return only ``(prompts, y)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether to return `y` as a DataFrame with the names of the models as columns, and `prompts`
        as a Series.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `prompts` of shape (n_prompts,): texts of the prompts. A text that is in several
          categories has one row per category.
        - `y` of shape (n_prompts, n_models): 1 for a right answer, 0 for a wrong one, and NaN where
          the model was not run. If a model was run on a prompt several times, the mean is taken.
        - `models` of shape (n_models,): names of the models.
        - `source` of shape (n_prompts,): category of each prompt.
        - `X`: None, since the data set has no embeddings; see :func:`embed_prompts`.
        - `costs`: None, since the data set has no prices. The paper uses the number of parameters.
    (prompts, y) : tuple
        Only returned if `return_X_y` is True.

    Raises
    ------
    ValueError
        If a file lacks an expected column, if a label is not 0 or 1, or if a prompt number has
        several texts in one category.
    OSError
        If files are missing and may not or cannot be downloaded, or if their checksums are wrong.
    ImportError
        If pandas is not installed, or if files are missing and huggingface_hub is not installed.

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
            f"prompt_id {twice[0][0]!r} of category {twice[0][1]!r} has several texts; expected "
            "one."
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
    """Read the label of each prompt and model, and the texts of the prompts, in chunks."""
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
