"""
Add models from battles
=======================

In a battle, two models answer the same prompt and somebody says which answer is better. Battles are
enough to add new models, if the errors of some models in the battles are known.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data

data = make_routing_data(n_prompts=9000, n_models=8, random_state=0)
known, new = np.arange(5), np.arange(5, 8)
router = KMeansRouter(random_state=0)
router.fit(data.X[:3000], data.y[:3000, known], costs=data.costs[known])

# %%
# In each battle, two models of the whole pool meet on a prompt. The one that is right wins. If both
# are right or both are wrong, it is a tie.

rng = np.random.RandomState(0)
X, y = data.X[3000:8000], data.y[3000:8000]
pairs = np.array([rng.choice(8, size=2, replace=False) for _ in X])
first, second = np.take_along_axis(y, pairs, axis=1).T
winner = np.select([first > second, first < second], ["model_a", "model_b"], "tie")
print(pd.Series(winner).value_counts().to_dict())

router.add_models_from_preferences(X, *pairs.T, winner, costs=dict(zip(new, data.costs[new])))

# %%
# The plot compares the errors of the new models, as estimated from battles, to the true errors. The
# bars are one standard error.

test = slice(8000, None)
error, std = router.predict_error(data.X[test], pool=new, return_std=True)
true = data.error_rates[data.source[test]][:, new]
fig, ax = plt.subplots(layout="constrained")
for model in range(3):
    clusters, rows = np.unique(data.source[test], return_index=True)
    ax.errorbar(
        true[rows, model],
        error[rows, model],
        std[rows, model],
        fmt="o",
        label=f"model {new[model]}",
    )
ax.axline((0, 0), slope=1, color="k", linestyle=":")
ax.set(xlabel="true error", ylabel="error as battles tell it")
ax.legend()
plt.show()
