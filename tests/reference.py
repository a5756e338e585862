"""Slow and plain versions of what the package computes, written without its code."""

from itertools import pairwise

import numpy as np


def choose(error, costs, cost_weight):
    """Best model of one prompt: least score, then cost, then error, then position."""
    return min(
        range(len(costs)),
        key=lambda m: (error[m] + cost_weight * costs[m], costs[m], error[m], m),
    )


def curve(y, error, costs, routing_costs, weights):
    """Points of the deferral curve, by trying a cost weight between any two that could matter."""
    n_prompts, n_models = y.shape
    by_prompt = routing_costs if np.ndim(routing_costs) == 2 else [routing_costs] * n_prompts
    critical = {0.0}
    for i, prices in enumerate(by_prompt):
        for a in range(n_models):
            for b in range(n_models):
                if prices[b] > prices[a]:
                    slope = (error[i, a] - error[i, b]) / (prices[b] - prices[a])
                    critical.add(max(float(slope), 0.0))
    critical = sorted(critical)
    trials = [
        critical[-1] + 1,
        *((low + high) / 2 for low, high in zip(critical[-2::-1], critical[:0:-1], strict=True)),
    ]
    points = []
    for cost_weight in trials:
        paid = earned = paid_weight = earned_weight = 0.0
        for i in range(n_prompts):
            m = choose(error[i], by_prompt[i], cost_weight)
            price = costs[i][m] if np.ndim(costs) == 2 else costs[m]
            if not np.isnan(price):
                paid += weights[i] * price
                paid_weight += weights[i]
            if not np.isnan(y[i, m]):
                earned += weights[i] * y[i, m]
                earned_weight += weights[i]
        point = (paid / paid_weight, earned / earned_weight)
        if not points or points[-1] != point:
            points.append(point)
    return points


def model_means(cells, weights):
    """Weighted mean of the known cells of each column."""
    if np.ndim(cells) == 1:
        return [float(value) for value in cells]
    means = []
    for column in np.asarray(cells).T:
        known = [(w, v) for w, v in zip(weights, column, strict=True) if not np.isnan(v)]
        means.append(sum(w * v for w, v in known) / sum(w for w, _ in known))
    return means


def area(points, model_costs):
    """Area under the points within the range of costs, flat beyond both ends."""
    low, high = min(model_costs), max(model_costs)
    path = [(low, points[0][1]), *points, (high, points[-1][1])]
    total = 0.0
    for (c0, q0), (c1, q1) in pairwise(path):
        # Cut where the range begins and ends; what lies beyond does not count.
        cuts = sorted([c0, c1, *(edge for edge in (low, high) if min(c0, c1) < edge < max(c0, c1))])
        for left, right in pairwise(cuts):
            if low <= left and right <= high and right > left:
                share = ((left + right) / 2 - c0) / (c1 - c0)
                piece = (right - left) * (q0 + share * (q1 - q0))
                total += piece if c1 > c0 else -piece
    return total / (high - low)


def quality_neutral_cost(points, model_costs, model_qualities):
    """Walk the points until the best single model's quality is reached; rising costs only."""
    target = max(model_qualities)
    reference = min(
        c for c, q in zip(model_costs, model_qualities, strict=True) if q >= target - 1e-12
    )
    previous = None
    for cost, quality in points:
        if quality >= target - 1e-12:
            if previous is None or quality <= target:
                return cost / reference
            share = (target - previous[1]) / (quality - previous[1])
            return (previous[0] + share * (cost - previous[0])) / reference
        previous = (cost, quality)
    return np.inf


def concave_hull_area(points, model_costs):
    """Area under the least non-decreasing concave function that is nowhere below the points."""
    low, high = min(model_costs), max(model_costs)

    def height(at):
        best = max(q for c, q in points if c <= at + 1e-12)
        for c0, q0 in points:
            for c1, q1 in points:
                if c0 <= at <= c1 and c1 > c0:
                    best = max(best, q0 + (at - c0) / (c1 - c0) * (q1 - q0))
        return best

    cuts = sorted({low, high, *(c for c, _ in points)})
    total = sum((b - a) * (height(a) + height(b)) / 2 for a, b in pairwise(cuts))
    return total / (high - low)
