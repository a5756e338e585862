"""
Detect drift of the traffic
===========================

A router estimates errors from prompts like the training prompts. It can detect that new prompts are
unlike them, and send these prompts to a fallback model.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.inspection import drift_report

data = make_routing_data(n_prompts=4000, n_models=5, random_state=0)
router = KMeansRouter(fallback="dearest", random_state=0)
router.fit(data.X[:2000], data.y[:2000], costs=data.costs)

# %%
# Last week's prompts are like the training prompts. This week, some kinds of prompts are rare, and
# there is a new kind.

rng = np.random.RandomState(0)
last_week = data.X[2000:3000]
rare = np.isin(data.source[3000:], [0, 1, 2]) & (rng.uniform(size=1000) < 0.8)
new_kind = rng.normal(3, 0.3, size=(150, data.X.shape[1]))
this_week = np.concatenate([data.X[3000:][~rare], new_kind])

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 4), layout="constrained")
for ax, (week, X) in zip(
    axes, {"last week": last_week, "this week": this_week}.items(), strict=True
):
    report = drift_report(router, X)
    print(f"{week}: p = {report.p_value:.2g}, far from training: {report.far_share:.1%}")
    place = np.arange(len(report.share))
    ax.bar(place - 0.2, report.training_share, 0.4, label="training")
    ax.bar(place + 0.2, report.share, 0.4, label="new")
    ax.set(title=week, xlabel="cluster", ylabel="share of prompts")
axes[0].legend()

# %%
# The new kind goes to the dearest model at any cost weight.

print(np.unique(router.predict(new_kind, cost_weight=1), return_counts=True))
plt.show()
