import pickle
from types import SimpleNamespace

import dask.array
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

import sklearn_uniroute.routers._model_features as module
from sklearn_uniroute import (
    EnsembleRouter,
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    RoutingTable,
    ZeroRouter,
    load_router,
    save_router,
)
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.model_selection import compare_routers

COMMON = {"n_validation": 40, "random_state": 0}
ROUTERS = [
    KMeansRouter(6, **COMMON),
    HybridRouter(6, **COMMON),
    LearnedMapRouter(6, net_params={"device": "cpu", "max_epochs": 1}, **COMMON),
    FeatureMapRouter(PCA(3), **COMMON),
    EnsembleRouter([("one", KMeansRouter(6)), ("other", HybridRouter(6))], **COMMON),
]
NAMES = [f"model-{number}" for number in range(16)]
KNOWN, NEW = NAMES[:12], NAMES[12:]


@pytest.fixture(scope="module")
def pool():
    data = make_routing_data(n_prompts=900, n_models=16, random_state=1)
    y = pd.DataFrame(data.y, columns=NAMES)
    cards = pd.DataFrame({"score": y[600:].mean(), "log_cost": np.log(data.costs)}, index=NAMES)
    return data.X[:600], y[:600], dict(zip(NAMES, data.costs.tolist(), strict=True)), cards


def fitted(router, pool, cards=None):
    X, y, costs, known = pool
    cards = known if cards is None else cards
    return clone(router).fit(X, y[KNOWN], costs=costs, model_features=cards.loc[KNOWN])


def card(pool, name):
    return pool[3].loc[name].to_dict()


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: type(router).__name__)
def test_a_card_alone_tells_how_good_a_model_is(router, pool):
    X, y, costs, _ = pool
    router = fitted(router, pool)
    for name in NEW:
        router.add_model(name=name, cost=costs[name], features=card(pool, name))
    error = router.predict_error(X, NEW).mean(axis=0)
    truth = (1 - y[NEW]).mean().to_numpy()
    assert np.abs(error - truth).max() < 0.08
    assert np.abs(truth - (1 - y[KNOWN]).mean().mean()).max() > 0.1
    table = router.routing_table(NEW, cost_weight=0.001)
    assert table.route(X[0]) == router.predict(X[:1], NEW, cost_weight=0.001)[0]


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: type(router).__name__)
def test_errors_come_after_the_card(router, pool):
    X, y, costs, _ = pool
    router = fitted(router, pool)
    name, errors = NEW[0], 1 - y[NEW[0]].to_numpy()[router.validation_indices_]
    router.add_model(name=name, cost=costs[name], features=card(pool, name))
    before = router.predict_error(X, [name], return_std=True)[1]
    router.update_model(name, errors)
    error, after = router.predict_error(X, [name], return_std=True)
    assert np.all(after <= before + 1e-9)
    at_once = fitted(router, pool).add_model(
        errors, name=name, cost=costs[name], features=card(pool, name)
    )
    np.testing.assert_allclose(at_once.predict_error(X, [name]), error, atol=1e-6)


def test_the_prior_is_conditioned_by_hand(pool):
    """All training prompts are in one cluster, so a model is its level."""
    X, y, costs, cards = pool
    router = KMeansRouter(1, temperature=0, **COMMON)
    router.fit(X, y[KNOWN], costs=costs, model_features=cards.loc[KNOWN, ["score"]])
    router.add_model(name="new", cost=1.0, features=[0.9])
    level = (1 - y[KNOWN]).mean().to_numpy()
    score = cards.loc[KNOWN, "score"].to_numpy()
    slope, offset = np.polyfit(score, level, 1)
    assert router.predict_error(X, ["new"])[0, 0] == pytest.approx(offset + 0.9 * slope, abs=0.03)
    spread = np.sqrt(router.prior_covariance_[0, 0])
    std = router.predict_error(X, ["new"], return_std=True)[1][0, 0]
    residual = np.std(level - offset - slope * score)
    assert residual < std < 0.7 * spread


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: type(router).__name__)
def test_features_of_noise_change_nothing(router, pool):
    X, y, costs, _ = pool
    noise = pd.DataFrame(np.random.RandomState(3).normal(size=(16, 5)), index=NAMES).add_prefix("f")
    plain = clone(router).fit(X, y[KNOWN], costs=costs)
    router = fitted(router, pool, noise)
    np.testing.assert_allclose(router.predict_error(X), plain.predict_error(X), atol=1e-9)
    errors = 1 - y[NEW[0]].to_numpy()[plain.validation_indices_]
    np.testing.assert_array_equal(router.validation_indices_, plain.validation_indices_)
    plain.add_model(errors, name=NEW[0], cost=1.0)
    router.add_model(errors, name=NEW[0], cost=1.0, features=noise.loc[NEW[0]])
    np.testing.assert_allclose(
        router.predict_error(X, [NEW[0]]), plain.predict_error(X, [NEW[0]]), atol=1e-6
    )


