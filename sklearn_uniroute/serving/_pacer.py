"""Pacers: the cost weight of a table follows the spending."""

import json
from collections.abc import Iterable
from functools import lru_cache
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._predictors import OperatingPoint
from sklearn_uniroute.serving._decisions import Decision
from sklearn_uniroute.serving._routing_table import RoutingTable
from sklearn_uniroute.utils._files import read_whole, write_whole
from sklearn_uniroute.utils._typing import Label, StrPath
from sklearn_uniroute.utils._validation import is_price

# Change of the logarithm of the cost weight for each budget of one prompt that was overspent, and
# the part of it that stays with each call.
_GAIN, _LASTING = 0.1, 0.002
# Largest change of the logarithm of the cost weight from one call to the next.
_LARGEST_STEP = 0.5
# Budgets of so many prompts are remembered as debt or savings.
_REMEMBERED = 1000
# Steps by which the logarithm of the cost weight is rounded, and tables that are kept.
_STEP, _KEPT = 0.05, 64
# Least cost weight, in errors per range of prices, and largest one, in errors per gap between the
# cheapest price and the next. Prices that differ by less than a share of their range are the same.
_LEAST_WEIGHT, _MOST_WEIGHT, _SAME = 1e-4, 2, 1e-3
_FORMAT = 1
_STATE = ("budget", "log_weight", "last", "debt", "spent", "n_calls")


