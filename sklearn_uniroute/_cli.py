"""The command line: ``python -m sklearn_uniroute compare``."""

import argparse
import ast
import json
import sys
import textwrap
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sklearn_uniroute._version import __version__
from sklearn_uniroute.datasets._generators import make_classifier_pool
from sklearn_uniroute.datasets._load import load_routing_data
from sklearn_uniroute.model_selection._compare import (
    BASELINES,
    RouterComparison,
    compare_routers,
    summarise,
)
from sklearn_uniroute.routers._hybrid import HybridRouter
from sklearn_uniroute.routers._kmeans import KMeansRouter
from sklearn_uniroute.routers._learned_map import LearnedMapRouter
from sklearn_uniroute.routers._linear import LinearRouter
from sklearn_uniroute.routers._matrix_factorization import MatrixFactorizationRouter
from sklearn_uniroute.routers._mlp import MLPRouter
from sklearn_uniroute.routers._neighbors import KNeighborsRouter
from sklearn_uniroute.routers._zero import ZeroRouter
from sklearn_uniroute.utils._files import as_json
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import listing

NOTES = """\
Mean over trials ± half the 95 % interval, scored on unseen models and test prompts only.
area: mean quality over the cost range of the pool. gain: area minus that of {first} in the same
trial, with its 95 % interval. p: t test of the gain. Interval and p are adjusted for several
routers by Holm's method; baselines are not counted. QNC: lowest cost, relative to the best single
model, at which its quality is reached, over the trials that reach it; reached: share of these
trials. saved: cost saved at that quality, 0 if it is not reached. peak: highest quality on the
curve."""

ROUTERS = {
    router.__name__: router
    for router in (
        ZeroRouter,
        KNeighborsRouter,
        KMeansRouter,
        LearnedMapRouter,
        HybridRouter,
        LinearRouter,
        MatrixFactorizationRouter,
        MLPRouter,
    )
}
DEFAULT_ROUTERS: tuple[str, ...] = (
    "ZeroRouter",
    "KNeighborsRouter(50)",
    "KMeansRouter(8, representation='mean', temperature=0)",
    "KMeansRouter(24, representation='mean', temperature=0)",
    "KMeansRouter(8)",
    "KMeansRouter(24)",
)
if find_spec("torch") and find_spec("skorch"):
    DEFAULT_ROUTERS += ("LearnedMapRouter(24)",)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the process's own arguments by default."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        _compare(options)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog} {options.command}: interrupted\n")
    except (ValueError, TypeError, OSError, ImportError) as error:
        parser.exit(2, f"{parser.prog} {options.command}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m sklearn_uniroute", description="Route prompts over a changing pool of models."
    )
    parser.add_argument("--version", action="version", version=f"sklearn_uniroute {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "compare",
        help="compare routers on models they have not seen",
        description="Compare routers on models they have not seen: print a table and draw the "
        "deferral curves.",
    )
    command.add_argument(
        "--data",
        metavar="PATH",
        help=".npz, .csv, .tsv, .jsonl or .parquet file, see load_routing_data (default: a pool of "
        "small classifiers)",
    )
    command.add_argument(
        "--columns",
        metavar="NAME=COLUMN",
        nargs="+",
        action="extend",
        type=renaming,
        default=[],
        help="names of the columns of a table where they differ, such as model=llm quality=grade; "
        "'embedding=e*' for embeddings in e0, e1, ...",
    )
    command.add_argument(
        "--scale",
        metavar=("WORST", "BEST"),
        nargs=2,
        type=float,
        help="worst and best grade of a table, such as 1 5 (default: qualities as they are)",
    )
    command.add_argument(
        "--duplicates",
        choices=("error", "mean", "last"),
        help="what to do with several rows of one prompt and model (default: error)",
    )
    command.add_argument(
        "--output",
        metavar="DIR",
        default=".",
        help="folder for deferral_curves.png (default: the current folder)",
    )
    command.add_argument(
        "--trials", metavar="N", type=count, default=20, help="random splits (default: 20)"
    )
    command.add_argument(
        "--n-validation",
        metavar="N",
        type=count,
        help="number of validation prompts (default: a tenth of all prompts)",
    )
    command.add_argument(
        "--model-share",
        metavar="SHARE",
        type=share,
        default=2 / 3,
        help="share of the models to train on; the others are unseen (default: 2/3)",
    )
    command.add_argument(
        "--routers",
        metavar="ROUTER",
        nargs="+",
        type=parse_router,
        default=argparse.SUPPRESS,
        help=f"routers, written as in Python: {listing(ROUTERS)}. The others are compared to the "
        f"first (default: {' '.join(DEFAULT_ROUTERS)}; with a LearnedMapRouter if torch and skorch "
        "are installed)",
    )
    command.add_argument(
        "--baselines",
        metavar="BASELINE",
        nargs="+",
        choices=BASELINES,
        default=(),
        help=f"baselines to compare as well: {', '.join(BASELINES)}",
    )
    command.add_argument(
        "--n-jobs",
        metavar="N",
        type=n_jobs,
        default=-1,
        help="processes; -1 takes one per core, -2 one less, and so on (default: -1)",
    )
    command.add_argument(
        "--random-state", metavar="SEED", type=seed, default=0, help="seed (default: 0)"
    )
    command.add_argument(
        "--json", action="store_true", help="print JSON with all trials in place of the table"
    )
    return parser


