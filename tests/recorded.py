"""What the package computes on fixed small inputs, to be compared with what it computed before.

``python -m tests.recorded`` writes `tests/files/recorded.npz`. Do so only where results are meant
to change, and say in the commit which and why.
"""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_uniroute import (
    AttributeEncoder,
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    RoutingTable,
    ZeroRouter,
    inspection,
    load_router,
    metrics,
    save_router,
)
from sklearn_uniroute.datasets import make_classifier_pool, make_routing_data
from sklearn_uniroute.model_selection import (
    compare_routers,
    dynamic_cross_validate,
    few_shot_curve,
)
from tests.all_routers import ROUTERS

PATH = Path(__file__).parent / "files" / "recorded.npz"
N_TRAINING = 300
# Prompts whose predictions are recorded.
SHOWN = slice(300, 312)


def inputs():
    """Prompts, labels with gaps, prices, and costs of calls, of eight models."""
    data = make_routing_data(n_prompts=400, n_models=8, n_features=5, n_clusters=6, random_state=0)
    rng = np.random.RandomState(0)
    gaps = data.y.copy()
    gaps[rng.uniform(size=gaps.shape) < 0.1] = np.nan
    calls = data.costs * rng.uniform(0.5, 1.5, size=data.y.shape)
    return data, gaps, calls


def grown(router, data, y, costs):
    """Fit on six models, and add the two others from the validation prompts."""
    training = slice(N_TRAINING)
    paid = costs[training, :6] if costs.ndim == 2 else costs[:6]
    router = clone(router).fit(data.X[training], y[training, :6], costs=paid)
    for model in (6, 7):
        run = router.validation_indices_
        cost = costs[run, model] if costs.ndim == 2 else costs[model]
        router.add_model(1 - data.y[run, model], cost=cost)
    return router


def of_router(router, data, y, costs):
    """All that a fitted router tells of some prompts."""
    X = data.X[SHOWN]
    table = router.routing_table(cost_weight=0.003)
    explained = [table.explain(x) for x in X[:3]]
    found = {
        "error": router.predict_error(X),
        "error_single": router.predict_error(X.astype(np.float32), [7, 0, 3]),
        "cost": router.predict_cost(X),
        "decision": router.decision_function(X, [5, 2], cost_weight=0.01),
        "choice": [router.predict(X, cost_weight=weight) for weight in (0.0, 0.001, 0.01, 1.0)],
        "choice_of_some": router.predict(X, [6, 1, 3], cost_weight=0.002),
        "choice_budget": [router.predict(X, budget=budget) for budget in (5.0, 30.0)],
        "choice_random": router.predict(X, budget=15.0, randomize=True),
        "choice_table": [table.route_many(X), table.route_many(X, exclude={0, 5})],
        "choice_one": [table.route(x) for x in X],
        "explained": [
            [one.low, 1e9 if one.high is None else min(one.high, 1e9), *one.score]
            for one in explained
        ],
        "weights": [
            router.cost_weight_for_budget(12.0),
            router.cost_weight_for_budget(20.0, [0, 3, 7], data.X),
            router.cost_weight_for_quality(0.4),
        ],
        "score": [
            router.score(data.X[N_TRAINING:], y[N_TRAINING:]),
            router.score(data.X[N_TRAINING:], y[N_TRAINING:], costs[N_TRAINING:])
            if costs.ndim == 2
            else router.score(data.X[N_TRAINING:], y[N_TRAINING:, [5, 1]], pool=[5, 1]),
        ],
        "validation": np.column_stack([router.validation_indices_, router.validation_weights_]),
        "pool": router.pool_frame().to_numpy(),
    }
    if getattr(router, "representation_std_", None) is not None:
        found["std"] = router.predict_error(X, return_std=True)[1]
        found["sure"] = router.cost_weight_for_quality(0.3, confidence=0.9)
        found["suggested"] = router.suggest_prompts(7, 20, data.X)
    return found


