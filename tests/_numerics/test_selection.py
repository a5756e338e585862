import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_uniroute import KMeansRouter, select_validation_prompts
from sklearn_uniroute._numerics._selection import draw_by_weight, greedy_order, times_to_count


def total_variance(covariance, noise, shares, counts):
    """Weighted posterior variance by plain matrix inversion."""
    precision = np.linalg.inv(covariance) + np.diag(counts / noise)
    return shares @ np.diag(np.linalg.inv(precision))


@pytest.fixture
def problem():
    rng = np.random.RandomState(0)
    root = rng.normal(scale=0.3, size=(5, 5))
    return root @ root.T + 0.01 * np.eye(5), rng.uniform(0.1, 0.25, 5), rng.dirichlet(np.ones(5))


def test_each_pick_is_the_best_one(problem):
    covariance, noise, shares = problem
    available = np.array([3, 40, 40, 0, 40])
    order = greedy_order(covariance, noise, shares, available, 30)
    counts = np.zeros(5)
    for picked in order:
        variances = []
        for k in range(5):
            tried = counts.copy()
            tried[k] += 1
            possible = tried[k] <= available[k]
            variances.append(
                total_variance(covariance, noise, shares, tried) if possible else np.inf
            )
        assert variances[picked] == pytest.approx(min(variances))
        counts[picked] += 1
    assert counts[3] == 0
    assert counts[0] <= 3


def test_positions_are_of_the_clusters_in_greedy_order(problem):
    covariance, noise, shares = problem
    clusters = np.random.RandomState(1).randint(5, size=200)
    chosen = select_validation_prompts(
        clusters, covariance, noise, 60, shares=shares, random_state=0
    )
    assert len(np.unique(chosen)) == 60
    order = greedy_order(covariance, noise, shares, np.bincount(clusters, minlength=5), 60)
    np.testing.assert_array_equal(clusters[chosen], order)
    again = select_validation_prompts(
        clusters, covariance, noise, 60, shares=shares, random_state=0
    )
    np.testing.assert_array_equal(chosen, again)
    fewer = select_validation_prompts(
        clusters, covariance, noise, 20, shares=shares, random_state=0
    )
    np.testing.assert_array_equal(chosen[:20], fewer)
    other = select_validation_prompts(
        clusters, covariance, noise, 60, shares=shares, random_state=1
    )
    assert not np.array_equal(chosen, other)


