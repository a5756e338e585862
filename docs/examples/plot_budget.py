"""
Keep to a budget
================

What may be spent per prompt is known more often than what a unit of error is worth. A budget is
never exceeded on the training prompts; on others the mean cost differs as the prompts do.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data

data = make_routing_data(n_prompts=6000, n_models=6, random_state=0)
train, test = slice(None, 4000), slice(4000, None)
router = KMeansRouter(random_state=0).fit(data.X[train], data.y[train], costs=data.costs)

# %%
# The cost weight that a budget comes to, and what is spent on new prompts.

chosen = router.predict(data.X[test], budget=10)
print(f"cost weight {router.cost_weight_for_budget(10):.5f}")
print(f"spent {data.costs[chosen].mean():.2f} of 10 per prompt")

# %%
# Choices are few where there are few models, so that a budget may leave money over. `randomize`
# spends it all, in expectation: which prompts get the dearer of two choices is settled by a hash
# of the prompt, so that the same prompt always goes to the same model.

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
# The other way round: the least that is to be paid for a quality, with a confidence of 95 %.

weight = router.cost_weight_for_quality(0.9, confidence=0.95)
chosen = router.predict(data.X[test], cost_weight=weight)
quality = data.y[test][np.arange(len(chosen)), chosen].mean()
print(f"quality {quality:.3f} at a mean cost of {data.costs[chosen].mean():.1f}")
plt.show()
