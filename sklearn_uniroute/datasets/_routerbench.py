"""The RouterBench data set."""

from typing import Any

import numpy as np

from sklearn_uniroute.datasets._hub import fetch_file
from sklearn_uniroute.datasets._tables import (
    fetched,
    join_turns,
    naming,
    numbers,
    refuse_missing,
    refuse_rows,
    texts,
)
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import check_choice

_REPOSITORY = "withmartian/routerbench"
_REVISION = "784021482c3f320c6619ed4b3bb3b41a21424fcb"
_COST = "|total_cost"
_SHA256 = {
    0: "ba4f77f19517610a707c374e99322d7750c30fc4ae7ff5527888595a1e65d36d",
    5: "fbd7d3d16fba2759a18fa0ad44409d3e0e92ba80d03d90827eed1a6d084c9ffe",
}
_DESCR = """\
RouterBench (Hu et al., 2024, arXiv 2403.12031): quality and cost of 11 models on prompts of eight
benchmarks and more. Source: withmartian/routerbench on the Hugging Face hub."""


def fetch_routerbench(
    *,
    shots: int = 0,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    revision: str = _REVISION,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Fetch the RouterBench data set: quality and cost of 11 models on about 36,000 prompts.

    The file is a pickled table of 100 MB (171 MB with five shots). It is downloaded from the
    Hugging Face hub once and read from disk afterwards. A pickle can run code, so only the file
    with the known checksum is read, which holds a table and nothing else.

    Parameters
    ----------
    shots : {0, 5}, default=0
        Number of examples shown to the models.
    data_home : str or path-like, default=None
        Folder to store data sets in. By default, the data folder of scikit-learn.
    download_if_missing : bool, default=True
        Whether to download missing files. If False, missing files raise an error.
    revision : str
        Commit, branch or tag of the data set. The file must be the same in all of them.
    return_X_y : bool, default=False
        Whether to return only ``(prompts, y)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether to return `y` and `costs` as DataFrames with the names of the models as columns, and
        `prompts` as a Series.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `prompts` of shape (n_prompts,): texts of the prompts. Turns of a conversation are
          separated by an empty line.
        - `y` of shape (n_prompts, n_models): quality of each model on each prompt.
        - `costs` of shape (n_prompts, n_models): cost of each call in USD, as the data set states
          it.
        - `models` of shape (n_models,): names of the models.
        - `source` of shape (n_prompts,): benchmark of each prompt.
        - `X`: None, since the data set has no embeddings; see :func:`embed_prompts`.
    (prompts, y) : tuple
        Only returned if `return_X_y` is True.

    Raises
    ------
    ValueError
        If the table lacks an expected column, if a quality or cost is not a finite number, or if a
        cost is negative.
    OSError
        If the file is missing and may not or cannot be downloaded, or if its checksum is wrong.
    ImportError
        If pandas is not installed, or if the file is missing and huggingface_hub is not installed.

    References
    ----------
    "RouterBench: A Benchmark for Multi-LLM Routing System", arXiv 2403.12031.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import fetch_routerbench
    >>> data = fetch_routerbench()  # doctest: +SKIP
    """
    check_choice(shots, "shots", tuple(_SHA256))
    path = fetch_file(
        _REPOSITORY,
        f"routerbench_{shots}shot.pkl",
        revision,
        data_home=data_home,
        download_if_missing=download_if_missing,
        sha256=_SHA256[shots],
    )
    with naming(path):
        table = import_optional("pandas", "datasets").read_pickle(path)
        models = [name.removesuffix(_COST) for name in table.columns if name.endswith(_COST)]
        refuse_missing(table, ["prompt", "eval_name", *(models or [f"<model>{_COST}"])])
        y = np.column_stack([_finite(table, model) for model in models])
        costs = np.column_stack([_finite(table, f"{model}{_COST}") for model in models])
        for model, paid in zip(models, costs.T, strict=True):
            refuse_rows(paid < 0, f"{model}{_COST}", "is below 0", paid)
        prompts = [join_turns(prompt) for prompt in texts(table["prompt"], "prompt")]
        source = texts(table["eval_name"], "eval_name")
    return fetched(
        y=y,
        models=np.array(models),
        prompts=np.array(prompts, dtype=object),
        source=source.astype(str),
        descr=_DESCR,
        return_X_y=return_X_y,
        as_frame=as_frame,
        costs=costs,
        cost_unit="USD",
    )


def _finite(table: Any, column: str) -> np.ndarray:
    cells = numbers(table, column)
    refuse_rows(~np.isfinite(cells), column, "is not a finite number", cells)
    return cells
