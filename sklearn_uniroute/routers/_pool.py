"""The pool of a fitted router: rows that come, change and go, and views of it.

What is known of the models stands in arrays with one row per model: `models_`, `costs_`, the
attributes named in `_row_attributes`, and those in the dict `_evidence`. Rows that are not of one
shape stand in a list. A change makes new arrays, so that whoever holds the old ones is not
disturbed.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    FLOATS,
    as_numbers,
    check_pool,
    check_validation_prompts,
    is_numbered,
    is_price,
    listing,
)

Method = TypeVar("Method", bound=Callable[..., Any])

# Models shown in a notebook.
_SHOWN = 50


def frozen(router: Any) -> Any:
    """Copy a router, but not its arrays, which never change in place."""
    copy = object.__new__(type(router))
    copy.__dict__ = vars(router).copy()
    return copy


def of_one_state(method: Method) -> Method:
    """Let a method see one state of the router, while another thread changes it."""

    @wraps(method)
    def seeing_one_state(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(frozen(self), *args, **kwargs)

    return cast(Method, seeing_one_state)


@contextmanager
def replaced_at_once(router: Any) -> Iterator[Any]:
    """Change a copy of a router, and take over its state at the end, if nothing fails."""
    copy = frozen(router)
    yield copy
    router.__dict__ = vars(copy)


def put_rows(router: Any, rows: dict[str, Any], position: int) -> None:
    """Set the rows of one model; a position behind the last one adds the model.

    Rows of attributes go by names that end in an underscore, rows of the evidence by others.
    """
    arrays, evidence = {}, dict(router._evidence)
    for name, row in rows.items():
        if name.endswith("_"):
            arrays[name] = _with_row(getattr(router, name), row, position)
        else:
            evidence[name] = _with_row(evidence[name], row, position)
    changed = router._pool_changed or "models_" in rows
    vars(router).update(arrays, _evidence=evidence, _pool_changed=changed)


def drop_rows(router: Any, position: int) -> None:
    """Remove the rows of one model."""
    names = ("models_", "costs_", *router._row_attributes)
    arrays = {name: _without_row(getattr(router, name), position) for name in names}
    evidence = {name: _without_row(rows, position) for name, rows in router._evidence.items()}
    vars(router).update(arrays, _evidence=evidence, _pool_changed=True)


def _with_row(rows: Any, row: Any, position: int) -> Any:
    if isinstance(rows, list):
        return [*rows[:position], row, *rows[position + 1 :]]
    if position == len(rows):
        return np.concatenate([rows, [row]])
    rows = rows.copy()
    rows[position] = row
    return rows


def _without_row(rows: Any, position: int) -> Any:
    if rows is None:
        return None
    if isinstance(rows, list):
        return [*rows[:position], *rows[position + 1 :]]
    return np.delete(rows, position, axis=0)


def pool_columns(router: Any) -> dict[str, np.ndarray]:
    """Mean cost and mean predicted error of each model, and how it is known."""
    index = np.arange(len(router.models_))
    weights = router._calibration(index)[-1]
    columns = {} if router.costs_ is None else {"cost": router.costs_}
    columns["error"] = weights @ router._calibration_error(index)
    return {**columns, **known_by(router)}


def known_by(router: Any) -> dict[str, np.ndarray]:
    """Numbers of errors and of features by which each model is known, if they are counted."""
    known = {}
    if "error_counts" in router._evidence:
        n_errors = router._evidence["error_counts"].sum(axis=1)
        known["n_errors"] = np.rint(n_errors).astype(np.int64)
    features = getattr(router, "model_features_", None)
    if features is not None:
        known["n_features"] = (~np.isnan(features)).sum(axis=1)
    return known


def pool_html(router: Any) -> str:
    """Write the pool as an HTML table; nothing before `fit`, or without pandas."""
    if not router.__sklearn_is_fitted__():
        return ""
    try:
        frame = router.pool_frame()
    except ImportError:
        return ""
    return frame.to_html(max_rows=_SHOWN, float_format="{:.4g}".format)


def check_evidence(
    router: Any, val_errors: ArrayLike, X_val: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check the errors of a model, and the prompts if they are not those of the router.

    A Series goes by its index.
    """
    rows = validation_rows(router, X_val)
    if X_val is not None:
        X_val = check_validation_prompts(router, X_val)
    prompts = router.X_val_ if X_val is None else X_val
    val_errors = in_row_order(val_errors, rows, len(prompts), "val_errors")
    return check_val_errors(val_errors, len(prompts), own_prompts=X_val is not None), X_val


def validation_rows(router: Any, X_val: Any) -> list[Any]:
    """Labels by which the validation prompts may go: of their rows, and their positions."""
    if X_val is not None:
        labels = getattr(X_val, "index", None)
        found = [] if labels is None or callable(labels) else [np.asarray(labels)]
        n_prompts = len(X_val)
    else:
        n_prompts = len(router.X_val_)
        known = (router.validation_indices_, router._row_labels)
        found = [labels for labels in known if labels is not None]
    return [*found, np.arange(n_prompts)]


