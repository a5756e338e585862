"""Checks of arguments that several folders share.

A check returns the argument in the form that the package uses, or raises an error that names the
argument, the expected value, the value passed, and the remedy.
"""

import itertools
import numbers
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeGuard

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array, check_scalar
from sklearn.utils.validation import validate_data

from sklearn_uniroute.utils._typing import Label, Pool

FLOATS = [np.float64, np.float32]
# Length of the longest name of a model.
_LONGEST_NAME = 1000
# Range of the features below which a network in single precision is not trained.
_LEAST_SPREAD = 1e-30


def as_numbers(values: Any) -> Any:
    """Replace masked cells by NaN, and refuse dates and durations; return all else unchanged."""
    kinds: Any = getattr(values, "dtypes", getattr(values, "dtype", None))
    kinds = kinds if hasattr(kinds, "__iter__") else [kinds]
    if any(getattr(kind, "kind", "") in ("m", "M") for kind in kinds):
        raise ValueError("dates and durations are no numbers here; convert them to numbers first.")
    if not isinstance(values, np.ma.MaskedArray):
        return values
    dtype = np.float32 if values.dtype == np.float32 else np.float64
    return np.ma.filled(values.astype(dtype), np.nan)


def row_labels(table: Any) -> np.ndarray | None:
    """Labels of the rows of a DataFrame, if they are texts or numbers, but not 0, 1, ..."""
    index = getattr(table, "index", None)
    if index is None or callable(index):
        return None
    labels = list(index)
    plain = all(isinstance(label, str) for label in labels) or all(map(_is_integer, labels))
    if not plain or labels == list(range(len(labels))):
        return None
    return np.array(labels)


def check_same_order(**tables: Any) -> None:
    """Refuse tables whose rows have the same labels in another order, because rows go by position.

    Tables are passed by the names of their arguments. Costs per model have no rows of prompts; in a
    log, which says what was `chosen`, costs have. Rows that are numbered from 0 may have been
    numbered anew, and other labels say nothing of them.
    """
    labelled: list[tuple[str, Any]] = []
    for name, table in tables.items():
        if hasattr(getattr(table, "index", None), "equals") and not (
            name.endswith("costs") and np.ndim(table) != 2 and "chosen" not in tables
        ):
            labelled.append((name, table.index))
    for (first, rows), (second, others) in itertools.combinations(labelled, 2):
        if len(rows) != len(others) or rows.equals(others):
            continue
        labels, other_labels = set(rows), set(others)
        numbered = set(range(len(rows)))
        if labels == other_labels:
            raise ValueError(
                f"the rows of `{second}` have the labels of the rows of `{first}` in another "
                f"order; pass {second}.loc[{first}.index], or arrays to go by position."
            )
        if labels & other_labels and numbered not in (labels, other_labels):
            raise ValueError(
                f"the rows of `{second}` have other labels than those of `{first}`, and some in "
                "common; pass the same rows of both, or arrays to go by position."
            )


def as_columns(y: Any) -> Any:
    """Take a `y` of one dimension for a single model, with a warning."""
    if hasattr(y, "columns"):
        return y
    y = np.asarray(as_numbers(y))
    if y.ndim != 1:
        return y
    warnings.warn(
        "`y` has one dimension and is taken for the quality of a single model; pass "
        "y.reshape(-1, 1) to silence this warning. To route among several models, pass an array of "
        "shape (n_prompts, n_models), not the name of a model for each prompt.",
        DataConversionWarning,
        stacklevel=3,
    )
    return y[:, None]


def check_quality(
    y: Any,
    *,
    name: str = "y",
    n_prompts: int | None = None,
    n_models: int | None = None,
    labels: np.ndarray | None = None,
    every_model: bool = True,
) -> np.ndarray:
    """Check the quality of each model on each prompt; NaN means that the model was not run."""
    y = as_numbers(y)
    if not hasattr(y, "columns"):
        y = np.asarray(y)
    if y.ndim != 2:
        raise ValueError(
            f"`{name}` must be of shape (n_prompts, n_models), one column per model; got "
            f"{y.ndim} dimension(s). For a single model, pass {name}.reshape(-1, 1)."
        )
    if y.shape[1] == 0:
        raise ValueError(f"`{name}` has no columns; pass one column of quality per model.")
    checked: np.ndarray = check_array(
        y, dtype=FLOATS, ensure_all_finite="allow-nan", input_name=name
    )
    if n_prompts is not None and len(checked) != n_prompts:
        raise ValueError(
            f"`{name}` has {len(checked)} rows but there are {n_prompts} prompts; pass one row per "
            "prompt."
        )
    if n_models is not None and checked.shape[1] != n_models:
        raise ValueError(
            f"`{name}` has {checked.shape[1]} columns but the pool has {n_models} models; pass one "
            "column per model of the pool, in its order, or a DataFrame whose columns name them."
        )
    empty = np.flatnonzero(np.isnan(checked).all(axis=0))
    if every_model and len(empty):
        which = listing(empty if labels is None else labels[empty])
        raise ValueError(
            f"`{name}` has no observed quality for model(s) {which}: every entry is NaN; run them "
            "on at least one of these prompts or leave their columns out."
        )
    return checked