class BudgetPacer:
    """Routes such that the mean cost keeps to a budget, while traffic drifts.

    A table with a fixed cost weight spends more than planned when prompts get harder. The pacer
    raises the cost weight when more was spent than the budget of the calls so far, and lowers it
    when less was.

    Threads can share a pacer.

    Parameters
    ----------
    table : RoutingTable
        Table of a router with costs. Its cost weight is where the pacer starts; make it with the
        same `budget`.
    budget : float
        Mean cost per prompt to keep to, in the unit of the costs.

    Attributes
    ----------
    cost_weight : float
        Cost weight of the next decision.
    spent : float
        Sum of the costs so far.
    n_calls : int
        Number of decisions so far.

    See Also
    --------
    RoutingTable : Routes at a fixed cost weight.

    Notes
    -----
    The logarithm of the cost weight rises by 0.1 for each budget of one prompt that is overspent,
    and 0.002 of that stays for good with each call. It changes by at most 0.5 from one call to the
    next. Debts and savings are remembered up to the budget of 1000 prompts, so a cheap month does
    not pay for a dear one.

    Examples
    --------
    >>> from sklearn_uniroute import BudgetPacer, KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=3000, n_models=5, random_state=0)
    >>> router = KMeansRouter(random_state=0)
    >>> router = router.fit(data.X[:1000], data.y[:1000], costs=data.costs)
    >>> pacer = BudgetPacer(router.routing_table(budget=20), budget=20)
    >>> models = [pacer.route_logged(x).model for x in data.X[1000:]]
    >>> abs(pacer.spent / pacer.n_calls - 20) < 0.2
    True
    """

    __module__ = "sklearn_uniroute"

    def __init__(self, table: RoutingTable, budget: float) -> None:
        check_paced(table)
        self.budget = check_budget(budget, table)
        self.table = table
        prices = table._predictor.prices
        dearer = prices - prices.min()
        # Prices that hardly differ count as one.
        gap = dearer[dearer > _SAME * dearer.max()].min()
        self._ends = (
            float(np.log(_LEAST_WEIGHT / dearer.max())),
            float(np.log(_MOST_WEIGHT / gap)),
        )
        start = max(table.cost_weight, np.finfo(float).tiny)
        self._log_weight = self._last = float(np.clip(np.log(start), *self._ends))
        self._debt, self.spent, self.n_calls = 0.0, 0.0, 0
        self._lock = Lock()
        self._table_at = lru_cache(_KEPT)(self._made_table)

    def __repr__(self) -> str:
        return f"<BudgetPacer of budget {self.budget:g} after {self.n_calls} calls>"

    @property
    def cost_weight(self) -> float:
        return float(np.exp(self._step() * _STEP))

    def route_logged(
        self,
        x: ArrayLike,
        *,
        exclude: Iterable[Label] = (),
        eligible: Any = None,
        request_id: str | None = None,
    ) -> Decision:
        """Choose a model for one prompt, and count its predicted cost as spent.

        Parameters
        ----------
        x : array-like or Series of shape (n_features,)
            Embedding of the prompt.
        exclude : iterable of model names, default=()
            Models not to choose.
        eligible : array-like of bool, mapping, Series or iterable of model names, default=None
            Models that may be chosen, as for the table's :meth:`~RoutingTable.route`.
        request_id : str, default=None
            Id by whose hash a table that explores does so, by default the prompt.

        Returns
        -------
        decision : Decision
            As of the table's :meth:`~RoutingTable.route_logged`.

        Raises
        ------
        ValueError, TypeError
            As the table's :meth:`~RoutingTable.route_logged`.
        """
        table = self._table_at(self._step())
        decision = table.route_logged(x, exclude=exclude, eligible=eligible, request_id=request_id)
        self._spend(decision.predicted_cost, n_calls=1)
        return decision

    def settle(self, decision: Decision, cost: float) -> None:
        """Replace the predicted cost of a call by the cost that was paid, once for each call.

        Parameters
        ----------
        decision : Decision
            Decision of this pacer.
        cost : float
            Cost of the call.

        Raises
        ------
        ValueError
            If `cost` is not finite and at least 0.
        """
        if not is_price(cost):
            raise ValueError(f"`cost` must be finite and at least 0; got {cost!r}.")
        self._spend(float(cost) - float(decision.predicted_cost or 0.0), n_calls=0)

    def save(self, path: StrPath) -> None:
        """Write the state to a small JSON file.

        Parameters
        ----------
        path : str or path-like
            Path of the file. An existing file is replaced.
        """
        with self._lock:
            values = (self.budget, self._log_weight, self._last, self._debt, self.spent)
            state = dict(zip(_STATE, (*values, self.n_calls), strict=True))
        write_whole(path, json.dumps({"format": _FORMAT, **state}, indent=1).encode())

    @classmethod
    def load(cls, path: StrPath, table: RoutingTable) -> Self:
        """Go on from a saved state, with the same table or a newer one.

        Parameters
        ----------
        path : str or path-like
            File written by :meth:`save`.
        table : RoutingTable
            Table to route by.

        Returns
        -------
        pacer : BudgetPacer

        Raises
        ------
        ValueError
            If the file holds no state of a pacer.
        """
        try:
            state = json.loads(read_whole(path))
            if state.pop("format") != _FORMAT:
                raise ValueError("its format is unknown")
            values = {name: state[name] for name in _STATE}
            if any(type(value) not in (int, float) for value in values.values()):
                raise ValueError("it holds other things than numbers")
            if not np.isfinite(list(values.values())).all() or values["n_calls"] < 0:
                raise ValueError("its numbers are out of range")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no state of a BudgetPacer ({error}); start a new one."
            ) from error
        pacer = cls(table, values["budget"])
        pacer._log_weight = float(np.clip(values["log_weight"], *pacer._ends))
        pacer._last = float(np.clip(values["last"], *pacer._ends))
        pacer._debt, pacer.spent = values["debt"], values["spent"]
        pacer.n_calls = int(values["n_calls"])
        return pacer

    def _step(self) -> int:
        """Logarithm of the cost weight, rounded, in steps."""
        return round(self._last / _STEP)

    def _made_table(self, step: int) -> RoutingTable:
        """Make the table at a cost weight."""
        one: Any = self.table
        explorer = one._explorer
        table = RoutingTable(
            one._predictor,
            one._names,
            pool=one.models,
            has_costs=True,
            operating_point=OperatingPoint(float(np.exp(step * _STEP))),
            feature_names=one.feature_names,
            clusters=one._clusters_seen,
            known=one._known,
            exploration=None if explorer is None else explorer.exploration,
            embedder=one.embedder,
            fingerprint=one.fingerprint,
        )
        # Decisions name the table that was published. To hash another one would take milliseconds.
        vars(table)["version"] = one.version
        return table

    def _spend(self, cost: Any, n_calls: int) -> None:
        """Count costs, and move the cost weight."""
        low, high = self._ends
        with self._lock:
            self.spent += cost
            self.n_calls += n_calls
            debt = self._debt + cost / self.budget - n_calls
            self._debt = float(np.clip(debt, -_REMEMBERED, _REMEMBERED))
            if not n_calls:
                return
            aim = self._log_weight + _GAIN * self._debt
            # At the ends of the cost weight, more debt or savings change nothing that lasts.
            if low < aim < high:
                self._log_weight += _GAIN * _LASTING * self._debt
            aim = np.clip(aim, self._last - _LARGEST_STEP, self._last + _LARGEST_STEP)
            self._last = float(np.clip(aim, low, high))


def check_paced(table: Any) -> None:
    """Refuse a table whose spending cannot be paced."""
    if not isinstance(table, RoutingTable):
        raise TypeError(f"`table` must be a RoutingTable; got {table!r}.")
    if table.costs is None or not np.ptp(table.costs) > 0:
        raise ValueError(
            "`table` needs models of different costs; fit the router with `costs` before making "
            "the table."
        )


def check_budget(budget: Any, table: RoutingTable) -> float:
    """Check that the cheapest model keeps to the budget."""
    cheapest = float(np.min(table.costs))  # type: ignore[arg-type]
    if not is_price(budget) or not float(budget) > cheapest:
        raise ValueError(
            f"`budget` must be a finite number above {cheapest:g}, the mean cost of the cheapest "
            f"model; got {budget!r}."
        )
    return float(budget)