def in_row_order(values: Any, rows: list[Any], n_prompts: int, argument: str) -> Any:
    """Put a Series into the order of the validation prompts by its index.

    The index may hold any of the labels in `rows`, in any order. Return anything but a Series
    unchanged.
    """
    if not (hasattr(values, "index") and hasattr(values, "reindex")) or len(values) != n_prompts:
        return values
    orders = []
    for labels in rows:
        if np.array_equal(values.index, labels):
            orders.append(np.arange(n_prompts))
        elif values.index.is_unique and set(values.index) == set(labels):
            orders.append(values.index.get_indexer(labels))
    if orders and all(np.array_equal(order, orders[0]) for order in orders):
        return values.iloc[orders[0]]
    if len(orders) > 1:
        raise ValueError(
            f"the index of `{argument}` may hold labels of the training prompts, or their "
            f"positions, which differ; pass {argument}.to_numpy() in the order of the validation "
            "prompts."
        )
    raise ValueError(
        f"the index of `{argument}` ({listing(values.index, 5)}) must hold the validation prompts: "
        "`validation_indices_` of the router, the labels of their rows in a DataFrame, or 0 to "
        f"{n_prompts - 1}, in any order. If the order is that of the prompts, pass "
        f"{argument}.to_numpy()."
    )


def check_val_errors(val_errors: Any, n_prompts: int, *, own_prompts: bool) -> np.ndarray:
    """Check one model's errors on its validation prompts; NaN marks prompts that were not run."""
    prompts = "`X_val`" if own_prompts else "the router's validation prompts `X_val_`"
    val_errors = as_numbers(val_errors)
    if np.ndim(val_errors) != 1 or len(val_errors) != n_prompts:
        raise ValueError(
            f"`val_errors` must be one error per row of {prompts}, of shape ({n_prompts},); got "
            f"shape {np.shape(val_errors)}. Put NaN where the model was not run, or pass the "
            "prompts on which it was run as `X_val`."
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


def check_no_card(features: Any, name: Label, has_errors: bool) -> None:
    """Refuse what the card of a new model says, and a model without errors."""
    if features is not None:
        raise ValueError(
            f"`features` of model {name!r} were given, but this router was fitted without "
            "`model_features`; pass them to fit, or leave `features` out."
        )
    if not has_errors:
        raise ValueError(
            f"`val_errors` of model {name!r} are missing; a model without errors needs a router "
            "that was fitted with `model_features`."
        )


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
    cost: Any,
    name: Label,
    *,
    has_costs: bool,
    val_errors: np.ndarray | None = None,
    rows: Any = None,
    recorded: bool = True,
) -> float | np.ndarray | None:
    """Check the price of one model: required where the others have one, refused where not.

    With `val_errors`, the cost may also be an array of the cost of each of these calls, or a Series
    by the labels of their `rows`. If `recorded` is False, calls that were made may have no cost.
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
        cost = in_row_order(as_numbers(cost), rows, len(val_errors), "cost")
        return _check_calls(cost, name, val_errors, recorded)
    if not is_price(cost):
        calls = "" if val_errors is None else ", or one for each call"
        raise ValueError(
            f"`cost` of model {name!r} must be one finite number of at least 0{calls}; got "
            f"{cost!r}."
        )
    return float(cost)


def _check_calls(cost: Any, name: Label, val_errors: np.ndarray, recorded: bool) -> np.ndarray:
    calls: np.ndarray = check_array(
        cost, dtype=np.float64, ensure_2d=False, ensure_all_finite=False, input_name="cost"
    )
    if calls.shape != val_errors.shape:
        raise ValueError(
            f"`cost` of model {name!r} has shape {calls.shape} but `val_errors` has shape "
            f"{val_errors.shape}; pass one number, or one for each validation prompt."
        )
    may_miss = np.isnan(val_errors) | (not recorded)
    bad = ~((calls >= 0) & (calls < np.inf)) & ~(np.isnan(calls) & may_miss)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"`cost` of model {name!r} must be finite and at least 0; got {calls[at]} in row {at}. "
            "Only calls that were not made (NaN in `val_errors`) may have a cost of NaN. Where "
            "costs were not recorded, fill in their mean."
        )
    if np.isnan(calls).all():
        raise ValueError(
            f"`cost` of model {name!r} is NaN throughout: no cost was recorded; pass its mean cost."
        )
    return calls


def find_model(name: Any, models: np.ndarray) -> int:
    """Find the position of a known model."""
    return int(check_pool([name], models, argument="name")[0])


def _has_names(costs: Any) -> bool:
    """Tell whether costs go by name; a single one, or none, needs no names."""
    return np.ndim(costs) == 0 or any(hasattr(costs, one) for one in ("keys", "columns"))


def warn_of_unnamed_models(y: Any, labels: np.ndarray, costs: Any = None) -> None:
    """Warn of columns that go by position where the router, or `y`, has another order."""
    if hasattr(y, "columns") and list(y.columns) != labels.tolist() and not _has_names(costs):
        warnings.warn(
            "`costs` has no names of models, and is taken in the order of `models_` "
            f"({listing(labels)}), not of the columns of `y`; pass a mapping or a DataFrame.",
            UserWarning,
            stacklevel=4,
        )
    unnamed = not hasattr(y, "columns") and np.shape(y)[1:] == labels.shape
    if unnamed and not is_numbered(labels):
        warnings.warn(
            "`y` has no names of models, but the router has; its columns are taken in the order of "
            f"`models_` ({listing(labels)}). Pass a DataFrame to go by name, or a `pool` that "
            "names the columns.",
            UserWarning,
            stacklevel=4,
        )
