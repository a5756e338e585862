"""The file format of routing tables: an .npz archive of arrays, a JSON header and a checksum.

Reading a file never runs code from it, and nothing is used before the checksum is verified. The
header decides which arrays the file must have; their shapes are checked against one another.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sklearn_uniroute._numerics._clusters import ClustersSeen
from sklearn_uniroute._numerics._exploration import Exploration
from sklearn_uniroute._numerics._features import (
    Affine,
    AffineProjection,
    ClusterShares,
    NearestCluster,
    NetworkShares,
    Phi,
    SharesAndComponents,
)
from sklearn_uniroute._numerics._neighbors import NeighborPredictor
from sklearn_uniroute._numerics._predictors import (
    EnsemblePredictor,
    Fallback,
    FeaturePredictor,
    NetworkOutputs,
    NetworkPredictor,
    OperatingPoint,
    Predictor,
)
from sklearn_uniroute._version import __version__
from sklearn_uniroute.utils._files import read_array, read_members
from sklearn_uniroute.utils._typing import StrPath

# Incremented with every change that older versions cannot read. Since 2, tables of routers over
# clusters record how the training prompts lie in the clusters. Since 3, there are ensembles. Since
# 4, tables may explore. Since 5, prompts may count several times. Since 6, a pool may have an order
# of its own; others are written in format 5.
FORMAT = 6
_HEADER, _CHECKSUM = "header.json", "sha256"
# Arrays and numbers of each Phi, by the names of its constructor's arguments. Arrays have shapes:
# the same letter means the same size (D features, K clusters, M models, F outputs of Phi). Numbers
# have ranges.
_PHI: dict[str, tuple[type[Phi], dict[str, str], dict[str, tuple[float, float]]]] = {
    "nearest": (NearestCluster, {"centers": "KD"}, {}),
    "shares": (ClusterShares, {"centers": "KD"}, {"temperature": (0, np.inf)}),
    "network": (
        NetworkShares,
        {"means": "D", "centers": "KD"},
        {"cluster_weight": (0, 1), "temperature": (0, np.inf)},
    ),
    "components": (
        SharesAndComponents,
        {"centers": "KD", "center": "D", "components": "CD"},
        {"temperature": (0, np.inf)},
    ),
    "affine": (Affine, {"center": "D"}, {}),
    "projection": (AffineProjection, {"center": "D", "projection": "RD"}, {}),
}


class TableContent(NamedTuple):
    """Content of a file."""

    predictor: Predictor
    operating_point: OperatingPoint
    models: list[str] | list[int]
    pool: list[str] | list[int] | None
    has_costs: bool
    feature_names: list[str] | None
    clusters: ClustersSeen | None
    known: dict[str, list[int]]
    exploration: Exploration | None
    embedder: str | None
    fingerprint: str | None


def pack_table(table: Any, embedder: str | None, fingerprint: str | None, version: str) -> bytes:
    """Make the content of a file, written by this version; see `RoutingTable.save`."""
    for name, text in (("embedder", embedder), ("fingerprint", fingerprint)):
        if not (text is None or isinstance(text, str)):
            raise TypeError(f"`{name}` must be a string; got {text!r}.")
    predictor, clusters = table._predictor, table._clusters_seen
    exploration = None if table._explorer is None else table._explorer.exploration
    arrays = {"prices": predictor.prices}
    if clusters is not None:
        arrays |= {"seen_sizes": clusters.sizes, "seen_quantiles": clusters.distance_quantiles}
    if exploration is not None:
        arrays["draws"] = exploration.draws
    kind, settings = _pack_predictor(predictor, arrays)
    header = {
        "format": FORMAT if table.models != table._names else FORMAT - 1,
        "package_version": version,
        "n_features": predictor.n_features,
        "models": table._names,
        "has_costs": table._has_costs,
        "operating_point": table._point._asdict(),
        "feature_names": table.feature_names,
        "known": table._known,
        "exploration": None
        if exploration is None
        else {"share": exploration.share, "seed": exploration.seed},
        "embedder": embedder,
        "fingerprint": fingerprint,
        "kind": kind,
        "settings": settings,
    }
    if table.models != table._names:
        header["pool"] = table.models
    members = {_HEADER: json.dumps(header, indent=1).encode()}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    members[_CHECKSUM] = _checksum(members)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            # All members have the same date, so the same table gives the same file.
            file.writestr(zipfile.ZipInfo(name), content)
    return archive.getvalue()


def unpack_table(content: bytes, path: StrPath) -> TableContent:
    """Read the content of a file at a path; see `RoutingTable.load`."""
    try:
        members = _checked_members(content)
        header = json.loads(members.pop(_HEADER))
        if _whole(header["format"], 1) > FORMAT:
            raise _NewerError(
                f"{path} was written by version {header['package_version']}, in a format that "
                f"this version ({__version__}) cannot read; upgrade sklearn_uniroute."
            )
        arrays = {name.removesuffix(".npy"): read_array(part) for name, part in members.items()}
        sizes = {"D": _whole(header["n_features"], 1), "M": len(header["models"])}
        return _unpack(header, _Arrays(arrays, sizes))
    except _NewerError as error:
        raise ValueError(str(error)) from None
    # Any other error means that the bytes of the file are wrong.
    except Exception as error:
        raise ValueError(
            f"{path} is damaged or is not a routing table ({type(error).__name__}: {error}); save "
            "the table again."
        ) from error


def can_be_packed(predictor: Predictor) -> bool:
    """Whether files can hold the predictor, which needs arrays alone."""
    if isinstance(predictor, EnsemblePredictor):
        return all(map(can_be_packed, predictor.members))
    if isinstance(predictor, FeaturePredictor):
        return any(type(predictor.phi) is kind for kind, _, _ in _PHI.values())
    return isinstance(predictor, NetworkPredictor | NeighborPredictor)


class _NewerError(Exception):
    """The file is intact, but has a newer format."""


def _checksum(members: dict[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for name, content in sorted(members.items()):
        digest.update(f"{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest().encode()


def _checked_members(content: bytes) -> dict[str, bytes]:
    """Read the members of the archive, and verify their checksum."""
    members = read_members(content, compressed=False)
    if members.pop(_CHECKSUM, None) != _checksum(members):
        raise ValueError("the checksum does not match")
    return members


class _Arrays:
    """Arrays of a file, taken one by one, whose sizes must agree."""

    def __init__(self, arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
        self.arrays, self.sizes = arrays, sizes

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def take(
        self,
        name: str,
        letters: Sequence[str],
        *,
        dtypes: Sequence[str] = ("float32", "float64"),
        missing: bool = False,
    ) -> np.ndarray:
        array = self.arrays.pop(name)
        if array.dtype.name not in dtypes:
            raise ValueError(f"{name} has dtype {array.dtype}")
        if len(letters) != array.ndim:
            raise ValueError(f"{name} has shape {array.shape}")
        for letter, size in zip(letters, array.shape, strict=True):
            if self.sizes.setdefault(letter, size) != size or size == 0:
                raise ValueError(
                    f"{name} has shape {array.shape}, but {self.sizes[letter]} was expected"
                )
        if np.isinf(array).any() or (not missing and np.isnan(array).any()):
            raise ValueError(f"{name} is not finite")
        return array


def _unpack(header: dict[str, Any], arrays: _Arrays) -> TableContent:
    models = _kind_of(header["models"], list)
    if len({type(model) for model in models}) != 1 or len(set(models)) != len(models):
        raise ValueError("names of models must be unique and of one type")
    if type(models[0]) not in (str, int):
        raise ValueError("names of models must be strings or integers")
    prices = arrays.take("prices", "M", dtypes=["float64"])
    predictor = _UNPACK[header["kind"]](header["settings"], arrays, prices)
    clusters = None
    if "seen_sizes" in arrays:
        sizes = arrays.take("seen_sizes", "K", dtypes=["int64", "float64"])
        clusters = ClustersSeen(sizes, arrays.take("seen_quantiles", "Q", dtypes=["float64"]))
        check_seen(clusters)
    exploration = _exploration(header.get("exploration"), arrays)
    if arrays.arrays:
        raise ValueError(f"unexpected arrays: {sorted(arrays.arrays)}")
    if np.any(prices < 0) or (predictor.shares_costs and np.any(np.diff(prices) < 0)):
        raise ValueError("prices are negative or models are not sorted by rising cost")
    point = header["operating_point"]
    return TableContent(
        predictor,
        OperatingPoint(
            _number(point["cost_weight"], 0),
            _number(point["beyond"], 0),
            _number(point["share"], 0, 1),
            _whole(point["seed"], 0, 2**64 - 1),
        ),
        models,
        _pool(header.get("pool"), models),
        _kind_of(header["has_costs"], bool),
        _names(header.get("feature_names"), header["n_features"]),
        clusters,
        _counts(header.get("known", {}), len(models)),
        exploration,
        _kind_of(header["embedder"], str | None),
        _kind_of(header["fingerprint"], str | None),
    )


def _pool(pool: Any, models: list[Any]) -> list[Any] | None:
    """Check the order of the pool; files without one have it in the order of the models."""
    if pool is not None and sorted(_kind_of(pool, list)) != sorted(models):
        raise ValueError("the pool has other models than the table")
    return list(pool) if pool is not None else None


def _counts(known: Any, n_models: int) -> dict[str, list[int]]:
    """Check by how many errors and features the models are known."""
    if not set(_kind_of(known, dict)) <= {"n_errors", "n_features"}:
        raise ValueError(f"unexpected counts: {sorted(known)}")
    for counts in known.values():
        if len([_whole(count, 0) for count in _kind_of(counts, list)]) != n_models:
            raise ValueError(f"there are {len(counts)} counts for {n_models} models")
    return dict(known)


def _exploration(settings: Any, arrays: _Arrays) -> Exploration | None:
    """Take the draws of a table that explores; files of earlier formats have none."""
    if settings is None:
        return None
    share = _number(settings["share"], 0, 1)
    if share == 0 or "F" not in arrays.sizes:
        raise ValueError("only tables of routers with a posterior explore")
    draws = arrays.take("draws", ["draws", "M", "F"], dtypes=["float64"])
    return Exploration(share, draws, _whole(settings["seed"], 0, 2**64 - 1))


def _pack_predictor(
    predictor: Predictor, arrays: dict[str, np.ndarray]
) -> tuple[str, dict[str, Any]]:
    """Add the arrays of a predictor; returns its kind and its settings."""
    if not can_be_packed(predictor):
        raise TypeError(
            "tables of routers of your own, or with a feature map, cannot be saved; save the "
            "router with save_router, and make the table after loading it."
        )
    if isinstance(predictor, FeaturePredictor):
        return "features", _pack_features(predictor, arrays)
    if isinstance(predictor, NetworkPredictor):
        return "networks", _pack_networks(predictor, arrays)
    if isinstance(predictor, EnsemblePredictor):
        return "ensemble", _pack_ensemble(predictor, arrays)
    return "neighbors", _pack_neighbors(predictor, arrays)


# Errors from several predictors


def _pack_ensemble(predictor: EnsemblePredictor, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    members = []
    for number, member in enumerate(predictor.members):
        own: dict[str, np.ndarray] = {}
        kind, settings = _pack_predictor(member, own)
        arrays.update({f"member{number}_{name}": array for name, array in own.items()})
        members.append({"kind": kind, "settings": settings})
    return {"weights": predictor.weights.tolist(), "members": members}


def _unpack_ensemble(
    settings: dict[str, Any], arrays: _Arrays, prices: np.ndarray
) -> EnsemblePredictor:
    members = []
    for number, one in enumerate(_kind_of(settings["members"], list)):
        prefix = f"member{number}_"
        own = {
            name.removeprefix(prefix): arrays.arrays.pop(name)
            for name in list(arrays.arrays)
            if name.startswith(prefix)
        }
        sizes = {letter: arrays.sizes[letter] for letter in "DM"}
        known = _Arrays(own, sizes)
        members.append(_UNPACK[one["kind"]](one["settings"], known, prices))
        if own:
            raise ValueError(f"unexpected arrays: {sorted(own)}")
    weights = np.array([_number(weight, 0) for weight in settings["weights"]])
    if len(weights) != len(members) or not members:
        raise ValueError("an ensemble must have one weight for each member")
    return EnsemblePredictor(members, weights, prices)


# Errors from features


def _pack_features(predictor: FeaturePredictor, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    phi: Any = predictor.phi
    arrays["representation"] = predictor.representation
    if predictor.cost_representation is not None:
        arrays["cost_representation"] = predictor.cost_representation
    name = next(name for name, (kind, _, _) in _PHI.items() if type(phi) is kind)
    _, shapes, numbers = _PHI[name]
    arrays.update({array: getattr(phi, array) for array in shapes})
    settings: dict[str, Any] = {"phi": name}
    settings |= {number: float(getattr(phi, number)) for number in numbers}
    if name == "network":
        _pack_layers("", phi.coefs, phi.intercepts, arrays)
    if predictor.fallback is not None:
        arrays["fallback_centers"] = predictor.fallback.nearest.centers
        settings["fallback_distance"] = float(predictor.fallback.distance)
        settings["fallback_position"] = int(predictor.fallback.position)
    return settings


def _unpack_features(
    settings: dict[str, Any], arrays: _Arrays, prices: np.ndarray
) -> FeaturePredictor:
    kind, shapes, numbers = _PHI[settings["phi"]]
    values: dict[str, Any] = {name: arrays.take(name, letters) for name, letters in shapes.items()}
    values |= {name: _number(settings[name], *ends) for name, ends in numbers.items()}
    if settings["phi"] == "network":
        values["coefs"], values["intercepts"], _ = _unpack_layers("", arrays, last="K")
    phi = kind(**values)
    arrays.sizes["F"] = phi.n_outputs
    cost_representation = None
    if "cost_representation" in arrays:
        arrays.sizes["K"] = phi.n_clusters
        cost_representation = arrays.take("cost_representation", "MK")
    fallback = None
    if "fallback_centers" in arrays:
        fallback = Fallback(
            NearestCluster(arrays.take("fallback_centers", "KD")),
            _number(settings["fallback_distance"], 0),
            _whole(settings["fallback_position"], 0, len(prices) - 1),
        )
    representation = arrays.take("representation", "MF")
    return FeaturePredictor(phi, representation, prices, cost_representation, fallback)


# Errors from networks


def _pack_networks(predictor: NetworkPredictor, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    arrays["means"] = predictor.means
    networks = []
    for number, network in enumerate(predictor.networks):
        prefix = f"network{number}_"
        _pack_layers(prefix, network.coefs, network.intercepts, arrays)
        arrays[f"{prefix}output"] = network.output
        arrays[f"{prefix}members"] = network.members
        networks.append(bool(network.squared))
    return {"squared": networks}


def _unpack_networks(
    settings: dict[str, Any], arrays: _Arrays, prices: np.ndarray
) -> NetworkPredictor:
    means = arrays.take("means", "D")
    networks = []
    for number, squared in enumerate(settings["squared"]):
        prefix = f"network{number}_"
        coefs, intercepts, n_hidden = _unpack_layers(prefix, arrays)
        members = arrays.take(f"{prefix}members", [f"{prefix}models"], dtypes=["int64"])
        output = arrays.take(f"{prefix}output", [f"{prefix}models", f"{prefix}outputs"])
        if output.shape[1] != 1 + n_hidden:
            raise ValueError(f"{prefix}output has shape {output.shape}")
        networks.append(NetworkOutputs(coefs, intercepts, output, _kind_of(squared, bool), members))
    known = np.concatenate([network.members for network in networks])
    if sorted(known) != list(range(len(prices))):
        raise ValueError("networks must have one output for each model")
    return NetworkPredictor(means, networks, prices)


def _pack_layers(
    prefix: str,
    coefs: list[np.ndarray],
    intercepts: list[np.ndarray],
    arrays: dict[str, np.ndarray],
) -> None:
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        arrays[f"{prefix}coef{layer}"] = coef
        arrays[f"{prefix}intercept{layer}"] = intercept


def _unpack_layers(
    prefix: str, arrays: _Arrays, last: str | None = None
) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Take all layers, and the width of the last one; `last` is the letter of its size."""
    coefs: list[np.ndarray] = []
    intercepts, inputs = [], "D"
    while f"{prefix}coef{len(coefs)}" in arrays:
        layer = len(coefs)
        is_last = f"{prefix}coef{layer + 1}" not in arrays
        outputs = last if is_last and last else f"{prefix}layer{layer}"
        coefs.append(arrays.take(f"{prefix}coef{layer}", [inputs, outputs]))
        intercepts.append(arrays.take(f"{prefix}intercept{layer}", [outputs]))
        inputs = outputs
    if last and not coefs:
        raise ValueError("a network has no layers")
    return coefs, intercepts, arrays.sizes[inputs]


