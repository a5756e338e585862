"""Checks of constructor parameters."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from sklearn_uniroute.utils._model_validation import listing


def check_choice(value: object, name: str, allowed: Sequence[str | int]) -> None:
    """Check a constructor parameter that takes one of a few values."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {listing(allowed)}; got {value!r}.")


def check_count(value: Any, name: str, *, least: int = 1) -> None:
    """Check a constructor parameter that counts something."""
    check_scalar(value, name, numbers.Integral, min_val=least)


def check_nonnegative(value: Any, name: str) -> None:
    """Check a constructor parameter that is a finite number of at least 0."""
    check_scalar(value, name, numbers.Real, min_val=0)
    if not np.isfinite(value):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")


def check_enough(value: int, name: str, available: int, of_what: str) -> None:
    """Check that there are as many of something as a parameter asks for."""
    if value > available:
        raise ValueError(
            f"`{name}`={value} asks for more than there are: n_samples={available} {of_what}; "
            f"lower `{name}` or pass more of them."
        )


def check_positive(value: Any, name: str) -> None:
    """Check a constructor parameter that is a finite number above 0."""
    check_nonnegative(value, name)
    if value == 0:
        raise ValueError(f"`{name}` must be above 0; got {value!r}.")


def check_share(value: Any, name: str) -> None:
    """Check a constructor parameter that is a number from 0 to 1."""
    check_scalar(value, name, numbers.Real, min_val=0, max_val=1)
    check_nonnegative(value, name)


def check_fallback(fallback: Any, alpha: Any) -> None:
    """Check what to do far from all training prompts, and how many of these count as far."""
    kinds = (str, numbers.Integral, type(None))
    if not isinstance(fallback, kinds) or isinstance(fallback, bool):
        raise TypeError(
            f"`fallback` must be None, 'dearest' or the name of a model; got {fallback!r}."
        )
    check_share(alpha, "alpha")


def check_open_share(value: Any, name: str) -> None:
    """Check a constructor parameter that is a number between 0 and 1, and neither."""
    check_scalar(value, name, numbers.Real)
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie between 0 and 1; got {value}.")


def check_net_params(value: Any) -> None:
    """Check parameters that are passed on to skorch, of which some are the router's own."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"`net_params` must be a mapping from names to values; got {value!r}.")
    own = ("module", "criterion", "device", "callbacks", "verbose", "lr", "max_epochs")
    taken = [name for name in value if name in own or name.startswith(("module__", "criterion__"))]
    if taken:
        raise ValueError(
            f"`net_params` cannot set {listing(taken)}; the router has parameters of its own for "
            "the network, its loss, device, callbacks, verbosity, learning rate and epochs."
        )


def check_sizes(value: Any, name: str) -> None:
    """Check a constructor parameter that holds several sizes, or none."""
    try:
        sizes = list(value)
    except TypeError:
        raise TypeError(
            f"`{name}` must be a tuple of integers, as in (128, 128), or (); got {value!r}."
        ) from None
    for size in sizes:
        check_count(size, f"each of {name}")
