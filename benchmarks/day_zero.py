"""What the card of a new model is worth, alone and beside a few validation prompts.

Run as ``python -m benchmarks.day_zero [TRIALS]``. Where prompts have categories, a random half of
the categories gives the public scores of all models, and prompts of the other half are routed. A
card holds the price, the size, the score of one category, the mean score, the scores by category,
or all of these; two cards hold noise. For each number of random validation prompts, it prints the
area under the deferral curve of unseen models without a card, and the paired difference of each
card to it with its standard error. Then it prints the difference of a card and no prompt to no card
and 50 prompts, the coverage of 90 % intervals of cluster errors, and the time of ``add_model``.
"""

from functools import partial
from timeit import repeat

import numpy as np
from scipy.stats import norm

from benchmarks._runner import arguments, model_costs, paired, real_data, run_trials
from benchmarks.few_shot import standardised_misses
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.metrics import deferral_area_score
from sklearn_uniroute.model_selection._split import draw_split

SIZES = (0, 5, 10, 25, 50, 100, 400)
NONE, EVERYTHING = "no card", "all"
# Cards on which a new model is compared with one that has no card but 50 prompts.
SCORES = ("one score", "scores by category", EVERYTHING)
LEAST_CATEGORIES = 4


def cards(data, routed, costs, known, rng):
    """Features of all models by the kind of card, from the prompts that are not routed.

    The nearest and the farthest category are those whose scores go most and least with the quality
    on the routed prompts, over the training models.
    """
    n_models = len(costs)
    found = {"price": np.log(costs)[:, None]}
    size = data.model_features
    if size is not None:
        found["size"] = size
    public = np.flatnonzero(~np.isin(np.arange(len(data.y)), routed))
    if len(public):
        groups = [public[data.source[public] == one] for one in np.unique(data.source[public])]
        scores = np.array([np.nanmean(data.y[rows], axis=0) for rows in groups]).T
        quality = np.nanmean(data.y[np.ix_(routed, known)], axis=0)
        near = np.argsort([np.corrcoef(one, quality)[0, 1] for one in scores[known].T])
        found["farthest category"] = scores[:, near[:1]]
        found["nearest category"] = scores[:, near[-1:]]
        found["one score"] = scores.mean(axis=1, keepdims=True)
        found["scores by category"] = scores
        found[EVERYTHING] = np.hstack([found["price"], *([] if size is None else [size]), scores])
    found["noise"] = rng.normal(size=(n_models, 1))
    found["ten of noise"] = rng.normal(size=(n_models, 10))
    return found


def routed_prompts(data, rng):
    """Prompts of a random half of the categories; all prompts, if there are few categories."""
    names = np.unique(data.source)
    if len(names) < LEAST_CATEGORIES:
        return np.arange(len(data.y))
    routed = rng.permutation(names)[len(names) // 2 :]
    return np.flatnonzero(np.isin(data.source, routed))


def trial(data, model_share, seed):
    rng, costs = np.random.RandomState(seed), model_costs(data)
    rows = routed_prompts(data, rng)
    split = draw_split(rng, len(rows), costs, 1, int(model_share * len(costs)))
    known, unseen = split.training_models, split.unseen_models
    train, test = rows[split.training], rows[split.test]
    X, y, y_test = data.X[train], data.y[train], data.y[np.ix_(test, unseen)]
    paid = data.costs[np.ix_(test, unseen)] if data.costs.ndim == 2 else costs[unseen]
    chosen = rng.permutation(len(X))[: max(SIZES)]
    pool = len(known) + np.arange(len(unseen))
    areas, misses = {}, {}

    def area(error):
        return deferral_area_score(y_test, error, paid, routing_costs=costs[unseen])

    for kind, features in {NONE: None, **cards(data, rows, costs, known, rng)}.items():
        router = KMeansRouter(random_state=seed)
        given = None if features is None else features[known]
        router.fit(X, y[:, known], costs=costs[known], model_features=given)
        for size in SIZES:
            if features is None and size == 0:
                areas[kind, size] = area(np.zeros(y_test.shape))
                continue
            prompts = chosen[:size]
            for label, model in zip(pool, unseen, strict=True):
                errors = 1 - y[prompts, model]
                # Gaps may leave a model without any answer.
                run = size > 0 and not np.isnan(errors).all()
                router.add_model(
                    errors if run else None,
                    name=label,
                    cost=costs[model],
                    features=None if features is None else features[model],
                    X_val=X[prompts] if run else None,
                    replace=True,
                )
            areas[kind, size] = area(router.predict_error(data.X[test], pool))
            if size in (0, 10):
                router.validation_indices_ = chosen
                misses[kind, size] = standardised_misses(router, X, 1 - y[:, unseen], pool)
    return areas, misses


def report(name, results):
    areas = {key: np.array([one[0][key] for one in results]) for key in results[0][0]}
    kinds = dict.fromkeys(kind for kind, _ in areas)
    print(f"\n{name}, {len(results)} splits")
    print(f"{'validation prompts':<20}" + "".join(f"{size:>17}" for size in SIZES))
    print(f"{NONE:<20}" + "".join(f"{areas[NONE, size].mean():>17.4f}" for size in SIZES))
    for kind in kinds:
        if kind == NONE:
            continue
        gains = [paired(areas[kind, size], areas[NONE, size]) for size in SIZES]
        print(f"{kind:<20}" + "".join(f"  {gain:+.4f} ± {error:.4f}" for gain, error in gains))
    for kind in SCORES:
        if kind in kinds:
            gain, error = paired(areas[kind, 0], areas[NONE, 50])
            print(f"{kind} and no prompt, less no card and 50 prompts: {gain:+.4f} ± {error:.4f}")
    for kind in kinds:
        held = []
        for size in (0, 10):
            found = [one[1].get((kind, size), []) for one in results]
            held.append(np.concatenate(found) < norm.ppf(0.95))
        shares = [f"{one.mean():.1%}" if len(one) else "" for one in held]
        print(f"90 % intervals, {kind:<20} no prompt {shares[0]:>6}   10 prompts {shares[1]:>6}")


def print_times():
    """Times of adding a model from its errors, without and with a card."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(2000, 64)), (rng.uniform(size=(2000, 30)) < 0.6).astype(float)
    features = np.hstack([y.mean(axis=0)[:, None], rng.normal(size=(30, 9))])
    seconds = {}
    for kind, given in ((NONE, None), (EVERYTHING, features)):
        router = KMeansRouter(random_state=0).fit(X, y, model_features=given)
        errors = 1 - y[router.validation_indices_, 0]
        card = {} if given is None else {"features": given[0]}
        add = partial(router.add_model, errors, name=30, replace=True, **card)
        add()
        seconds[kind] = min(repeat(add, number=20, repeat=7)) / 20
    print(
        f"add_model with 400 errors: {1e3 * seconds[NONE]:.2f} ms without a card, "
        f"{1e3 * seconds[EVERYTHING]:.2f} ms with ten features"
    )


def main():
    n_trials = arguments(__doc__, trials=40).trials
    print_times()
    for name, data, model_share in real_data():
        report(name, run_trials(trial, range(n_trials), data, model_share))


if __name__ == "__main__":
    main()
