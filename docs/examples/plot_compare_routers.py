"""
Compare routers
===============

Compare routers on unseen models, over repeated random splits of prompts and models. Differences are
paired and tested.
"""

import matplotlib.pyplot as plt

from sklearn_uniroute import HybridRouter, KMeansRouter, KNeighborsRouter, ZeroRouter
from sklearn_uniroute.datasets import make_classifier_pool
from sklearn_uniroute.model_selection import compare_routers

routers = {
    "ZeroRouter": ZeroRouter(),
    "K-NN": KNeighborsRouter(50),
    "paper": KMeansRouter(8, representation="mean", temperature=0),
    "posterior": KMeansRouter(24),
    "hybrid": HybridRouter(24),
}
comparison = compare_routers(
    routers, make_classifier_pool(), n_trials=10, baselines=["random", "oracle"]
)
print(comparison)

# %%
# The plot shows the curves, averaged over trials. The oracle chooses in hindsight: its curve is the
# upper limit. Crosses are single models, with their means over all prompts: they may lie off the
# curves, as each trial leaves out other models.

_, ax = plt.subplots(figsize=(8, 5), layout="constrained")
comparison.plot(ax, confidence=0)
plt.show()
