"""Routing tables as ONNX graphs, for gateways that are not in Python."""

import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._features import (
    TRACE,
    Affine,
    AffineProjection,
    ClusterShares,
    MappedFeatures,
    NearestCluster,
    NetworkShares,
)
from sklearn_uniroute._numerics._predictors import FeaturePredictor, OperatingPoint
from sklearn_uniroute.utils._optional import import_optional

# Both work with runtimes from 2023 on.
_OPSET, _IR_VERSION = 17, 8


def table_graph(table: Any) -> Any:
    """Convert a RoutingTable to a graph; see `RoutingTable.to_onnx`."""
    onnx = import_optional("onnx", "onnx")
    predictor, places = table._predictor, table._places
    _check_exportable(predictor, table._point, table.exploration)
    graph = _Graph(onnx)
    phi, representation = predictor.phi, predictor.representation
    if isinstance(phi, NearestCluster):
        clusters = _clusters(graph, phi, "embeddings")
        error = graph.add("Gather", graph.constant(representation.T), clusters)
    elif isinstance(phi, Affine | AffineProjection):
        features = graph.double(_centred(graph, phi, "embeddings"))
        slope = graph.add("MatMul", features, graph.constant(representation[:, 1:].T))
        error = graph.add("Add", slope, graph.constant(representation[:, 0]))
    else:
        features = graph.double(_features(graph, phi, "embeddings"))
        error = graph.add("MatMul", features, graph.constant(representation.T))
    prices = graph.constant(table._weighted)
    scores = graph.add("Add", error, prices)
    # The predictor has them by rising cost, so the first of the lowest scores is the cheapest.
    lowest = graph.add("ArgMin", scores, axis=1, keepdims=0)
    graph.add("Gather", graph.constant(np.argsort(places)), lowest, output="model")
    scores = graph.add("Gather", scores, graph.constant(places), axis=1)
    graph.add("Cast", scores, to=onnx.TensorProto.FLOAT, output="scores")
    metadata = {"models": json.dumps(table.models)}
    if table.feature_names is not None:
        metadata["feature_names"] = json.dumps(table.feature_names)
    return graph.model(predictor.n_features, len(table.models), metadata)


def _check_exportable(predictor: Any, operating_point: OperatingPoint, exploration: float) -> None:
    if not isinstance(predictor, FeaturePredictor):
        raise NotImplementedError(
            "only routers over clusters and linear routers can be converted to graphs; use a "
            "KMeansRouter, LearnedMapRouter, HybridRouter, LinearRouter or "
            "MatrixFactorizationRouter."
        )
    if isinstance(predictor.phi, MappedFeatures):
        raise NotImplementedError(
            "a feature map cannot be converted to a graph; use a KMeansRouter, LearnedMapRouter or "
            "HybridRouter."
        )
    if predictor.cost_representation is not None or predictor.fallback is not None:
        raise NotImplementedError(
            "graphs support neither costs by cluster nor a fallback; fit with cost_model='mean' "
            "and fallback=None."
        )
    if operating_point.share > 0:
        raise NotImplementedError(
            "graphs support one cost weight, but this table mixes two to meet a budget; make the "
            "table with randomize=False."
        )
    if exploration > 0:
        raise NotImplementedError(
            f"graphs do not explore, but this table does (exploration={exploration:g}); make the "
            "table with exploration=0."
        )


class _Graph:
    """Nodes and constants of a graph, with numbered names."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, array: ArrayLike) -> str:
        name = f"constant{len(self.constants)}"
        array = np.ascontiguousarray(array)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def single(self, array: ArrayLike) -> str:
        return self.constant(np.asarray(array, dtype=np.float32))

    def double(self, values: str) -> str:
        return self.add("Cast", values, to=self.onnx.TensorProto.DOUBLE)

    def model(self, n_features: int, n_models: int, metadata: dict[str, str]) -> Any:
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        graph = helper.make_graph(
            self.nodes,
            "routing_table",
            [helper.make_tensor_value_info("embeddings", kinds.FLOAT, ["n_prompts", n_features])],
            [
                helper.make_tensor_value_info("model", kinds.INT64, ["n_prompts"]),
                helper.make_tensor_value_info("scores", kinds.FLOAT, ["n_prompts", n_models]),
            ],
            self.constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        helper.set_model_props(model, metadata)
        self.onnx.checker.check_model(model)
        return model


def _clusters(graph: _Graph, nearest: NearestCluster, embeddings: str) -> str:
    distances = _distances(graph, embeddings, *nearest._cast(np.dtype(np.float32)))
    return graph.add("ArgMin", distances, axis=1, keepdims=0)


def _centred(graph: _Graph, phi: Affine | AffineProjection, embeddings: str) -> str:
    centred = graph.add("Sub", embeddings, graph.single(phi.center))
    if isinstance(phi, Affine):
        return centred
    return graph.add("MatMul", centred, graph.single(phi.projection.T))


def _features(graph: _Graph, phi: Any, embeddings: str) -> str:
    if isinstance(phi, ClusterShares):
        return _shares(graph, phi, embeddings)
    if isinstance(phi, NetworkShares):
        return _network(graph, phi, embeddings)
    shares = _shares(graph, phi.shares, embeddings)
    centred = graph.add("Sub", embeddings, graph.single(phi.center))
    components = graph.add("MatMul", centred, graph.single(phi.components.T))
    return graph.add("Concat", shares, components, axis=1)


def _shares(graph: _Graph, shares: ClusterShares, embeddings: str, total: float = 1.0) -> str:
    if shares.temperature == 0:
        clusters = _clusters(graph, shares.nearest, embeddings)
        return graph.add("Gather", graph.single(total * np.eye(shares.n_outputs)), clusters)
    logits = _distances(graph, embeddings, *shares._cast(np.dtype(np.float32)))
    return _softmax(graph, logits, total)


def _network(graph: _Graph, phi: NetworkShares, embeddings: str) -> str:
    hidden = graph.add("Sub", embeddings, graph.single(phi.means))
    *layers, last = zip(phi.coefs, phi.intercepts, strict=True)
    for coef, intercept in layers:
        hidden = graph.add("Relu", _affine(graph, hidden, coef, intercept))
    features = _softmax(graph, _affine(graph, hidden, *last), 1 - phi.cluster_weight)
    if phi.cluster_weight > 0:
        by_distance = _shares(graph, phi.shares, embeddings, phi.cluster_weight)
        features = graph.add("Add", features, by_distance)
    return features


def _distances(
    graph: _Graph,
    embeddings: str,
    origin: np.ndarray | None,
    projection: np.ndarray,
    offset: np.ndarray,
) -> str:
    if origin is not None:
        embeddings = graph.add("Sub", embeddings, graph.single(origin))
    return _affine(graph, embeddings, projection, offset)


def _affine(graph: _Graph, values: str, coef: np.ndarray, intercept: np.ndarray) -> str:
    product = graph.add("MatMul", values, graph.single(coef))
    return graph.add("Add", product, graph.single(intercept))


def _softmax(graph: _Graph, logits: str, total: float) -> str:
    """Add the nodes of `normalised_exp`."""
    highest = graph.add("ReduceMax", logits, axes=[1], keepdims=1)
    powers = graph.add("Exp", graph.add("Sub", logits, highest))
    is_trace = graph.add("Less", powers, graph.single(TRACE))
    powers = graph.add("Where", is_trace, graph.single(0), powers)
    sums = graph.add("ReduceSum", powers, graph.constant(np.array([1])), keepdims=1)
    return graph.add("Mul", powers, graph.add("Div", graph.single(total), sums))
