"""
Choose the number of clusters
=============================

Routers work in the searches of scikit-learn like any other estimator. To choose settings for future
models, hold out models as well as prompts.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_classifier_pool
from sklearn_uniroute.model_selection import (
    DynamicPoolSplit,
    deferral_area_scorer,
    dynamic_cross_validate,
)

data = make_classifier_pool()
n_clusters = [2, 4, 8, 16]

# %%
# `GridSearchCV` scores the models that the router was fitted on.

search = GridSearchCV(
    KMeansRouter(random_state=0), {"n_clusters": n_clusters}, scoring=deferral_area_scorer
)
search.fit(data.X, data.y, costs=data.costs)
print("best for models at hand:", search.best_params_)

# %%
# `dynamic_cross_validate` adds held-out models from 50 prompts each, and scores both kinds of
# models. The best setting for one kind need not be the best for the other.

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 4), layout="constrained")
for ax, representation in zip(axes, ("mean", "posterior"), strict=True):
    results = dynamic_cross_validate(
        KMeansRouter(representation=representation, random_state=0),
        data.X,
        data.y,
        data.costs,
        param_grid={"n_clusters": n_clusters},
        cv=DynamicPoolSplit(n_splits=5, random_state=0),
        n_validation=50,
    )
    best = results["params"][results["mean_test_score"].argmax()]
    print(f"best for models to come, {representation}:", best)
    ax.plot(n_clusters, results["mean_known_score"], "o--", label="models at hand")
    ax.plot(n_clusters, results["mean_test_score"], "o-", label="models to come")
    ax.set(xscale="log", xlabel="clusters", title=f'representation="{representation}"')
    ax.set_xticks(n_clusters, n_clusters)
    ax.minorticks_off()
axes[0].set_ylabel("area under the deferral curve")
axes[0].legend()
plt.show()