def is_numbered(labels: np.ndarray) -> bool:
    """Tell whether models are numbered from 0, as the columns of an array are."""
    return labels.tolist() == list(range(len(labels)))


def is_dask(X: object) -> TypeGuard[Any]:
    """Tell whether `X` is a dask array or DataFrame, without importing dask."""
    return type(X).__module__.startswith("dask.")


def check_prompts(router: Any, X: Any) -> np.ndarray:
    """Check prompts against the features seen during `fit`."""
    if is_dask(X):
        raise TypeError(
            "only `fit`, `predict` and `predict_error` accept dask arrays; pass X.compute() here."
        )
    return check_embeddings(router, X, reset=False)


def check_training_prompts(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """Check training prompts, and record their features."""
    # Without y, scikit-learn raises its own error about a missing y.
    target = None if y is None else "no_validation"
    return check_embeddings(estimator, X, target, reset=True)


def check_embeddings(
    estimator: Any, X: Any, target: str | None = "no_validation", *, reset: bool
) -> np.ndarray:
    """Check prompts, and that they are embeddings; `reset` records their features."""
    try:
        prompts: np.ndarray = validate_data(
            estimator, as_numbers(X), target, reset=reset, dtype=FLOATS
        )
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(
            f"{error}. Routers take embeddings of prompts, not texts: embed them first (see "
            "sklearn_uniroute.datasets.embed_prompts), or put a transformer before the router in a "
            "pipeline."
        ) from error
    check_squares(prompts, fitting=reset)
    return prompts


def check_squares(X: np.ndarray, *, fitting: bool = False) -> None:
    """Refuse rows with squares that overflow, and training prompts with squares that underflow."""
    total = float(np.vdot(X, X))
    limits = np.finfo(X.dtype)
    if fitting and total < len(X) * limits.tiny / limits.eps and X.any():
        raise ValueError(
            f"`X` is so small, at most {np.abs(X).max():g}, that its squares underflow in "
            f"{X.dtype}; scale the features."
        )
    if np.isfinite(total):
        return
    with np.errstate(over="ignore"):
        wrong = np.flatnonzero(~np.isfinite(np.einsum("nd,nd->n", X, X)))
    if len(wrong):
        raise ValueError(
            f"row {wrong[0]} of `X` is so large that its squares overflow in {X.dtype}; scale the "
            "features."
        )


def check_spread(X: np.ndarray) -> None:
    """Refuse features of which a network in single precision would lose the differences."""
    spread = float(np.ptp(X, axis=0).max())
    if spread and not _LEAST_SPREAD <= spread <= 1 / _LEAST_SPREAD:
        raise ValueError(
            f"the features of `X` vary by at most {spread:g}, which a network in single precision "
            "cannot tell apart; scale the features, for example with StandardScaler."
        )


def check_validation_prompts(router: Any, X_val: Any) -> np.ndarray:
    """Check validation prompts from the user against the features seen during `fit`."""
    try:
        return check_prompts(router, X_val)
    except ValueError as error:
        raise ValueError(f"`X_val` does not fit the prompts of this router. {error}") from error


def feature_names(X: Any) -> list[str] | None:
    """Names of the columns of a DataFrame, or of the entries of a Series, if all are strings."""
    if isinstance(X, np.ndarray | list | tuple):
        return None
    names = getattr(X, "columns", getattr(X, "index", None))
    if names is None or callable(names) or not all(isinstance(name, str) for name in names):
        return None
    return list(names)


def listing(labels: Iterable[Any], limit: int = 20) -> str:
    """Format the first `limit` labels for a message."""
    labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    more = f", and {len(labels) - limit} more" if len(labels) > limit else ""
    return ", ".join(repr(label) for label in labels[:limit]) + more


def model_labels(y: Any, *, name: str = "y") -> np.ndarray | None:
    """Get the names of the models from the columns of a DataFrame; None for any other `y`."""
    if not hasattr(y, "columns"):
        return None
    labels = list(y.columns)
    return np.asarray(check_names(labels, f"the columns of `{name}`") if labels else labels)


def check_names(labels: list[Any], where: str = "the names") -> list[Any]:
    """Check the names of models."""
    texts = all(isinstance(label, str) for label in labels)
    integers = all(_is_integer(label) for label in labels)
    if not labels or not (texts or integers):
        raise ValueError(
            f"{where} name the models, by strings or by integers; got {listing(labels) or 'none'}."
        )
    twice = repeated(labels)
    if twice:
        raise ValueError(
            f"{where} name models more than once: {listing(twice)}; give every model a name of its "
            "own."
        )
    check_names_differ(labels, where)
    return labels


def check_names_differ(names: Iterable[Any], where: str) -> None:
    """Refuse names of models that look alike, and names that NumPy would cut."""
    met: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            continue
        if "\0" in name:
            raise ValueError(f"{where} name the model {name!r}, with a NUL character; remove it.")
        if len(name) > _LONGEST_NAME:
            raise ValueError(
                f"{where} have a name of {len(name)} characters, {name[:20]!r}...; at most "
                f"{_LONGEST_NAME} are allowed, because predictions repeat names."
            )
        alike = met.setdefault(unicodedata.normalize("NFC", name).strip(), name)
        if alike != name:
            raise ValueError(
                f"{where} name models {alike!r} and {name!r}, which differ only in spaces at the "
                "ends or in the encoding of accents; give a model one name, and models different "
                "names."
            )


def check_new_name(name: Any, models: np.ndarray) -> Label:
    """Check the name of a new model. By default, a numbered model gets the next number."""
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
            f"({listing(models.tolist())}); got {name!r}. Models go by the names "
            "of the columns if the `y` of fit is a DataFrame, and by number if it is an array."
        )
    if numbered:
        return int(name)
    check_names_differ([*models.tolist(), name], "this router and `name`")
    return str(name)


