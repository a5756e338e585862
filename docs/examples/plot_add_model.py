"""
Add tomorrow's model
====================

A new model comes out. It is run on 50 prompts that the router chose, and joins the pool without
any retraining.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter
from sklearn_uniroute.datasets import make_classifier_pool

data = make_classifier_pool()
train, test = slice(None, 900), slice(900, None)
tomorrow = "mlp-24"
known = data.models != tomorrow
y = pd.DataFrame(data.y, columns=data.models)
costs = pd.Series(data.costs, index=data.models)

router = KMeansRouter(24, n_validation=50, random_state=0)
router.fit(data.X[train], y[train].loc[:, known], costs=costs[known])
today = router.score(data.X[test], y[test].loc[:, known], costs[known])

# %%
# The prompts to run the new model on, the model's errors on them, and its price: that is all.

rows = router.validation_indices_
val_errors = 1 - y[tomorrow].to_numpy()[rows]
router.add_model(val_errors, name=tomorrow, cost=costs[tomorrow])
router.pool_frame().tail(3)

# %%
# Its estimated errors by cluster, with standard errors, beside those of all prompts.

estimate = router.representation_[-1]
std = router.representation_std_[-1]
cluster = ((data.X[train][:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
true = [1 - y[tomorrow].to_numpy()[train][cluster == k].mean() for k in range(24)]
order = np.argsort(true)
fig, ax = plt.subplots(layout="constrained")
ax.errorbar(range(24), estimate[order], std[order], fmt="o", capsize=3, label="from 50 prompts")
ax.plot(np.array(true)[order], "k_", markersize=12, label="from all prompts")
ax.set(xlabel="cluster", ylabel="error", title=f"What {tomorrow} gets wrong")
ax.legend()

# %%
# With the new model in the pool, the same money buys more.

fig, ax = plt.subplots(layout="constrained")
for name, pool in {"without it": list(router.models_[:-1]), "with it": None}.items():
    columns = list(router.models_) if pool is None else pool
    DeferralCurveDisplay.from_estimator(
        router, data.X[test], y[test][columns], costs[columns], pool=pool, ax=ax, name=name
    )
print(f"area before {today:.3f}")
plt.show()
