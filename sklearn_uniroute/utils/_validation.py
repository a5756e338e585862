"""Checks of everything that users pass, and the words of every error about it.

Each check returns the value in the form the package works with, or raises an error that says what
was expected, what was got, in which argument, and what to do.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeGuard

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sklearn_uniroute._numerics._clusters import distinct_centers
from sklearn_uniroute.utils._model_validation import check_new_name, is_hashable, listing
from sklearn_uniroute.utils._typing import Label

FLOATS = [np.float64, np.float32]


def check_selection(
    clusters: Any, covariance: Any, noise: Any, shares: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Check what prompts are selected by."""
    noise = check_array(noise, ensure_2d=False, dtype=np.float64, input_name="noise")
    covariance = check_array(covariance, dtype=np.float64, input_name="covariance")
    n_clusters = len(noise)
    if noise.ndim != 1 or noise.min() <= 0:
        raise ValueError("`noise` must be one variance above 0 per cluster.")
    if covariance.shape != (n_clusters, n_clusters):
        raise ValueError(
            f"`covariance` has shape {covariance.shape} but `noise` has {n_clusters} clusters; "
            f"expected ({n_clusters}, {n_clusters})."
        )
    clusters = check_array(clusters, ensure_2d=False, dtype=None, input_name="clusters")
    if clusters.ndim != 1 or clusters.dtype.kind not in "iu" or clusters.min() < 0:
        raise ValueError("`clusters` must be the number of a cluster, from 0, for each candidate.")
    if clusters.max() >= n_clusters:
        raise ValueError(
            f"`clusters` names cluster {clusters.max()}, but `noise` has {n_clusters} clusters."
        )
    if shares is None:
        shares = np.bincount(clusters, minlength=n_clusters) / len(clusters)
    shares = check_array(shares, ensure_2d=False, dtype=np.float64, input_name="shares")
    if shares.shape != (n_clusters,):
        raise ValueError(
            f"`shares` has shape {shares.shape}; expected one share per cluster, ({n_clusters},)."
        )
    return clusters, covariance, noise, shares


def check_has_std(std: np.ndarray | None, argument: str = "return_std") -> None:
    """Refuse standard errors where the representation has none."""
    if std is None:
        raise ValueError(
            f"`{argument}` needs standard errors, which this router does not estimate; use a "
            'HybridRouter, or a KMeansRouter or LearnedMapRouter with representation="posterior".'
        )


def check_has_clusters(router: Any) -> None:
    """Refuse a router without clusters of prompts."""
    if not hasattr(router, "cluster_centers_"):
        raise TypeError(
            f"clusters are needed here, and a {type(router).__name__} has none; pass a "
            "KMeansRouter, a LearnedMapRouter or a HybridRouter."
        )


def check_sums_over_blocks(router: Any) -> NoReturn:
    """Refuse blocks where all prompts are needed at once."""
    raise TypeError(
        f"a {type(router).__name__} needs all prompts at once, and `X` is a dask array; pass "
        "X.compute(), or use a KMeansRouter, a LearnedMapRouter or a HybridRouter."
    )


def check_clusterer(clusterer: Any) -> np.ndarray:
    """Get the centres of a fitted clusterer, of those that coincide the first."""
    centers = getattr(clusterer, "cluster_centers_", None)
    if centers is None or len(centers) == 0:
        raise TypeError(
            f"`clusterer` must have `cluster_centers_` once fitted; {type(clusterer).__name__} has "
            "none. Use KMeans, MiniBatchKMeans or another clusterer with centres."
        )
    return distinct_centers(check_array(centers, dtype=FLOATS, input_name="cluster_centers_"))


# Attributes of prompts


def check_attributes(attributes: Any, n_prompts: int) -> tuple[np.ndarray, np.ndarray]:
    """Check annotations of prompts, two values a column; returns them and their names."""
    names = getattr(attributes, "columns", None)
    attributes = check_array(
        attributes, dtype=None, ensure_2d=False, ensure_min_features=0, input_name="y"
    )
    if attributes.ndim == 1:
        attributes = attributes[:, None]
    n_attributes = attributes.shape[1]
    if n_attributes == 0:
        raise ValueError("attributes have no columns; pass one column per attribute.")
    if names is None:
        names = [f"attribute{number}" for number in range(n_attributes)]
    names = np.asarray(names, dtype=object)
    if len(attributes) != n_prompts:
        raise ValueError(
            f"attributes have {len(attributes)} rows but there are {n_prompts} prompts; pass one "
            "row per prompt."
        )
    for name, column in zip(names, attributes.T, strict=True):
        values = np.unique(column)
        if len(values) != 2:
            raise ValueError(
                f"{name} takes {len(values)} different values ({listing(values, 5)}), n_samples="
                f"{n_prompts}; an attribute takes two, such as 0 and 1, each for some prompt. Turn "
                "a category into one attribute per value, and leave out what never varies."
            )
    return attributes, names