def test_all_candidates_can_be_chosen(problem):
    covariance, noise, _ = problem
    clusters = np.array([4, 0, 4, 2, 2, 2])
    chosen = select_validation_prompts(clusters, covariance, noise, 6, random_state=0)
    assert sorted(chosen) == list(range(6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_prompts": 0}, "n_prompts == 0, must be >= 1"),
        ({"n_prompts": 4}, "`n_prompts`=4 asks for more than there are: n_samples=3 candidates"),
        ({"clusters": [0, 1, 2]}, "`clusters` names cluster 2, but `noise` has 2 clusters"),
        ({"clusters": [0, -1, 1]}, "`clusters` must hold one cluster number"),
        ({"clusters": [0.5, 1, 1]}, "`clusters` must hold one cluster number"),
        ({"covariance": np.eye(3)}, r"`covariance` has shape \(3, 3\).*expected \(2, 2\)"),
        ({"noise": [0.1, 0.0]}, "`noise` must be one variance above 0 per cluster"),
        ({"shares": [1.0]}, r"`shares` has shape \(1,\); expected one share per cluster, \(2,\)"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"clusters": [0, 1, 1], "covariance": np.eye(2), "noise": [0.1, 0.1]}
    with pytest.raises(ValueError, match=message):
        select_validation_prompts(**{**arguments, "n_prompts": 2, **changes})


@pytest.mark.parametrize("representation", ["posterior", "mean"])
def test_suggested_prompts_are_from_clusters_little_is_known_of(data, representation):
    router = KMeansRouter(6, representation=representation, n_validation=20, random_state=0)
    router.fit(data.X[:300], data.y[:300, :6])
    candidates = data.X[300:]
    labels = ((data.X[:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
    known = np.flatnonzero(labels[:300] != 2)
    router.add_model(1 - data.y[known, 7], X_val=data.X[known])
    chosen = router.suggest_prompts(6, 5, candidates)
    assert set(labels[300:][chosen]) == {2}
    np.testing.assert_array_equal(chosen, router.suggest_prompts(6, 5, candidates))
    if representation == "posterior":
        std = router.representation_std_[6].copy()
        router.update_model(6, 1 - data.y[300:][chosen, 7], X_val=candidates[chosen])
        assert router.representation_std_[6, 2] < std[2]
    with pytest.raises(ValueError, match="does not know: 'z'"):
        router.suggest_prompts("z", 5, candidates)
    with pytest.raises(ValueError, match="n_samples=100 candidates"):
        router.suggest_prompts(6, 101, candidates)


def test_weights_make_averages_over_the_picks_unbiased():
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.normal(0, 0.1, (900, 2)), rng.normal(5, 0.1, (100, 2))])
    # All models alike in the large cluster, and unlike in the small one.
    y = np.ones((1000, 6))
    y[900:] = np.arange(6) % 2
    y[rng.uniform(size=y.shape) < 0.1] = 0
    router = KMeansRouter(2, n_validation=60, random_state=0).fit(X, y)
    small = router.validation_indices_ >= 900
    # The informative picks come first, and are more than their share.
    assert small[:45].mean() > 0.15
    # A cost that depends on the prompt in every way: on its cluster, and on its place in it.
    cost = np.where(np.arange(1000) < 900, 1.0, 9.0) + np.exp(4 * X[:, 0] % 5)
    for n_validation in (1, 7, 60):
        means = []
        for seed in range(80):
            router = KMeansRouter(2, n_validation=n_validation, random_state=seed).fit(X, y)
            weights = router.validation_weights_
            assert weights.sum() == pytest.approx(n_validation)
            means.append(weights @ cost[router.validation_indices_] / n_validation)
        error = np.std(means) / np.sqrt(len(means))
        assert np.mean(means) == pytest.approx(cost.mean(), abs=4 * error)


def test_a_budget_is_kept_for_the_traffic_not_for_the_picks(data):
    # Few picks, which leave out most clusters.
    router = KMeansRouter(20, n_validation=8, random_state=0)
    router.fit(data.X, data.y, costs=data.costs)
    for budget in (3.0, 10.0, 30.0):
        paid = router.costs_[router.predict(data.X, budget=budget)].mean()
        assert 0.5 * budget < paid <= budget * (1 + 1e-9)


def test_prompts_are_suggested_where_fit_got_its_own_validation_prompts(data):
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y, X_val=data.X[:10])
    assert len(router.suggest_prompts(0, 3, data.X)) == 3


@given(weights=st.lists(st.floats(0.01, 50), min_size=3, max_size=30), seed=st.integers(0, 100))
def test_draws_by_weight_are_distinct_and_stand_for_all(weights, seed):
    weights = np.array(weights)
    for n_prompts in range(1, len(weights)):
        rows, step = draw_by_weight(weights, n_prompts, np.random.RandomState(seed))
        assert len(np.unique(rows)) == n_prompts
        # Heavy prompts stand for themselves, and each of the others for one step.
        stand_for = np.maximum(weights[rows], step * (1 - 1e-9))
        assert stand_for.sum() == pytest.approx(weights.sum())


def test_probabilities_are_in_proportion_to_weights():
    weights = np.array([0.5, 1, 1.5, 2, 3, 12])
    drawn = np.zeros(6)
    for seed in range(2000):
        rows, step = draw_by_weight(weights, 3, np.random.RandomState(seed))
        drawn[rows] += 1
    # The last is drawn for certain; two draws are left for a weight of 8.
    assert step == pytest.approx(4)
    np.testing.assert_allclose(drawn / 2000, [0.125, 0.25, 0.375, 0.5, 0.75, 1], atol=0.04)
    np.testing.assert_allclose(times_to_count(weights[[3, 5]], step), [1, 3])
