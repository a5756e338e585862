"""
A model came out an hour ago
============================

A pool of small classifiers stands in for language models. Their accuracy on prompts that are not
routed stands in for a public benchmark. A router that knows these scores adds a new model from its
score alone, and learns from its errors later.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_uniroute import FewShotCurveDisplay, KMeansRouter
from sklearn_uniroute.datasets import make_classifier_pool

data = make_classifier_pool()
public = np.arange(len(data.X)) % 4 == 0
scores = data.y[public].mean(axis=0, keepdims=True).T
X, y = data.X[~public], data.y[~public]

# %%
# The area under the deferral curve of new models, from no prompt on, with and without the card. A
# card and no prompt does what dozens of prompts do without a card.

_, ax = plt.subplots()
for name, cards, sizes in (
    ("with a card", scores, [0, 5, 10, 25, 50, 100]),
    ("without", None, [5, 10, 25, 50, 100]),
):
    FewShotCurveDisplay.from_estimator(
        KMeansRouter(),
        X,
        y,
        data.costs,
        model_features=cards,
        n_validation=sizes,
        n_jobs=-1,
        ax=ax,
        name=name,
    )

# %%
# Add a model from its card. The pool shows by what each model is known.

known, new = np.arange(len(data.models) - 1), len(data.models) - 1
router = KMeansRouter(random_state=0)
router.fit(X, y[:, known], costs=data.costs[known], model_features=scores[known])
router.add_model(cost=data.costs[new], features=scores[new])
print(router.pool_frame().tail(3).round(3))

# %%
# Run it on the ten prompts that tell most, given the card. The standard errors fall.

rows = router.suggest_prompts(new, 10, X)
before = router.predict_error(X, [new], return_std=True)[1].mean()
router.update_model(new, 1 - y[rows, new], X_val=X[rows])
after = router.predict_error(X, [new], return_std=True)[1].mean()
print(f"standard error: {before:.3f} from the card, {after:.3f} after ten prompts")

plt.show()