def check_pool(pool: Pool | None, models: np.ndarray, *, argument: str = "pool") -> np.ndarray:
    """Find the positions of the models of a pool, in its order; None means all models."""
    if pool is None:
        return np.arange(len(models))
    known = {label: position for position, label in enumerate(models.tolist())}
    if isinstance(pool, str | set | frozenset) or not np.iterable(pool):
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


def _is_integer(label: Any) -> bool:
    # Integer names are stored in an array of 64-bit integers.
    number = isinstance(label, numbers.Integral) and not isinstance(label, bool)
    return number and -(2**63) <= label < 2**63


def is_hashable(label: object) -> bool:
    return getattr(label, "__hash__", None) is not None


def repeated(labels: Iterable[Any]) -> list[Any]:
    """List each label that occurs more than once."""
    seen, twice = set(), []
    for label in labels:
        if label in seen and label not in twice:
            twice.append(label)
        seen.add(label)
    return twice


def select_columns(y: Any, labels: np.ndarray, *, name: str) -> Any:
    """Select the columns of models from a DataFrame; return any other `y` unchanged."""
    if not hasattr(y, "columns"):
        return y
    missing = [label for label in labels.tolist() if label not in set(y.columns)]
    if missing:
        raise ValueError(
            f"`{name}` has no column for model(s) {listing(missing)}; it has {listing(y.columns)}. "
            "Add the columns, or pass a `pool` without these models."
        )
    return y[labels.tolist()]


