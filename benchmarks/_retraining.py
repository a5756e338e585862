"""What a new model costs: adding it, or training a static router anew (appendix H.2)."""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._paper import MATFAC, MLP, Trial
from sklearn_uniroute import KMeansRouter, LinearRouter

REPEATS = 5
ROUTERS = {
    "Add to K-means (K = 24)": None,
    "Fit K-means (K = 24) anew": KMeansRouter(24),
    "Retrain linear": LinearRouter(),
    "Retrain MatFac": MATFAC,
    "Retrain MLP": MLP,
}


def report_retraining(name, data, model_share):
    """Print times of taking in one new model, as ratios to adding it, on one thread."""
    trial = Trial(data, model_share, 0)
    prompts = np.concatenate([trial.split.training, trial.split.validation])
    models = np.arange(data.y.shape[1])
    new, known = models[-1], models[:-1]
    validation = trial.split.validation
    router = trial.fit(KMeansRouter(24), trial.split.training, known, data.X[validation])
    cost = data.costs[validation, new] if data.costs.ndim == 2 else data.costs[new]

    def add():
        router.add_model(1 - data.y[validation, new], name=int(new), cost=cost, replace=True)

    calls = {
        row: add if router is None else lambda router=router: trial.fit(router, prompts, models)
        for row, router in ROUTERS.items()
    }
    add()
    times = {row: [] for row in calls}
    with threadpool_limits(1):
        for _ in range(REPEATS):
            for row, call in calls.items():
                start = time.perf_counter()
                call()
                times[row].append(time.perf_counter() - start)
    seconds = {row: np.median(values) for row, values in times.items()}
    base = next(iter(ROUTERS))
    print(f"\n{name}, {len(models)} models, {REPEATS} rounds")
    print(f"{'':<28}{'new labels':>10} {'seconds':>9} {'times as long':>14}")
    for row, value in seconds.items():
        labels = len(validation) if row == base else len(prompts)
        print(f"{row:<28}{labels:>10,} {value:>9.4f} {value / seconds[base]:>14,.0f}")
