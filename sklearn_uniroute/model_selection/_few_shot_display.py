"""Picture of how many validation prompts a new model needs."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute.model_selection._few_shot_curve import few_shot_curve
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._statistics import mean_interval
from sklearn_uniroute.utils._typing import Costs


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
