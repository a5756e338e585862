"""Comparison of routers on models they have not seen, over repeated random splits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Bunch, check_array
from threadpoolctl import threadpool_limits

from sklearn_uniroute.metrics._curve import check_curve_inputs, curve_points, is_wide
from sklearn_uniroute.metrics._scores import (
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)
from sklearn_uniroute.model_selection._baselines import BASELINES, baseline_inputs
from sklearn_uniroute.model_selection._comparison import RouterComparison
from sklearn_uniroute.model_selection._split import (
    TEST_SHARE,
    Split,
    add_unseen,
    cells,
    count_training_models,
    draw_split,
)
from sklearn_uniroute.utils._validation import (
    FLOATS,
    check_choice,
    check_costs,
    check_count,
    check_quality,
    listing,
    model_labels,
    repeated,
)

# Number of costs at which curves are averaged over trials.
_GRID_SIZE = 300
_METRICS = (deferral_area_score, quality_neutral_cost, peak_quality_score)


def compare_routers(
    routers: Mapping[str, Any],
    data: Bunch,
    *,
    n_trials: int = 20,
    n_validation: int | None = None,
    model_share: float = 2 / 3,
    baselines: Sequence[str] = (),
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> RouterComparison:
    """Compare routers on models they have not seen, over repeated random splits.

    In each trial models are split into training and unseen ones and prompts, 60 : 10 : 30, into
    training, validation and test prompts. A router is fitted on the training models and prompts,
    takes in each unseen model from the validation prompts, and is scored on the test prompts and
    the unseen models alone. All routers share the splits.

    Parameters
    ----------
    routers : dict of str to router
        Unfitted routers by name. Others are compared to the first.
    data : Bunch
        As the functions of :mod:`sklearn_uniroute.datasets` return it, or
        ``sklearn.utils.Bunch(X=X, y=y, costs=costs)`` of data of your own: embeddings, quality
        (NaN where a model was not run), and costs of models or of calls.
    n_trials : int, default=20
        Number of splits.
    n_validation : int, default=None
        Number of validation prompts; a tenth of all prompts by default.
    model_share : float, default=2/3
        Share of the models to train on.
    baselines : sequence of {"random", "cheapest", "best", "oracle"}, default=()
        To compare with as well: choosing by random errors; the cheapest unseen model for all
        prompts; the one that is best on the validation prompts; and choosing in hindsight, by what
        each call costs and whether it is right.
    n_jobs : int, default=None
        Number of processes, as in joblib. The numbers do not depend on it.
    random_state : int, default=0
        Seeds the splits and the routers.
    progress : callable, default=iter
        Wraps the iterator over finished trials.

    Returns
    -------
    comparison : RouterComparison
        Prints as a table.

    Raises
    ------
    ValueError
        If the data has no embeddings or costs, or they do not fit together, all models have one
        cost, there are too few prompts or models to split, a baseline is unknown, or two rows have
        one name.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 6 and appendix
    F.1.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter, ZeroRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import compare_routers
    >>> data = make_routing_data(random_state=0)
    >>> routers = {"zero": ZeroRouter(), "kmeans": KMeansRouter()}
    >>> comparison = compare_routers(routers, data, n_trials=8)
    >>> bool(comparison.area[:, 1].mean() > comparison.area[:, 0].mean())
    True
    """
    if not isinstance(routers, Mapping):
        raise TypeError(f"`routers` must be a dict of routers by name; got {routers!r}.")
    for name in baselines:
        check_choice(name, "baselines", BASELINES)
    check_names([*routers, *baselines])
    X, y, costs = check_labelled(data.X, data.y, data.costs)
    model_costs, n_validation, n_training_models = check_comparable(
        y, costs, n_trials, n_validation, model_share, 1 - TEST_SHARE
    )
    grid = cost_grid(model_costs)
    # Each trial has a seed of its own, so that no trial depends on those before it.
    seeds = np.random.SeedSequence(random_state).generate_state(n_trials)
    trials = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_run_trial)(
            X,
            y,
            costs,
            model_costs,
            routers,
            baselines,
            n_validation,
            n_training_models,
            grid,
            seed,
        )
        for seed in seeds
    )
    splits, scores, curves = zip(*progress(trials), strict=True)
    area, qnc, peak = np.moveaxis(np.array(scores), -1, 0)
    return RouterComparison(
        routers=[*routers, *baselines],
        n_baselines=len(baselines),
        area=area,
        qnc=qnc,
        peak=peak,
        curves=np.array(curves),
        grid=grid,
        splits=list(splits),
        model_cost=model_costs,
        model_quality=np.nanmean(y, axis=0),
    )


def check_names(names: list[str]) -> None:
    """Refuse a comparison of nothing, and names that stand for two things."""
    twice = repeated(names)
    if twice or not names:
        raise ValueError(
            "a comparison needs routers and baselines of different names; got "
            f"{listing(names) or 'none'}."
        )


def check_labelled(
    X: ArrayLike | None, y: Any, costs: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check embeddings, quality and costs of a data set, and bring them into arrays."""
    if X is None:
        raise ValueError(
            "the data has no embeddings; add them to a table as columns x0, x1, ... (or, in a "
            "Parquet file, as lists in a column `embedding`), or as `data.X`."
        )
    if costs is None:
        raise ValueError(
            "the data has no costs, and routing trades quality for cost; add an array `costs`, a "
            "column `cost` of a long table, or columns '<model>|cost' of a wide one."
        )
    prompts: np.ndarray = check_array(X, dtype=FLOATS, input_name="X")
    labels = model_labels(y)
    quality = check_quality(y, n_prompts=len(prompts), labels=labels)
    labels = np.arange(quality.shape[1]) if labels is None else labels
    return prompts, quality, check_costs(costs, labels, quality=quality)


