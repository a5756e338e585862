"""
From texts to models
====================

Any transformer that turns texts into arrays makes a pipeline with a router. Here it is TF-IDF, so
that nothing has to be downloaded; in earnest, take sentence embeddings.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sklearn_uniroute import KMeansRouter

# %%
# Prompts of three kinds, and three models: one for code, one for all but code, and a large one.

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
# In a pipeline, `fit` takes the costs by the name of the last step.

embed = make_pipeline(TfidfVectorizer(), TruncatedSVD(8, random_state=0))
pipeline = make_pipeline(embed, KMeansRouter(3, random_state=0))
pipeline.fit(texts[:600], y[:600], kmeansrouter__costs=costs)
chosen = pipeline.predict(texts[600:], cost_weight=0.01)
table = pd.crosstab(kind[600:], chosen)
print(table)

# %%
# Maths goes to the large model, the rest to those that do it as well for a twentieth of the price.

fig, ax = plt.subplots(layout="constrained")
table.plot.bar(stacked=True, ax=ax, rot=0, xlabel="kind of prompt", ylabel="prompts")

# %%
# Models are added to the last step, and single texts are routed as they come.

pipeline[-1].set_cost("coder", 2)
print(pipeline.predict(["prove that the sum of the angles"], cost_weight=0.01))
plt.show()
