"""Random splits of prompts and of models into those to train on and those to test on."""

from typing import Any, NamedTuple

import numpy as np

from sklearn_uniroute.metrics._curve import has_range
from sklearn_uniroute.utils._validation import check_open_share

TEST_SHARE = 0.3
TRAINING_SHARE = 0.6


class Split(NamedTuple):
    """Positions of prompts and models in one trial."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    training_models: np.ndarray
    unseen_models: np.ndarray
    n_redrawn: int


def draw_split(
    rng: np.random.RandomState,
    n_prompts: int,
    model_costs: np.ndarray,
    n_validation: int,
    n_training_models: int,
) -> Split:
    """Split prompts and models as the paper does."""
    prompts = rng.permutation(n_prompts)
    n_test = round(TEST_SHARE * n_prompts)
    n_training = min(round(TRAINING_SHARE * n_prompts), n_prompts - n_test - n_validation)
    test, validation, rest = np.split(prompts, [n_test, n_test + n_validation])
    known, unseen, n_redrawn = draw_models(rng, model_costs, n_training_models)
    return Split(rest[:n_training], validation, test, known, unseen, n_redrawn)


def draw_models(
    rng: np.random.RandomState, model_costs: np.ndarray, n_training_models: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw training and unseen models, anew until the latter differ in cost.

    Returns positions of both, in order, and how often they were drawn anew.
    """
    n_redrawn = 0
    while True:
        models = rng.permutation(len(model_costs))
        known, unseen = np.split(models, [n_training_models])
        # With one cost there is no trade-off to score.
        if has_range(model_costs[unseen]):
            return np.sort(known), np.sort(unseen), n_redrawn
        n_redrawn += 1


def count_training_models(model_costs: np.ndarray, model_share: float) -> int:
    """Count the models to train on, such that there are others, not all of one cost."""
    check_open_share(model_share, "model_share")
    n_models = len(model_costs)
    n_training_models = int(model_share * n_models)
    if not (1 <= n_training_models <= n_models - 2 and has_range(model_costs)):
        raise ValueError(
            "a comparison needs at least 1 training model and 2 unseen models, not all of one "
            f"cost; got {n_models} models, {n_training_models} of them for training, with costs "
            f"from {model_costs.min():g} to {model_costs.max():g}."
        )
    return n_training_models


def check_enough_prompts(n_test: int, n_prompts: int) -> None:
    """Refuse a split without training or test prompts."""
    if not 1 <= n_test < n_prompts:
        raise ValueError(
            f"`test_size` leaves {n_prompts - n_test} training prompts and {n_test} test prompts; "
            "bring more prompts, or change it."
        )


def cells(
    y: np.ndarray, costs: np.ndarray, prompts: np.ndarray, models: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut quality and costs, of models or of calls, to some of the prompts and models."""
    part = np.ix_(prompts, models)
    return y[part], costs[part] if costs.ndim == 2 else costs[models]


def add_unseen(
    router: Any, y: np.ndarray, costs: np.ndarray, prompts: np.ndarray, models: np.ndarray
) -> np.ndarray:
    """Add models to a router from their labels on its validation prompts.

    Returns the numbers by which the router knows them.
    """
    pool: np.ndarray = len(router.models_) + np.arange(len(models))
    for name, model in zip(pool, models, strict=True):
        cost = costs[prompts, model] if costs.ndim == 2 else costs[model]
        router.add_model(1 - y[prompts, model], name=name, cost=cost)
    return pool
