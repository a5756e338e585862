"""Checks of the names of models, and of pools of them."""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from sklearn_uniroute.utils._typing import Label, Pool


def listing(labels: Iterable[Any], limit: int = 20) -> str:
    """Write labels out for a message, the first `limit` of them."""
    labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    more = f", and {len(labels) - limit} more" if len(labels) > limit else ""
    return ", ".join(repr(label) for label in labels[:limit]) + more


def model_labels(y: Any) -> np.ndarray | None:
    """Names of the models in the columns of a DataFrame; None for any other `y`."""
    if not hasattr(y, "columns"):
        return None
    labels = list(y.columns)
    texts = all(isinstance(label, str) for label in labels)
    integers = all(_is_integer(label) for label in labels)
    if not (texts or integers):
        raise ValueError(
            f"the columns of `y` name the models, by strings or by integers; got {listing(labels)}."
        )
    twice = repeated(labels)
    if twice:
        raise ValueError(
            f"the columns of `y` name models more than once: {listing(twice)}; "
            "give every model a name of its own."
        )
    return np.asarray(labels)


def check_new_name(name: Any, models: np.ndarray) -> Label:
    """Check the name of an added model; models that go by number get the next one by default."""
    numbered = models.dtype.kind in "iu"
    if name is None:
        if not numbered:
            raise ValueError(
                "`name` is missing: the models of this router have names "
                f"({listing(models.tolist())}); pass the new model's name."
            )
        return int(models.max()) + 1
    if not (_is_integer(name) if numbered else isinstance(name, str)):
        kind = "integers" if numbered else "strings"
        raise TypeError(
            f"`name` must be of one kind with the router's models, which go by {kind} "
            f"({listing(models.tolist())}); got {name!r}. They go by name "
            "where the `y` of fit is a DataFrame, by number where it is an array."
        )
    return int(name) if numbered else str(name)


def find_model(name: Any, models: np.ndarray) -> int:
    """Position of a known model."""
    return int(check_pool([name], models, argument="name")[0])


def check_pool(pool: Pool | None, models: np.ndarray, *, argument: str = "pool") -> np.ndarray:
    """Positions of the models of a pool, in the pool's order; all models for None."""
    if pool is None:
        return np.arange(len(models))
    known = {label: position for position, label in enumerate(models.tolist())}
    if isinstance(pool, str) or not np.iterable(pool):
        raise ValueError(
            f"`{argument}` must be a sequence of model names; got {pool!r}. "
            f"Known models: {listing(known)}."
        )
    pool = list(pool)
    if not pool:
        raise ValueError(
            f"`{argument}` is empty; pass at least one of the known models: {listing(known)}, "
            "or None for all of them."
        )
    unknown = [
        label
        for label in pool
        if isinstance(label, bool) or not (is_hashable(label) and label in known)
    ]
    if unknown:
        raise ValueError(
            f"`{argument}` names models that this router does not know: {listing(unknown)}. "
            f"Known models: {listing(known)}."
        )
    twice = repeated(pool)
    if twice:
        raise ValueError(
            f"`{argument}` repeats {listing(twice)}; name each model once. "
            f"Known models: {listing(known)}."
        )
    return np.array([known[label] for label in pool], dtype=np.intp)


def find_fallback(fallback: Label, labels: np.ndarray, costs: np.ndarray | None) -> int:
    """Position, among models in registration order, of the one to fall back to."""
    if fallback == "dearest":
        if costs is None:
            raise ValueError(
                "`fallback`='dearest' needs costs, but this router was fitted without; pass "
                "`costs` to fit, or name a model."
            )
        return int(np.argmax(costs))
    if fallback not in labels.tolist():
        raise ValueError(
            f"`fallback` {fallback!r} is not among the models to choose from "
            f"({listing(labels.tolist())}); keep it in the pool, or fit with fallback='dearest' or "
            "fallback=None."
        )
    position: int = labels.tolist().index(fallback)
    return position


def check_fallback_stays(name: Label, fallback: Label | None) -> None:
    """Refuse to remove the model that prompts fall back to."""
    if name == fallback:
        raise ValueError(
            f"{name!r} is what this router falls back to, and cannot be removed; fit with another "
            "`fallback` first."
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


def _is_integer(label: Any) -> bool:
    # Names are kept in an array of 64-bit integers.
    number = isinstance(label, numbers.Integral) and not isinstance(label, bool)
    return number and -(2**63) <= label < 2**63


def is_hashable(label: object) -> bool:
    return getattr(label, "__hash__", None) is not None


def repeated(labels: Iterable[Any]) -> list[Any]:
    """Labels that occur more than once, each once."""
    seen, twice = set(), []
    for label in labels:
        if label in seen and label not in twice:
            twice.append(label)
        seen.add(label)
    return twice


def select_columns(y: Any, labels: np.ndarray, *, name: str) -> Any:
    """Columns of the given models from a DataFrame; anything else is returned as it is."""
    if not hasattr(y, "columns"):
        return y
    missing = [label for label in labels.tolist() if label not in set(y.columns)]
    if missing:
        raise ValueError(
            f"`{name}` has no column for model(s) {listing(missing)}; it has {listing(y.columns)}. "
            "Add the columns, or pass a `pool` without these models."
        )
    return y[labels.tolist()]