def changed(router, data):
    """The errors that a router predicts after its pool has changed in every way."""
    run = router.validation_indices_
    router.update_model(7, 1 - data.y[run, 5])
    router.update_model(2, 1 - data.y[300:320, 1], X_val=data.X[300:320])
    router.add_model(1 - data.y[:50, 4], name=9, cost=4.0, X_val=data.X[:50])
    router.add_model(1 - data.y[run, 3], name=0, cost=2.0, replace=True)
    router.remove_model(3).set_cost(1, 9.0)
    return {
        "error": router.predict_error(data.X[SHOWN]),
        "costs": router.costs_,
        "choice": router.predict(data.X[SHOWN], budget=20.0),
    }


def battles(router, data):
    """Errors and their standard errors of models that are known from battles."""
    rng = np.random.RandomState(0)
    a, b = np.array([rng.permutation(8)[:2] for _ in range(2000)]).T
    rows = rng.randint(400, size=2000)
    margin = data.y[rows, a] - data.y[rows, b]
    winner = np.array(["model_b", "tie", "model_a"])[margin.astype(int) + 1]
    router = clone(router).fit(data.X[:N_TRAINING], data.y[:N_TRAINING, :6])
    router.add_models_from_preferences(data.X[rows], a, b, winner)
    return {"error": router.predict_error(data.X[SHOWN])}


def in_chunks(router, data, y, costs):
    """Fit on chunks, after a pass in which clusters learn."""
    router = clone(router)
    chunks = np.array_split(np.arange(N_TRAINING), 3)
    for rows in chunks:
        router.partial_fit(data.X[rows])
    for rows in chunks:
        router.partial_fit(data.X[rows], y[rows], costs=costs[rows])
    return {"error": router.predict_error(data.X[SHOWN]), "costs": router.costs_}


def in_blocks(router, data, y, costs):
    """Fit on a dask array."""
    import dask.array

    X = dask.array.from_array(data.X[:N_TRAINING], chunks=(100, 5))
    router = clone(router).fit(X, y[:N_TRAINING], costs=costs[:N_TRAINING])
    error = router.predict_error(dask.array.from_array(data.X[SHOWN], chunks=(10, 5)))
    return {"error": error.compute(), "costs": router.costs_}


def of_metrics(data, calls):
    rng = np.random.RandomState(1)
    y, error = data.y[:60], rng.uniform(size=(60, 8)).round(1)
    weight = rng.uniform(size=60)
    found = {}
    for name, costs in (("models", data.costs), ("calls", calls[:60])):
        curve = metrics.deferral_curve(y, error, costs, sample_weight=weight)
        found[f"curve_{name}"] = np.array(curve)
        scores = ("deferral_area_score", "quality_neutral_cost", "peak_quality_score")
        found[f"scores_{name}"] = [
            getattr(metrics, score)(y, error, costs)
            for score in (*scores, "aiq_score", "cost_saving_score")
        ]
    two = (y[:, [0, 7]], error[:, [0, 7]], data.costs[[0, 7]])
    found["scores_two"] = [metrics.apgr_score(*two), metrics.cpt_score(*two)]
    return found


def of_model_selection(data):
    routers = {"zero": ZeroRouter(), "kmeans": KMeansRouter(6), "near": KNeighborsRouter(20)}
    comparison = compare_routers(
        routers, data, n_trials=3, baselines=["random", "cheapest", "best", "oracle"]
    )
    grid = dynamic_cross_validate(
        KMeansRouter(random_state=0),
        data.X,
        data.y,
        data.costs,
        param_grid={"n_clusters": [2, 6]},
        n_validation=40,
    )
    curve = few_shot_curve(
        KMeansRouter(6), data.X, data.y, data.costs, n_validation=[10, 40], n_splits=3
    )
    return {
        "area": np.nan_to_num(comparison.area),
        "qnc": np.minimum(comparison.qnc, 9.0),
        "peak": comparison.peak,
        "curves": np.nan_to_num(comparison.curves[:, :, ::20]),
        "cv": [grid["mean_test_score"], grid["mean_known_score"], grid["std_test_score"]],
        "few_shot": curve.area,
    }