def check_choice(value: object, name: str, allowed: Sequence[str | int]) -> None:
    """Check a constructor parameter that takes one of a few values."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {listing(allowed)}; got {value!r}.")


def check_count(value: Any, name: str, *, least: int = 1) -> None:
    """Check a constructor parameter that counts something."""
    check_scalar(value, name, numbers.Integral, min_val=least)


def is_auto(value: Any, name: str) -> bool:
    """Whether a constructor parameter leaves the choice to `fit`; no other string is allowed."""
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"`{name}` must be 'auto' or a number; got {value!r}.")
    return isinstance(value, str)


def check_nonnegative(value: Any, name: str) -> None:
    """Check a constructor parameter that is a finite number of at least 0."""
    check_scalar(value, name, numbers.Real, min_val=0)
    if not np.isfinite(value):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")


def check_enough(value: int, name: str, available: int, of_what: str) -> None:
    """Check that a parameter does not ask for more than there is."""
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


def check_sizes(value: Any, name: str) -> None:
    """Check a constructor parameter that is a sequence of sizes, which may be empty."""
    try:
        sizes = list(value)
    except TypeError:
        raise TypeError(
            f"`{name}` must be a tuple of integers, as in (128, 128), or (); got {value!r}."
        ) from None
    for size in sizes:
        check_count(size, f"each of {name}")


def check_costs(
    costs: Any,
    labels: np.ndarray,
    *,
    quality: np.ndarray,
    complete: bool = False,
    recorded: bool = True,
    every_model: bool = True,
    name: str = "costs",
) -> np.ndarray:
    """Check costs, and return them in shape (n_models,) or (n_prompts, n_models).

    `labels` are the names of the models, in the order of the result. Costs per call may be NaN
    where the quality is NaN, since a call that was not made has no cost. If `complete` is True, no
    cost may be NaN. If `recorded` is False, costs of calls that were made may be NaN as well, but
    for `every_model` some cost must be known.
    """
    costs = as_numbers(costs)
    if isinstance(costs, Mapping):
        _check_named(costs, labels, name)
        costs = [costs[label] for label in labels.tolist()]
        _check_prices(costs, name)
    elif hasattr(costs, "columns"):
        _check_named(costs.columns, labels, name)
        costs = costs[labels.tolist()]
    elif hasattr(costs, "index") and hasattr(costs, "loc"):
        _check_named(costs.index, labels, name)
        costs = costs.loc[labels.tolist()]
        _check_prices(costs, name)
    elif isinstance(costs, list | tuple) and any(isinstance(one, Mapping) for one in costs):
        _check_prices(costs, name)
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
    may_miss = not_run | (not recorded) if by_call else not_run
    bad = ~((checked >= 0) & (checked < np.inf)) & ~(np.isnan(checked) & may_miss)
    if bad.any():
        at = tuple(np.argwhere(bad)[0].tolist())
        remedy = (
            " Only calls that were not made (NaN quality) may have a cost of NaN here. Where costs "
            "were not recorded, fill in the mean cost of the model, or leave the rows out."
        )
        raise ValueError(
            f"`{name}` must be finite and at least 0; got {checked[at]} for model "
            f"{labels.tolist()[at[-1]]!r}{f' in row {at[0]}' if checked.ndim == 2 else ''}."
            + (remedy if by_call and np.isnan(checked[at]) else "")
        )
    unknown = labels[np.isnan(checked).all(axis=0)] if by_call and every_model else []
    if len(unknown):
        raise ValueError(
            f"`{name}` has no recorded cost for model(s) {listing(unknown)}; record at least one, "
            "or leave the models out."
        )
    zeros, ones = checked == 0, checked == 1
    may_be_quality = checked.ndim == 2 and (zeros.any(axis=0) & ones.any(axis=0)).any()
    if may_be_quality and _are_binary(checked) and not _are_binary(quality):
        warnings.warn(
            f"all of `{name}` are 0 or 1, and not all qualities are; if the two are swapped, pass "
            f"the qualities as `y` and the costs as `{name}`.",
            UserWarning,
            stacklevel=2,
        )
    return checked


def _are_binary(cells: np.ndarray) -> bool:
    return bool(np.isin(cells[~np.isnan(cells)], (0, 1)).all())


def _check_prices(prices: Any, argument: str) -> None:
    several = [price for price in prices if isinstance(price, Mapping) or np.ndim(price) > 0]
    if several:
        raise ValueError(
            f"`{argument}` must have one cost per model, its mean cost per prompt, but some model "
            f"has several: {several[0]!r}. Multiply each price by the mean number of its units in "
            "a prompt, and add them up. Costs of calls go into a DataFrame or an array."
        )


def _check_named(names: Any, labels: np.ndarray, argument: str) -> None:
    missing = [label for label in labels.tolist() if label not in names]
    if missing:
        raise ValueError(
            f"`{argument}` has no entry for model(s) {listing(missing)}; it names "
            f"{listing(names)}. Names of models come from the columns of `y` when it is a "
            "DataFrame; otherwise models go by number from 0."
        )


def is_price(value: object) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    return isinstance(value, numbers.Real | Decimal) and 0 <= float(value) < np.inf