# Errors from neighbours


def _pack_neighbors(predictor: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if not isinstance(predictor.metric, str):
        raise TypeError(
            f"`metric` is the function {predictor.metric!r}, which cannot be saved; fit with the "
            "name of a scikit-learn metric."
        )
    arrays["prompts"], arrays["errors"] = predictor.prompts, predictor.known
    arrays["n_neighbors"] = predictor.n_neighbors.astype(np.int64)
    if predictor.counts is not None:
        arrays["counts"] = predictor.counts
    return {
        "weights": predictor.weights,
        "metric": predictor.metric,
    }


def _unpack_neighbors(
    settings: dict[str, Any], arrays: _Arrays, prices: np.ndarray
) -> NeighborPredictor:
    prompts = arrays.take("prompts", "ND")
    errors = arrays.take("errors", "MN", missing=True)
    if np.isnan(errors).all(axis=1).any():
        raise ValueError("errors has a model that was never run")
    if "n_neighbors" in arrays:
        n_neighbors = arrays.take("n_neighbors", "M", dtypes=["int64"])
    else:
        # Before format 3, all models had one number of neighbours.
        n_neighbors = np.full(len(errors), _whole(settings["n_neighbors"], 1))
    if n_neighbors.min() < 1:
        raise ValueError("n_neighbors must be at least 1")
    counts = arrays.take("counts", "N", dtypes=["float64"]) if "counts" in arrays else None
    if counts is not None and not counts.min() > 0:
        raise ValueError("counts must be above 0")
    if settings["weights"] not in ("uniform", "distance"):
        raise ValueError("weights must be 'uniform' or 'distance'")
    return NeighborPredictor(
        prompts,
        errors,
        prices,
        n_neighbors,
        settings["weights"],
        _kind_of(settings["metric"], str),
        counts,
    )


_UNPACK: dict[str, Callable[[dict[str, Any], _Arrays, np.ndarray], Predictor]] = {
    "features": _unpack_features,
    "networks": _unpack_networks,
    "neighbors": _unpack_neighbors,
    "ensemble": _unpack_ensemble,
}


# Values of the header


def check_seen(clusters: ClustersSeen) -> None:
    """Refuse sizes and distances that no fit gives."""
    sizes, quantiles = clusters
    if sizes.min() < 0 or sizes.sum() == 0:
        raise ValueError("seen_sizes must count prompts")
    if quantiles[0] < 0 or np.any(np.diff(quantiles) < 0):
        raise ValueError("seen_quantiles must be distances in rising order")


def _names(value: Any, n_features: int) -> list[str] | None:
    """Names of the features; files of version 0.1 have none."""
    if value is None:
        return None
    if len(_kind_of(value, list)) != n_features or len(set(value)) < n_features:
        raise ValueError(f"feature_names must be {n_features} different names")
    return [_kind_of(name, str) for name in value]


def _number(value: object, low: float, high: float = np.inf) -> float:
    value = float(_kind_of(value, int | float))
    if not (low <= value <= high and np.isfinite(value)):
        raise ValueError(f"{value} is out of range")
    return value


def _whole(value: int, low: float, high: float = np.inf) -> int:
    if not low <= _kind_of(value, int) <= high:
        raise ValueError(f"{value} is out of range")
    return value


def _kind_of(value: Any, kind: Any) -> Any:
    # bool is a subclass of int.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{value!r} is not of type {kind}")
    return value


def check_recorded(recorded: object, expected: object, argument: str, path: StrPath) -> None:
    """Check that a file records what its reader expects."""
    if expected is not None and recorded != expected:
        said = "does not record it" if recorded is None else f"records {recorded!r}"
        raise ValueError(
            f"`{argument}` should be {expected!r}, but {path} {said}; load the table that was made "
            "for these embeddings."
        )
