"""
How many prompts does a new model need?
=======================================

A pool of small classifiers stands in for language models. Two thirds of them train the router; the
others are added from their errors on a few prompts. The posterior representation combines these few
errors with a prior learned from the training models.
"""

import matplotlib.pyplot as plt

from sklearn_uniroute import FewShotCurveDisplay, KMeansRouter, ZeroRouter
from sklearn_uniroute.datasets import make_classifier_pool

data = make_classifier_pool()
settings = {"n_validation": [25, 50, 100, 200, 400], "n_splits": 10, "n_jobs": -1}

# %%
# Compare three routers on the same splits: one that ignores the prompt, one with mean errors per
# cluster, and one with the posterior, which chooses the most informative prompts.

_, ax = plt.subplots()
for name, router in {
    "ZeroRouter": ZeroRouter(),
    "mean": KMeansRouter(representation="mean", temperature=0, validation="random"),
    "posterior": KMeansRouter(),
}.items():
    FewShotCurveDisplay.from_estimator(
        router, data.X, data.y, data.costs, ax=ax, name=name, **settings
    )

# %%
# Adding a model takes its errors on the prompts that the router has chosen, and its price. The
# estimates have standard errors.

router = KMeansRouter(n_validation=50, random_state=0)
router.fit(data.X, data.y[:, :-1], costs=data.costs[:-1])
val_errors = 1 - data.y[router.validation_indices_, -1]
router.add_model(val_errors, cost=data.costs[-1])
error, std = router.predict_error(data.X[:3], pool=[len(data.models) - 1], return_std=True)
print(error.ravel().round(2), "±", std.ravel().round(2))

# %%
# To reduce the standard errors, ask the router which prompts to run next.

print(router.suggest_prompts(len(data.models) - 1, 5, data.X))

plt.show()