# Quality and error


def check_quality(
    y: Any,
    *,
    name: str = "y",
    n_prompts: int | None = None,
    n_models: int | None = None,
    labels: np.ndarray | None = None,
    every_model: bool = True,
) -> np.ndarray:
    """Check a table of quality, one column a model; NaN marks prompts that were not run."""
    if np.ndim(y) != 2:
        raise ValueError(
            f"`{name}` must be of shape (n_prompts, n_models), one column per model; got "
            f"{np.ndim(y)} dimension(s). For a single model, pass {name}.reshape(-1, 1)."
        )
    if np.shape(y)[1] == 0:
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


def check_error_pred(error_pred: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Check a table of predicted errors against the table of quality."""
    checked: np.ndarray = check_array(error_pred, dtype=FLOATS, input_name="error_pred")
    if checked.shape != shape:
        raise ValueError(
            f"`error_pred` has shape {checked.shape} but the quality has shape {shape}; both "
            "have one row per prompt and one column per model."
        )
    return checked


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


def is_dask(X: object) -> TypeGuard[Any]:
    """Whether this is a dask array or DataFrame; without importing dask."""
    return type(X).__module__.startswith("dask.")


def check_prompts(router: Any, X: Any) -> np.ndarray:
    """Check prompts against those that the router was fitted on."""
    if is_dask(X):
        raise TypeError(
            "dask arrays are for `fit`, `predict` and `predict_error`; pass X.compute() here."
        )
    return _embeddings(router, X, "no_validation", reset=False)


def check_training_prompts(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """Check prompts to fit on."""
    # Without y, this raises what scikit-learn says of a missing y.
    target = None if y is None else "no_validation"
    return _embeddings(estimator, X, target, reset=True)


def _embeddings(estimator: Any, X: Any, target: str | None, *, reset: bool) -> np.ndarray:
    try:
        prompts: np.ndarray = validate_data(estimator, X, target, reset=reset, dtype=FLOATS)
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(
            f"{error}. Routers take embeddings of prompts, not texts: embed them first (see "
            "sklearn_uniroute.datasets.embed_prompts), or put a transformer before the router in a "
            "pipeline."
        ) from error
    return prompts


def check_validation_prompts(router: Any, X_val: Any) -> np.ndarray:
    """Check prompts that the user brings, against those that the router was fitted on."""
    try:
        return check_prompts(router, X_val)
    except ValueError as error:
        raise ValueError(f"`X_val` does not fit the prompts of this router. {error}") from error


def check_cv_results(cv_results: Mapping[str, Any]) -> None:
    """Check that a cross-validation kept its estimators and indices."""
    missing = [name for name in ("estimator", "indices") if name not in cv_results]
    if missing:
        raise ValueError(
            f"`cv_results` has no {' and no '.join(missing)}; call cross_validate with "
            "return_estimator=True and return_indices=True."
        )


def check_folds(cv: Any, X: Any, y: np.ndarray, costs: np.ndarray) -> list[Any]:
    """Get the splits of models and prompts."""
    folds = cv
    if hasattr(cv, "get_n_splits"):
        folds = cv.split(X, y, costs)
    if not np.iterable(folds) or isinstance(folds, str):
        raise TypeError(f"`cv` must be a DynamicPoolSplit or a list of PoolFold; got {cv!r}.")
    folds = list(folds)
    if not folds or any(len(fold) != 4 for fold in folds):
        raise ValueError(
            "`cv` must split prompts and models: pass a DynamicPoolSplit, or one PoolFold or more; "
            f"got {cv!r}."
        )
    return folds


def check_settings(settings: Iterable[Mapping[str, Any]]) -> None:
    """Refuse settings of what the evaluation itself sets."""
    names = {name for setting in settings for name in setting}
    taken = sorted(name for name in names if name.split("__")[-1] == "n_validation")
    if taken:
        raise ValueError(
            f"`param_grid` sets {listing(taken)}, which is the argument `n_validation` here; call "
            "this once for each number of validation prompts."
        )


def check_enough_prompts(n_test: int, n_prompts: int) -> None:
    """Refuse a split without training or test prompts."""
    if not 1 <= n_test < n_prompts:
        raise ValueError(
            f"`test_size` leaves {n_prompts - n_test} training prompts and {n_test} test prompts; "
            "bring more prompts, or change it."
        )


def check_sample_weight(sample_weight: Any, n_prompts: int) -> np.ndarray:
    """Check weights of prompts; all 1 for None."""
    if sample_weight is None:
        return np.ones(n_prompts)
    checked: np.ndarray = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight"
    )
    if checked.shape != (n_prompts,):
        raise ValueError(
            f"`sample_weight` has shape {checked.shape} but there are {n_prompts} prompts; "
            "pass one weight per prompt."
        )
    if checked.min() < 0 or checked.sum() == 0:
        raise ValueError(
            "`sample_weight` must hold weights of at least 0, not all of them 0; got a minimum of "
            f"{checked.min()} and a sum of {checked.sum()}."
        )
    return checked


# Preferences

_OUTCOMES = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}


def check_battles(
    model_a: Any, model_b: Any, winner: Any, n_prompts: int, models: np.ndarray
) -> tuple[list[Label], np.ndarray, np.ndarray, np.ndarray]:
    """Check battles; returns names of new models, positions of both sides, and outcomes.

    New models stand after the known ones, in the order in which the battles name them.
    """
    sides = {"model_a": model_a, "model_b": model_b, "winner": winner}
    for argument, values in sides.items():
        if isinstance(values, str) or np.ndim(values) != 1 or len(values) != n_prompts:
            raise ValueError(
                f"`{argument}` must name one for each of the {n_prompts} prompts; got shape "
                f"{np.shape(values)}."
            )
    known = {label: position for position, label in enumerate(models.tolist())}
    position, new = dict(known), []
    met = [*np.asarray(model_a, dtype=object), *np.asarray(model_b, dtype=object)]
    for label in met:
        label = label.item() if isinstance(label, np.generic) else label
        if not (is_hashable(label) and label in position):
            position[check_new_name(label, models)] = len(position)
            new.append(label)
    if not new:
        raise ValueError(
            f"all models of these battles are known: {listing(known)}; battles add new models, and "
            "say nothing of those that are known by their errors."
        )
    first, second = np.array([position[label] for label in met]).reshape(2, -1)
    if np.any(first == second):
        raise ValueError(
            f"battle {np.flatnonzero(first == second)[0]} is of a model with itself; leave it out."
        )
    unknown = [label for label in winner if not (is_hashable(label) and label in _OUTCOMES)]
    if unknown:
        raise ValueError(f"`winner` must be one of {listing(_OUTCOMES)}; got {unknown[0]!r}.")
    return new, first, second, np.array([_OUTCOMES[label] for label in winner])


def check_preference_scale(n_battles: int, scale: float) -> None:
    """Refuse battles that do not tell how far errors decide them."""
    if n_battles == 0 or scale <= 1e-6:
        found = "there are none" if n_battles == 0 else "there they do not win more often"
        raise ValueError(
            "battles between models that the router knows must show how much more often models of "
            f"less error win; {found}. Add such battles (as few as a hundred will do), or run the "
            "new models on validation prompts and use `add_model`."
        )


# Training of a map


def check_trainable(X: np.ndarray) -> None:
    """Refuse to train on a single prompt, which does not vary."""
    if len(X) < 2:
        raise ValueError(f"this router is fitted on at least 2 prompts; got n_samples={len(X)}.")


def check_loss(loss: str, errors: np.ndarray) -> str:
    """Settle on a loss that the qualities admit."""
    low, high = 1 - np.nanmax(errors), 1 - np.nanmin(errors)
    is_rate = low >= 0 and high <= 1
    if loss == "log_loss" and not is_rate:
        raise ValueError(
            f"`loss`='log_loss' needs qualities between 0 and 1, but `y` goes from {low:g} to "
            f"{high:g}; take 'squared_error' or 'auto'."
        )
    if loss == "auto":
        return "log_loss" if is_rate else "squared_error"
    return loss


def check_map_shape(centers: np.ndarray, X: np.ndarray, n_clusters: int, clusterer: Any) -> None:
    """Refuse to go on from a map of other features or clusters."""
    if centers.shape[1] != X.shape[1]:
        raise ValueError(
            f"`warm_start` goes on from a map of {centers.shape[1]} features, but X has "
            f"{X.shape[1]}; set warm_start=False to fit anew."
        )
    if clusterer is None and n_clusters != len(centers):
        raise ValueError(
            f"`warm_start` goes on from a map of {len(centers)} clusters, but `n_clusters` is "
            f"{n_clusters}; set warm_start=False to fit anew."
        )


def check_map_state(state: Mapping[str, np.ndarray], expected: dict[str, tuple[int, ...]]) -> None:
    """Refuse to go on from weights of other layers."""
    if {name: np.shape(value) for name, value in state.items()} != expected:
        raise ValueError(
            "`warm_start` goes on from a map with other layers; set warm_start=False to fit anew."
        )


def check_finite_weights(state: Mapping[str, np.ndarray]) -> None:
    """Refuse weights that training has blown up."""
    if not all(np.isfinite(value).all() for value in state.values()):
        raise ValueError(
            "training the network diverged: its weights are not finite; lower `learning_rate` or "
            "scale the features of X."
        )
