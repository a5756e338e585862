"""Exact deferral curves against a sweep of cost weights, and against a slow exact reference.

Run as ``python -m benchmarks.bench_metrics``.
"""

from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._runner import ratio
from sklearn_uniroute.metrics import deferral_area_score, deferral_curve

N_PROMPTS, N_MODELS, N_COST_WEIGHTS = 10_000, 100, 100


def sweep(y, error, costs):
    """Points of the curve on a grid of cost weights."""
    rows = np.arange(len(y))
    points = []
    for cost_weight in np.geomspace(1e-4, 1e4, N_COST_WEIGHTS):
        chosen = (error + cost_weight * costs).argmin(axis=1)
        points.append((costs[chosen].mean(), y[rows, chosen].mean()))
    return points


def reference_area(y, error, costs):
    """Area from the hull of each prompt, one point after the other in plain Python."""
    order = np.argsort(costs)
    moves, start_cost, start_quality = [], 0.0, 0.0
    for i in range(len(y)):
        hull = []
        for m in order.tolist():
            if hull and error[i, m] >= error[i, hull[-1]]:
                continue
            while len(hull) >= 2:
                a, b = hull[-2:]
                to_b = (error[i, a] - error[i, b]) / (costs[b] - costs[a])
                to_m = (error[i, b] - error[i, m]) / (costs[m] - costs[b])
                if to_m < to_b:
                    break
                hull.pop()
            hull.append(m)
        start_cost += costs[hull[0]]
        start_quality += y[i, hull[0]]
        for a, b in pairwise(hull):
            slope = (error[i, a] - error[i, b]) / (costs[b] - costs[a])
            moves.append((-slope, costs[b] - costs[a], y[i, b] - y[i, a]))
    cost, quality = start_cost / len(y), start_quality / len(y)
    area = (cost - costs.min()) * quality
    for _, more_cost, more_quality in sorted(moves):
        area += more_cost / len(y) * (quality + more_quality / len(y) / 2)
        cost, quality = cost + more_cost / len(y), quality + more_quality / len(y)
    area += (costs.max() - cost) * quality
    return area / (costs.max() - costs.min())


def main():
    rng = np.random.RandomState(0)
    costs = np.sort(rng.lognormal(size=N_MODELS))
    skill = np.linspace(0.2, 0.8, N_MODELS)
    truth = np.clip(skill + rng.normal(scale=0.2, size=(N_PROMPTS, N_MODELS)), 0, 1)
    y = (rng.uniform(size=truth.shape) < truth).astype(float)
    error = 1 - truth
    difference = deferral_area_score(y, error, costs) - reference_area(y, error, costs)
    n_points = len(deferral_curve(y, error, costs)[0])
    with threadpool_limits(1):
        times = ratio(lambda: deferral_curve(y, error, costs), lambda: sweep(y, error, costs))
    print(f"{N_PROMPTS} prompts, {N_MODELS} models, {n_points} points on the exact curve")
    print(f"time of deferral_curve over that of a sweep of {N_COST_WEIGHTS} cost weights: {times}")
    print(f"area less that of the slow reference: {difference:.1e}")


if __name__ == "__main__":
    main()
