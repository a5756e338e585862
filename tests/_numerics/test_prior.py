import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._numerics._posterior import Prior, condition, evidence, log_evidence
from sklearn_uniroute._numerics._prior import (
    fit_prior,
    largest_likely,
    learn_prior,
    own_noise_share,
    refine_prior,
    scale_interactions,
    with_further_features,
)
from sklearn_uniroute.datasets import make_routing_data


def test_the_prior_of_many_models_is_their_mean_and_covariance():
    rng = np.random.RandomState(0)
    n_models, n_clusters, count = 4000, 3, 1e6
    true = np.array([[0.02, 0.01, 0.0], [0.01, 0.03, 0.0], [0.0, 0.0, 0.01]])
    rates = multivariate_normal([0.3, 0.5, 0.6], true, seed=rng).rvs(n_models)
    counts = np.full((n_models, n_clusters), count)
    prior = fit_prior(rates, 0.2 * counts, counts, np.full(n_clusters, 1 / 3))
    np.testing.assert_allclose(prior.mean, rates.mean(axis=0))
    np.testing.assert_allclose(prior.covariance, true, atol=0.002)
    np.testing.assert_allclose(prior.noise, 0.2, rtol=1e-3)


def test_the_prior_of_few_models_lies_between_theirs_and_one_level_for_all():
    rates = np.array([[0.1, 0.3], [0.3, 0.4], [0.6, 0.9], [0.5, 0.2]])
    counts = np.full((4, 2), 100.0)
    prior = fit_prior(rates, 100 * rates * (1 - rates), counts, np.array([0.5, 0.5]))
    assert np.all(np.linalg.eigvalsh(prior.covariance) > 0)
    assert prior.covariance[0, 1] > 0
    raw = np.cov(rates.T)
    diagonal = np.diag(prior.covariance)
    assert np.ptp(diagonal) / diagonal.mean() < np.ptp(np.diag(raw)) / np.diag(raw).mean()


def test_the_prior_is_refined_by_a_step_of_em():
    rng = np.random.RandomState(0)
    n_models, n_clusters = 400, 3
    true = np.array([[0.02, 0.01, 0.0], [0.01, 0.03, 0.0], [0.0, 0.0, 0.01]])
    rates = multivariate_normal([0.3, 0.5, 0.6], true, seed=rng).rvs(n_models)
    # Prompts between clusters, and so few of them that every model stays uncertain.
    features = rng.dirichlet(np.full(n_clusters, 0.5), size=100)
    noise = np.full(n_clusters, 0.2)
    errors = features @ rates.T + rng.normal(scale=np.sqrt(0.2), size=(100, n_models))
    evidences = list(zip(*evidence(features, errors, noise), strict=True))
    prior = Prior(np.full(n_clusters, 0.5), 0.1 * np.eye(n_clusters), noise)
    for _ in range(15):
        posteriors = [condition(prior, *one) for one in evidences]
        prior = refine_prior(prior, posteriors, np.full(n_clusters, 1 / 3))
    np.testing.assert_array_equal(prior.noise, noise)
    np.testing.assert_allclose(prior.mean, rates.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(prior.covariance, true, atol=0.006)


@pytest.mark.parametrize("n_models", [1, 2, 3])
def test_few_or_equal_training_models_leave_room_for_others(n_models):
    """A common level and clusters of their own: a model unlike the training models is learnt."""
    counts = np.full((n_models, 4), 100.0)
    means = np.full((n_models, 4), 0.2)
    prior = fit_prior(means, 0.16 * counts, counts, np.full(4, 0.25))
    np.testing.assert_allclose(prior.mean, 0.2)
    noise = prior.noise[0]
    expected = 0.5 * noise * (0.25 + 0.0625 * np.eye(4)) * (1 + 1 / n_models) / (n_models - 0.5)
    np.testing.assert_allclose(prior.covariance, expected)
    # Fifty errors in the first cluster, all of them 1.
    information, moments = evidence(np.zeros(50, dtype=int), np.ones((50, 1)), prior.noise)
    mean, _ = condition(prior, information[0], moments[0])
    assert mean[0] > 0.8
    assert np.all(mean[1:] > 0.4)


def test_errors_without_any_spread_still_give_a_prior():
    counts = np.full((2, 3), 4.0)
    prior = fit_prior(0 * counts, 0 * counts, counts, np.full(3, 1 / 3))
    np.testing.assert_array_equal(prior.noise, 0.25)
    means = np.array([[0.0, 10.0, 20.0], [20.0, 10.0, 0.0]])
    np.testing.assert_array_equal(
        fit_prior(means, 0 * counts, counts, np.full(3, 1 / 3)).noise, 100
    )
    assert np.all(np.linalg.eigvalsh(prior.covariance) > 0)


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(0, 3), st.floats(0.1, 3))
def test_interactions_are_scaled_around_the_level(seed, n_clusters, n_further, scale):
    rng = np.random.RandomState(seed)
    root = rng.normal(size=(n_clusters, n_clusters))
    covariance = np.diag(rng.uniform(size=n_clusters + n_further))
    covariance[:n_clusters, :n_clusters] = root @ root.T
    shares = rng.dirichlet(np.ones(n_clusters))
    level = np.tile(shares, (n_clusters, 1))
    transform = np.eye(n_clusters + n_further)
    transform[:n_clusters, :n_clusters] = level + scale * (np.eye(n_clusters) - level)
    scaled = scale_interactions(covariance, scale, shares)
    np.testing.assert_allclose(scaled, transform @ covariance @ transform.T, atol=1e-9)
    np.testing.assert_allclose(scale_interactions(scaled, 1 / scale, shares), covariance, atol=1e-9)