def test_names_of_models_and_features_count_and_not_their_order(pool):
    X, y, costs, cards = pool
    router = fitted(KMeansRouter(6, **COMMON), pool)
    shuffled = cards.loc[KNOWN[::-1], ["log_cost", "score"]]
    other = KMeansRouter(6, **COMMON).fit(X, y[KNOWN], costs=costs, model_features=shuffled)
    by_position = KMeansRouter(6, **COMMON).fit(
        X, y[KNOWN], costs=costs, model_features=cards.loc[KNOWN].to_numpy()
    )
    new, row = NEW[1], cards.loc[NEW[1]]
    router.add_model(name=new, cost=costs[new], features=row)
    other.add_model(name=new, cost=costs[new], features=row[::-1].to_dict())
    by_position.add_model(name=new, cost=costs[new], features=row.to_numpy())
    for one in (other, by_position):
        np.testing.assert_allclose(one.predict_error(X), router.predict_error(X), atol=1e-9)
    assert by_position.model_feature_names_ is None
    assert other.model_feature_names_.tolist() == ["log_cost", "score"]


def test_the_price_needs_no_copy(pool):
    X, y, costs, cards = pool
    plain = KMeansRouter(6, **COMMON)
    prices = cards.loc[KNOWN, ["log_cost"]]
    routers = [
        clone(plain).fit(X, y[KNOWN], costs=costs, model_features=given)
        for given in ("log_cost", prices, prices * np.nan)
    ]
    for router in routers:
        router.add_model(name=NEW[0], cost=costs[NEW[0]])
        np.testing.assert_allclose(router.model_features_[-1], np.log(costs[NEW[0]]))
        np.testing.assert_array_equal(router.predict_error(X), routers[0].predict_error(X))
    with pytest.raises(ValueError, match="the router has no costs"):
        clone(plain).fit(X, y[KNOWN], model_features="log_cost")
    free = clone(plain).fit(X, y[KNOWN], costs=costs | {KNOWN[0]: 0.0}, model_features="log_cost")
    assert np.isnan(free.model_features_[0, 0])
    # Logarithms to another base, with which those of new models would be mixed.
    with pytest.raises(ValueError, match="but the logarithm of its cost is"):
        clone(plain).fit(X, y[KNOWN], costs=costs, model_features=prices / np.log(10))
    with pytest.raises(ValueError, match="but the logarithm of its cost is"):
        routers[0].add_model(name=NEW[1], cost=2.0, features={"log_cost": 2.0})


def test_the_price_is_that_of_the_router(pool):
    X, y, costs, _ = pool
    rng = np.random.RandomState(0)
    calls = pd.DataFrame(rng.lognormal(size=(600, 16)), columns=NAMES) * pd.Series(costs)
    router = KMeansRouter(6, **COMMON)
    router.fit(X, y[KNOWN], costs=calls[KNOWN], model_features="log_cost")
    rows = router.validation_indices_
    errors, paid = 1 - y[NEW[0]].to_numpy()[rows], calls[NEW[0]].to_numpy()[rows]
    router.add_model(errors, name=NEW[0], cost=paid)
    np.testing.assert_allclose(router.model_features_[:, 0], np.log(router.costs_))
    # A discount does not change what a model can do.
    before = router.predict_error(X)
    router.set_cost(NEW[0], 0.01)
    np.testing.assert_array_equal(router.predict_error(X), before)


