"""
Keep to a budget
================

A budget, the mean cost per prompt, is easier to choose than a cost weight. On the training prompts,
the mean cost never exceeds the budget; on new prompts, it may deviate.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data

data = make_routing_data(n_prompts=6000, n_models=6, random_state=0)
train, test = slice(None, 4000), slice(4000, None)
router = KMeansRouter(random_state=0).fit(data.X[train], data.y[train], costs=data.costs)

# %%
# The router converts a budget to a cost weight. Compare the mean cost on new prompts to the budget.

chosen = router.predict(data.X[test], budget=10)
print(f"cost weight {router.cost_weight_for_budget(10):.5f}")
print(f"spent {data.costs[chosen].mean():.2f} of 10 per prompt")

# %%
# Few models offer few choices, so part of a budget may not be spent. `randomize` spends the budget
# in full, in expectation: some prompts get the dearer of two choices. A hash of the prompt picks
# them, so the same prompt always goes to the same model.

budgets = np.linspace(2, 90, 23)
fig, ax = plt.subplots(layout="constrained")
for randomize in (False, True):
    spent = [
        data.costs[router.predict(data.X[train], budget=budget, randomize=randomize)].mean()
        for budget in budgets
    ]
    ax.plot(budgets, spent, ".-", label=f"randomize={randomize}")
ax.plot(budgets, budgets, "k:", label="budget")
ax.set(xlabel="budget", ylabel="mean cost on the training prompts")
ax.legend()

# %%
# Conversely, find the lowest cost that reaches a quality with a confidence of 95 %.

weight = router.cost_weight_for_quality(0.9, confidence=0.95)
chosen = router.predict(data.X[test], cost_weight=weight)
quality = data.y[test][np.arange(len(chosen)), chosen].mean()
print(f"quality {quality:.3f} at a mean cost of {data.costs[chosen].mean():.1f}")
plt.show()