def test_the_log_evidence_is_that_of_the_errors_themselves():
    rng = np.random.RandomState(0)
    features = rng.dirichlet(np.ones(3), size=20)
    errors = rng.uniform(size=(20, 2))
    errors[:5, 1] = np.nan
    noise = np.array([0.1, 0.2, 0.3])
    priors = []
    for seed in (1, 2):
        rng = np.random.RandomState(seed)
        root = rng.normal(size=(3, 3))
        priors.append(Prior(rng.uniform(size=3), root @ root.T + 0.01 * np.eye(3), noise))
    for share in (1.0, 0.4):
        found, expected = [], []
        for prior in priors:
            found.append(log_evidence(prior, *evidence(features, errors, noise), share))
            expected.append([])
            for column in errors.T:
                run = ~np.isnan(column)
                phi = features[run]
                covariance = phi @ prior.covariance @ phi.T + np.diag(share * (phi @ noise))
                density = multivariate_normal(phi @ prior.mean, covariance)
                expected[-1].append(density.logpdf(column[run]))
        np.testing.assert_allclose(found[0] - found[1], np.subtract(*expected), rtol=1e-9)


def test_the_largest_value_within_one_standard_error_is_chosen():
    # The first value is the best by 3 in sum; losses of 2 and 1 have a standard error of 1.
    values = np.array([0.1, 0.5, 1.0])
    assert largest_likely(values, [[5.0, 5.0], [3.0, 4.0], [2.0, 2.0]]) == 0.1
    # A loss of 2 and a gain of 1 have a standard error of 3.
    assert largest_likely(values, [[5.0, 5.0], [3.0, 6.0], [2.0, 2.0]]) == 0.5


def share_of(deviations):
    """The share for errors that deviate so from means of 0, in two clusters."""
    labels = np.arange(len(deviations)) % 2
    return own_noise_share(labels, deviations, np.zeros((deviations.shape[1], 2)))


def test_the_share_of_the_noise_that_models_do_not_have_in_common():
    # The mean of each row is in common; half of the second row is its own.
    deviations = np.array([[1.0, 1.0, np.nan], [2.0, 0.0, np.nan]])
    own = 2 / (1 + 1)
    assert share_of(deviations) == pytest.approx(own / (6 / 4))
    assert share_of(np.array([[1.0, np.nan], [np.nan, 2.0]])) == 1
    assert share_of(np.zeros((3, 2))) == 1
    rng = np.random.RandomState(0)
    drawn = rng.normal(size=(20_000, 1)) + rng.normal(scale=0.5, size=(20_000, 4))
    assert share_of(drawn) == pytest.approx(0.25 / 1.25, rel=0.05)


