from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import settings

from sklearn_uniroute.datasets import make_routing_data

mpl.use("agg")
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where to train networks: cpu or cuda")
    parser.addoption(
        "--exact",
        action="store_true",
        help="compare recorded results to the bit, on the processor that recorded them",
    )


@pytest.fixture
def device(request):
    name = request.config.getoption("--device")
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device here")
    return name


@pytest.fixture(scope="session")
def data():
    """Eight models in rising order of price, on prompts in six clusters."""
    return make_routing_data(n_prompts=400, n_models=8, n_features=5, n_clusters=6, random_state=0)


@pytest.fixture(scope="session")
def calls(data):
    """What each call costs."""
    return data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)


@pytest.fixture(params=["mmlu_pro_29llm", "routerbench_11llm", "llmrouter_9llm"])
def real_path(request):
    path = REAL_DATA / f"{request.param}.npz"
    if not path.exists():
        pytest.skip("the real routing data is not part of this repository")
    return path


@pytest.fixture(scope="session")
def scored_log():
    """Prompts, qualities, costs, and scores of a check that is right more often than not."""
    data = make_routing_data(n_prompts=1500, n_models=6, random_state=0)
    rng = np.random.RandomState(0)
    data.scores = data.y + rng.normal(scale=0.6, size=data.y.shape)
    return data
