"""How many validation prompts a new model needs."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from sklearn_uniroute.model_selection._compare import check_comparable, check_labelled
from sklearn_uniroute.model_selection._split import (
    TEST_SHARE,
    TRAINING_SHARE,
    add_unseen,
    cells,
    draw_split,
)
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._statistics import mean_interval
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import check_count, check_enough


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


class FewShotCurveDisplay:
    """Picture of the area of unseen models against the number of validation prompts.

    Use :meth:`from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    n_validation : ndarray of shape (n_sizes,)
        Numbers of validation prompts.
    area : ndarray of shape (n_sizes, n_splits)
        Areas under the deferral curve.
    name : str, default=None
        Name of the curve in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure of the axes.
    line_ : matplotlib Line2D
        The means over the splits.
    fill_between_ : matplotlib PolyCollection
        Their 95 % intervals.

    See Also
    --------
    sklearn_uniroute.model_selection.few_shot_curve : Measures it.

    Examples
    --------
    >>> from sklearn_uniroute import FewShotCurveDisplay, KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=300, random_state=0)
    >>> display = FewShotCurveDisplay.from_estimator(
    ...     KMeansRouter(5), data.X, data.y, data.costs, n_validation=[10, 100], n_splits=3
    ... )
    >>> display.line_.get_label()
    'KMeansRouter'
    """

    def __init__(
        self, n_validation: np.ndarray, area: np.ndarray, *, name: str | None = None
    ) -> None:
        self.n_validation = n_validation
        self.area = area
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs,
        *,
        ax: Any = None,
        name: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
        **few_shot_params: Any,
    ) -> Self:
        """Measure and draw the curve of a router.

        Parameters
        ----------
        estimator : router
            Unfitted.
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like of shape (n_prompts, n_models)
            Quality of each model on each prompt.
        costs : array-like of shape (n_models,) or (n_prompts, n_models)
            Cost of each model, or of each call.
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones by default.
        name : str, default=None
            Name of the curve, by default that of the router's class.
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.
        **few_shot_params : dict
            Further parameters of :func:`sklearn_uniroute.model_selection.few_shot_curve`.

        Returns
        -------
        display : FewShotCurveDisplay
            The picture, with its axes in `ax_`.

        Raises
        ------
        ValueError
            For the reasons of :func:`sklearn_uniroute.model_selection.few_shot_curve`.
        """
        curve = few_shot_curve(estimator, X, y, costs, **few_shot_params)
        name = type(estimator).__name__ if name is None else name
        return cls(curve.n_validation, curve.area, name=name).plot(ax, curve_kwargs=curve_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw means over the splits and their 95 % intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones by default.
        name : str, default=None
            Name of the curve in the legend, by default the one stored.
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : FewShotCurveDisplay
            The picture, with its axes in `ax_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            _, ax = import_optional("matplotlib.pyplot", "plot").subplots()
        name = self.name if name is None else name
        mean, half_width = mean_interval(self.area.T)
        (self.line_,) = ax.plot(
            self.n_validation, mean, **{"marker": "o", "label": name, **(curve_kwargs or {})}
        )
        self.fill_between_ = ax.fill_between(
            self.n_validation,
            mean - half_width,
            mean + half_width,
            color=self.line_.get_color(),
            alpha=0.15,
        )
        ax.set_xscale("log")
        ax.set_xticks(self.n_validation, [str(number) for number in self.n_validation])
        ax.minorticks_off()
        ax.set(xlabel="Validation prompts per new model", ylabel="Area of unseen models")
        if name is not None:
            ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
