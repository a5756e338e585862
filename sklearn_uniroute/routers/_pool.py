"""The pool of a fitted router: adding, updating, pricing and removing models."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    FLOATS,
    _is_price,
    check_new_name,
    check_validation_prompts,
    find_model,
)


class PoolMixin:
    """Changes of the pool of a fitted router.

    What is known of the models stands in arrays with one row per model: `models_`, `costs_` and
    those that the router names in `_evidence_arrays`; large rows stand in a list. A change makes
    new arrays, so that whoever holds the old ones is not disturbed.
    """

    models_: np.ndarray
    costs_: Any
    X_val_: np.ndarray
    # Whether models were added or removed since the router was fitted.
    _pool_changed = False
    _evidence_arrays: tuple[str, ...]
    _evidence: Callable[..., dict[str, Any]]
    _cost_rows: Callable[..., dict[str, Any]]
    _repriced_rows: Callable[..., dict[str, Any]]

    def add_model(
        self,
        val_errors: ArrayLike,
        *,
        name: Label | None = None,
        cost: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        replace: bool = False,
    ) -> Self:
        """Add a model from its errors on a few prompts, without retraining anything.

        Parameters
        ----------
        val_errors : array-like of shape (n_validation_prompts,)
            The model's errors (0 = right, 1 = wrong) on the prompts `X_val_`, or on `X_val`; NaN
            where it was not run.
        name : str or int, default=None
            The model's name. It may be left out where models go by number: the next one is taken.
        cost : float or array-like of shape (n_validation_prompts,), default=None
            The model's mean cost per prompt, or what each call cost, NaN where it was not run; in
            the unit of the other costs. Required where the router has costs.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            The prompts that the model was run on, where they are not `X_val_`; of the same
            features as those that `fit` was given, so after the transformers of a pipeline.
        replace : bool, default=False
            Whether a known model of that name is to be forgotten first.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the name is missing or taken, the cost is missing, negative or not finite, or
            `val_errors` or `cost` does not fit the prompts. The router then stays as it was.
        TypeError
            If the name is of another kind than those of the other models.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 10 and 12.
        """
        check_is_fitted(self)
        name = check_new_name(name, self.models_)
        if not replace:
            check_not_known(name, self.models_)
        val_errors, X_val = self._check_evidence(val_errors, X_val)
        has_costs = self.costs_ is not None
        cost = check_cost(cost, name, has_costs=has_costs, val_errors=val_errors)
        rows = self._evidence(val_errors, X_val, position=None)
        if name in self.models_.tolist():
            position = find_model(name, self.models_)
        else:
            position = len(self.models_)
        rows = {**rows, **self._cost_rows(cost, X_val), "models_": name}
        self._put_rows(rows, position)
        return self

    def update_model(
        self, name: Label, val_errors: ArrayLike, *, X_val: ArrayLike | None = None
    ) -> Self:
        """Add evidence on a known model.

        Parameters
        ----------
        name : str or int
            The model.
        val_errors : array-like of shape (n_validation_prompts,)
            Further errors, on the prompts `X_val_`, or on `X_val`; NaN where the model was not
            run. They count beside what is known already: a prompt that is reported twice counts
            twice.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            The prompts that the model was run on, where they are not `X_val_`.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the model is unknown, or `val_errors` does not fit the prompts. The router then
            stays as it was.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        val_errors, X_val = self._check_evidence(val_errors, X_val)
        self._put_rows(self._evidence(val_errors, X_val, position=position), position)
        return self

    def set_cost(self, name: Label, cost: float) -> Self:
        """Change the price of a model.

        Parameters
        ----------
        name : str or int
            The model.
        cost : float
            Its mean cost per prompt from now on, in the unit of the other costs. Where the router
            tells the costs of prompts apart, all of the model's change in proportion.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the model is unknown, the cost is negative or not finite, or the router was fitted
            without costs. The router then stays as it was.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        price = check_cost(cost, name, has_costs=self.costs_ is not None)
        if price is None:
            raise ValueError(
                f"this router was fitted without costs, so that model {name!r} has none to change; "
                "fit it with `costs`."
            )
        self._put_rows(self._repriced_rows(price, position), position)
        return self

    def remove_model(self, name: Label) -> Self:
        """Forget a model.

        Parameters
        ----------
        name : str or int
            The model.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the model is unknown, the only one, or the one to fall back to. The router then
            stays as it was.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        self._check_removal(name)
        arrays = {}
        for array in ("models_", "costs_", *self._evidence_arrays):
            rows = getattr(self, array)
            if isinstance(rows, list):
                arrays[array] = [*rows[:position], *rows[position + 1 :]]
            elif rows is not None:
                arrays[array] = np.delete(rows, position, axis=0)
        vars(self).update(arrays, _pool_changed=True)
        self._drop_unused()
        return self

    def _drop_unused(self) -> None:
        """Forget what only removed models needed."""

    def _check_removal(self, name: Label) -> None:
        check_removable(name, self.models_)

    def _check_evidence(
        self, val_errors: ArrayLike, X_val: ArrayLike | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if X_val is not None:
            X_val = check_validation_prompts(self, X_val)
        prompts = self.X_val_ if X_val is None else X_val
        errors = check_val_errors(val_errors, len(prompts), own_prompts=X_val is not None)
        return errors, X_val

    def _put_rows(self, rows: dict[str, Any], position: int) -> None:
        """Set one model's row, in copies of the arrays that have one row per model."""
        arrays = {}
        for name, row in rows.items():
            array = getattr(self, name)
            if isinstance(array, list):
                array = [*array[:position], row, *array[position + 1 :]]
            elif position == len(array):
                array = np.concatenate([array, [row]])
            else:
                array = array.copy()
                array[position] = row
            arrays[name] = array
        changed = self._pool_changed or "models_" in rows
        vars(self).update(arrays, _pool_changed=changed)


def check_val_errors(val_errors: Any, n_prompts: int, *, own_prompts: bool) -> np.ndarray:
    """Check one model's errors on its validation prompts; NaN marks prompts that were not run."""
    prompts = "`X_val`" if own_prompts else "the router's validation prompts `X_val_`"
    if np.ndim(val_errors) != 1 or len(val_errors) != n_prompts:
        raise ValueError(
            f"`val_errors` must be one error per row of {prompts}, of shape ({n_prompts},); got "
            f"shape {np.shape(val_errors)}. Put NaN where the model was not run."
        )
    checked: np.ndarray = check_array(
        val_errors,
        dtype=FLOATS,
        ensure_2d=False,
        ensure_all_finite="allow-nan",
        input_name="val_errors",
    )
    if np.isnan(checked).all():
        raise ValueError(
            "`val_errors` is NaN throughout: nothing is known of this model; run it on at least "
            f"one of {prompts}."
        )
    return checked


def check_not_known(name: Label, models: np.ndarray) -> None:
    """Refuse to overwrite a model by accident."""
    if name in models.tolist():
        raise ValueError(
            f"model {name!r} is known already; pass replace=True to start it afresh, or call "
            "update_model to add evidence."
        )


def check_removable(name: Label, models: np.ndarray) -> None:
    """Refuse to leave a router without models."""
    if len(models) == 1:
        raise ValueError(
            f"model {name!r} is the only one of this router; add another before removing it."
        )


def check_cost(
    cost: Any, name: Label, *, has_costs: bool, val_errors: np.ndarray | None = None
) -> float | np.ndarray | None:
    """Check the price of one model: required where the others have one, refused where not.

    With `val_errors`, the cost may also be an array of what each of these calls cost.
    """
    if has_costs and cost is None:
        raise ValueError(
            f"`cost` of model {name!r} is missing: the other models of this router have costs, and "
            "a missing price would count as free; pass one."
        )
    if not has_costs and cost is not None:
        raise ValueError(
            f"`cost` was given for model {name!r}, but this router was fitted without costs; fit "
            "it with `costs`, or leave `cost` out."
        )
    if cost is None:
        return None
    if val_errors is not None and np.ndim(cost) > 0:
        return _check_calls(cost, name, val_errors)
    if not _is_price(cost):
        calls = "" if val_errors is None else ", or one for each call"
        raise ValueError(
            f"`cost` of model {name!r} must be one finite number of at least 0{calls}; got "
            f"{cost!r}."
        )
    return float(cost)


def _check_calls(cost: Any, name: Label, val_errors: np.ndarray) -> np.ndarray:
    calls: np.ndarray = check_array(
        cost, dtype=np.float64, ensure_2d=False, ensure_all_finite=False, input_name="cost"
    )
    if calls.shape != val_errors.shape:
        raise ValueError(
            f"`cost` of model {name!r} has shape {calls.shape} but `val_errors` has shape "
            f"{val_errors.shape}; pass one number, or one for each validation prompt."
        )
    bad = ~((calls >= 0) & (calls < np.inf)) & ~(np.isnan(calls) & np.isnan(val_errors))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"`cost` of model {name!r} must be finite and at least 0; got {calls[at]} in row {at}. "
            "Only calls that were not made (NaN in `val_errors`) may have a cost of NaN."
        )
    return calls
