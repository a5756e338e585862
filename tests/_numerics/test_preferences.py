import copy

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter
from sklearn_uniroute._numerics._posterior import Prior, condition
from sklearn_uniroute._numerics._preferences import Battles, preference_evidence, preference_scale
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.utils._router_checks import assert_same

ROUTERS = [
    KMeansRouter(6, n_validation=60, random_state=0),
    KMeansRouter(6, temperature=0, n_validation=60, random_state=0),
    KMeansRouter(6, representation="mean", n_validation=60, random_state=0),
    LearnedMapRouter(6, n_validation=60, random_state=0),
    HybridRouter(6, n_validation=60, random_state=0),
]


def simulated(n_battles, scale=5.0, seed=0):
    """Battles of three known and two new models, by the law of Bradley and Terry, with ties."""
    rng = np.random.RandomState(seed)
    truth = rng.uniform(size=(5, 3))
    features = rng.dirichlet([0.3] * 3, size=n_battles)
    first, second = np.array([rng.permutation(5)[:2] for _ in range(n_battles)]).T
    margin = np.einsum("nk,nk->n", features, truth[second] - truth[first])
    outcome = (rng.uniform(size=n_battles) < expit(scale * margin)).astype(float)
    outcome[rng.uniform(size=n_battles) < 0.2] = 0.5
    return truth, Battles(features, first, second, outcome)


def among(battles, n_known):
    known = np.maximum(battles.first, battles.second) < n_known
    return Battles(*(part[known] for part in battles))


PRIOR = Prior(np.array([0.5, 0.4, 0.6]), 0.05 * (0.5 + 0.5 * np.eye(3)), np.full(3, 0.2))


def test_the_scale_is_found():
    truth, battles = simulated(40_000)
    outcome = battles.outcome.copy()
    scale, dispersion = preference_scale(among(battles, 3), truth)
    # A fifth of ties draws all odds towards even ones.
    assert scale == pytest.approx(4, abs=0.3)
    assert dispersion == pytest.approx(0.8, abs=0.05)
    decided = outcome != 0.5
    scale, dispersion = preference_scale(
        among(Battles(*(part[decided] for part in battles)), 3), truth
    )
    assert scale == pytest.approx(5, abs=0.3)
    assert dispersion == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("dispersion", [1.0, 0.4])
def test_evidence_gives_the_most_likely_errors(dispersion):
    truth, battles = simulated(400)

    def loss(parameters, last_scale):
        scale, deviations = parameters[0], parameters[1:].reshape(2, 3)
        psi = np.vstack([truth[:3], PRIOR.mean + deviations / scale])
        odds = [
            scale * phi @ (psi[b] - psi[a])
            for phi, a, b in zip(battles.features, battles.first, battles.second, strict=True)
        ]
        surprise = battles.outcome * np.logaddexp(0, -np.array(odds))
        surprise += (1 - battles.outcome) * np.logaddexp(0, odds)
        deviations = deviations / last_scale
        penalty = np.einsum("mj,jk,mk->", deviations, np.linalg.inv(PRIOR.covariance), deviations)
        return surprise.sum() / dispersion + penalty / 2

    parameters = np.append(5.0, np.zeros(6))
    for _ in range(6):
        parameters = minimize(loss, parameters, args=(parameters[0],), method="BFGS").x
    expected = PRIOR.mean + parameters[1:].reshape(2, 3) / parameters[0]
    # What stands for new models plays no part.
    known = np.vstack([truth[:3], np.full((2, 3), 77.0)])
    evidence = preference_evidence(battles, known, PRIOR, np.array([3, 4]), 5.0, dispersion)
    for information, moment, psi in zip(*evidence, expected, strict=True):
        mean, covariance = condition(PRIOR, information, moment)
        np.testing.assert_allclose(mean, psi, atol=0.02)
        assert np.all(np.diagonal(covariance) < np.diagonal(PRIOR.covariance))


def test_many_battles_find_the_errors():
    truth, battles = simulated(40_000)
    decided = battles.outcome != 0.5
    battles = Battles(*(part[decided] for part in battles))
    evidence = preference_evidence(battles, truth, PRIOR, np.array([3, 4]), 5.0, 1.0)
    for information, moment, psi in zip(*evidence, truth[3:], strict=True):
        mean, covariance = condition(PRIOR, information, moment)
        np.testing.assert_allclose(mean, psi, atol=0.04)
        assert np.all(np.abs(mean - psi) < 4 * np.sqrt(np.diagonal(covariance)))


@pytest.fixture(scope="module")
def arena():
    """Data, and battles of all its models by who is right."""
    data = make_routing_data(6000, 8, n_features=5, n_clusters=6, random_state=0)
    rng = np.random.RandomState(1)
    rows = np.arange(1000, 5000)
    a, b = np.array([rng.permutation(8)[:2] for _ in rows]).T
    margin = (data.y[rows, a] - data.y[rows, b]).astype(int)
    winner = np.array(["model_b", "tie", "model_a"])[margin + 1]
    return data, {"X": data.X[rows], "model_a": a, "model_b": b, "winner": winner}


def fitted(router, data):
    return router.fit(data.X[:1000], data.y[:1000, :6], costs=data.costs[:6])


