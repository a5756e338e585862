import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._numerics._posterior import (
    Prior,
    condition,
    condition_each,
    condition_on_few,
    evidence,
    standard_errors,
)
from sklearn_uniroute.datasets import make_routing_data


def random_prior(seed, n_clusters):
    rng = np.random.RandomState(seed)
    root = rng.normal(scale=0.2, size=(n_clusters, n_clusters))
    return Prior(
        rng.uniform(size=n_clusters),
        root @ root.T + 0.001 * np.eye(n_clusters),
        rng.uniform(0.05, 0.25, size=n_clusters),
    )


def one_by_one(prior, features, errors):
    """Condition on one error after the other, each by the rule for two Gaussian numbers."""
    mean, covariance = prior.mean.copy(), prior.covariance.copy()
    for phi, error in zip(features, errors, strict=True):
        if np.isnan(error):
            continue
        gain = covariance @ phi / (phi @ covariance @ phi + phi @ prior.noise)
        mean = mean + gain * (error - phi @ mean)
        covariance = covariance - np.outer(gain, phi @ covariance)
    return mean, covariance


def condition_on(prior, sums, counts):
    """Condition on sums and numbers of errors in each cluster."""
    return condition(prior, np.diag(counts / prior.noise), sums / prior.noise)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 30), st.booleans())
def test_conditioning_at_once_is_conditioning_one_by_one(seed, n_clusters, n_errors, soft):
    prior = random_prior(seed, n_clusters)
    rng = np.random.RandomState(seed)
    if soft:
        features = matrix = rng.dirichlet(np.full(n_clusters, 0.5), size=n_errors)
    else:
        features = rng.randint(n_clusters, size=n_errors)
        matrix = np.eye(n_clusters)[features]
    errors = rng.randint(2, size=(n_errors, 3)).astype(float)
    # One model run on all prompts, one on most of them, and one on few.
    errors[rng.uniform(size=n_errors) < 0.2, 1] = np.nan
    errors[rng.uniform(size=n_errors) < 0.8, 2] = np.nan
    information, moments = evidence(features, errors, prior.noise)
    for model in range(3):
        mean, covariance = condition(prior, information[model], moments[model])
        expected_mean, expected_covariance = one_by_one(prior, matrix, errors[:, model])
        np.testing.assert_allclose(mean, expected_mean, atol=1e-9)
        np.testing.assert_allclose(covariance, expected_covariance, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_more_evidence_never_raises_a_standard_error(seed, n_clusters):
    prior = random_prior(seed, n_clusters)
    rng = np.random.RandomState(seed)
    features = rng.dirichlet(np.full(n_clusters, 0.5), size=20)
    few, many = (
        condition(prior, *(one[0] for one in evidence(features[:n], np.ones((n, 1)), prior.noise)))
        for n in (10, 20)
    )
    assert np.all(standard_errors(many[1]) <= standard_errors(few[1]) + 1e-12)
    # Nor that of any mixture of clusters.
    assert np.all(np.linalg.eigvalsh(few[1] - many[1]) > -1e-12)


def test_no_evidence_is_the_prior_and_much_evidence_the_mean():
    prior = random_prior(0, 4)
    mean, covariance = condition_on(prior, np.zeros(4), np.zeros(4))
    np.testing.assert_array_equal(mean, prior.mean)
    np.testing.assert_allclose(covariance, prior.covariance)
    rates = np.array([0.1, 0.9, 0.4, 0.0])
    mean, covariance = condition_on(prior, rates * 1e7, np.full(4, 1e7))
    np.testing.assert_allclose(mean, rates, atol=1e-3)
    np.testing.assert_allclose(np.diag(covariance), prior.noise / 1e7, rtol=1e-3)


def test_one_cluster_is_a_shrunk_mean():
    prior = Prior(np.array([0.5]), np.array([[0.04]]), np.array([0.24]))
    mean, covariance = condition_on(prior, np.array([3.0]), np.array([10.0]))
    weight = 10 * 0.04 / (10 * 0.04 + 0.24)
    assert mean[0] == pytest.approx(weight * 0.3 + (1 - weight) * 0.5)
    assert covariance[0, 0] == pytest.approx(0.04 * (1 - weight))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-8, 1e-4])
@pytest.mark.parametrize("offset", [0.0, 0.3, 1e5])
@pytest.mark.parametrize("representation", ["mean", "posterior"])
def test_nearly_constant_quality(dtype, spread, offset, representation):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 3))
    quality = offset + rng.uniform(size=5) + spread * rng.normal(size=(200, 5))
    router = KMeansRouter(4, representation=representation, n_validation=20, random_state=0)
    router.fit(X, quality[:, :4].astype(dtype))
    router.add_model(1 - quality[router.validation_indices_, 4])
    np.testing.assert_allclose(
        router.representation_[:4], 1 - quality[:, :4].mean(axis=0)[:, None] * np.ones(4), atol=0.02
    )
    assert np.isfinite(router.representation_).all()
    assert np.all(router.noise_ > 0)


def test_setting_the_representation_takes_effect_at_the_next_fit(data):
    router = KMeansRouter(5, representation="mean", random_state=0).fit(data.X, data.y[:, :6])
    expected = KMeansRouter(5, representation="mean", random_state=0).fit(data.X, data.y[:, :6])
    router.set_params(representation="posterior")
    errors = 1 - data.y[router.validation_indices_, 7]
    router.add_model(errors)
    expected.add_model(errors)
    np.testing.assert_array_equal(router.representation_, expected.representation_)
    assert router.representation_std_ is None
    assert router.fit(data.X, data.y).representation_std_.shape == (8, 5)
    router.set_params(representation="mean").add_model(1 - data.y[router.validation_indices_, 7])
    assert router.representation_std_.shape == (9, 5)