def check_comparable(
    y: np.ndarray,
    costs: np.ndarray,
    n_trials: int,
    n_validation: int | None,
    model_share: float,
    share_before_test: float,
) -> tuple[np.ndarray, int, int]:
    """Check that data can be split as a comparison asks for.

    Returns the mean cost of each model and the numbers of validation prompts and training models.
    """
    check_count(n_trials, "n_trials")
    model_costs = np.nanmean(np.atleast_2d(costs), axis=0)
    n_prompts = len(y)
    n_training_models = count_training_models(model_costs, model_share)
    if n_validation is None:
        n_validation = max(1, round(0.1 * n_prompts))
    check_count(n_validation, "n_validation")
    if n_validation >= share_before_test * n_prompts - 1:
        raise ValueError(
            f"`n_validation`={n_validation} leaves no training prompts: of {n_prompts} prompts, "
            f"{round((1 - share_before_test) * n_prompts)} are for testing; lower it or bring more "
            "prompts."
        )
    return model_costs, n_validation, n_training_models


def _run_trial(
    X: np.ndarray,
    y: np.ndarray,
    costs: np.ndarray,
    model_costs: np.ndarray,
    routers: Mapping[str, Any],
    baselines: Sequence[str],
    n_validation: int,
    n_training_models: int,
    grid: np.ndarray,
    seed: int,
) -> tuple[Split, list[list[float]], list[np.ndarray]]:
    rng = np.random.RandomState(seed)
    split = draw_split(rng, len(X), model_costs, n_validation, n_training_models)
    known, unseen = split.training_models, split.unseen_models
    y_known, training_costs = cells(y, costs, split.training, known)
    y_val, validation_costs = cells(y, costs, split.validation, unseen)
    y_test, test_costs = cells(y, costs, split.test, unseen)
    inputs = []
    # Sums in several threads would differ with their number, and with it the clusters.
    with threadpool_limits(1):
        for router in routers.values():
            router = clone(router).set_params(random_state=int(seed % 2**31))
            X_val = X[split.validation]
            router.fit(X[split.training], y_known, costs=training_costs, X_val=X_val)
            pool = add_unseen(router, y, costs, split.validation, unseen)
            inputs.append(router.curve_inputs(X[split.test], y_test, test_costs, pool, None))
    known_costs = np.nanmean(np.atleast_2d(validation_costs), axis=0)
    for baseline in baselines:
        error, routing_costs = baseline_inputs(
            baseline, y_val, y_test, test_costs, known_costs, rng
        )
        inputs.append((y_test, error, test_costs, routing_costs))
    scores, curves = [], []
    singles = [False] * len(routers) + [name == "best" for name in baselines]
    for single, (y_test, error, paid, routing_costs) in zip(singles, inputs, strict=True):
        score, heights = score_curve(y_test, error, paid, routing_costs, grid)
        if single:
            # A single model has no curve, and so no area.
            score[0] = np.nan
        scores.append(score)
        curves.append(heights)
    return split, scores, curves


def cost_grid(model_costs: np.ndarray) -> np.ndarray:
    """Choose costs at which curves are averaged over trials."""
    space = np.geomspace if is_wide(model_costs) else np.linspace
    return space(model_costs.min(), model_costs.max(), _GRID_SIZE)


def score_curve(
    y_true: np.ndarray,
    error: np.ndarray,
    costs: np.ndarray,
    routing_costs: np.ndarray | None,
    grid: np.ndarray,
) -> tuple[list[float], np.ndarray]:
    """Compute area, quality-neutral cost and peak of a curve, and its quality at some costs."""
    curve = check_curve_inputs(y_true, error, costs, routing_costs, sample_weight=None)
    metric = curve._asdict()
    score = [metric_of(**metric) for metric_of in _METRICS]
    cost, quality, _ = curve_points(*curve)
    # Where calls differ in cost, the average may fall between two points.
    heights = np.interp(grid, np.maximum.accumulate(cost), quality)
    return score, np.where(grid >= cost[0], heights, np.nan)
