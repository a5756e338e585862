"""
A week of traffic with a model that degrades
============================================

A router serves for a week, and learns from the errors of its own answers every hour. On Wednesday,
its best model silently becomes worse. The router notices, and routes around it.
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.inspection import model_drift

HOURS, PER_HOUR = 7 * 24, 30
data = make_routing_data(n_prompts=1000 + HOURS * PER_HOUR, n_models=4, random_state=1)
X, y = data.X[1000:], data.y[1000:].copy()
costs, cost_weight = np.array([1.0, 2.0, 4.0, 5.0]), 0.01
wednesday, rng = 2 * 24 * PER_HOUR, np.random.RandomState(0)
y[wednesday:, 3] *= rng.uniform(size=len(y) - wednesday) < 0.4

# %%
# One router never learns. One learns from all feedback. One also asks every hour whether a model
# drifted, and lets what it knew of it fade.


def serve(learns, watches):
    router = KMeansRouter(random_state=0).fit(data.X[:1000], data.y[:1000], costs=costs)
    known, log, quality = deepcopy(router), [], []
    for hour in range(HOURS):
        rows = np.arange(hour * PER_HOUR, (hour + 1) * PER_HOUR)
        table = router.routing_table(cost_weight=cost_weight, exploration=0.05)
        chosen = table.route_many(X[rows])
        quality.append(y[rows, chosen])
        if learns:
            router.update_from_log(X[rows], chosen, 1 - y[rows, chosen])
        if watches:
            log.append((X[rows], chosen, 1 - y[rows, chosen]))
            report = model_drift(known, *map(np.concatenate, zip(*log, strict=True)))
            changed = [
                name for name, drifted in zip(report.models, report.drifted, strict=True) if drifted
            ]
            if changed:
                print(f"day {1 + hour / 24:.1f}: model {changed} drifted")
                router.decay(0.02, models=changed)
                # From here on, the test starts anew.
                known, log = deepcopy(router), []
    return np.concatenate(quality)


def rolling(quality, window=24 * PER_HOUR):
    return np.convolve(quality, np.ones(window) / window, "valid")


# %%
# The quality of the last 24 hours. The gap between the curves is what learning is worth.

_, ax = plt.subplots()
days = 1 + np.arange(len(X)) / (24 * PER_HOUR)
for name, settings in {
    "never learns": (False, False),
    "learns": (True, False),
    "learns and watches": (True, True),
}.items():
    shown = rolling(serve(*settings))
    ax.plot(days[-len(shown) :], shown, label=name)
ax.axvline(3, color="0.6", linestyle="--")
ax.set(xlabel="day of the week", ylabel="mean quality of the last 24 hours")
ax.legend()
plt.show()