def simulated(interaction, *, n_models=12, n_clusters=6, n_prompts=900, seed=0):
    """Errors of models that differ in their level, and by cluster if there is an interaction."""
    rng = np.random.RandomState(seed)
    rates = 0.4 + 0.1 * rng.normal(size=(n_models, 1))
    rates = rates + interaction * rng.normal(size=(n_models, n_clusters))
    labels = rng.randint(n_clusters, size=n_prompts)
    errors = rates.T[labels] + 0.4 * rng.normal(size=(n_prompts, n_models))
    return labels, errors


def learned(labels, errors, n_clusters=6):
    counts = np.tile(np.bincount(labels, minlength=n_clusters), (errors.shape[1], 1))
    sums = np.array([np.bincount(labels, column, n_clusters) for column in errors.T])
    means = sums / counts
    deviations = errors - means.T[labels]
    squares = np.array([np.bincount(labels, column**2, n_clusters) for column in deviations.T])
    shares = counts[0] / len(labels)
    prior = fit_prior(means, squares, counts, shares)
    known = evidence(labels, errors, prior.noise)
    return learn_prior(prior, *known, shares, own_noise_share(labels, errors, means))


def test_noise_of_the_training_models_is_not_taken_for_signal():
    prior, scale = learned(*simulated(0.0))
    assert scale <= 0.5
    # The level stays.
    assert np.sqrt(prior.covariance.mean()) == pytest.approx(0.1, rel=0.4)
    within = prior.covariance - prior.covariance.mean(axis=0)
    assert np.sqrt(np.diagonal(within).mean()) < 0.02
    prior, scale = learned(*simulated(0.15))
    assert scale >= 0.9


@pytest.mark.parametrize("n_models", [1, 2])
def test_one_or_two_models_do_not_judge_a_prior(n_models):
    assert learned(*simulated(0.0, n_models=n_models))[1] == 1


@pytest.mark.parametrize("variance", [0.0005, 0.03])
def test_the_variance_of_further_features_is_learned(variance):
    rng = np.random.RandomState(0)
    n_models, n_further, n_prompts, noise = 20, 8, 4000, 0.2
    features = np.column_stack([np.ones(n_prompts), rng.normal(size=(n_prompts, n_further))])
    weights = np.column_stack(
        [
            rng.uniform(0.3, 0.6, size=n_models),
            # What all models have in common does not count.
            0.2 + rng.normal(scale=np.sqrt(variance * noise), size=(n_models, n_further)),
        ]
    )
    errors = features @ weights.T + rng.normal(scale=np.sqrt(noise), size=(n_prompts, n_models))
    known = evidence(features, errors, np.append(noise, np.zeros(n_further)))
    prior = Prior(np.array([0.45]), np.array([[0.01]]), np.array([noise]))
    extended = with_further_features(prior, *known, np.ones(1), 1.0)
    np.testing.assert_allclose(extended.mean[1:], weights[:, 1:].mean(axis=0), atol=0.01)
    found = extended.covariance[-1, -1] / noise
    assert variance / 2 <= found <= 4 * variance
    np.testing.assert_array_equal(extended.noise, np.append(noise, np.zeros(n_further)))


def test_without_a_signal_routers_choose_as_if_they_ignored_the_prompt():
    data = make_routing_data(n_prompts=1500, n_models=8, random_state=0)
    rng = np.random.RandomState(0)
    # Quality depends on the model alone.
    y = (rng.uniform(size=data.y.shape) < data.y.mean(axis=0)).astype(float)
    router = KMeansRouter(24, random_state=0).fit(data.X, y, costs=data.costs)
    assert router.interaction_scale_ <= 0.5
    error = router.predict_error(data.X)
    by_model = error - error.mean(axis=1, keepdims=True)
    # Raw means per cluster differ by .06 from their mean over clusters.
    assert by_model.std(axis=0).mean() < 0.015