def costs(data):
    return {6: data.costs[6], 7: data.costs[7]}


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_models_from_battles_are_as_good_as_those_from_errors(router, arena):
    data, battles = arena
    direct = fitted(router, data)
    for model in (6, 7):
        errors = 1 - data.y[1000:2000, model]
        direct.add_model(errors, X_val=data.X[1000:2000], cost=data.costs[model])
    expected = direct.predict_error(data.X[5000:]).astype(float)
    area = direct.score(data.X[5000:], data.y[5000:])
    router = fitted(router, data).add_models_from_preferences(**battles, costs=costs(data))
    assert sorted(router.models_) == list(range(8))
    error = router.predict_error(data.X[5000:], range(8))
    np.testing.assert_array_equal(error[:, :6], expected[:, :6])
    assert np.sqrt(np.mean((error - expected)[:, 6:] ** 2)) < 0.06
    pool = list(range(8))
    assert router.score(data.X[5000:], data.y[5000:], pool=pool) > area - 0.01


def test_names_and_the_side_of_a_battle_do_not_matter(arena):
    data, battles = arena
    names = np.array([f"m{number}" for number in range(8)])
    y = pd.DataFrame(data.y[:1000, :6], columns=names[:6])
    router = KMeansRouter(6, random_state=0).fit(data.X[:1000], y)
    other = copy.copy(router)
    a, b = names[battles["model_a"]], names[battles["model_b"]]
    router.add_models_from_preferences(battles["X"], a, b, battles["winner"])
    swap = {"model_a": "model_b", "model_b": "model_a", "tie": "tie"}
    order = np.random.RandomState(0).permutation(len(a))
    other.add_models_from_preferences(
        battles["X"][order],
        pd.Series(b[order]),
        list(a[order]),
        [swap[winner] for winner in battles["winner"][order]],
    )
    assert sorted(router.models_) == names.tolist()
    np.testing.assert_allclose(
        router.predict_error(data.X, names), other.predict_error(data.X, names), atol=1e-4
    )


def test_errors_told_later_add_to_the_battles(arena):
    data, battles = arena
    router = fitted(KMeansRouter(6, random_state=0), data)
    router.add_models_from_preferences(**battles, costs=costs(data))
    position = router.models_.tolist().index(7)
    before = router.representation_std_[position]
    router.update_model(7, np.ones(500), X_val=data.X[1000:1500])
    assert np.all(router.representation_std_[position] < before)
    assert router.predict_error(data.X, [7]).mean() > 1 - data.y[:, 7].mean()
    plain = fitted(KMeansRouter(6, representation="mean", random_state=0), data)
    plain.add_models_from_preferences(**battles, costs=costs(data))
    sums, counts = (
        plain._evidence["error_sums"][position],
        plain._evidence["error_counts"][position],
    )
    np.testing.assert_allclose(plain.representation_[position], sums / counts)
    fought = (battles["model_a"] == 7) | (battles["model_b"] == 7)
    assert counts.sum() == fought.sum()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model_a": [0, 6]}, ValueError, "`model_a` must have one entry for each of the 4000"),
        ({"winner": "tie"}, ValueError, "`winner` must have one entry"),
        ({"winner": ["tie"] * 3999 + ["both"]}, ValueError, "`winner` must be one of .*'both'"),
        ({"model_b": [6] * 4000}, ValueError, "between a model and itself"),
        ({"model_a": [0] * 4000, "model_b": [1] * 4000}, ValueError, "are known"),
        (
            {"model_a": [0] * 4000, "model_b": [6, 7] * 2000},
            ValueError,
            "there are none",
        ),
        ({"winner": ["tie"] * 4000}, ValueError, "do not win more often"),
        ({"model_a": ["new"] * 4000}, TypeError, "of one kind"),
        ({"costs": {6: 1.0}}, ValueError, "`cost` of model 7 is missing"),
        ({"costs": None}, ValueError, "`cost` of model . is missing"),
        ({"costs": {6: 1.0, 7: -1.0}}, ValueError, "`cost` of model 7 must be"),
        ({"costs": {6: 1.0, 7: 1.0, 0: 1.0}}, ValueError, "do not add"),
        ({"X": np.zeros((4000, 2))}, ValueError, "X has 2 features"),
    ],
)
def test_bad_battles_change_nothing(arena, change, error, message):
    data, battles = arena
    router = fitted(KMeansRouter(6, random_state=0), data)
    before = copy.deepcopy(router)
    with pytest.raises(error, match=message):
        router.add_models_from_preferences(**{**battles, "costs": costs(data), **change})
    assert_same(router, before, data.X)


@pytest.mark.parametrize("label", ["model_a", "model_b"])
def test_battles_stored_as_winner_and_loser(arena, label):
    data, battles = arena
    won = battles["winner"] != "tie"
    battles = {name: values[won] for name, values in battles.items()}
    first, second = battles["model_a"], battles["model_b"]
    swapped = battles["winner"] != label
    sides = np.where(swapped, second, first), np.where(swapped, first, second)
    expected, found = (
        fitted(KMeansRouter(6, random_state=0), data).add_models_from_preferences(
            **given, costs=costs(data)
        )
        for given in (
            battles,
            {
                "X": battles["X"],
                "model_a": sides[0],
                "model_b": sides[1],
                "winner": np.full(len(first), label),
            },
        )
    )
    np.testing.assert_allclose(
        found.predict_error(data.X[:50], [6, 7]),
        expected.predict_error(data.X[:50], [6, 7]),
        atol=1e-3,
    )


def test_battles_without_a_model_are_refused(arena):
    data, battles = arena
    sides = battles["model_a"].astype(object)
    sides[3] = None
    with pytest.raises(ValueError, match="is None in a battle"):
        fitted(KMeansRouter(6, random_state=0), data).add_models_from_preferences(
            **{**battles, "model_a": sides}, costs=costs(data)
        )
