"""
Add tomorrow's model
====================

Run a new model on 50 prompts that the router has chosen, and add it to the pool without any
retraining.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter
from sklearn_uniroute.datasets import make_classifier_pool

data = make_classifier_pool()
train, test = slice(None, 900), slice(900, None)
tomorrow = "logistic-pca16"
specialists = [name for name in data.models if name.startswith("only-")]
today = ["tree-48", "logistic-pca4", "forest-10", *specialists]
y = pd.DataFrame(data.y, columns=data.models)
costs = pd.Series(data.costs, index=data.models)

router = KMeansRouter(10, n_validation=50, random_state=0)
router.fit(data.X[train], y[today][train], costs=costs[today])

# %%
# Adding a model takes its errors on the validation prompts of the router, and its price.

rows = router.validation_indices_
val_errors = 1 - y[tomorrow].to_numpy()[rows]
router.add_model(val_errors, name=tomorrow, cost=costs[tomorrow])
router.pool_frame().tail(3)

# %%
# The plot compares the estimated errors by cluster, with standard errors, to the mean errors on all
# prompts.

estimate = router.representation_[-1]
std = router.representation_std_[-1]
cluster = ((data.X[train][:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
true = [1 - y[tomorrow].to_numpy()[train][cluster == k].mean() for k in range(10)]
order = np.argsort(true)
fig, ax = plt.subplots(layout="constrained")
ax.errorbar(range(10), estimate[order], std[order], fmt="o", capsize=3, label="from 50 prompts")
ax.plot(np.array(true)[order], "k_", markersize=12, label="from all prompts")
ax.set(xlabel="cluster", ylabel="error", title=f"What {tomorrow} gets wrong")
ax.legend()

# %%
# With the new model in the pool, the router reaches a higher quality. At low costs, where the new
# model is too expensive, nothing changes.

fig, ax = plt.subplots(layout="constrained")
for name, pool in {"without it": today, "with it": [*today, tomorrow]}.items():
    DeferralCurveDisplay.from_estimator(
        router, data.X[test], y[test][pool], costs[pool], pool=pool, ax=ax, name=name
    )
    chosen = router.predict(data.X[test], pool=pool)
    quality = np.mean([y[model][row] for row, model in zip(y.index[test], chosen)])
    print(f"best quality {name}: {quality:.3f}, at a cost of {costs[chosen].mean():.0f}")
plt.show()