def test_numbers_that_are_not_known_are_left_out(pool):
    X, *_, cards = pool
    more = cards.assign(other=np.random.RandomState(0).normal(size=16))
    router = fitted(KMeansRouter(6, **COMMON), pool, more)
    router.add_model(name="partly", cost=2.0, features={"score": 0.8})
    np.testing.assert_allclose(router.model_features_[-1], [0.8, np.log(2.0), np.nan])
    alone = fitted(KMeansRouter(6, **COMMON), pool, cards)
    alone.add_model(name="partly", cost=2.0, features={"score": 0.8})
    np.testing.assert_allclose(
        router.predict_error(X, ["partly"]), alone.predict_error(X, ["partly"]), atol=0.02
    )
    # Nothing known: as good as the other models on average, and said so.
    router.add_model(name="unknown", cost=2.0, features={"log_cost": np.nan, "score": np.nan})
    gaps = more.copy()
    gaps.loc[KNOWN[::3], "score"] = np.nan
    router = fitted(KMeansRouter(6, **COMMON), pool, gaps)
    router.add_model(name="best", cost=1.0, features={"score": more["score"].max()})
    router.add_model(name="worst", cost=1.0, features={"score": more["score"].min()})
    best, worst = router.predict_error(X, ["best", "worst"]).mean(axis=0)
    assert best < worst - 0.1


def test_the_pool_says_how_models_are_known(pool, tmp_path):
    router = fitted(KMeansRouter(6, **COMMON), pool)
    router.add_model(name="card", cost=1.0, features={"score": 0.5})
    router.add_model(np.ones(40), name="errors", cost=1.0, features={"log_cost": 0.0})
    frame = router.pool_frame()
    assert frame.loc["card", ["n_errors", "n_features"]].tolist() == [0, 2]
    assert frame.loc["errors", ["n_errors", "n_features"]].tolist() == [40, 1]
    assert frame.loc[KNOWN[0], ["n_errors", "n_features"]].tolist() == [600, 2]
    table = router.routing_table(["errors", "card", KNOWN[0]], cost_weight=0.01)
    table.save(tmp_path / "table.npz")
    for one in (table, RoutingTable.load(tmp_path / "table.npz")):
        explanation = one.explain(pool[0][0])
        known = zip(explanation.models, explanation.n_errors, explanation.n_features, strict=True)
        assert sorted(known) == [("card", 0, 2), ("errors", 40, 1), (KNOWN[0], 600, 2)]
    router.remove_model("card")
    assert router.model_features_.shape == (13, 2)
    by_errors = KNeighborsRouter().fit(*pool[:2]).routing_table().explain(pool[0][0])
    assert (by_errors.n_errors, by_errors.n_features) == (None, None)


def test_prompts_are_suggested_given_the_card(pool):
    X, y, *_ = pool
    router = fitted(KMeansRouter(6, **COMMON), pool)
    router.add_model(name="new", cost=1.0, features={"score": 0.5})
    rows = router.suggest_prompts("new", 10, X)
    assert len(set(rows.tolist())) == 10
    card_alone = router.predict_error(X, ["new"], return_std=True)[1]
    router.update_model("new", 1 - y[NEW[0]].to_numpy()[rows], X_val=X[rows])
    assert router.predict_error(X, ["new"], return_std=True)[1].mean() < card_alone.mean()


def test_files_and_copies_keep_cards(pool, tmp_path):
    X = pool[0]
    router = fitted(KMeansRouter(6, **COMMON), pool)
    save_router(router, tmp_path / "router.skops")
    copies = [pickle.loads(pickle.dumps(router)), load_router(tmp_path / "router.skops")]
    for one in (router, *copies):
        one.add_model(name="new", cost=1.0, features={"score": 0.7})
    for one in copies:
        np.testing.assert_array_equal(one.predict_error(X), router.predict_error(X))
    router.routing_table(cost_weight=0.01).save(tmp_path / "table.npz")
    table = RoutingTable.load(tmp_path / "table.npz")
    assert table.route_many(X).tolist() == router.predict(X, cost_weight=0.01).tolist()


