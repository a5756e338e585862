"""Comparison of routers on models they have not seen, over repeated random splits.

The protocol is that of the paper [UR 6, F.1]: models are split into training and unseen ones and
prompts into training, validation and test prompts. A router is fitted on the training models and
prompts, takes in each unseen model from its errors on the validation prompts, and is scored on the
test prompts and the unseen models alone.
"""

from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t as student_t
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from sklearn_uniroute._curve import check_curve_inputs, curve_points, is_wide
from sklearn_uniroute._parameters import check_count
from sklearn_uniroute._splits import TEST_SHARE, Split, count_training_models, draw_split
from sklearn_uniroute.metrics import (
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)

# Costs at which curves are averaged over trials.
_GRID_SIZE = 300


class Comparison(NamedTuple):
    """Scores of routers over trials, each of shape (n_trials, n_routers).

    `curves` holds average qualities of shape (n_trials, n_routers, n_costs) at the costs `grid`,
    NaN below the cost of the cheapest unseen model.
    """

    routers: list[str]
    area: np.ndarray
    qnc: np.ndarray
    peak: np.ndarray
    curves: np.ndarray
    grid: np.ndarray
    splits: list[Split]


def compare(
    data,
    routers,
    *,
    n_trials,
    n_validation=None,
    model_share=2 / 3,
    n_jobs=None,
    random_state=0,
    progress=iter,
):
    """Compare routers over repeated random splits.

    Parameters
    ----------
    data : Bunch
        As the functions of `datasets` return it, with costs.
    routers : dict of str to router
        Unfitted routers by name.
    n_trials : int
        Number of splits.
    n_validation : int, default=None
        Number of validation prompts; a tenth of all prompts by default.
    model_share : float, default=2/3
        Share of the models to train on.
    n_jobs : int, default=None
        Number of processes, as in joblib. The numbers do not depend on it.
    random_state : int, default=0
        Seeds the splits and the routers.
    progress : callable, default=iter
        Wraps the iterator over finished trials.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the data has no embeddings or costs, all models have one cost, or there are too few
        prompts or models to split.
    """
    X, y = data.X, data.y
    model_costs, n_validation, n_training_models = check_comparable(
        data, n_trials, n_validation, model_share, 1 - TEST_SHARE
    )
    lowest, highest = model_costs.min(), model_costs.max()
    space = np.geomspace if is_wide(model_costs) else np.linspace
    grid = space(lowest, highest, _GRID_SIZE)
    # Each trial has a seed of its own, so that no trial depends on those before it.
    seeds = np.random.SeedSequence(random_state).generate_state(n_trials)
    trials = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_run_trial)(
            X, y, data.costs, model_costs, routers, n_validation, n_training_models, grid, seed
        )
        for seed in seeds
    )
    splits, scores, curves = zip(*progress(trials), strict=True)
    area, qnc, peak = np.moveaxis(np.array(scores), -1, 0)
    return Comparison(list(routers), area, qnc, peak, np.array(curves), grid, list(splits))


def mean_interval(values, confidence=0.95):
    """Mean over trials and half the width of its Student t interval; NaN for a single trial."""
    mean = values.mean(axis=0)
    if len(values) == 1:
        return mean, np.full_like(mean, np.nan)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return mean, student_t.ppf((1 + confidence) / 2, len(values) - 1) * error


def check_comparable(data, n_trials, n_validation, model_share, share_before_test):
    """Check that data can be split as a comparison asks for.

    Returns the mean cost of each model and the numbers of validation prompts and training models.
    """
    check_count(n_trials, "n_trials")
    if data.X is None:
        raise ValueError(
            "the data has no embeddings; add them to the table as columns x0, x1, ..., or as lists "
            "in a column `embedding`."
        )
    if data.costs is None:
        raise ValueError(
            "the data has no costs, and routing trades quality for cost; add an array `costs`, a "
            "column `cost` of a long table, or columns '<model>|cost' of a wide one."
        )
    model_costs = np.nanmean(np.atleast_2d(data.costs), axis=0)
    n_prompts = len(data.y)
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


def _run_trial(X, y, costs, model_costs, routers, n_validation, n_training_models, grid, seed):
    split = draw_split(
        np.random.RandomState(seed), len(X), model_costs, n_validation, n_training_models
    )
    known, unseen = split.training_models, split.unseen_models
    per_call = costs.ndim == 2
    training_costs = costs[np.ix_(split.training, known)] if per_call else costs[known]
    test_costs = costs[np.ix_(split.test, unseen)] if per_call else costs[unseen]
    y_test = y[np.ix_(split.test, unseen)]
    scores, curves = [], []
    # Sums in several threads would differ with their number, and with it the clusters.
    with threadpool_limits(1):
        for router in routers.values():
            router = clone(router).set_params(random_state=int(seed % 2**31))
            router.fit(
                X[split.training],
                y[np.ix_(split.training, known)],
                costs=training_costs,
                X_val=X[split.validation],
            )
            pool = len(known) + np.arange(len(unseen))
            for name, model in zip(pool, unseen, strict=True):
                cost = costs[split.validation, model] if per_call else costs[model]
                router.add_model(1 - y[split.validation, model], name=name, cost=cost)
            inputs = router._curve_inputs(X[split.test], y_test, test_costs, pool, None)
            names = ("y_true", "error_pred", "costs", "routing_costs")
            metric = dict(zip(names, inputs, strict=True))
            scores.append(
                [
                    deferral_area_score(**metric),
                    quality_neutral_cost(**metric),
                    peak_quality_score(**metric),
                ]
            )
            cost, quality, _ = curve_points(*check_curve_inputs(**metric, sample_weight=None))
            # Where calls differ in cost, the average may fall between two points.
            curve = np.interp(grid, np.maximum.accumulate(cost), quality)
            curves.append(np.where(grid >= cost[0], curve, np.nan))
    return split, scores, curves
