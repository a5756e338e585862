"""How many validation prompts a new model needs: the curve and its picture."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Bunch, _safe_indexing
from threadpoolctl import threadpool_limits

from sklearn_uniroute.model_selection._estimators import (
    add_unseen_by_choice,
    cells,
    checked_cards,
    fit_on_models,
    labelled_data,
    set_router_params,
    uses_cards,
)
from sklearn_uniroute.model_selection._split import (
    TRAIN_SIZE,
    DynamicPoolSplit,
    PoolFold,
    split_seeds,
)
from sklearn_uniroute.utils._estimators import final_router, last_router
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._statistics import mean_interval
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import check_count, check_enough


def few_shot_curve(
    estimator: Any,
    X: Any,
    y: ArrayLike | None = None,
    costs: Costs | None = None,
    *,
    model_features: ArrayLike | str | None = None,
    n_validation: Iterable[int] = (25, 50, 100, 200, 400),
    n_splits: int = 10,
    model_share: float = 2 / 3,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> Bunch:
    """Measure how many validation prompts a new model needs.

    Each split divides the models into training and unseen models; 60 % of the prompts are for
    training and 30 % for testing. For each number of validation prompts, the router is fitted on
    the training models, chooses that many of the training prompts in its own way, takes in each
    unseen model from its errors on them, and is scored on the test prompts and the unseen models.

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
    model_features : array-like or DataFrame of shape (n_models, n_model_features), or \
            "log_cost", default=None
        Numbers on the cards of the models, as `fit` of routers over clusters takes them. Other
        routers do without.
    n_validation : sequence of int, default=(25, 50, 100, 200, 400)
        Numbers of validation prompts. A router without a parameter `n_validation` gets this many
        random training prompts. 0 adds models from their cards alone.
    n_splits : int, default=10
        Number of random splits. All estimators and numbers of prompts share the splits, so that
        differences are paired.
    model_share : float, default=2/3
        Share of the models to train on.
    n_jobs : int, default=None
        Number of processes, as in joblib. The numbers do not depend on it.
    random_state : int, default=0
        Seed for the splits and the routers.

    Returns
    -------
    curve : Bunch
        With `n_validation` of shape (n_sizes,) and `area` of shape (n_sizes, n_splits), the area
        under the deferral curve of the unseen models.

    Raises
    ------
    ValueError
        If there are too few prompts or models to split, if all models have the same cost, if an
        unseen model was run on none of the validation prompts of a split, or if there are 0
        validation prompts and the router knows no `model_features`.
    TypeError
        If the estimator does not end in a router.

    See Also
    --------
    sklearn_uniroute.FewShotCurveDisplay : Draws the curve.

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
    n_validation = list(n_validation)
    check_count(len(n_validation), "len(n_validation)")
    final_router(estimator)
    names_models = X.get("y") if y is None and isinstance(X, Mapping) else y
    X, quality, paid = labelled_data(X, y, costs)
    cards = checked_cards(model_features, names_models, paid, quality.shape[1])
    least = 0 if cards is not None and uses_cards(estimator) else 1
    cv = DynamicPoolSplit(
        n_splits, train_size=TRAIN_SIZE, model_share=model_share, random_state=random_state
    )
    folds = list(cv.split(X, quality, paid))
    for size in n_validation:
        check_count(size, "n_validation", least=least)
        check_enough(size, "n_validation", len(folds[0].training), "training prompts")
    areas = Parallel(n_jobs=n_jobs)(
        delayed(_areas)(estimator, X, quality, paid, n_validation, fold, int(seed), cards)
        for fold, seed in zip(folds, split_seeds(random_state, n_splits), strict=True)
    )
    return Bunch(n_validation=np.array(n_validation), area=np.array(areas).T)


def _areas(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    costs: np.ndarray,
    n_validation: list[int],
    fold: PoolFold,
    seed: int,
    cards: np.ndarray | None,
) -> list[float]:
    y_test, test_costs = cells(y, costs, fold.test, fold.unseen_models)
    areas = []
    with threadpool_limits(1):
        for size in n_validation:
            fitted = clone(estimator)
            set_router_params(fitted, n_validation=max(size, 1), random_state=seed % 2**31)
            fit_on_models(fitted, X, y, costs, fold.training, fold.training_models, cards)
            pool = add_unseen_by_choice(fitted, X, y, costs, fold, size, cards)
            router, X_test = last_router(fitted, _safe_indexing(X, fold.test))
            areas.append(router.score(X_test, y_test, test_costs, pool))
    return areas


class FewShotCurveDisplay:
    """Picture of the area of unseen models against the number of validation prompts.

    Use :meth:`from_estimator` to create a display. All parameters are stored as attributes.

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
        Means over the splits.
    fill_between_ : matplotlib PolyCollection
        95 % intervals of the means.

    See Also
    --------
    sklearn_uniroute.model_selection.few_shot_curve : Measures the curve.

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

    __module__ = "sklearn_uniroute"

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
        X: Any,
        y: ArrayLike | None = None,
        costs: Costs | None = None,
        *,
        ax: Any = None,
        name: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
        **few_shot_params: Any,
    ) -> Self:
        """Measure and draw the curve of a router.

        Parameters
        ----------
        estimator : router, Pipeline or search
            Unfitted estimator that ends in a router.
        X : array-like of shape (n_prompts, n_features), sequence, or mapping
            Prompts, or a mapping with `X`, `y` and `costs`.
        y : array-like or DataFrame of shape (n_prompts, n_models), default=None
            Quality of each model on each prompt.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Cost of each model, or of each call.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new ones.
        name : str, default=None
            Name of the curve. By default, the class of the router.
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.
        **few_shot_params : dict
            Further parameters of :func:`sklearn_uniroute.model_selection.few_shot_curve`.

        Returns
        -------
        display : FewShotCurveDisplay
            Display with its axes in `ax_`.

        Raises
        ------
        ValueError
            For the same reasons as :func:`sklearn_uniroute.model_selection.few_shot_curve`.
        """
        curve = few_shot_curve(estimator, X, y, costs, **few_shot_params)
        name = type(final_router(estimator)).__name__ if name is None else name
        return cls(curve.n_validation, curve.area, name=name).plot(ax, curve_kwargs=curve_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the means over the splits and their 95 % intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new ones.
        name : str, default=None
            Name of the curve in the legend. By default, the stored one.
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : FewShotCurveDisplay
            Display with its axes in `ax_`.

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
        # Curves that share the axes may have other numbers of prompts.
        shown = np.unique(np.concatenate([line.get_xdata() for line in ax.lines]).astype(int))
        if shown[0] == 0:
            ax.set_xscale("symlog", linthresh=max(shown[:2].max(), 1))
        else:
            ax.set_xscale("log")
        ax.set_xticks(shown, [str(number) for number in shown])
        ax.minorticks_off()
        ax.set(xlabel="Validation prompts per new model", ylabel="Area of unseen models")
        if name is not None:
            ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