def test_a_pipeline_passes_features_on(pool):
    X, y, costs, cards = pool
    pipe = make_pipeline(PCA(4, random_state=0), KMeansRouter(6, **COMMON))
    pipe.fit(
        X,
        y[KNOWN],
        kmeansrouter__costs=costs,
        kmeansrouter__model_features=cards.loc[KNOWN],
    )
    pipe[-1].add_model(name="new", cost=1.0, features={"score": 0.7})
    assert pipe.predict(X, pool=["new"]).tolist() == ["new"] * 600


def test_battles_know_no_card(pool):
    X, y, *_ = pool
    router = fitted(KMeansRouter(6, **COMMON), pool)
    rng = np.random.default_rng(0)
    a, b = rng.permuted(np.tile([*KNOWN[:6], "new"], (600, 1)), axis=1)[:, :2].T
    quality = y.assign(new=y[NEW[0]])
    margin = [
        quality.at[row, one] - quality.at[row, two]
        for row, (one, two) in enumerate(zip(a, b, strict=True))
    ]
    winner = np.array(["model_b", "tie", "model_a"])[np.sign(margin).astype(int) + 1]
    router.add_models_from_preferences(X, a, b, winner, costs={"new": 1.0})
    assert np.isnan(router.model_features_[-1]).all()


def test_cards_with_chunks_and_blocks(pool):
    X, y, costs, cards = pool
    router = fitted(KMeansRouter(6, **COMMON), pool)
    blocks = clone(router).fit(
        dask.array.from_array(X, chunks=(200, -1)),
        y[KNOWN],
        costs=costs,
        model_features=cards.loc[KNOWN],
    )
    for one in (router, blocks):
        one.add_model(name="new", cost=1.0, features={"score": 0.7})
    off = blocks.predict_error(X, ["new"]).mean() - router.predict_error(X, ["new"]).mean()
    assert abs(off) < 0.02


CARDS = pd.DataFrame({"score": np.linspace(0, 1, 12)}, index=KNOWN)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (CARDS.iloc[:-1], "must hold the names of the models"),
        (CARDS.rename({KNOWN[0]: "other"}), "must hold the names of the models"),
        (pd.concat([CARDS, CARDS.iloc[:1]]), "each once"),
        (CARDS.reset_index(drop=True), "must hold the names of the models"),
        (CARDS.assign(score="good"), "must be finite numbers or NaN"),
        (CARDS.assign(score=np.inf), "must be finite numbers or NaN"),
        (CARDS.set_axis([0], axis=1), "must be strings"),
        (pd.concat([CARDS, CARDS], axis=1), "several columns 'score'"),
        (np.ones((11, 2)), r"has shape \(11, 2\), but there are 12 models"),
        (np.ones(12), r"has shape \(12,\)"),
        (np.ones((12, 0)), r"shape \(12, 0\)"),
        ("price", "must be numbers or 'log_cost'"),
        (SimpleNamespace(columns=["score"]), "a table without an index"),
    ],
)
def test_features_that_fit_refuses(features, message, pool):
    X, y, costs, _ = pool
    router = KMeansRouter(6, **COMMON).fit(X, y[KNOWN], costs=costs)
    before = router.predict_error(X)
    with pytest.raises(ValueError, match=message):
        router.fit(X, y[KNOWN], costs=costs, model_features=features)
    np.testing.assert_array_equal(router.predict_error(X), before)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"scores": 0.5}, "name 'scores', which"),
        ([0.5], r"have shape \(1,\); expected \(2,\)"),
        ([[0.5, 1.0]], r"have shape \(1, 2\)"),
        ({"score": "high"}, "must be finite numbers or NaN"),
        ({"score": "0.5"}, "got texts"),
        ({"score": 1e200}, "squares overflow"),
        (pd.Series([0.1, 0.9], index=["score", "score"]), "'score' more than once"),
        (pd.DataFrame({"score": [0.5]}), "are a table; pass one row"),
        ([np.inf, 0.0], "must be finite numbers or NaN"),
    ],
)
def test_features_that_add_model_refuses(features, message, pool):
    router = fitted(KMeansRouter(6, **COMMON), pool)
    with pytest.raises(ValueError, match=message):
        router.add_model(name="new", cost=1.0, features=features)
    assert "new" not in router.models_


