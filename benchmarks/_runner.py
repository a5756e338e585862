"""What all benchmarks share: arguments, data, trials in parallel, paired differences, and times.

Trials are numbered, and the number seeds them: figures can be printed again to the last digit. If
the variable BENCHMARK_CACHE names a folder, trials are kept there, and a command that was stopped
goes on where it was. Empty the folder when the package changes.
"""

import argparse
import os
import re
from pathlib import Path
from time import perf_counter

import numpy as np
from joblib import Memory, Parallel, delayed
from scipy.stats import sem
from sklearn.datasets import get_data_home
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from sklearn_uniroute.datasets import (
    embed_prompts,
    fetch_embedllm,
    fetch_routerbench,
    fetch_sprout,
    load_routing_data,
)
from sklearn_uniroute.model_selection._split import draw_split

# Folder of routing data, see load_routing_data.
FOLDER = Path(os.environ.get("ROUTING_DATA", Path(__file__).parents[2] / "shared" / "data"))
# Share of the models to train on: half for RouterBench, as in the paper, else two thirds.
MODEL_SHARE = {"routerbench_11llm": 1 / 2, "routerbench": 1 / 2}
FETCHED = {
    "embedllm": fetch_embedllm,
    "routerbench": fetch_routerbench,
    "sprout": fetch_sprout,
}
# Number of validation prompts where the paper does not take a tenth of all prompts.
N_VALIDATION = {"routerbench": 400, "sprout": 400}
ENCODER = "all-MiniLM-L6-v2"


def real_data():
    """Yield name, data and share of training models of each file and fetched set that is there."""
    n_found = 0
    for path in sorted(FOLDER.glob("*.npz")):
        n_found += 1
        yield path.stem, load_routing_data(path), MODEL_SHARE.get(path.stem, 2 / 3)
    for name, fetch in FETCHED.items():
        try:
            data = fetch(download_if_missing=False)
        except FileNotFoundError:
            continue
        n_found += 1
        yield name, embedded(data), MODEL_SHARE.get(name, 2 / 3)
    if not n_found:
        raise FileNotFoundError(
            f"no data to run on: there is no .npz file in {FOLDER}, and no data set was fetched; "
            "set ROUTING_DATA to a folder of such files, or call one of the functions that fetch."
        )


def embedded(data):
    """Embed the prompts of a fetched set, and price models by their size where it has no costs."""
    from sentence_transformers import SentenceTransformer

    data.X = embed_prompts(
        data.prompts,
        SentenceTransformer(ENCODER).encode,
        memory=str(Path(get_data_home()) / "sklearn_uniroute" / "embeddings"),
        encoder_name=ENCODER,
        progress=tqdm,
    )
    return data if data.costs is not None else priced_by_size(data)


def priced_by_size(data):
    """Let billions of parameters, as models' names state them, be the costs, as in the paper."""
    sizes = [
        re.search(r"(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z])", name.lower()) for name in data.models
    ]
    named = np.array([size is not None for size in sizes])
    if not named.all():
        print(f"left out, as their names state no size: {', '.join(data.models[~named])}")
    data.costs = np.array([float(size[1] or 1) * float(size[2]) for size in sizes if size])
    data.models, data.y = data.models[named], data.y[:, named]
    data.cost_unit = "billions of parameters"
    return data


def arguments(doc, *, trials=None, **options):
    """Parse the command line of a benchmark.

    Parameters
    ----------
    doc : str
        Docstring of the benchmark; its first line describes the command.
    trials : int, default=None
        Default number of trials, if the benchmark takes one.
    **options : dict
        Further options: keyword arguments of `add_argument` by name.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if trials is not None:
        parser.add_argument(
            "trials", nargs="?", type=int, default=trials, help=f"{trials} by default"
        )
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **settings)
    return parser.parse_args()


def run_trials(trial, seeds, *args):
    """Call a function with each seed after the other arguments, in parallel on single threads."""
    if os.environ.get("BENCHMARK_CACHE"):
        trial = Memory(os.environ["BENCHMARK_CACHE"], verbose=0).cache(trial)
    with threadpool_limits(1):
        return Parallel(n_jobs=-1)(delayed(trial)(*args, seed) for seed in seeds)


def stacked(results):
    """Turn dicts of one number for each trial into one dict of arrays over trials."""
    return {key: np.array([one[key] for one in results]) for key in results[0]}


def paired(one, other=0.0):
    """Mean difference over trials and its standard error."""
    difference = one - other
    return difference.mean(), sem(difference)


def model_costs(data):
    return np.nanmean(np.atleast_2d(data.costs), axis=0)


def add_unseen(router, y, costs, prompts, models):
    """Add models from their labels on the validation prompts; returns their numbers."""
    pool = len(router.models_) + np.arange(len(models))
    for name, model in zip(pool, models, strict=True):
        cost = costs[prompts, model] if costs.ndim == 2 else costs[model]
        router.add_model(1 - y[prompts, model], name=name, cost=cost)
    return pool


class Split:
    """One split of a file: models to train on and others, prompts to train and to test on."""

    def __init__(self, data, seed, n_training_models):
        self.data, self.model_costs = data, model_costs(data)
        self.rng = np.random.RandomState(seed)
        split = draw_split(self.rng, len(data.X), self.model_costs, 1, n_training_models)
        self.known, self.unseen = split.training_models, split.unseen_models
        self.training, self.test = split.training, split.test
        self.X, self.y = data.X[split.training], data.y[split.training]
        self.X_test, self.y_test = data.X[split.test], data.y[np.ix_(split.test, self.unseen)]

    def costs(self, rows, models):
        """Costs of models, or of their calls where these are known."""
        if self.data.costs.ndim == 2:
            return self.data.costs[np.ix_(rows, models)]
        return self.data.costs[models]

    @property
    def test_costs(self):
        return self.costs(self.test, self.unseen)

    @property
    def pool(self):
        """Numbers of the unseen models, once they are added in order."""
        return len(self.known) + np.arange(len(self.unseen))


def ratio(function, baseline, *, repeats=11):
    """Median over rounds of the time of one function over that of another, and its quartiles."""
    function()
    baseline()
    ratios = []
    for number in range(repeats):
        times = {}
        for one in (function, baseline) if number % 2 else (baseline, function):
            start = perf_counter()
            one()
            times[one] = perf_counter() - start
        ratios.append(times[function] / times[baseline])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return f"{median:.2f} (quartiles {low:.2f} to {high:.2f})"
