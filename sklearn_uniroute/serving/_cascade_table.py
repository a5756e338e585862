"""The request path of a cascade."""

import math
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._cascade import Beliefs, first_beliefs, next_calls, revise
from sklearn_uniroute.serving._requests import check_excluded, check_prompt, positions_left
from sklearn_uniroute.serving._routing_table import RoutingTable
from sklearn_uniroute.utils._typing import Label

_NONE: tuple[Label, ...] = ()


class CascadeTable:
    """Cascade for the request path: it never changes, and keeps nothing between two steps.

    Made by the method `routing_table` of a :class:`CascadeRouter`. A step is a dict that can be
    written as JSON, so that a request may go on in another process. Any number of threads may use a
    table at the same time.

    Attributes
    ----------
    models : tuple of str or int
        Names of the models of the pool.
    cost_weight : float
        Error that one unit of cost is worth.
    max_calls : int
        Maximum number of models that are asked for a prompt.
    version : str
        Hash of all that decides choices. Steps of one version cannot go on in another.

    See Also
    --------
    CascadeRouter.routing_table : Creates a table.
    RoutingTable : Tables of routers, which ask one model.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_uniroute import CascadeRouter, KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=1000, n_models=5, random_state=0)
    >>> scores = data.y + np.random.RandomState(0).normal(scale=0.5, size=data.y.shape)
    >>> cascade = CascadeRouter(KMeansRouter(random_state=0))
    >>> table = cascade.fit(data.X, data.y, data.costs, scores=scores).routing_table(
    ...     cost_weight=0.005
    ... )
    >>> step = table.first(data.X[0])
    >>> while step["ask"] is not None:
    ...     score = scores[0, step["ask"]] if step["check"] else None
    ...     step = table.next(step, score)
    >>> step["keep"] in step["asked"]
    True
    """

    __module__ = "sklearn_uniroute"

    models: tuple[Label, ...]
    cost_weight: float
    max_calls: int
    version: str
    _names: tuple[Label, ...]
    _table: RoutingTable
    _shifts: dict[Label, float]
    _positions: dict[Label, int]
    _quality_range: tuple[float, float]
    # Arguments of `next_calls`; None if scores say nothing.
    _policy: Mapping[str, Any] | None

    def __init__(
        self,
        table: RoutingTable,
        *,
        policy: Mapping[str, Any] | None,
        shifts: Mapping[Label, float],
        quality_range: tuple[float, float],
        max_calls: int,
    ) -> None:
        vars(self).update(
            models=table.models,
            version=fingerprint(table, policy, dict(shifts), quality_range, max_calls),
            cost_weight=table.cost_weight,
            max_calls=max_calls,
            _table=table,
            _shifts=dict(shifts),
            _names=table._names,
            _positions={model: place for place, model in enumerate(table._names)},
            _quality_range=quality_range,
            _policy=policy,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a CascadeTable never changes; cannot set {name!r}.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a CascadeTable never changes; cannot delete {name!r}.")

    def __repr__(self) -> str:
        return (
            f"<CascadeTable of {len(self.models)} models, max_calls={self.max_calls}, "
            f"cost_weight={self.cost_weight:g}>"
        )

    def first(self, x: ArrayLike, *, exclude: Iterable[Label] = _NONE) -> dict[str, Any]:
        """Choose the model to ask first.

        Parameters
        ----------
        x : array-like or Series of shape (n_features,)
            Embedding of the prompt.
        exclude : iterable of model names, default=()
            Models not to ask, for example because they are down.

        Returns
        -------
        step : dict
            What to do next, as JSON can hold it:

            - `ask`: name of the model to ask; None if an answer is to be kept;
            - `check`: whether a check of its answer pays;
            - `keep`: name of the model whose answer is to be kept; None if a model is to be asked;
            - `asked`: names of the models that were asked;
            - `table`: `version` of the table;
            - further numbers, from which :meth:`next` goes on.

        Raises
        ------
        ValueError
            If `x` is not one finite number per feature, if `exclude` has an unknown name, or if no
            model is left.
        """
        table = self._table
        x = check_prompt(x, table._shape, table.feature_names)
        excluded = check_excluded(exclude, self._positions)
        if self._policy is None:
            ask = table.route(x, exclude=[self._names[place] for place in excluded])
            return {**_NOTHING, "ask": ask, "asked": [], "table": self.version}
        left = positions_left(self._names, excluded)
        if left is None:
            error, costs = table._predictor.terms(x[None])
        else:
            error, costs = table._predictor.terms_without(x[None], left)
        low, high = self._quality_range
        beliefs = first_beliefs((1 - error - low) / (high - low or 1.0))
        beliefs.free[0, excluded] = False
        return self._decide(beliefs, np.broadcast_to(costs, error.shape), [])

    def next(self, step: Mapping[str, Any], score: float | None = None) -> dict[str, Any]:
        """Choose the model to ask next, or the answer to keep.

        Parameters
        ----------
        step : mapping
            Step that :meth:`first` or this method returned, whose model was asked since.
        score : float, default=None
            Score of its answer. None or NaN if it was not checked.

        Returns
        -------
        step : dict
            What to do next, as for :meth:`first`.

        Raises
        ------
        ValueError
            If `step` is of another table, if it asks no model, or if `score` is infinite.
        """
        model, place = check_step(step, self._positions, self.version)
        score = math.nan if score is None else float(score)
        if math.isinf(score):
            raise ValueError("`score` is infinite; pass a finite score, or None for no check.")
        asked = [*step["asked"], model]
        if self._policy is None:
            return {**_NOTHING, "keep": model, "asked": asked, "table": self.version}
        beliefs = Beliefs(*(np.array([step[name]]) for name in Beliefs._fields))
        evidence = self._policy["evidence"]
        bins = evidence.bins(np.array([score - self._shifts.get(model, 0.0)]))
        beliefs = revise(beliefs, np.array([place]), bins, evidence, self._policy["correlation"])
        return self._decide(beliefs, np.array([step["costs"]]), asked)

    def _decide(self, beliefs: Beliefs, costs: np.ndarray, asked: list[Label]) -> dict[str, Any]:
        n_left, ask, check = self.max_calls - len(asked), None, False
        if n_left > 0 and beliefs.free.any() and self._policy is not None:
            call, checks = next_calls(beliefs, costs, n_left, **self._policy)
            if call[0] >= 0:
                ask, check = self._names[call[0]], bool(checks[0])
        return {
            "ask": ask,
            "check": check,
            "keep": self._names[beliefs.kept[0]] if ask is None else None,
            "asked": asked,
            "table": self.version,
            "costs": costs[0].tolist(),
            **{name: part[0].tolist() for name, part in beliefs._asdict().items()},
        }


# Of steps by a router alone.
_NOTHING = {"ask": None, "check": False, "keep": None}


def check_step(
    step: Mapping[str, Any], positions: dict[Label, int], version: str
) -> tuple[Label, int]:
    """Check a step that goes on; returns the model that was asked and its position."""
    if not isinstance(step, Mapping) or "ask" not in step:
        raise ValueError(f"`step` must be a step that `first` or `next` returned; got {step!r}.")
    if step.get("table") != version:
        raise ValueError(
            f"`step` is of another table, {step.get('table')!r}; go on with the table that it came "
            "from, or start again with `first`."
        )
    model = step["ask"]
    if model is None:
        raise ValueError(
            f"`step` asks no model: the answer of {step.get('keep')!r} is to be kept; start again "
            "with `first`."
        )
    if model not in positions:
        raise ValueError(f"`step` asks model {model!r}, which this table does not know.")
    return model, positions[model]


def fingerprint(
    table: RoutingTable,
    policy: Mapping[str, Any] | None,
    shifts: dict[Label, float],
    quality_range: tuple[float, float],
    max_calls: int,
) -> str:
    """Hash all that decides the choices of a cascade."""
    shifted = [shifts.get(model, 0.0) for model in table._names]
    known = [table._names, table.cost_weight, table.version, shifted, quality_range, max_calls]
    arrays = [table._predictor.prices]
    if policy is not None:
        known += [value for name, value in sorted(policy.items()) if name != "evidence"]
        arrays += [np.asarray(part) for part in policy["evidence"]]
    digest = sha256(repr(known).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]
