"""Cross-validation over models and prompts, for routers that will meet new models."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits

from sklearn_uniroute.metrics._curve import has_range
from sklearn_uniroute.metrics._scorers import deferral_area_scorer
from sklearn_uniroute.model_selection._estimators import (
    add_unseen_by_choice,
    cells,
    fit_on_models,
    labelled_data,
    set_router_params,
)
from sklearn_uniroute.model_selection._split import DynamicPoolSplit, PoolFold
from sklearn_uniroute.utils._estimators import final_router
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import check_count, listing


def dynamic_cross_validate(
    estimator: Any,
    X: Any,
    y: ArrayLike | None = None,
    costs: Costs | None = None,
    *,
    param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    cv: Any = None,
    n_validation: int = 400,
    scoring: Callable[..., float] = deferral_area_scorer,
    n_jobs: int | None = None,
) -> dict[str, Any]:
    """Score settings of a router on models that it has not been fitted on.

    In each split, the router is fitted on the training models and training prompts, chooses its
    validation prompts among these, takes in each unseen model from its errors and costs there, and
    is scored on the test prompts: on the unseen models and, as the paper tunes, on the training
    models.

    Parameters
    ----------
    estimator : router, Pipeline or search
        Unfitted estimator that ends in a router.
    X : array-like of shape (n_prompts, n_features), sequence of length n_prompts, or mapping
        Prompts, in the form that the estimator takes. Or a mapping with `X`, `y` and `costs`, such
        as the functions of :mod:`sklearn_uniroute.datasets` return; `y` and `costs` are then left
        out.
    y : array-like or DataFrame of shape (n_prompts, n_models), default=None
        Quality of each model on each prompt; NaN where a model was not run. The routers know the
        models by number, also if the columns of a DataFrame name them.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Cost of each model, or of each call.
    param_grid : dict or list of dict, default=None
        Settings to try, as in :class:`sklearn.model_selection.GridSearchCV`. By default, the
        estimator as it is.
    cv : DynamicPoolSplit or iterable of PoolFold, default=None
        Splits. By default, ``DynamicPoolSplit(random_state=0)``.
    n_validation : int, default=400
        Number of validation prompts, if the splits do not set any aside. A router without a
        parameter `n_validation` gets this many random training prompts.
    scoring : DeferralScorer, default=deferral_area_scorer
        Scorer; see :func:`make_deferral_scorer`.
    n_jobs : int, default=None
        Number of processes, as in joblib. The scores do not depend on it.

    Returns
    -------
    cv_results : dict of str to ndarray or list
        Results in the form of :class:`sklearn.model_selection.GridSearchCV`, with one entry for
        each setting:

        - `params` and `param_...`;
        - `split0_test_score` and so on, `mean_test_score`, `std_test_score` and `rank_test_score`
          of the unseen models;
        - the same with `known` in place of `test`, of the training models. The score of a split is
          NaN if all its training models have the same cost, and does not enter the means;
        - `mean_fit_time`, `mean_add_time` and `mean_score_time`, in seconds.

    Raises
    ------
    ValueError
        If shapes or names disagree, if there are too few prompts or models to split, or if
        `param_grid` sets `n_validation`.
    TypeError
        If the estimator does not end in a router.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.1, tunes on
    training models.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import dynamic_cross_validate
    >>> data = make_routing_data(random_state=0)
    >>> router = KMeansRouter(representation="mean", random_state=0)
    >>> results = dynamic_cross_validate(
    ...     router, data.X, data.y, data.costs, param_grid={"n_clusters": [1, 8]}, n_validation=50
    ... )
    >>> results["params"][results["rank_test_score"].argmin()]
    {'n_clusters': 8}
    """
    check_count(n_validation, "n_validation")
    X, quality, paid = labelled_data(X, y, costs)
    final_router(estimator)
    cv = DynamicPoolSplit(random_state=0) if cv is None else cv
    folds = check_folds(cv, X, quality, paid)
    settings = list(ParameterGrid({} if param_grid is None else param_grid))
    check_settings(settings)
    tried = Parallel(n_jobs=n_jobs)(
        delayed(_try)(
            clone(estimator).set_params(**clone(setting, safe=False)),
            X,
            quality,
            paid,
            fold,
            n_validation,
            scoring,
        )
        for setting in settings
        for fold in folds
    )
    table = np.reshape(tried, (len(settings), len(folds), 5))
    return _cv_results(settings, table)


def _try(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    costs: np.ndarray,
    fold: PoolFold,
    n_validation: int,
    scoring: Callable[..., float],
) -> tuple[float, ...]:
    set_router_params(estimator, n_validation=n_validation)
    known, unseen = fold.training_models, fold.unseen_models
    # Sums in several threads would differ with their number, and with it the clusters.
    with threadpool_limits(1):
        start = perf_counter()
        fit_on_models(estimator, X, y, costs, fold.training, known)
        fitted = perf_counter()
        pools = [
            add_unseen_by_choice(estimator, X, y, costs, fold, n_validation),
            np.arange(len(known)),
        ]
        added = perf_counter()
        X_test = _safe_indexing(X, fold.test)
        scores = []
        for models, pool in zip((unseen, known), pools, strict=True):
            y_test, paid = cells(y, costs, fold.test, models)
            if models is known and not has_range(np.nanmean(np.atleast_2d(paid), axis=0)):
                # The training models have no trade-off to score, but the unseen models have.
                scores.append(np.nan)
            else:
                scores.append(scoring(estimator, X_test, y_test, costs=paid, pool=pool))
        scored = perf_counter()
    return *scores, fitted - start, added - fitted, scored - added


def _cv_results(settings: list[dict[str, Any]], table: np.ndarray) -> dict[str, Any]:
    """Bring scores and times of shape (n_settings, n_folds, 5) into the form of a search."""
    results: dict[str, Any] = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        values = np.ma.MaskedArray(np.empty(len(settings), dtype=object), mask=True)
        for number, setting in enumerate(settings):
            if name in setting:
                values[number] = setting[name]
        results[f"param_{name}"] = values
    results["params"] = settings
    for column, kind in enumerate(("test", "known")):
        scores = table[:, :, column]
        for fold in range(scores.shape[1]):
            results[f"split{fold}_{kind}_score"] = scores[:, fold]
        scored = scores[:, ~np.isnan(scores).all(axis=0)]
        if not scored.size:
            scored = np.full((len(settings), 1), np.nan)
        results[f"mean_{kind}_score"] = mean = scored.mean(axis=1)
        results[f"std_{kind}_score"] = scored.std(axis=1)
        falling = -np.nan_to_num(mean, nan=-np.inf)
        results[f"rank_{kind}_score"] = rankdata(falling, method="min").astype(np.int32)
    for column, step in enumerate(("fit", "add", "score"), start=2):
        results[f"mean_{step}_time"] = table[:, :, column].mean(axis=1)
    return results


def check_folds(cv: Any, X: Any, y: np.ndarray, costs: np.ndarray) -> list[Any]:
    """Collect the splits of models and prompts."""
    folds = cv
    if isinstance(cv, DynamicPoolSplit):
        folds = cv.split(X, y, costs)
    if not np.iterable(folds) or isinstance(folds, str):
        raise TypeError(f"`cv` must be a DynamicPoolSplit or a list of PoolFold; got {cv!r}.")
    folds = list(folds)
    if not folds or any(len(fold) not in {4, 5, 6} for fold in folds):
        raise ValueError(
            "`cv` must split prompts and models: pass a DynamicPoolSplit, or one PoolFold or more; "
            f"got {cv!r}."
        )
    return [PoolFold(*fold) for fold in folds]


def check_settings(settings: Iterable[Mapping[str, Any]]) -> None:
    """Refuse to search over a parameter that the evaluation sets."""
    names = {name for setting in settings for name in setting}
    taken = sorted(name for name in names if name.split("__")[-1] == "n_validation")
    if taken:
        raise ValueError(
            f"`param_grid` sets {listing(taken)}, which is the argument `n_validation` here; call "
            "this once for each number of validation prompts."
        )