def renaming(text: str) -> tuple[str, str]:
    """Read a name and the column that has it."""
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"must be NAME=COLUMN; got {text!r}")
    return name, column


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    return _number(text, int, "a whole number of at least 1", lambda value: value >= 1)


def share(text: str) -> float:
    """Read a number between 0 and 1."""
    return _number(text, float, "a number between 0 and 1", lambda value: 0 < value < 1)


def n_jobs(text: str) -> int:
    """Read a number of processes."""
    return _number(text, int, "a whole number other than 0", lambda value: value != 0)


def seed(text: str) -> int:
    """Read a seed."""
    expected = "a whole number from 0 to 2**32 - 1"
    return _number(text, int, expected, lambda value: 0 <= value < 2**32)


def _number(text: str, kind: Any, expected: str, fits: Callable[[Any], bool]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise argparse.ArgumentTypeError(f"must be {expected}; got {text!r}")
    return value


def parse_router(text: str) -> tuple[str, Any]:
    """Make a router from its name or a call with literal arguments, as in ``KMeansRouter(24)``.

    Returns
    -------
    text, router
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name = call.func if isinstance(call, ast.Call) else call
        if not isinstance(name, ast.Name) or name.id not in ROUTERS:
            raise ValueError(f"expected one of {listing(ROUTERS)}")
        positional, named = [], {}
        if isinstance(call, ast.Call):
            positional = [ast.literal_eval(argument) for argument in call.args]
            named = {str(entry.arg): ast.literal_eval(entry.value) for entry in call.keywords}
        return text, ROUTERS[name.id](*positional, **named)
    except (SyntaxError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} makes no router: {error}") from error


def _compare(options: argparse.Namespace) -> None:
    # What is missing shows before the work, not after it.
    import_optional("matplotlib.figure", "plot")
    tqdm = import_optional("tqdm", "cli").tqdm
    named = list(getattr(options, "routers", map(parse_router, DEFAULT_ROUTERS)))
    routers = dict(named)
    if len(routers) < len(named):
        raise ValueError("`--routers` names a router twice; set one of them up differently")
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    if options.data is None:
        if options.columns or options.scale or options.duplicates:
            raise ValueError(
                "`--columns`, `--scale` and `--duplicates` are about a table; name it with `--data`"
            )
        data, source = make_classifier_pool(), "pool of small classifiers"
    else:
        data, source = _load(options), Path(options.data).name
    comparison = compare_routers(
        routers,
        data,
        n_trials=options.trials,
        n_validation=options.n_validation,
        model_share=options.model_share,
        baselines=options.baselines,
        n_jobs=options.n_jobs,
        random_state=options.random_state,
        progress=lambda trials: tqdm(trials, total=options.trials, unit="trial", disable=None),
    )
    split = comparison.splits[0]
    settings = {
        "data": source,
        "n_prompts": len(data.y),
        "n_training_models": len(split.training_models),
        "n_unseen_models": len(split.unseen_models),
        "n_validation": len(split.validation),
        "n_trials": options.trials,
        "random_state": options.random_state,
    }
    headline = (
        "{data}: {n_prompts} prompts, {n_training_models} training and {n_unseen_models} unseen "
        "models, {n_validation} validation prompts, {n_trials} trials"
    ).format_map(settings)
    picture = draw(comparison, headline, data.cost_unit, folder)
    if options.json:
        json.dump(comparison_json(comparison, settings), sys.stdout, indent=1)
        print()
        return
    print(headline, comparison, NOTES.format(first=comparison.routers[0]), sep="\n\n")
    n_redrawn = sum(split.n_redrawn for split in comparison.splits)
    if n_redrawn:
        print(f"Redrawn splits, as all their unseen models had one cost: {n_redrawn}.")
    advice = [f"Picture: {picture}"]
    if options.trials > 1:
        advice.append(verdict(summarise(comparison), comparison.baselines))
    if options.data is None:
        advice.append("Next, your own data: python -m sklearn_uniroute compare --data my_calls.csv")
    print("", *advice, sep="\n")


def verdict(records: list[dict[str, Any]], baselines: Sequence[str]) -> str:
    """Say in a sentence whether the best router is ahead of the first one."""
    first, *others = (record for record in records if record["router"] not in baselines)
    if not others:
        return f"Name more routers after {first['router']} to see what they gain."
    best = max(others, key=lambda record: record["gain"][0])
    mean, low, high = best["gain"]
    gain = f"{best['router']} gains {mean:+.3f} [{low:+.3f}, {high:+.3f}] over {first['router']}"
    if low > 0:
        return f"Look at gain: {gain}, and is ahead on unseen models."
    return f"Look at gain: {gain}, and may not be ahead. More prompts or trials can tell."


def _load(options: argparse.Namespace) -> Any:
    columns = dict(options.columns)
    if len(columns) < len(options.columns):
        raise ValueError("`--columns` gives a name twice")
    scale = None if options.scale is None else tuple(options.scale)
    try:
        return load_routing_data(
            options.data,
            columns=columns or None,
            scale=scale,
            duplicates=options.duplicates or "error",
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"--data: {error}") from error


def comparison_json(comparison: RouterComparison, settings: dict[str, Any]) -> Any:
    """Convert a comparison to plain lists and numbers; values that are not finite become None."""
    return as_json(
        {
            **settings,
            "redrawn_splits": sum(split.n_redrawn for split in comparison.splits),
            "routers": [
                {
                    **record,
                    "trials": {
                        "area": comparison.area[:, number],
                        "qnc": comparison.qnc[:, number],
                        "peak_quality": comparison.peak[:, number],
                    },
                }
                for number, record in enumerate(summarise(comparison))
            ],
        }
    )


def draw(comparison: RouterComparison, title: str, cost_unit: str, folder: StrPath) -> Path:
    """Draw a comparison into a file.

    Returns
    -------
    path : Path
        Path of the picture, ``deferral_curves.png`` in `folder`.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure((8, 5), layout="constrained")
    style = import_optional("matplotlib.style", "plot")
    # Colours that colour-blind readers can tell apart.
    with style.context("tableau-colorblind10"):
        axes = figure.subplots()
        comparison.plot(axes, confidence=0)
    axes.set_title(textwrap.fill(title, 72), fontsize="medium")
    axes.set(xlabel=f"Average cost per prompt ({cost_unit})")
    axes.grid(alpha=0.3)
    path = Path(folder) / "deferral_curves.png"
    figure.savefig(path, dpi=150)
    return path
