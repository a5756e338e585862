"""Routers that learn from the traffic that they serve: one model answers each prompt."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklearn_uniroute._numerics._exploration import Exploration
from sklearn_uniroute.routers._pool import replaced_at_once
from sklearn_uniroute.utils._logs import (
    check_call_costs,
    check_calls,
    check_chosen,
    check_feedback,
)
from sklearn_uniroute.utils._scales import warn_of_cost_scale, warn_of_error_scale
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import (
    check_count,
    check_pool,
    check_prompts,
    check_same_order,
    is_price,
)


def fades(router: Any) -> bool:
    """Whether evidence of the router can be made to count for less."""
    return bool(router._fades)


class TrafficMixin:
    """Ability of a router to learn from a log of served prompts."""

    models_: np.ndarray
    costs_: Any
    # Whether evidence is kept as sums, and whether costs of calls refine costs by cluster.
    _fades = False
    _learns_costs = False
    # Whether tables can explore.
    _can_draw = False
    _error_range: tuple[float, float]
    _update: Callable[[int, np.ndarray, np.ndarray], None]

    def update_from_log(
        self,
        X: ArrayLike,
        chosen: ArrayLike,
        errors: ArrayLike,
        *,
        costs: ArrayLike | None = None,
    ) -> Self:
        """Add evidence from served traffic, one row per call.

        The result is that of :meth:`update_model` for each model on the calls that it answered, in
        any order. A call that is reported twice counts twice.

        Parameters
        ----------
        X : array-like of shape (n_calls, n_features)
            Embedding of the prompt of each call.
        chosen : array-like of shape (n_calls,)
            Name of the model that answered.
        errors : array-like of shape (n_calls,)
            Error of the answer (0 = right, 1 = wrong). NaN where no feedback came back, which is no
            evidence.
        costs : array-like of shape (n_calls,), default=None
            Cost that was paid for each call, in the unit of the other costs. NaN where it was not
            recorded. It refines the costs by cluster, and needs ``cost_model="cluster"``. A call
            counts also if its error is NaN.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If lengths disagree, if a model is unknown, if `X` has other features than in `fit`, if
            rows with labels are in another order, if an error is infinite, if a cost is negative or
            infinite, or if the router does not learn costs by cluster. The router then keeps its
            state.

        Warns
        -----
        UserWarning
            If the errors of a model are beyond those of the training models, or if ten or more of
            its calls cost 30 times as much or as little as expected, or fewer 300 times. Qualities
            in place of errors do not show if both go from 0 to 1; see
            :func:`sklearn_uniroute.inspection.model_drift`.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=1000, n_models=3, random_state=0)
        >>> router = KMeansRouter(random_state=0)
        >>> router = router.fit(data.X[:500], data.y[:500], costs=data.costs)
        >>> X = data.X[500:]
        >>> chosen = router.predict(X, cost_weight=0.01)
        >>> errors = 1 - data.y[500:][range(500), chosen]
        >>> int(router.update_from_log(X, chosen, errors).pool_frame()["n_errors"].sum())
        2000
        """
        check_is_fitted(self)
        check_same_order(X=X, chosen=chosen, errors=errors, costs=costs)
        if _num_samples(X) == 0:
            # Nothing was served in a quiet hour.
            check_calls(chosen, 0, "chosen")
            check_calls(errors, 0, "errors")
            return self
        X = check_prompts(self, X)
        positions = check_chosen(chosen, self.models_, len(X), "chosen")
        errors = check_feedback(errors, len(X), "errors")
        if costs is not None:
            costs = check_call_costs(costs, len(X))
            check_learns_costs(self._learns_costs)
        with replaced_at_once(self) as updated:
            for position in np.unique(positions):
                rows = np.flatnonzero(positions == position)
                graded = rows[~np.isnan(errors[rows])]
                name = self.models_[position].item()
                if len(graded):
                    warn_of_error_scale(errors[graded], name, *self._error_range)
                    updated._update(position, errors[graded], X[graded])
                if costs is not None:
                    paid = rows[~np.isnan(costs[rows])]
                    if len(paid):
                        warn_of_cost_scale(costs[paid], name, float(self.costs_[position]))
                        updated._charge(position, costs[paid], X[paid])
        return self

    @available_if(fades)  # type: ignore[untyped-decorator]
    def decay(self, factor: float, models: Pool | None = None) -> Self:
        """Make past evidence count for less, because models change silently.

        All errors that are known of a model, also those of `fit`, count `factor` times as much as
        before. What was learned from the training models about others stays. After many calls, a
        router with ``representation="posterior"`` expects of the model what it expects of a new
        one, and one with means keeps its estimates until new errors outweigh them. `pool_frame`
        shows for how many errors the known ones count.

        Parameters
        ----------
        factor : float
            Above 0 and at most 1. With 0.998 for each served prompt of a model, say
            ``0.998 ** n_calls`` before a batch of calls, the last 500 prompts count most.
        models : sequence of model names, default=None
            Models whose evidence fades. By default, all.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If `factor` is not above 0 and at most 1, or if a model is unknown. The router then
            keeps its state.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=500, n_models=3, random_state=0)
        >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
        >>> router.decay(0.5, models=[2]).pool_frame()["n_errors"].tolist()
        [500, 500, 250]
        """
        check_is_fitted(self)
        check_factor(factor)
        index = check_pool(models, self.models_, argument="models")
        with replaced_at_once(self) as faded:
            for position in index:
                faded._fade(position, float(factor))
        return self

    def _exploration(self, index: np.ndarray, share: float, n_draws: int) -> Exploration:
        """Draw models at the positions `index` from their posterior."""
        raise NotImplementedError

    def _charge(self, position: int, costs: np.ndarray, X: np.ndarray) -> None:
        """Refine the costs by cluster of one model by the costs of calls."""
        raise NotImplementedError

    def _fade(self, position: int, factor: float) -> None:
        """Make the evidence of one model count for less."""
        raise NotImplementedError


def check_learns_costs(learns: bool) -> None:
    """Refuse costs of calls where they would change nothing."""
    if not learns:
        raise ValueError(
            "`costs` of calls refine costs by cluster, but this router has one price for each "
            "model; fit a router over clusters with cost_model='cluster' and costs of calls, or "
            "set prices with set_cost."
        )


def check_factor(factor: Any) -> None:
    """Check the factor by which evidence fades."""
    if not is_price(factor) or not 0 < factor <= 1:
        raise ValueError(f"`factor` must be above 0 and at most 1; got {factor!r}.")


def check_exploration(exploration: Any, n_draws: Any, can_draw: bool) -> None:
    """Check the share of the prompts that is routed by draws, and their number."""
    if not is_price(exploration) or exploration > 1:
        raise ValueError(f"`exploration` must be between 0 and 1; got {exploration!r}.")
    check_count(n_draws, "n_draws")
    if exploration and not can_draw:
        raise ValueError(
            "`exploration` needs a router with a posterior to draw from; use a router over "
            "clusters with representation='posterior', such as KMeansRouter."
        )