def test_a_number_in_another_unit_draws_a_warning(pool):
    router = fitted(KMeansRouter(6, **COMMON), pool)
    unit = pytest.warns(UserWarning, match="feature 'score' of model 'new' is 85, but those")
    with pytest.warns(UserWarning, match="tell a mean error of -"), unit as met:
        router.add_model(name="new", cost=1.0, features={"score": 85.0})
    assert [one.filename for one in met] == [__file__] * 2


def test_a_card_that_tells_an_impossible_error_draws_a_warning(pool):
    router = fitted(KMeansRouter(6, **COMMON), pool)
    best = router.model_features_[:, 0].max()
    router.add_model(name="new", cost=1.0, features={"score": best})
    numbered = KMeansRouter(6, **COMMON).fit(
        pool[0], pool[1][KNOWN].to_numpy(), model_features=router.model_features_[: len(KNOWN)]
    )
    card = router.model_features_[0]
    assert numbered.add_model(features=card).models_[-1] == len(KNOWN)
    # Warnings are errors here.
    with pytest.raises(UserWarning, match="tell a mean error of -"):
        router.add_model(name="newer", cost=1.0, features={"score": best + 2})
    assert "newer" not in router.models_
    ensemble = fitted(EnsembleRouter([("a", KMeansRouter(6)), ("b", KMeansRouter(8))]), pool)
    with pytest.raises(UserWarning, match="tell a mean error of -"):
        ensemble.add_model(name="newer", cost=1.0, features={"score": best + 2})
    for one in (ensemble, *ensemble.routers_):
        assert "newer" not in one.models_
    with pytest.warns(UserWarning, match="tell a mean error of -.*in another order or unit"):
        router.add_model(name="newer", cost=1.0, features={"score": best + 2})


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: type(router).__name__)
def test_a_card_whose_features_say_nothing_draws_a_warning(router, pool):
    y = pool[1]
    noise = pd.DataFrame({"size": np.random.RandomState(0).normal(size=16)}, index=NAMES)
    router = fitted(router, pool, noise)
    with pytest.warns(UserWarning, match="the card of model 'model-12' says nothing") as met:
        router.add_model(name=NEW[0], cost=1.0, features=noise.loc[NEW[0]])
    assert met[0].filename == __file__
    # With errors, the model is known.
    errors = 1 - y[NEW[1]][router.validation_indices_].to_numpy()
    router.add_model(errors, name=NEW[1], cost=1.0, features=noise.loc[NEW[1]])


@pytest.mark.parametrize("missing", [None, pd.NA, np.nan, np.ma.masked], ids=str)
def test_missing_numbers_of_any_kind(missing, pool):
    X, y, costs, cards = pool
    gaps = cards.loc[KNOWN].astype(object)
    gaps.iloc[0, 0] = missing if missing is not np.ma.masked else np.nan
    router = KMeansRouter(6, **COMMON).fit(X, y[KNOWN], costs=costs, model_features=gaps)
    assert np.isnan(router.model_features_[0, 0])
    router.add_model(name="new", cost=1.0, features={"score": missing})
    assert np.isnan(router.model_features_[-1, 0])
    nullable = KMeansRouter(6, **COMMON)
    nullable.fit(X, y[KNOWN], costs=costs, model_features=cards.loc[KNOWN].astype("Float64"))
    nullable.add_model(
        name="new", cost=1.0, features=cards.astype("Float64").loc[NEW[0], ["score"]]
    )


def test_nested_ensembles_know_what_their_members_need(pool):
    inner = EnsembleRouter([("clusters", KMeansRouter(6)), ("zero", ZeroRouter())])
    outer = EnsembleRouter([("one", KMeansRouter(6)), ("inner", inner)], **COMMON)
    router = fitted(outer, pool)
    with pytest.raises(ValueError, match=r"router\(s\) 'inner' of this ensemble"):
        router.add_model(name="new", cost=pool[2][NEW[0]], features=card(pool, NEW[0]))
    zeros = EnsembleRouter([("zero", ZeroRouter())])
    router = fitted(EnsembleRouter([("one", KMeansRouter(6)), ("zeros", zeros)], **COMMON), pool)
    errors = 1 - pool[1][NEW[0]].to_numpy()[router.validation_indices_]
    router.add_model(errors, name="new", cost=pool[2][NEW[0]], features=card(pool, NEW[0]))
    assert router.model_features_.shape == (13, 2)


