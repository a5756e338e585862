"""Checks of what users pass as costs, cost weights and budgets, and the words of their errors."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_array

from sklearn_uniroute.utils._model_validation import listing
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import FLOATS


def check_costs(
    costs: Any,
    labels: np.ndarray,
    *,
    quality: np.ndarray,
    complete: bool = False,
    name: str = "costs",
) -> np.ndarray:
    """Bring costs into an array of shape (n_models,) or (n_prompts, n_models).

    `labels` are the models in the order of the result. Costs given per call may be NaN where the
    quality is NaN too, unless they are to be `complete`: a call that was not made has no cost.
    """
    if isinstance(costs, Mapping):
        _check_named(costs, labels, name)
        costs = [costs[label] for label in labels.tolist()]
    elif hasattr(costs, "columns"):
        _check_named(costs.columns, labels, name)
        costs = costs[labels.tolist()]
    elif hasattr(costs, "index") and hasattr(costs, "loc"):
        _check_named(costs.index, labels, name)
        costs = costs.loc[labels.tolist()]
    if np.ndim(costs) not in {1, 2} or np.asarray(costs).dtype.kind not in "iufbO":
        raise ValueError(f"`{name}` must be numbers, one per model or one per call; got {costs!r}.")
    checked: np.ndarray = check_array(
        costs, dtype=FLOATS, ensure_2d=False, ensure_all_finite=False, input_name=name
    )
    n_models = len(labels)
    if checked.shape not in {(n_models,), quality.shape}:
        got = f"{len(checked)} entries" if checked.ndim == 1 else f"shape {checked.shape}"
        raise ValueError(
            f"`{name}` has {got} but there are {n_models} models (columns of quality); pass one "
            "cost per model, or an array of shape (n_samples, n_models). Note that "
            "cross-validation slices a parameter that is as long as the data."
        )
    by_call = checked.ndim == 2 and not complete
    not_run = np.isnan(quality) if by_call else False
    # A comparison with NaN is False, so that NaN and infinity fail here too.
    bad = ~((checked >= 0) & (checked < np.inf)) & ~(np.isnan(checked) & not_run)
    if bad.any():
        at = tuple(np.argwhere(bad)[0].tolist())
        raise ValueError(
            f"`{name}` must be finite and at least 0; got {checked[at]} for model "
            f"{labels.tolist()[at[-1]]!r}{f' in row {at[0]}' if checked.ndim == 2 else ''}."
            + (
                " Only calls that were not made (NaN quality) may have a cost of NaN."
                if by_call
                else ""
            )
        )
    return checked


def _check_named(names: Any, labels: np.ndarray, argument: str) -> None:
    missing = [label for label in labels.tolist() if label not in names]
    if missing:
        raise ValueError(
            f"`{argument}` has no entry for model(s) {listing(missing)}; it names "
            f"{listing(names)}. Names of models come from the columns of `y` when it is a "
            "DataFrame; otherwise models go by number from 0."
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


def check_costs_by_call(costs: np.ndarray | None) -> None:
    """Refuse to learn what calls cost where that was not passed."""
    if costs is None or costs.ndim == 1:
        got = "none" if costs is None else "one number for each model"
        raise ValueError(
            f"`cost_model`='cluster' learns from what each call cost, but `costs` has {got}; pass "
            "an array of shape (n_prompts, n_models), or set cost_model='mean'."
        )


def _is_price(value: object) -> bool:
    return isinstance(value, numbers.Real) and 0 <= float(value) < np.inf


def check_operating_point(
    cost_weight: float | None, budget: float | None, *, has_costs: bool
) -> None:
    """Check that one of the two is set, to a value that can be met."""
    if cost_weight is not None and budget is not None:
        raise ValueError(
            f"`cost_weight` and `budget` exclude each other; got cost_weight={cost_weight!r} and "
            f"budget={budget!r}. Set one of them."
        )
    if budget is None:
        check_amount(cost_weight, "cost_weight", has_costs=has_costs or cost_weight == 0)
    else:
        check_amount(budget, "budget", has_costs=has_costs)


def check_amount(value: Any, name: str, *, has_costs: bool) -> None:
    """Check a cost weight or a budget."""
    if not _is_price(value):
        raise ValueError(f"`{name}` must be a finite number of at least 0; got {value!r}.")
    if not has_costs:
        raise ValueError(
            f"`{name}`={value:g} needs costs, but this router was fitted without; pass `costs` to "
            "fit."
        )


def check_randomize(randomize: Any, budget: float | None) -> None:
    """Check that there is a budget to spend in full."""
    if not isinstance(randomize, bool | np.bool_):
        raise TypeError(f"`randomize` must be True or False; got {randomize!r}.")
    if randomize and budget is None:
        raise ValueError("`randomize` spends a budget in full; pass `budget` too.")


def check_target(quality: Any, confidence: Any, *, has_costs: bool) -> None:
    """Check a quality to reach, and the confidence to reach it with."""
    if not isinstance(quality, numbers.Real) or not np.isfinite(float(quality)):
        raise ValueError(f"`quality` must be a finite number; got {quality!r}.")
    if confidence is not None and not (_is_price(confidence) and 0 < confidence < 1):
        raise ValueError(f"`confidence` must lie between 0 and 1; got {confidence!r}.")
    check_has_costs(has_costs or None)


def check_quality_reachable(quality: float, reached: np.ndarray, confidence: float | None) -> None:
    """Refuse a quality that no cost weight reaches."""
    if quality > reached.max() + 1e-12 * abs(quality):
        sure = "" if confidence is None else f" with a confidence of {confidence:g}"
        raise ValueError(
            f"`quality` {quality:g} is out of reach: the pool reaches mean qualities from "
            f"{reached.min():g} to {reached.max():g}{sure}."
        )


def check_reachable(budget: float, lowest: float, highest: float) -> None:
    """Refuse a budget that cannot be met."""
    if budget < lowest * (1 - 1e-12):
        raise ValueError(
            f"`budget` {budget:g} is below the least mean cost of this pool; mean costs from "
            f"{lowest:g} to {highest:g} can be reached."
        )


def check_has_costs(costs: object) -> None:
    """Refuse to predict costs where there are none."""
    if costs is None:
        raise ValueError(
            "this needs costs, but this router was fitted without costs; pass `costs` to fit."
        )


def check_drawable(has_costs: bool) -> None:
    """Refuse a deferral curve without costs."""
    if not has_costs:
        raise ValueError(
            "a deferral curve needs costs, but this router was fitted without; pass `costs` here "
            "or to fit."
        )


def check_new_costs(costs: Any, new: list[Label], *, has_costs: bool) -> list[Any]:
    """Check the prices of added models, by name: one for each, and no other."""
    costs = {} if costs is None else dict(costs)
    others = [label for label in costs if label not in new]
    if others:
        raise ValueError(
            f"`costs` names model(s) {listing(others)}, which these battles do not add; use "
            "`set_cost` for known models."
        )
    return [check_cost(costs.get(label), label, has_costs=has_costs) for label in new]


def check_two_models(costs: np.ndarray, quality: np.ndarray) -> int:
    """Position of the strong one of two models, the dearer and better one."""
    if len(costs) != 2:
        raise ValueError(
            f"this score compares a weak and a strong model; got {len(costs)} models. Pass the "
            "columns of two of them."
        )
    strong = int(np.argmax(costs))
    if costs[0] == costs[1] or quality[strong] <= quality[1 - strong]:
        raise ValueError(
            "this score needs the dearer of the two models to be the better one; got mean costs "
            f"{costs[0]:g} and {costs[1]:g} and mean qualities {quality[0]:g} and {quality[1]:g}."
        )
    return strong


def check_charged(cost: float, quality: float) -> None:
    """Refuse to save anything of a cost of 0, or to ask for a share of what is not above 0."""
    if cost == 0:
        raise ValueError("the best model is free, so that none of its cost can be saved.")
    if quality <= 0:
        raise ValueError(
            "a share of the best model's quality makes sense where that is above 0; got "
            f"{quality:g}."
        )
