"""
Route texts in a pipeline
=========================

A pipeline combines a router with any transformer that turns texts into arrays. This example uses
TF-IDF, which needs no download; in practice, use sentence embeddings.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sklearn_uniroute import KMeansRouter

# %%
# There are three kinds of prompts, and three models: one for code, one for stories, and a large
# one.

rng = np.random.RandomState(0)
words = {
    "code": ["python", "function", "list", "bug", "compile", "loop", "class", "test"],
    "math": ["integral", "prove", "equation", "prime", "matrix", "sum", "limit", "angle"],
    "story": ["dragon", "poem", "letter", "summer", "write", "rhyme", "hero", "forest"],
}
kind = rng.choice(list(words), size=900)
texts = np.array([" ".join(rng.choice(words[name], size=8)) for name in kind])
chance = {
    "coder": {"code": 0.9, "math": 0.4, "story": 0.2},
    "writer": {"code": 0.2, "math": 0.3, "story": 0.9},
    "large": {"code": 0.95, "math": 0.9, "story": 0.95},
}
y = pd.DataFrame(
    {
        model: rng.uniform(size=900) < [by_kind[name] for name in kind]
        for model, by_kind in chance.items()
    }
).astype(float)
costs = {"coder": 1, "writer": 1, "large": 20}

# %%
# In a pipeline, prefix `costs` with the name of the last step.

embed = make_pipeline(TfidfVectorizer(), TruncatedSVD(8, random_state=0))
pipeline = make_pipeline(embed, KMeansRouter(3, random_state=0))
pipeline.fit(texts[:600], y[:600], kmeansrouter__costs=costs)
chosen = pipeline.predict(texts[600:], cost_weight=0.01)
table = pd.crosstab(kind[600:], chosen)
print(table)

# %%
# Maths goes to the large model. The rest goes to models that are almost as good at a twentieth of
# the price.

fig, ax = plt.subplots(layout="constrained")
table.plot.bar(stacked=True, ax=ax, rot=0, xlabel="kind of prompt", ylabel="prompts")

# %%
# Change the pool through the last step, here the price of a model. `predict` also routes single
# texts.

pipeline[-1].set_cost("coder", 2)
print(pipeline.predict(["prove that the sum of the angles"], cost_weight=0.01))
plt.show()