def test_router_conditions_on_its_evidence(data):
    router = KMeansRouter(5, temperature=0, n_validation=30, random_state=0)
    router.fit(data.X, data.y[:, :6], costs=data.costs[:6])
    errors = 1 - data.y[router.validation_indices_, 7]
    router.add_model(errors, cost=1.0)
    distances = ((router.X_val_[:, None] - router.cluster_centers_) ** 2).sum(axis=2)
    prior = Prior(router.prior_mean_, router.prior_covariance_, router.noise_)
    mean, covariance = one_by_one(prior, np.eye(5)[distances.argmin(axis=1)], errors)
    np.testing.assert_allclose(router.representation_[6], mean, atol=1e-9)
    np.testing.assert_allclose(
        router.representation_std_[6], np.sqrt(np.diag(covariance)), atol=1e-9
    )
    error, std = router.predict_error(data.X, [6, 0], return_std=True)
    labels = ((data.X[:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(error, router.representation_[[6, 0]].T[labels])
    np.testing.assert_array_equal(std, router.representation_std_[[6, 0]].T[labels])
    single = data.X.astype(np.float32)
    assert router.predict_error(single, return_std=True)[1].dtype == np.float32


def test_real_valued_quality_in_any_unit(data):
    """Scaling and shifting the quality scales and shifts the errors, and nothing else."""
    router, scaled = (KMeansRouter(5, n_validation=30, random_state=0) for _ in range(2))
    quality = data.y + np.random.RandomState(0).uniform(size=data.y.shape)
    router.fit(data.X, quality[:, :6])
    scaled.fit(data.X, 100 * quality[:, :6])
    np.testing.assert_array_equal(router.validation_indices_, scaled.validation_indices_)
    seen = router.validation_indices_
    router.add_model(1 - quality[seen, 7])
    scaled.add_model(1 - 100 * quality[seen, 7])
    np.testing.assert_allclose(1 - scaled.representation_, 100 * (1 - router.representation_))
    np.testing.assert_allclose(scaled.representation_std_, 100 * router.representation_std_)


def test_standard_errors_are_asked_of_those_who_have_them(data):
    router = KMeansRouter(5, representation="mean", random_state=0).fit(data.X, data.y)
    assert router.representation_std_ is None
    with pytest.raises(ValueError, match=r"`return_std` needs .* representation=\"posterior\""):
        router.predict_error(data.X, return_std=True)


def test_intervals_hold_what_they_promise():
    """Nine in ten intervals cover the true error rate, of models drawn like the training models."""
    covered = []
    for seed in range(30):
        data = make_routing_data(n_prompts=1500, n_models=24, n_clusters=6, random_state=seed)
        models = np.random.RandomState(seed).permutation(24)
        train, new = models[:16], models[16:]
        router = KMeansRouter(6, n_validation=50, random_state=0).fit(data.X, data.y[:, train])
        labels = ((data.X[:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
        for model in new:
            router.add_model(1 - data.y[router.validation_indices_, model])
            rate = [(data.error_rates[data.source, model])[labels == k].mean() for k in range(6)]
            inside = np.abs(router.representation_[-1] - rate) <= (
                1.645 * router.representation_std_[-1]
            )
            covered.append(inside)
    assert 0.85 <= np.mean(covered) <= 0.95


def test_few_prompts_beat_the_mean(data):
    train, test = np.arange(280), np.arange(280, 400)
    scores = {}
    for representation in ("posterior", "mean"):
        router = KMeansRouter(6, representation=representation, n_validation=15, random_state=0)
        router.fit(data.X[train], data.y[train, :5], costs=data.costs[:5])
        for model in (5, 6, 7):
            errors = 1 - data.y[train][router.validation_indices_, model]
            router.add_model(errors, cost=data.costs[model])
        scores[representation] = router.score(data.X[test], data.y[test], pool=range(8))
    assert scores["posterior"] > scores["mean"]


def test_models_that_were_run_on_the_same_prompts_share_a_covariance():
    prior = random_prior(0, 4)
    rng = np.random.RandomState(0)
    features, errors = rng.dirichlet(np.ones(4), size=30), rng.uniform(size=(30, 4))
    errors[:3, 2] = np.nan
    errors[:, 3] = errors[:, 0]
    known = evidence(features, errors, prior.noise)
    each = condition_each(prior, *known)
    assert each[0][1] is each[1][1] is each[3][1]
    assert each[2][1] is not each[0][1]
    # Equal models are equal to the last digit.
    np.testing.assert_array_equal(each[3][0], each[0][0])
    for (mean, covariance), *one in zip(each, *known, strict=True):
        alone = condition(prior, *one)
        np.testing.assert_array_equal(mean, alone[0])
        np.testing.assert_array_equal(covariance, alone[1])


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 12))
def test_few_errors_give_the_same_posterior(seed, n_clusters, n_prompts):
    prior = random_prior(seed, n_clusters)
    rng = np.random.RandomState(seed)
    features = rng.dirichlet(np.ones(n_clusters), size=n_prompts)
    errors = rng.uniform(size=n_prompts)
    (information,), (moment,) = evidence(features, errors[:, None], prior.noise)
    mean, covariance = condition(prior, information, moment)
    found, std = condition_on_few(prior, features.astype(np.float64), errors)
    np.testing.assert_allclose(found, mean, atol=1e-9)
    np.testing.assert_allclose(std, standard_errors(covariance), atol=1e-7)
