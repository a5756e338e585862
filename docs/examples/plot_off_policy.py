"""
Judge a new router by last week's log
=====================================

One model answers each prompt, so a log does not say what another router would have earned. If the
logged table explored, and the probabilities of its choices are known, the log says it after all.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter, LinearRouter
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.metrics import off_policy_value

data = make_routing_data(n_prompts=6000, n_models=4, random_state=0)
old = KMeansRouter(random_state=0).fit(data.X[:40], data.y[:40], costs=data.costs)

# %%
# Last week's table knew its models from 40 prompts, and explored with a fifth of the traffic. The
# log has an embedding, a model, a probability and a grade for each call.

X, y = data.X[2000:], data.y[2000:]
table = old.routing_table(cost_weight=0.001, exploration=0.2)
decisions = [table.route_logged(x, request_id=str(number)) for number, x in enumerate(X)]
model = np.array([decision.model for decision in decisions])
propensity = np.array([decision.propensity for decision in decisions])
grade = y[np.arange(len(X)), model]
print(f"last week: mean quality {grade.mean():.3f}, mean cost {data.costs[model].mean():.1f}")

# %%
# A new router was trained on other data. Before it serves, estimate what it would have earned.

new = LinearRouter(random_state=0)
new.fit(data.X[1000:2000], data.y[1000:2000], costs=data.costs)
target = new.predict(X, cost_weight=0.001)
predicted = 1 - old.predict_error(X)
estimate = off_policy_value(grade, model, propensity, target, predicted=predicted)
truth = y[np.arange(len(X)), target].mean()
print(f"estimate {estimate.value:.3f}, 95 % interval {estimate.low:.3f} to {estimate.high:.3f}")
print(f"what it would really have earned, which nobody knows: {truth:.3f}")

# %%
# The same for all cost weights. Where the old table never chooses what the new router would choose,
# the curve rests on predicted errors alone; the band is widest where the two agree least.

_, ax = plt.subplots()
DeferralCurveDisplay.from_log(new, X, model, grade, propensity, ax=ax, name="from the log")
DeferralCurveDisplay.from_estimator(
    new, X, y, ax=ax, name="what nobody knows", curve_kwargs={"linestyle": "--"}
)
plt.show()
