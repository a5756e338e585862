"""Budgets on real data: how well they are kept, and how fast the exact solver is.

Run as ``python -m benchmarks.budgets``. 50 budgets over the range of reachable costs, on each file
and ten random splits: the mean cost on the prompts that a router keeps budgets on, and on test
prompts, with how often the two differ by no more than a 95 % interval allows for so many prompts.
The solver is compared to a search over a line of 1,000 cost weights; both are timed in turns in one
run.
"""

from functools import partial

import numpy as np
from scipy.stats import norm

from benchmarks._runner import ratio, real_data
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._numerics._routing import (
    choose,
    hull_walk,
    mix_for_budget,
    weight_within_budget,
)

N_BUDGETS = 50
N_LINE = 1000
N_SPLITS = 10


def line_search(budget, error, costs, weights, line):
    """Least cost weight on a falling line of them down to which a budget is kept."""
    found = line[0]
    for cost_weight in line:
        if weights @ costs[choose(error, costs, cost_weight)] > budget:
            break
        found = cost_weight
    return found


def expected_cost(budget, error, costs, weights):
    """Expected cost of mixing two settings at random, on the prompts that budgets are kept on."""
    within, beyond, share = mix_for_budget(budget, error, costs, weights)
    low, high = (weights @ costs[choose(error, costs, weight)] for weight in (within, beyond))
    return (1 - share) * low + share * high


def fitted(data, model_costs, seed):
    """A router, and the prompts that it has not seen."""
    order = np.random.RandomState(seed).permutation(len(data.X))
    test, training = np.split(order, [round(0.3 * len(order))])
    router = KMeansRouter(24, random_state=seed)
    return router.fit(data.X[training], data.y[training], costs=model_costs), training, test


def spread(model_costs, error, costs, weights):
    """Budgets from just above the cheapest model to all that can be spent."""
    most = weights @ costs[choose(error, costs, 0.0)]
    return np.geomspace(model_costs.min() * 1.01, most, N_BUDGETS)


def on_new_prompts(router, X, budgets, kept_on):
    """Relative deviations from budgets, and whether their intervals hold 0."""
    error, costs, _ = kept_on
    error_new = router.predict_error(X)
    deviations, within_interval = [], []
    for budget in budgets:
        within, beyond, share = mix_for_budget(budget, *kept_on)
        paid = [
            (1 - share) * costs[choose(one, costs, within)]
            + share * costs[choose(one, costs, beyond)]
            for one in (error, error_new)
        ]
        # Both means are off by chance.
        half = norm.ppf(0.975) * np.sqrt(sum(part.var() / len(part) for part in paid))
        deviations.append(paid[1].mean() / budget - 1)
        within_interval.append(abs(paid[1].mean() - paid[0].mean()) <= half)
    return deviations, within_interval


def report(name, data):
    model_costs = np.atleast_2d(data.costs).mean(axis=0).astype(float)
    router, training, _ = fitted(data, model_costs, 0)
    kept_on = router._calibration(np.arange(len(model_costs)))
    error, costs, _ = kept_on
    budgets = spread(model_costs, *kept_on)
    print(f"\n{name}: {N_BUDGETS} budgets from {budgets[0]:.3g} to {budgets[-1]:.3g}")
    known = [
        costs[router.predict(data.X[training], budget=budget)].mean() / budget - 1
        for budget in budgets
    ]
    mixed = [expected_cost(budget, *kept_on) / budget - 1 for budget in budgets]
    print(f"  training prompts: exceeded {np.sum(np.array(known) > 1e-9)} times,")
    print(f"    spent {1 + np.mean(known):.3%} on average and {1 + min(known):.3%} at least;")
    print(f"    randomized, the expected cost is off by at most {np.abs(mixed).max():.4%}")
    results = []
    for seed in range(N_SPLITS):
        other, _, test = fitted(data, model_costs, seed)
        terms = other._calibration(np.arange(len(model_costs)))
        results.append(on_new_prompts(other, data.X[test], spread(model_costs, *terms), terms))
    deviations, within = np.moveaxis(np.array(results), 1, 0)
    low, high = np.quantile(deviations, [0.025, 0.975])
    print(f"  new prompts, {N_SPLITS} splits: off by {deviations.mean():+.2%} on average, 95 % of")
    print(f"    the time from {low:+.2%} to {high:+.2%};")
    print(f"    within the 95 % interval {within.mean():.0%} of the time")
    moves = hull_walk(error, costs).cost_weight
    line = np.geomspace(moves.max() * 1.01, moves.min() * 0.99, N_LINE)
    exact = [weight_within_budget(budget, *kept_on) for budget in budgets[:-1]]
    searched = [line_search(budget, *kept_on, line) for budget in budgets[:-1]]
    # The line knows no weight in between: the same answer is the next one above.
    same = [
        not np.any((line >= one) & (line < other))
        for one, other in zip(exact, searched, strict=True)
    ]
    budget = budgets[N_BUDGETS // 2]
    slower = ratio(
        partial(line_search, budget, *kept_on, line),
        partial(weight_within_budget, budget, *kept_on),
    )
    print(f"  search over a line of {N_LINE}: the same in {np.mean(same):.0%}, time ratio {slower}")


def main():
    for name, data, _ in real_data():
        report(name, data)


if __name__ == "__main__":
    main()
