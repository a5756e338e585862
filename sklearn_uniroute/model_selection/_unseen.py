"""Parts of labelled data, and models of it that a router has not been fitted on."""

from typing import Any

import numpy as np


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
