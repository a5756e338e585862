"""Files of fitted routers, through skops: nothing in them is a pickle."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_uniroute._attributes import AttributeEncoder
from sklearn_uniroute._version import __version__
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._cascade import CascadeRouter
from sklearn_uniroute.routers._pool import pool_columns
from sklearn_uniroute.serving._table_file import can_be_packed, unpack_table
from sklearn_uniroute.utils._estimators import final_router
from sklearn_uniroute.utils._files import check_arrays, read_whole, write_whole
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import check_names, listing

# Raised with every change that older versions cannot read. Since 2, prompts have weights.
FORMAT = 2
# Shapes of arrays that `fit` leaves: the same letter means the same size (M models, D features, V
# validation prompts, K clusters, F outputs). Routers of one's own may name arrays as they like.
_SHAPES = {
    "costs_": "M",
    "X_val_": "VD",
    "validation_indices_": "V",
    "validation_weights_": "V",
    "_validation_times": "V",
}
_SHAPES_OF_PACKAGE = {
    "cluster_centers_": "KD",
    "cluster_sizes_": "K",
    "cluster_shares_": "K",
    "_held_out_sizes": "K",
    "distance_quantiles_": "Q",
    "prior_mean_": "F",
    "prior_covariance_": "FF",
    "noise_": "F",
    "representation_": "MF",
    "representation_std_": "MF",
    "cost_representation_": "MK",
    "center_": "D",
    "components_": "CD",
    "projection_": "RD",
    "reference_prompts_": "FD",
    "error_sums": "MK",
    "error_counts": "MK",
    "cost_sums": "MK",
    "cost_counts": "MK",
    "moments": "MF",
    "weights_": "R",
}
_NOT_NEGATIVE = {
    "costs_",
    "weights_",
    "validation_indices_",
    "validation_weights_",
    "_validation_times",
    "cluster_sizes_",
    "cluster_shares_",
    "_held_out_sizes",
    "distance_quantiles_",
    "noise_",
    "representation_std_",
    "cost_representation_",
    "error_counts",
    "cost_sums",
    "cost_counts",
}


def save_router(router: Any, path: StrPath, *, trusted: Iterable[str] = ()) -> None:
    """Write a router, or a pipeline that ends in one, to a file.

    The file holds the whole state of the router, so models can be added after it is loaded. For the
    request path, ``router.routing_table().save(path)`` writes a smaller file. The file is written
    beside the target and renamed, so a reader finds the old file or the new one.

    Parameters
    ----------
    router : router or Pipeline
        Router or cascade, fitted or not, of estimators of this package, of scikit-learn, and of
        `trusted` types.
    path : str or path-like
        Path of the file. An existing file is replaced.
    trusted : iterable of str, default=()
        Further types that the file may hold, as "module.Class", such as a router of your own.
        :func:`load_router` must be given them as well.

    Raises
    ------
    TypeError
        If `router` is no router, or if it holds any other type, such as a callback or a function.
    ImportError
        If skops is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_uniroute import KMeansRouter, load_router, save_router
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
    >>> with TemporaryDirectory() as folder:
    ...     save_router(router, Path(folder) / "router.skops")
    ...     loaded = load_router(Path(folder) / "router.skops")
    >>> bool((loaded.predict(data.X) == router.predict(data.X)).all())
    True
    """
    io = import_optional("skops.io", "persist")
    known = _trusted(trusted)
    if not _is_router(router):
        found = " Pass its `best_estimator_`." if hasattr(router, "best_estimator_") else ""
        raise TypeError(
            f"`router` must be a router, or a Pipeline that ends in one; got {router!r}.{found}"
        )
    content = io.dumps({"format": FORMAT, "package_version": __version__, "router": router})
    foreign = sorted(set(io.get_untrusted_types(data=content)) - known)
    if foreign:
        raise TypeError(
            f"`router` holds types that load_router would not trust: {listing(foreign)}; fit it "
            "without them, or name them in `trusted` here and there."
        )
    write_whole(path, content)


def load_router(path: StrPath, *, trusted: Iterable[str] = ()) -> Any:
    """Read a router from a file.

    Parameters
    ----------
    path : str or path-like
        File written by :func:`save_router`. Nothing in it is run. Types other than those of this
        package, scikit-learn, NumPy, SciPy and `trusted` are refused.
    trusted : iterable of str, default=()
        Further types that the file may hold, as "module.Class".

    Returns
    -------
    router : router or Pipeline
        Router that predicts as the saved one does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or takes far more memory than its size, if it holds no router, other
        types, or a router in a state that `fit` does not leave, or if it is of a newer version.
    ImportError
        If skops is not installed.
    """
    io = import_optional("skops.io", "persist")
    known = _trusted(trusted)
    content = read_whole(path)
    try:
        check_arrays(content)
        foreign = sorted(set(io.get_untrusted_types(data=content)) - known)
        saved = None if foreign else io.loads(content, trusted=sorted(known))
    # Whatever is wrong with a file, its bytes are to blame.
    except Exception as error:
        raise ValueError(
            f"{path} is damaged, or holds no router ({type(error).__name__}: {error}); save the "
            "router again."
        ) from error
    if foreign:
        raise ValueError(
            f"{path} holds types that are not trusted: {listing(foreign)}. If they are yours, name "
            "them in `trusted`; otherwise do not load the file."
        )
    if not (isinstance(saved, dict) and type(saved.get("format")) is int and saved["format"] > 0):
        raise ValueError(f"{path} holds no router; it was not written by save_router.")
    if saved["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by version {saved.get('package_version')}, in a format that this "
            f"version, {__version__}, does not know; upgrade sklearn_uniroute."
        )
    if not _is_router(saved.get("router")):
        raise ValueError(f"{path} holds no router; it was not written by save_router.")
    router = _end(saved["router"])
    if router.__sklearn_is_fitted__():
        try:
            if isinstance(router, CascadeRouter):
                check_cascade_state(router)
                router = final_router(router.router_)
            check_fitted_state(router)
        # A state that no fit leaves can raise any error.
        except Exception as error:
            raise ValueError(
                f"{path} holds a router in a state that `fit` does not leave ({error}); save the "
                "router again."
            ) from error
    return saved["router"]


def check_fitted_state(router: Any) -> None:
    """Refuse a router whose arrays do not fit together, or hold impossible numbers.

    Raises
    ------
    ValueError
        That says what is wrong. Other errors mean as much.
    """
    n_models = len(check_names(router.models_.tolist()))
    sizes = {"D": router.n_features_in_, "M": n_models}
    is_own = not type(router).__module__.startswith("sklearn_uniroute")
    shapes = _SHAPES if is_own else _SHAPES | _SHAPES_OF_PACKAGE
    state = {**vars(router), **vars(router).get("_evidence", {})}
    for name, letters in shapes.items():
        if isinstance(state.get(name), np.ndarray):
            may_miss = name == "representation_" and "reference_prompts_" in state
            check_state_array(name, state[name], letters, sizes, may_miss=may_miss)
    names = getattr(router, "feature_names_in_", None)
    if names is not None and len(set(names)) != router.n_features_in_:
        raise ValueError("feature_names_in_ does not name each feature")
    for name, rows in router._evidence.items():
        if len(rows) != n_models:
            raise ValueError(f"{name} has {len(rows)} rows for {n_models} models")
    check_shares(state)
    if is_own:
        return
    if not np.isfinite(pool_columns(router)["error"]).all():
        raise ValueError("mean errors are not finite")
    for member in getattr(router, "routers_", ()):
        check_fitted_state(member)
        if not np.array_equal(member.models_, router.models_):
            raise ValueError("members know other models")
    table = router.routing_table(cost_weight=0.0)
    if can_be_packed(table._predictor):
        # A table has the checks of its own file.
        unpack_table(table._packed(), "its table")


def check_cascade_state(cascade: CascadeRouter) -> None:
    """Refuse a cascade whose scores say impossible things."""
    low, high = cascade.quality_range_
    if not (np.isfinite([low, high]).all() and low <= high and 0 <= cascade.correlation_ < 1):
        raise ValueError("quality_range_ or correlation_ is impossible")
    if not np.isfinite(list(cascade.score_shifts_.values())).all():
        raise ValueError("score_shifts_ are not finite")
    if cascade.informative_:
        evidence = cascade._score_evidence
        sizes = {"E": len(evidence["log_odds"]) - 1}
        for name in ("edges", "log_odds", "right", "wrong", "cost_ratio"):
            letters = "E" if name == "edges" else "B"
            check_state_array(name, evidence[name], letters, sizes, may_miss=False)
        if (np.diff(evidence["log_odds"]) < 0).any() or (np.diff(evidence["edges"]) <= 0).any():
            raise ValueError("log_odds or edges do not rise")
        chances = np.array([evidence["right"], evidence["wrong"]])
        if not (chances > 0).all() or not np.allclose(chances.sum(axis=1), 1):
            raise ValueError("right and wrong are no distributions")
        if not (evidence["cost_ratio"] > 0).all() or not 0 <= evidence["correlation"] <= 1:
            raise ValueError("cost_ratio or correlation is impossible")


def check_state_array(
    name: str, array: np.ndarray, letters: str, sizes: dict[str, int], *, may_miss: bool
) -> None:
    """Check the shape and the numbers of one array."""
    if array.ndim != len(letters) or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}")
    for letter, size in zip(letters, array.shape, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise ValueError(f"{name} has shape {array.shape}; {sizes[letter]} was expected")
    if np.isinf(array).any() or (not may_miss and np.isnan(array).any()):
        raise ValueError(f"{name} is not finite")
    if name in _NOT_NEGATIVE and array.size and array.min() < 0:
        raise ValueError(f"{name} is negative")


def check_shares(state: dict[str, Any]) -> None:
    """Check that shares and weights are not all 0, and that variances are variances."""
    for name in ("cluster_shares_", "validation_weights_"):
        if name in state and not state[name].sum() > 0:
            raise ValueError(f"{name} sums to 0")
    if not 0 < state.get("interaction_scale_", 1.0) <= 1:
        raise ValueError("interaction_scale_ is no factor between 0 and 1")
    if "weights_" in state and not np.isclose(state["weights_"].sum(), 1):
        raise ValueError("weights_ do not sum to 1")
    if "prior_covariance_" in state:
        covariance = state["prior_covariance_"]
        rounding = 1e-8 * np.abs(covariance).max()
        if not np.allclose(covariance, covariance.T, atol=rounding):
            raise ValueError("prior_covariance_ is not symmetric")
        if np.linalg.eigvalsh(covariance).min() < -rounding:
            raise ValueError("prior_covariance_ has a negative variance")


def _trusted(further: Iterable[str]) -> set[str]:
    """Types that a file may hold beyond those that skops trusts itself."""
    if isinstance(further, str) or not isinstance(further, Iterable):
        further = [further]
    further = list(further)
    odd = [name for name in further if not isinstance(name, str)]
    if odd:
        raise TypeError(
            f"`trusted` must name types, as 'module.Class'; got {odd[0]!r}. For a class of your "
            "own, pass f'{Class.__module__}.{Class.__qualname__}'."
        )
    kinds = [AttributeEncoder, CascadeRouter, *_subclasses(BaseRouter)]
    own = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    return {name for name in own if name.startswith("sklearn_uniroute.")} | set(further)


def _subclasses(kind: type) -> Iterator[type]:
    one: type
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _is_router(estimator: Any) -> bool:
    return isinstance(_end(estimator), BaseRouter | CascadeRouter)


def _end(estimator: Any) -> Any:
    """Find the last step of pipelines."""
    while isinstance(estimator, Pipeline) and estimator.steps:
        estimator = estimator.steps[-1][1]
    return estimator
