"""Budgets on real data: how well they are kept, and how fast the exact solver is.

Run as ``python -m benchmarks.budgets``. 50 budgets over the range of reachable costs, on each file:
the mean cost on the prompts that a router keeps budgets on, and on test prompts. The solver is
compared to a search over a line of 1,000 cost weights; both are timed in turns in one run.
"""

from functools import partial

import numpy as np
from scipy.stats import t as student_t

from benchmarks._data import real_data
from benchmarks._timing import ratio
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._routing import choose, hull_walk, mix_for_budget, weight_within_budget

N_BUDGETS = 50
N_LINE = 1000


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


def describe(deviations):
    half = student_t.ppf(0.975, N_BUDGETS - 1) * np.std(deviations, ddof=1) / N_BUDGETS**0.5
    low, high = min(deviations), max(deviations)
    return f"{np.mean(deviations):+.2%} ± {half:.2%} on average, from {low:+.2%} to {high:+.2%}"


def report(name, data):
    model_costs = np.atleast_2d(data.costs).mean(axis=0).astype(float)
    order = np.random.RandomState(0).permutation(len(data.X))
    test, training = np.split(data.X[order], [round(0.3 * len(order))])
    y = data.y[order][len(test) :]
    router = KMeansRouter(24, random_state=0).fit(training, y, costs=model_costs)
    kept_on = router._calibration(np.arange(len(model_costs)))
    error, costs, weights = kept_on
    most = weights @ costs[choose(error, costs, 0.0)]
    budgets = np.geomspace(costs.min() * 1.01, most, N_BUDGETS)

    def off(X, budget, randomize):
        return costs[router.predict(X, budget=budget, randomize=randomize)].mean() / budget - 1

    print(f"\n{name}: {N_BUDGETS} budgets from {budgets[0]:.3g} to {budgets[-1]:.3g}")
    known = [off(training, budget, False) for budget in budgets]
    mixed = [expected_cost(budget, *kept_on) / budget - 1 for budget in budgets]
    print(f"  training prompts: exceeded {np.sum(np.array(known) > 1e-9)} times; off by at least")
    print(f"    {max(known):+.4%} and at most {min(known):+.4%}")
    print(f"    randomized, the expected cost is off by at most {np.abs(mixed).max():.4%}")
    for label, randomize in (("kept", False), ("randomized", True)):
        deviations = [off(test, budget, randomize) for budget in budgets]
        print(f"  test prompts, {label}: off by {describe(deviations)}")
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
