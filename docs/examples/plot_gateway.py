"""
Route requests in a gateway
===========================

A gateway has to choose a model in microseconds, while another process updates the router. A routing
table is a snapshot of the router in a file without pickles. Threads can share it.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_uniroute import KMeansRouter, RoutingTable
from sklearn_uniroute.datasets import make_routing_data

data = make_routing_data(n_prompts=3000, n_models=4, random_state=0)
names = ["tiny", "small", "medium", "large"]
y = pd.DataFrame(data.y, columns=names)
router = KMeansRouter(random_state=0).fit(data.X, y, costs=dict(zip(names, data.costs)))

# %%
# The process of the router publishes a table for one cost weight. The file is written completely or
# not at all.

path = Path(tempfile.mkdtemp()) / "table.npz"
router.routing_table(cost_weight=0.002).save(path, embedder="my-embedder")

# %%
# The gateway loads the table, checks that it is for the same embeddings, and routes.

table = RoutingTable.load(path, embedder="my-embedder", n_features=data.X.shape[1])
x = data.X[0]
print(table.route(x), table.route(x, exclude={table.route(x)}))

# %%
# `explain` returns the errors, costs and scores of all models, the runner-up, and the range of cost
# weights for which the choice stays the same.

why = table.explain(x)
print(why.model, why.runner_up, f"holds up to a cost weight of {why.high:.4f}")
pd.DataFrame({"error": why.error, "cost": why.cost, "score": why.score}, index=why.models)

# %%
# The plot shows the same prompt at other cost weights. Each model has a line, and the lowest one
# wins.

weights = np.linspace(0, 0.02, 50)
error = router.predict_error(x[None])[0]
fig, ax = plt.subplots(layout="constrained")
for name, one, cost in zip(names, error, data.costs, strict=True):
    ax.plot(weights, one + weights * cost, label=name)
ax.set(xlabel="cost weight", ylabel="error + cost weight * cost", ylim=(0, 1))
ax.legend()
plt.show()
