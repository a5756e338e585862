"""
Learn costs that depend on the prompt
=====================================

A model that is cheap per token may give long answers. From the cost of each call, a router learns
the cost of each model in each cluster of prompts.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter
from sklearn_uniroute.datasets import make_routing_data

data = make_routing_data(n_prompts=4000, n_models=6, random_state=0)
rng = np.random.RandomState(0)

# %%
# Each model uses more tokens in some clusters than in others, with some variation from call to
# call.

wordiness = rng.lognormal(sigma=0.7, size=(8, 6))[data.source]
calls = data.costs * wordiness * rng.lognormal(sigma=0.2, size=data.y.shape)
train, test = slice(None, 3000), slice(3000, None)

# %%
# One router chooses by the mean costs of the models, the other by their costs in the clusters of
# the prompt. Both are charged the actual costs of the calls.

fig, ax = plt.subplots(layout="constrained")
for cost_model in ("mean", "cluster"):
    router = KMeansRouter(cost_model=cost_model, random_state=0)
    router.fit(data.X[train], data.y[train], costs=calls[train])
    area = router.score(data.X[test], data.y[test], calls[test])
    print(f"cost_model={cost_model!r}: area {area:.3f}")
    DeferralCurveDisplay.from_estimator(
        router,
        data.X[test],
        data.y[test],
        calls[test],
        ax=ax,
        name=f'cost_model="{cost_model}"',
    )
print(router.predict_cost(data.X[test][:3]).round(1))
plt.show()
