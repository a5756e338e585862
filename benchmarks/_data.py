"""The real data files that benchmarks run on, and how each is split."""

from pathlib import Path

from sklearn_uniroute.datasets import load_routing_data

FOLDER = Path(__file__).parents[2] / "shared" / "data"
# Share of the models to train on: the paper takes half of RouterBench's, elsewhere two thirds.
MODEL_SHARE = {"routerbench_11llm": 1 / 2}


def real_data():
    """Yield name, data and share of training models of each file that is there."""
    for path in sorted(FOLDER.glob("*.npz")):
        yield path.stem, load_routing_data(path), MODEL_SHARE.get(path.stem, 2 / 3)
