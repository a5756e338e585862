"""Synthetic routing data."""

import numpy as np
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state

from sklearn_uniroute.utils._parameters import check_count
from sklearn_uniroute.utils._typing import RandomState


def make_routing_data(
    n_prompts: int = 1000,
    n_models: int = 10,
    *,
    n_features: int = 16,
    n_clusters: int = 8,
    random_state: RandomState = None,
) -> Bunch:
    """Draw prompts in latent clusters and models of different price and skill.

    A model's chance to be right on a prompt is the logistic function of its skill, less the
    difficulty of the prompt's cluster, plus what the model makes of that cluster in particular.
    The more skilled, the dearer.

    Parameters
    ----------
    n_prompts : int, default=1000
        Number of prompts.
    n_models : int, default=10
        Number of models.
    n_features : int, default=16
        Number of features of the embeddings.
    n_clusters : int, default=8
        Number of latent clusters.
    random_state : int, RandomState instance or None, default=None
        Seeds the draw.

    Returns
    -------
    data : Bunch
        With `X` of shape (n_prompts, n_features); `y` of shape (n_prompts, n_models), 1 = right
        and 0 = wrong; `costs` of shape (n_models,), rising, from 1 to 100 units per prompt;
        `models`, the names; `prompts`, None; `source` of shape (n_prompts,), the latent clusters;
        `error_rates` of shape (n_clusters, n_models), the chances to be wrong; `cost_unit`.

    Raises
    ------
    ValueError
        If a number is below 1.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=200, n_models=3, random_state=0)
    >>> data.X.shape, data.y.shape, data.costs
    ((200, 16), (200, 3), array([  1.,  10., 100.]))
    """
    for name, value in (
        ("n_prompts", n_prompts),
        ("n_models", n_models),
        ("n_features", n_features),
        ("n_clusters", n_clusters),
    ):
        check_count(value, name)
    rng = check_random_state(random_state)
    centers = rng.normal(size=(n_clusters, n_features))
    cluster = rng.randint(n_clusters, size=n_prompts)
    X = centers[cluster] + 0.3 * rng.normal(size=(n_prompts, n_features))
    skill = np.linspace(0, 3, n_models)
    difficulty = rng.normal(size=(n_clusters, 1))
    strength = rng.normal(scale=1.5, size=(n_clusters, n_models))
    error_rates = expit(difficulty - skill - strength)
    y = (rng.uniform(size=(n_prompts, n_models)) >= error_rates[cluster]).astype(np.float64)
    return Bunch(
        X=X,
        y=y,
        costs=np.geomspace(1, 100, n_models),
        models=np.array([f"model-{number}" for number in range(n_models)]),
        prompts=None,
        source=cluster,
        error_rates=error_rates,
        cost_unit="units",
    )
