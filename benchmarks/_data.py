"""The real data that benchmarks run on, and how it is split."""

import os
import re
from pathlib import Path

import numpy as np
from sklearn.datasets import get_data_home
from tqdm import tqdm

from sklearn_uniroute.datasets import (
    embed_prompts,
    fetch_embedllm,
    fetch_routerbench,
    fetch_sprout,
    load_routing_data,
)

# Where files of routing data are, see load_routing_data.
FOLDER = Path(os.environ.get("ROUTING_DATA", Path(__file__).parents[2] / "shared" / "data"))
# Share of the models to train on: the paper takes half of RouterBench's, elsewhere two thirds.
MODEL_SHARE = {"routerbench_11llm": 1 / 2, "routerbench": 1 / 2}
FETCHED = {
    "embedllm": fetch_embedllm,
    "routerbench": fetch_routerbench,
    "sprout": fetch_sprout,
}
# Validation prompts where the paper does not take a tenth of all.
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
