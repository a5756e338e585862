"""How many validation prompts a new model needs."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from sklearn_uniroute.model_selection._compare import check_comparable, check_labelled
from sklearn_uniroute.model_selection._split import TEST_SHARE, TRAINING_SHARE, draw_split
from sklearn_uniroute.model_selection._unseen import add_unseen, cells
from sklearn_uniroute.utils._parameters import check_count, check_enough
from sklearn_uniroute.utils._typing import Costs


def few_shot_curve(
    router: Any,
    X: ArrayLike,
    y: ArrayLike,
    costs: Costs,
    *,
    n_validation: Iterable[int] = (25, 50, 100, 200, 400),
    n_splits: int = 10,
    model_share: float = 2 / 3,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> Bunch:
    """Measure how many validation prompts a new model needs.

    In each split the models are divided into training and unseen ones, and 60 % of the prompts
    train while 30 % test. For each number of validation prompts, the router is fitted on the
    training models, chooses that many of the training prompts in its own way, takes in each
    unseen model from its errors on them, and is scored on the test prompts and the unseen models.

    Parameters
    ----------
    router : router
        Unfitted.
    X : array-like of shape (n_prompts, n_features)
        Prompt embeddings.
    y : array-like or DataFrame of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN where a model was not run.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call.
    n_validation : sequence of int, default=(25, 50, 100, 200, 400)
        Numbers of validation prompts.
    n_splits : int, default=10
        Number of random splits. They are the same for every router and number of prompts, so that
        differences are paired.
    model_share : float, default=2/3
        Share of the models to train on.
    n_jobs : int, default=None
        Number of processes, as in joblib. The numbers do not depend on it.
    random_state : int, default=0
        Seeds the splits and the routers.

    Returns
    -------
    curve : Bunch
        With `n_validation` of shape (n_sizes,) and `area` of shape (n_sizes, n_splits), the area
        under the deferral curve of the unseen models.

    Raises
    ------
    ValueError
        If there are too few prompts or models to split, all models have one cost, or an unseen
        model was run on none of the validation prompts of a split.

    See Also
    --------
    sklearn_uniroute.FewShotCurveDisplay : Draws it.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, figure 2 (bottom).

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import few_shot_curve
    >>> data = make_routing_data(n_prompts=300, random_state=0)
    >>> curve = few_shot_curve(
    ...     KMeansRouter(5), data.X, data.y, data.costs, n_validation=[10, 100], n_splits=3
    ... )
    >>> curve.area.shape
    (2, 3)
    """
    check_count(n_splits, "n_splits")
    n_validation = list(n_validation)
    check_count(len(n_validation), "len(n_validation)")
    prompts, quality, paid = check_labelled(X, y, costs)
    model_costs, _, n_training_models = check_comparable(
        quality, paid, n_splits, 1, model_share, 1 - TEST_SHARE
    )
    n_training = round(TRAINING_SHARE * len(quality))
    for size in n_validation:
        check_count(size, "n_validation")
        check_enough(size, "n_validation", n_training, "training prompts")
    seeds = np.random.SeedSequence(random_state).generate_state(n_splits)
    areas = Parallel(n_jobs=n_jobs)(
        delayed(_areas)(
            router, prompts, quality, paid, model_costs, n_validation, n_training_models, seed
        )
        for seed in seeds
    )
    return Bunch(n_validation=np.array(n_validation), area=np.array(areas).T)


def _areas(
    router: Any,
    X: np.ndarray,
    y: np.ndarray,
    costs: np.ndarray,
    model_costs: np.ndarray,
    n_validation: list[int],
    n_training_models: int,
    seed: int,
) -> list[float]:
    rng = np.random.RandomState(seed)
    split = draw_split(rng, len(X), model_costs, 1, n_training_models)
    known, unseen = split.training_models, split.unseen_models
    y_known, training_costs = cells(y, costs, split.training, known)
    y_test, test_costs = cells(y, costs, split.test, unseen)
    areas = []
    with threadpool_limits(1):
        for size in n_validation:
            fitted = clone(router).set_params(n_validation=size, random_state=int(seed % 2**31))
            fitted.fit(X[split.training], y_known, costs=training_costs)
            run = split.training[fitted.validation_indices_]
            pool = add_unseen(fitted, y, costs, run, unseen)
            areas.append(fitted.score(X[split.test], y_test, test_costs, pool))
    return areas
