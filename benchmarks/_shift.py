"""Models known from battles, tested on prompts of other kinds (appendix G.4).

The kinds of prompts of a file are halved at random: battles come from one half, tests from the
other. Half of the models are known from their errors on the first half, the others from battles
alone, and the router chooses among these. The attributes of a prompt are how likely it is of each
of the first kinds, as a logistic regression tells from its embedding.
"""

import numpy as np
from sklearn.base import clone

from benchmarks._paper import paper_trials
from benchmarks._runner import add_unseen, model_costs, paired
from benchmarks.preferences import draw_battles
from sklearn_uniroute import AttributeEncoder, KMeansRouter
from sklearn_uniroute.metrics import deferral_area_score, peak_quality_score, quality_neutral_cost
from sklearn_uniroute.model_selection._split import draw_models

N_BATTLES = 2000
N_ERRORS = 400
ROUTERS = {
    "Prompt-blind": KMeansRouter(1, n_validation=N_ERRORS),
    "K-means, embeddings": KMeansRouter(7, n_validation=N_ERRORS),
    "K-means, attributes": KMeansRouter(7, n_validation=N_ERRORS),
}
METRICS = (deferral_area_score, quality_neutral_cost, peak_quality_score)


def shift_trial(data, seed):
    """Area, QNC and peak of each router, from battles and from errors."""
    rng = np.random.RandomState(seed)
    kinds = rng.permutation(np.unique(data.source))
    known_kinds = kinds[: (len(kinds) + 1) // 2]
    inside = np.isin(data.source, known_kinds)
    training, test = rng.permutation(np.flatnonzero(inside)), np.flatnonzero(~inside)
    costs = model_costs(data)
    old, new, _ = draw_models(rng, costs, len(costs) // 2)
    X, y = data.X[training], data.y[training]
    encoder = AttributeEncoder().fit(X, data.source[training, None] == known_kinds)
    views = {"attributes": encoder.transform(data.X)}
    number = np.empty(len(costs), dtype=int)
    number[np.concatenate([old, new])] = np.arange(len(costs))
    pool = number[new]
    prompts, first, second, winner = draw_battles(rng, y, N_BATTLES * len(new))
    scores = {}
    for name, router in ROUTERS.items():
        X_all = views.get(name.rpartition(" ")[2], data.X)
        X, X_test = X_all[training], X_all[test]
        fitted = clone(router).set_params(random_state=int(seed % 2**31))
        fitted.fit(X, y[:, old], costs=costs[old])
        add_unseen(fitted, y, costs, fitted.validation_indices_, new)
        scores[name, "errors"] = score(fitted, X_test, data.y[np.ix_(test, new)], costs[new], pool)
        for place in pool:
            fitted.remove_model(place)
        fitted.add_models_from_preferences(
            X[prompts],
            number[first],
            number[second],
            winner,
            costs=dict(zip(pool.tolist(), costs[new], strict=True)),
        )
        scores[name, "battles"] = score(fitted, X_test, data.y[np.ix_(test, new)], costs[new], pool)
    return scores


def score(router, X, y, costs, pool):
    error = router.predict_error(X, pool)
    return [metric(y, error, costs) for metric in METRICS]


def report_shift(name, data, n_trials):
    results = paper_trials(shift_trial, n_trials, data)
    print(f"\n{name}, {n_trials} trials, {len(np.unique(data.source))} kinds of prompts")
    print(f"{'':<32}{'area':>7}   {'less prompt-blind':>19}  {'QNC':>7}  {'peak':>7}")
    for known_from in ("battles", "errors"):
        blind = np.array([one["Prompt-blind", known_from][0] for one in results])
        for row in ROUTERS:
            area, qnc, peak = np.array([one[row, known_from] for one in results]).T
            gain, error = paired(area, blind)
            gained = "" if row == "Prompt-blind" else f"{gain:+.4f} ± {error:.4f}"
            median = np.median(qnc)
            median = f"{median:7.1%}" if np.isfinite(median) else "    inf"
            print(
                f"{f'{row}, {known_from}':<32}{area.mean():7.4f}   {gained:>19}  {median}"
                f"  {peak.mean():7.4f}"
            )
