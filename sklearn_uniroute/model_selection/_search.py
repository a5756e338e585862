"""Cross-validation over models and prompts at once, for routers that are to meet new models."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_random_state, indexable
from threadpoolctl import threadpool_limits

from sklearn_uniroute.metrics._curve import has_range, model_means
from sklearn_uniroute.metrics._scorers import deferral_area_scorer
from sklearn_uniroute.model_selection._split import (
    add_unseen,
    cells,
    check_enough_prompts,
    count_training_models,
    draw_models,
)
from sklearn_uniroute.utils._typing import Costs, RandomState
from sklearn_uniroute.utils._validation import (
    check_costs,
    check_count,
    check_open_share,
    check_quality,
    listing,
    model_labels,
)


class PoolFold(NamedTuple):
    """Positions of prompts and models in one split."""

    training: np.ndarray
    test: np.ndarray
    training_models: np.ndarray
    unseen_models: np.ndarray


class DynamicPoolSplit:
    """Split prompts and models at random into those to train on and those to test on.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.
    test_size : float, default=0.3
        Share of the prompts to test on.
    model_share : float, default=2/3
        Share of the models to train on; the others are unseen. At least two are, not all of one
        mean cost.
    random_state : int, RandomState instance or None, default=None
        Seeds the splits.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import DynamicPoolSplit
    >>> data = make_routing_data(n_prompts=10, n_models=6, random_state=0)
    >>> for fold in DynamicPoolSplit(2, random_state=0).split(data.X, data.y, data.costs):
    ...     print(fold.test, fold.unseen_models)
    [2 8 4] [0 4]
    [5 2 3] [0 1]
    """

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: float = 0.3,
        model_share: float = 2 / 3,
        random_state: RandomState = None,
    ) -> None:
        self.n_splits = n_splits
        self.test_size = test_size
        self.model_share = model_share
        self.random_state = random_state

    def split(self, X: Any, y: ArrayLike, costs: Costs) -> Iterator[PoolFold]:
        """Draw the splits.

        Parameters
        ----------
        X : sequence of length n_prompts
            Prompts.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Quality of each model on each prompt; NaN where a model was not run.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame
            Cost of each model, or of each call.

        Yields
        ------
        fold : PoolFold
            `training` and `test` rows of the prompts; `training_models` and `unseen_models`,
            columns of `y`.

        Raises
        ------
        ValueError
            If there are too few prompts or models, or all models have one cost.
        """
        check_count(self.n_splits, "n_splits")
        check_open_share(self.test_size, "test_size")
        labels = model_labels(y)
        indexable(X, y)
        y = check_quality(y, labels=labels)
        n_prompts, n_models = y.shape
        costs = check_costs(costs, np.arange(n_models) if labels is None else labels, quality=y)
        model_costs = model_means(costs, np.ones(n_prompts))
        n_training_models = count_training_models(model_costs, self.model_share)
        n_test = round(self.test_size * n_prompts)
        check_enough_prompts(n_test, n_prompts)
        rng = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            test, training = np.split(rng.permutation(n_prompts), [n_test])
            known, unseen, _ = draw_models(rng, model_costs, n_training_models)
            yield PoolFold(training, test, known, unseen)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Get the number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not used.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        return self.n_splits


def dynamic_cross_validate(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    costs: Costs,
    *,
    param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    cv: Any = None,
    n_validation: int = 400,
    scoring: Callable[..., float] = deferral_area_scorer,
    n_jobs: int | None = None,
) -> dict[str, Any]:
    """Score settings of a router on models that it has not been fitted on.

    In each split the router is fitted on the training models and training prompts, chooses its
    validation prompts among these, takes in each unseen model from its errors and costs there, and
    is scored on the test prompts: on the unseen models and, as the paper tunes, on the training
    models.

    Parameters
    ----------
    estimator : router or Pipeline
        Unfitted.
    X : array-like of shape (n_prompts, n_features) or sequence of length n_prompts
        What the estimator takes.
    y : array-like or DataFrame of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN where a model was not run.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call.
    param_grid : dict or list of dict, default=None
        Settings to try, as in :class:`sklearn.model_selection.GridSearchCV`; by default the
        estimator as it is.
    cv : DynamicPoolSplit or iterable of PoolFold, default=None
        The splits, by default ``DynamicPoolSplit(random_state=0)``.
    n_validation : int, default=400
        Number of validation prompts.
    scoring : DeferralScorer, default=deferral_area_scorer
        What to score by; see :func:`make_deferral_scorer`.
    n_jobs : int, default=None
        Number of processes, as in joblib. The scores do not depend on it.

    Returns
    -------
    cv_results : dict of str to ndarray or list
        As that of a :class:`sklearn.model_selection.GridSearchCV`, with an entry for each setting:
        `params`, `param_...`; `split0_test_score` and so on, `mean_test_score`, `std_test_score`
        and `rank_test_score`, of the unseen models; the same with `known` instead of `test`, of
        the training models, NaN in splits where these are all of one cost, which means and
        deviations leave out; and `mean_fit_time`, `mean_add_time` and `mean_score_time`, in
        seconds.

    Raises
    ------
    ValueError
        If shapes or names disagree, there are too few prompts or models to split, or `param_grid`
        sets `n_validation`.

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
    indexable(X, y)
    labels = model_labels(y)
    quality = check_quality(y, labels=labels)
    costs = check_costs(
        costs, np.arange(quality.shape[1]) if labels is None else labels, quality=quality
    )
    cv = DynamicPoolSplit(random_state=0) if cv is None else cv
    folds = check_folds(cv, X, quality, costs)
    settings = list(ParameterGrid({} if param_grid is None else param_grid))
    check_settings(settings)
    tried = Parallel(n_jobs=n_jobs)(
        delayed(_try)(
            clone(estimator).set_params(**clone(setting, safe=False)),
            X,
            quality,
            costs,
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
    router = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    router.set_params(n_validation=n_validation)
    known, unseen = fold.training_models, fold.unseen_models
    # Sums in several threads would differ with their number, and with it the clusters.
    with threadpool_limits(1):
        start = perf_counter()
        y_known, paid = cells(y, costs, fold.training, known)
        estimator.fit(_safe_indexing(X, fold.training), y_known, **_fit_params(estimator, paid))
        fitted = perf_counter()
        run = fold.training[router.validation_indices_]
        pools = [add_unseen(router, y, costs, run, unseen), np.arange(len(known))]
        added = perf_counter()
        X_test = _safe_indexing(X, fold.test)
        scores = []
        for models, pool in zip((unseen, known), pools, strict=True):
            y_test, paid = cells(y, costs, fold.test, models)
            if models is known and not has_range(router.costs_[pool]):
                # Of these there is no trade-off to score, but of the unseen models there is.
                scores.append(np.nan)
            else:
                scores.append(scoring(estimator, X_test, y_test, costs=paid, pool=pool))
        scored = perf_counter()
    return *scores, fitted - start, added - fitted, scored - added


def _fit_params(estimator: Any, costs: np.ndarray) -> dict[str, np.ndarray]:
    """Name the costs as the estimator's fit takes them."""
    if isinstance(estimator, Pipeline) and not get_config()["enable_metadata_routing"]:
        return {f"{estimator.steps[-1][0]}__costs": costs}
    return {"costs": costs}


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
    """Get the splits of models and prompts."""
    folds = cv
    if hasattr(cv, "get_n_splits"):
        folds = cv.split(X, y, costs)
    if not np.iterable(folds) or isinstance(folds, str):
        raise TypeError(f"`cv` must be a DynamicPoolSplit or a list of PoolFold; got {cv!r}.")
    folds = list(folds)
    if not folds or any(len(fold) != 4 for fold in folds):
        raise ValueError(
            "`cv` must split prompts and models: pass a DynamicPoolSplit, or one PoolFold or more; "
            f"got {cv!r}."
        )
    return folds


def check_settings(settings: Iterable[Mapping[str, Any]]) -> None:
    """Refuse settings of what the evaluation itself sets."""
    names = {name for setting in settings for name in setting}
    taken = sorted(name for name in names if name.split("__")[-1] == "n_validation")
    if taken:
        raise ValueError(
            f"`param_grid` sets {listing(taken)}, which is the argument `n_validation` here; call "
            "this once for each number of validation prompts."
        )
