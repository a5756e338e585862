"""
Ask, check, ask again
=====================

One look at an answer tells more than any look at the prompt. A cascade asks a cheap model, checks
its answer, and asks a dearer one if that pays. The check may be a judge, a log probability, or the
agreement of several samples: any number that tends to be higher for right answers.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import CascadeRouter, DeferralCurveDisplay, KMeansRouter
from sklearn_uniroute.datasets import make_routing_data

data = make_routing_data(n_prompts=2000, n_models=6, random_state=0)
train, test = slice(None, 1500), slice(1500, None)

# %%
# Here, the check is simulated: the quality of the answer plus noise. It ranks a right answer above
# a wrong one in 84 of 100 cases.

rng = np.random.RandomState(0)
scores = data.y + rng.normal(scale=0.7, size=data.y.shape)

# %%
# Fit the cascade with the scores of answers of known quality. It learns what a score says beyond
# the estimates of the router, on prompts that the router did not see.

cascade = CascadeRouter(KMeansRouter(random_state=0))
cascade.fit(data.X[train], data.y[train], data.costs, scores=scores[train])

# %%
# The curve counts all calls. The dashed line is the router alone.

DeferralCurveDisplay.from_estimator(cascade, data.X[test], data.y[test], scores=scores[test])

# %%
# A worse check gains less. One that says nothing is found out, and leaves the router as it is.

cost_weights = np.append(0, np.geomspace(1e-4, 0.3, 24))
fig, ax = plt.subplots(layout="constrained")
for noise in (0.3, 0.7, 1.5):
    noisy = data.y + rng.normal(scale=noise, size=data.y.shape)
    cascade.fit(data.X[train], data.y[train], data.costs, scores=noisy[train])
    curve = cascade.simulate(
        data.X[test], data.y[test], scores=noisy[test], cost_weight=cost_weights
    )
    ax.plot(curve.cost, curve.quality, label=f"noise {noise}")
ax.set(xlabel="Average cost per prompt", ylabel="Average quality", xlim=(0, data.costs.max()))
ax.legend()

# %%
# Serve it with a table. A step is a dict that JSON can hold; nothing is kept in between.

table = cascade.routing_table(cost_weight=0.003)
step = table.first(data.X[test][0])
while step["ask"] is not None:
    print("ask", step["ask"], "and check the answer" if step["check"] else "")
    score = noisy[test][0, step["ask"]] if step["check"] else None
    step = table.next(step, score)
print("keep the answer of", step["keep"])
plt.show()
