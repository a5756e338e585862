"""
Similarity of models
====================

Models with errors in the same clusters have similar representations. The plot shows similar models
side by side.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_classifier_pool
from sklearn_uniroute.inspection import ModelSimilarityDisplay, cluster_report

data = make_classifier_pool()
y = pd.DataFrame(data.y, columns=data.models)
router = KMeansRouter(10, random_state=0).fit(data.X, y, costs=data.costs)

# %%
# Generalists know all ten digits; specialists know the digits in their names. Generalists are
# similar to each other, and so are specialists that share digits.

_, ax = plt.subplots(figsize=(8, 7), layout="constrained")
ModelSimilarityDisplay.from_estimator(router, ax=ax)

# %%
# `cluster_report` returns the size, the errors of the models, and the best model of each cluster.

report = cluster_report(router)
print(pd.DataFrame({"prompts": report.size, "best": report.best}))
plt.show()