def test_patterns_of_missing_numbers_are_learned_once(pool, monkeypatch):
    """Each took seconds, and standard errors learned them again for every model."""
    cards = pool[3].assign(**{f"other{k}": np.linspace(0, k, 16) for k in range(4)})
    cards = cards.mask(np.random.RandomState(0).uniform(size=cards.shape) < 0.2)
    cards["log_cost"] = np.nan
    router = fitted(KMeansRouter(6, **COMMON), pool, cards)
    router.add_model(name="new", cost=1.0, features=cards.loc[NEW[0]])

    def refused(*args):
        raise AssertionError

    monkeypatch.setattr(module, "learn_from_cards", refused)
    router.predict_error(pool[0], return_std=True)
    router.update_model("new", np.ones(40))


def test_what_is_not_known_is_refused(pool):
    X, y, costs, cards = pool
    router = fitted(KMeansRouter(6, **COMMON), pool, cards[["score"]])
    with pytest.raises(ValueError, match="nothing is known of model 'new'"):
        router.add_model(name="new", cost=1.0)
    plain = KMeansRouter(6, **COMMON).fit(X, y[KNOWN], costs=costs)
    with pytest.raises(ValueError, match="was fitted without `model_features`"):
        plain.add_model(np.ones(40), name="new", cost=1.0, features={"score": 0.5})
    with pytest.raises(ValueError, match="needs a router that was fitted with"):
        plain.add_model(name="new", cost=1.0)
    unnamed = KMeansRouter(6, **COMMON)
    unnamed.fit(X, y[KNOWN], costs=costs, model_features=cards.loc[KNOWN].to_numpy())
    with pytest.raises(ValueError, match="have names, but `model_features` of fit had none"):
        unnamed.add_model(name="new", cost=1.0, features={"score": 0.5})
    with pytest.raises(ValueError, match="`val_errors` must be one error per row of `X_val`"):
        router.add_model(name="new", cost=1.0, features={"score": 0.5}, X_val=X[:5])
    mean = KMeansRouter(6, representation="mean", **COMMON)
    with pytest.raises(ValueError, match="representation='posterior'"):
        mean.fit(X, y[KNOWN], costs=costs, model_features=cards.loc[KNOWN])


def test_members_of_an_ensemble_that_know_no_cards(pool):
    y = pool[1]
    mixed = EnsembleRouter([("one", KMeansRouter(6)), ("near", KNeighborsRouter())], **COMMON)
    mixed = fitted(mixed, pool)
    with pytest.raises(ValueError, match=r"router\(s\) 'near' of this ensemble"):
        mixed.add_model(name="new", cost=pool[2][NEW[0]], features=card(pool, NEW[0]))
    errors = 1 - y[NEW[0]].to_numpy()[mixed.validation_indices_]
    mixed.add_model(errors, name="new", cost=pool[2][NEW[0]], features=card(pool, NEW[0]))
    assert mixed.model_features_.shape == (13, 2)
    assert mixed.routers_[0].model_features_.shape == (13, 2)
    others = EnsembleRouter([("linear", LinearRouter()), ("zero", ZeroRouter())], **COMMON)
    with pytest.raises(ValueError, match="no router of this ensemble learns from them"):
        fitted(others, pool)


def test_comparisons_leave_cards_out_where_they_are_of_no_use(pool):
    X, y, costs, cards = pool
    routers = {
        "clusters": KMeansRouter(6),
        "mean": KMeansRouter(6, representation="mean"),
        "none": EnsembleRouter([("zero", ZeroRouter()), ("near", KNeighborsRouter())]),
    }
    with_cards, without = (
        compare_routers(routers, X, y, costs, model_features=given, n_trials=2)
        for given in (cards, None)
    )
    np.testing.assert_array_equal(with_cards.area[:, 1:], without.area[:, 1:])
    assert not np.array_equal(with_cards.area[:, 0], without.area[:, 0])
