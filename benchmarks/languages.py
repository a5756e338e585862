"""Other features than embeddings by an English encoder: characters, and the task of the prompt.

Run as ``python -m benchmarks.languages [TRIALS]``. Characters are TF-IDF weights of 1 to 3
characters, reduced to 64 numbers by a singular value decomposition; they need no encoder. Tasks are
the labels in the file, one number each. Routers are fitted on the training models. For these models
and for unseen ones that are known from 50 random prompts, it prints the paired gain in area over
ZeroRouter, with standard errors.
"""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder

from benchmarks._runner import Split, arguments, paired, real_data, run_trials, stacked
from sklearn_uniroute import FeatureMapRouter, KMeansRouter, ZeroRouter

N_PROMPTS = 50


def characters(prompts, training):
    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), min_df=3, max_features=20_000, sublinear_tf=True
    )
    encoder = make_pipeline(vectorizer, TruncatedSVD(64, random_state=0), Normalizer())
    return encoder.fit([prompts[row] for row in training]).transform(prompts)


def task_router(seed):
    return FeatureMapRouter(OneHotEncoder(handle_unknown="ignore"), random_state=seed)


def both_router(seed):
    columns = [
        ("embedding", PCA(64, random_state=seed), slice(0, -1)),
        ("task", OneHotEncoder(handle_unknown="ignore"), [-1]),
    ]
    return FeatureMapRouter(ColumnTransformer(columns), random_state=seed)


def trial(data, model_share, seed):
    split = Split(data, seed, round(model_share * data.y.shape[1]))
    task = np.unique(data.source, return_inverse=True)[1][:, None].astype(float)
    text = characters(data.prompts, split.training)
    views = {
        "ZeroRouter": (ZeroRouter(), data.X),
        "embeddings": (KMeansRouter(random_state=seed), data.X),
        "characters": (KMeansRouter(random_state=seed), text),
        "task": (task_router(seed), task),
        "embeddings and task": (both_router(seed), np.hstack([data.X, task])),
        "characters and task": (both_router(seed), np.hstack([text, task])),
    }
    prompts = split.rng.permutation(split.training)[:N_PROMPTS]
    known = split.known
    areas = {}
    for name, (router, X) in views.items():
        rows = split.training
        router.fit(X[rows], data.y[np.ix_(rows, known)], costs=split.model_costs[known])
        for pool, models in ((np.arange(len(known)), known), (split.pool, split.unseen)):
            if models is split.unseen:
                for label, model in zip(pool, models, strict=True):
                    errors = 1 - data.y[prompts, model]
                    router.add_model(
                        errors, name=label, cost=split.model_costs[model], X_val=X[prompts]
                    )
            y = data.y[np.ix_(split.test, models)]
            areas[name, models is known] = router.score(
                X[split.test], y, split.costs(split.test, models), pool
            )
    return areas


def main():
    n_trials = arguments(__doc__, trials=10).trials
    for name, data, model_share in real_data():
        data.X = data.X.astype(np.float32)
        areas = stacked(run_trials(trial, range(n_trials), data, model_share))
        print(f"\n{name}, {len(np.unique(data.source))} tasks, {n_trials} splits")
        print(f"{'gain over ZeroRouter':<22}{'known models':>18}{'unseen models':>18}")
        for view in dict.fromkeys(view for view, _ in areas if view != "ZeroRouter"):
            gains = [paired(areas[view, one], areas["ZeroRouter", one]) for one in (True, False)]
            print(f"{view:<22}" + "".join(f"   {mean:+.4f} ± {e:.4f}" for mean, e in gains))


if __name__ == "__main__":
    main()
