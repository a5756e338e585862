import json

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from sklearn_uniroute import (
    EnsembleRouter,
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    MLPRouter,
    ZeroRouter,
)
from sklearn_uniroute.utils._router_checks import N_TRAINING, grown
from tests.all_routers import ROUTERS


def run(model, X):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["model", "scores"], {"embeddings": X})


NOT_IN_GRAPHS = KNeighborsRouter | MLPRouter | FeatureMapRouter | EnsembleRouter


@pytest.mark.parametrize(
    "router",
    [router for router in ROUTERS if not isinstance(router, NOT_IN_GRAPHS)],
    ids=str,
)
def test_graphs_choose_as_their_tables(router, data):
    router = grown(router, data, dtype=np.float32)
    X = data.X[N_TRAINING:].astype(np.float32)
    for settings in ({"cost_weight": 0.0}, {"cost_weight": 0.003, "pool": [7, 0, 4, 2]}):
        table = router.routing_table(**settings)
        model = table.to_onnx()
        names = json.loads({entry.key: entry.value for entry in model.metadata_props}["models"])
        assert names == list(table.models)
        for rows in (X, X[:1]):
            chosen, scores = run(model, rows)
            assert (np.array(names)[chosen] == table.route_many(rows)).all()
            expected = [table.explain(x).score for x in rows]
            np.testing.assert_allclose(scores, expected, atol=2e-6)
            assert scores.dtype == np.float32


def test_ties_go_to_the_cheaper(data):
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs)
    for name, cost in ((8, 9.0), (9, 3.0), (10, 3.0)):
        router.add_model(np.zeros(len(router.X_val_)), name=name, cost=cost)
    table = router.routing_table([10, 9, 8])
    chosen, _ = run(table.to_onnx(), data.X.astype(np.float32))
    assert {table.models[place] for place in chosen} == {9}


def test_what_graphs_do_not_know(data):
    calls = data.costs * np.ones_like(data.y)
    routers = [
        KNeighborsRouter(),
        MLPRouter((4,), random_state=0),
        KMeansRouter(2, cost_model="cluster"),
        KMeansRouter(2, fallback=1),
        ZeroRouter(budget=20),
    ]
    for router in routers:
        table = router.fit(data.X, data.y, costs=calls).routing_table()
        with pytest.raises(NotImplementedError, match="graphs"):
            table.to_onnx()


def test_names_of_features_are_in_the_metadata(data):
    names = [f"f{number}" for number in range(5)]
    router = KMeansRouter(3, random_state=0)
    router.fit(pd.DataFrame(data.X, columns=names), data.y, costs=data.costs)
    metadata = {one.key: one.value for one in router.routing_table().to_onnx().metadata_props}
    assert json.loads(metadata["feature_names"]) == names
    router.fit(data.X, data.y, costs=data.costs)
    metadata = {one.key for one in router.routing_table().to_onnx().metadata_props}
    assert metadata == {"models"}


def test_graphs_keep_the_digits_of_offset_embeddings(data):
    X = (data.X + 1e4).astype(np.float32)
    for router in (
        KMeansRouter(6, temperature=0, random_state=0),
        KMeansRouter(6, random_state=0),
        HybridRouter(6, n_components=3, random_state=0),
    ):
        table = router.fit(X, data.y, costs=data.costs).routing_table(cost_weight=0.003)
        session = onnxruntime.InferenceSession(table.to_onnx().SerializeToString())
        chosen, _ = session.run(None, {"embeddings": X})
        assert np.mean(np.array(table.models)[chosen] == table.route_many(X)) > 0.99
