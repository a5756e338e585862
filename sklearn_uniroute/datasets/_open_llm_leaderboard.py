"""Details of the Open LLM Leaderboard, version 2."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.datasets._hub import fetch_file, list_files
from sklearn_uniroute.datasets._tables import fetched, naming
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import listing, repeated

# Prefix of task names: metric of correctness, and fields of the document that make up the prompt.
_TASKS = {
    "leaderboard_bbh": ("acc_norm", ("input",)),
    "leaderboard_gpqa": ("acc_norm", ("Question",)),
    "leaderboard_musr": ("acc_norm", ("narrative", "question")),
    "leaderboard_math": ("exact_match", ("problem",)),
    "leaderboard_mmlu_pro": ("acc", ("question",)),
    "leaderboard_ifeval": ("prompt_level_strict_acc", ("prompt",)),
}
_RIGHT = {"1": 1.0, "1.0": 1.0, "True": 1.0, "0": 0.0, "0.0": 0.0, "False": 0.0}
_DESCR = """\
Details of the Open LLM Leaderboard, version 2: correctness of models on prompts of IFEval, BBH,
MATH (level 5), GPQA, MuSR and MMLU-Pro. Source: one data set per model,
open-llm-leaderboard/*-details on the Hugging Face hub."""


def fetch_open_llm_leaderboard(
    models: Sequence[str],
    *,
    tasks: Sequence[str] | None = None,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    revision: str = "main",
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Fetch the correctness of models on the prompts of the Open LLM Leaderboard, version 2.

    Each model has its own data set, with one file per task and run; the newest run is used. Files
    are downloaded from the Hugging Face hub once and read from disk afterwards. To download them,
    accept the terms on the hub and log in. The MMLU-Pro files take about 400 MB per model.

    Parameters
    ----------
    models : sequence of str
        Names of the models on the hub, such as "google/gemma-2-2b".
    tasks : sequence of str, default=None
        Names of tasks, or prefixes of them, such as "leaderboard_math_geometry_hard" or
        "leaderboard_bbh". By default, all available tasks of the six benchmarks.
    data_home : str or path-like, default=None
        Folder to store data sets in. By default, the data folder of scikit-learn.
    download_if_missing : bool, default=True
        Whether to download missing files. If False, missing files raise an error.
    revision : str, default="main"
        Commit, branch or tag of each data set.
    return_X_y : bool, default=False
        Whether to return only ``(prompts, y)`` instead of a Bunch.
    as_frame : bool, default=False
        Whether to return `y` as a DataFrame with the names of the models as columns, and `prompts`
        as a Series.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `prompts` of shape (n_prompts,): questions, without examples, options and templates.
        - `y` of shape (n_prompts, n_models): 1 for a right answer by the metric of the leaderboard,
          0 for a wrong one, and NaN where the model was not run. For IFEval, an answer is right if
          it strictly follows all instructions.
        - `models` of shape (n_models,): names of the models.
        - `source` of shape (n_prompts,): task of each prompt.
        - `X`: None, since the data sets have no embeddings; see :func:`embed_prompts`.
        - `costs`: None, since the data sets have no prices.
    (prompts, y) : tuple
        Only returned if `return_X_y` is True.

    Raises
    ------
    ValueError
        If a model has no file for any of the tasks, if a file has an unexpected form, or if models
        were asked different questions under the same number.
    OSError
        If files are missing and may not or cannot be downloaded, or if their checksums are wrong.
    ImportError
        If files are missing and huggingface_hub is not installed.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import fetch_open_llm_leaderboard
    >>> data = fetch_open_llm_leaderboard(
    ...     ["google/gemma-2-2b", "google/gemma-2-9b"], tasks=["leaderboard_bbh"]
    ... )  # doctest: +SKIP
    """
    if isinstance(models, str) or isinstance(tasks, str):
        raise ValueError(
            f"`models` and `tasks` must be sequences of names; got {models!r} and {tasks!r}."
        )
    models, asked = list(models), list(_TASKS if tasks is None else tasks)
    if not models or repeated(models):
        raise ValueError(
            f"`models` must name at least one model, each once; got {listing(models) or 'none'}."
        )
    unknown = [task for task in asked if not task.startswith(tuple(_TASKS))]
    if unknown or not asked:
        raise ValueError(
            f"`tasks` must be names of tasks, or prefixes of them, that start with one of "
            f"{listing(_TASKS)}; got {listing(unknown) or 'none'}."
        )
    texts: dict[tuple[str, int], str] = {}
    right: list[dict[tuple[str, int], float]] = []
    for model in models:
        right.append({})
        for task, path in _files(model, asked, data_home, download_if_missing, revision):
            with naming(path):
                rows = _read(path, task)
            for number, text, quality in rows:
                key = (task, number)
                if texts.setdefault(key, text) != text:
                    raise ValueError(
                        f"{path.name}: {model} has a different question than the models before it "
                        f"for doc_id {number}; leave out the model or the task."
                    )
                right[-1][key] = quality
    found = {task for task, _ in texts}
    missing = [task for task in asked if not any(name.startswith(task) for name in found)]
    if missing and tasks is not None:
        raise ValueError(f"none of the models has a file for the task(s) {listing(missing)}.")
    keys = sorted(texts)
    return fetched(
        y=np.array([[answers.get(key, np.nan) for answers in right] for key in keys]),
        models=np.array(models),
        prompts=np.array([texts[key] for key in keys], dtype=object),
        source=np.array([task for task, _ in keys]),
        descr=_DESCR,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _files(
    model: str,
    tasks: list[str],
    data_home: StrPath | None,
    download_if_missing: bool,
    revision: str,
) -> list[tuple[str, Path]]:
    """Find the newest file for each task of a model, sorted by task."""
    repository = f"open-llm-leaderboard/{model.replace('/', '__')}-details"
    where: dict[str, Any] = {"data_home": data_home, "download_if_missing": download_if_missing}
    names = list_files(repository, revision, **where)
    newest: dict[str, tuple[str, str]] = {}
    for name in names:
        found = re.search(r"samples_(\w+)_(\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl?$", name)
        if found and found[1].startswith(tuple(tasks)):
            newest[found[1]] = max(newest.get(found[1], ("", "")), (found[2], name))
    if not newest:
        raise ValueError(
            f"the data set {repository} has no file for {listing(tasks)}; it has "
            f"{listing(names) or 'none'}."
        )
    return [
        (task, fetch_file(repository, name, revision, **where))
        for task, (_, name) in sorted(newest.items())
    ]


def _read(path: Path, task: str) -> list[tuple[int, str, float]]:
    """Read the number, prompt and quality in each line of a file of JSON objects."""
    metric, fields = next(
        value for beginning, value in _TASKS.items() if task.startswith(beginning)
    )
    rows = []
    with open(path, "rb") as lines:
        for place, line in enumerate(lines):
            try:
                row = json.loads(line)
                text = "\n\n".join(row["doc"][field] for field in fields)
                if not isinstance(row["doc_id"], int):
                    raise TypeError(f"doc_id is {row['doc_id']!r}")
                rows.append((row["doc_id"], text, _RIGHT[str(row[metric])]))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"line {place} must be a JSON object with doc_id (an integer), doc (with "
                    f"{listing(fields)}) and {metric!r} (0 or 1); got {error!r}."
                ) from error
    twice = repeated([number for number, _, _ in rows])
    if twice:
        raise ValueError(f"the file repeats doc_id {listing(twice)}; expected one line per doc_id")
    return rows