def of_inspection(router, data):
    report = inspection.cluster_report(router, data.X)
    drift = inspection.drift_report(router, data.X[:100] + 0.2)
    risk = inspection.excess_risk(router, data.X, data.y)
    return {
        "similarity": inspection.model_similarity(router),
        "report": np.column_stack([report.error, report.low, report.high]),
        "typical": np.concatenate(report.typical),
        "drift": [drift.moved_share, drift.p_value, drift.far_share],
        "risk": [risk.bound, *risk.by_model],
    }


def through_files(router, data, folder):
    table = router.routing_table(budget=20.0)
    table.save(folder / "table.npz")
    save_router(router, folder / "router.skops")
    X = data.X[SHOWN]
    return {
        "choice_table": RoutingTable.load(folder / "table.npz").route_many(X),
        "error": load_router(folder / "router.skops").predict_error(X),
    }


def compute(folder):
    """Compute everything, by name."""
    data, gaps, calls = inputs()
    costs = data.costs
    found = {}

    def keep(name, values):
        found.update({f"{name}/{key}": np.asarray(value) for key, value in values.items()})

    for number, router in enumerate(ROUTERS):
        name = f"{number}_{type(router).__name__}"
        keep(name, of_router(grown(router, data, gaps, costs), data, gaps, costs))
        keep(f"{name}_calls", of_router(grown(router, data, data.y, calls), data, data.y, calls))
        keep(f"{name}_changed", changed(grown(router, data, gaps, costs), data))
        if not isinstance(router, FeatureMapRouter):
            keep(f"{name}_files", through_files(grown(router, data, gaps, costs), data, folder))
    for router in (
        KMeansRouter(6, n_validation=60, random_state=0),
        KMeansRouter(6, representation="mean", n_validation=60, random_state=0),
        LearnedMapRouter(6, n_validation=60, random_state=0),
        HybridRouter(6, n_components=3, n_validation=60, random_state=0),
    ):
        name = f"{type(router).__name__}_{router.get_params().get('representation')}"
        keep(f"{name}_battles", battles(router, data))
        keep(f"{name}_chunks", in_chunks(router, data, gaps, calls))
        keep(f"{name}_blocks", in_blocks(router, data, gaps, calls))
        by_cluster = clone(router).set_params(cost_model="cluster", fallback="dearest")
        keep(
            f"{name}_cluster",
            of_router(grown(by_cluster, data, data.y, calls), data, data.y, calls),
        )
        keep(f"{name}_cluster_changed", changed(grown(by_cluster, data, data.y, calls), data))
        keep(f"{name}_cluster_chunks", in_chunks(by_cluster, data, gaps, calls))
    y = pd.DataFrame(data.y, columns=list("hgfedcba"))
    named = ZeroRouter(random_state=0).fit(
        data.X, y, costs=dict(zip("hgfedcba", costs, strict=True))
    )
    keep("named", {"choice": named.predict(data.X[SHOWN], ["h", "a"], cost_weight=0.005) == "a"})
    keep("metrics", of_metrics(data, calls))
    keep("model_selection", of_model_selection(data))
    keep("inspection", of_inspection(grown(ROUTERS[1], data, gaps, costs), data))
    encoder = AttributeEncoder().fit(data.X, data.X[:, :2] > 0)
    keep("encoder", {"probability": encoder.transform(data.X[SHOWN])})
    pool = make_classifier_pool()
    keep("pool", {"quality": pool.y.mean(axis=0), "costs": pool.costs})
    return found


def write(found):
    """Write all arrays as one, with an index of their names and shapes."""
    index = json.dumps({name: values.shape for name, values in found.items()})
    values = np.concatenate([values.ravel() for values in found.values()], dtype=np.float64)
    np.savez_compressed(PATH, index=np.array(index), values=values)


def read():
    with np.load(PATH) as file:
        shapes, values = json.loads(str(file["index"])), file["values"]
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(values, ends[:-1])
    return {
        name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        write(compute(Path(directory)))
