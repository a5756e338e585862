import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_uniroute._numerics._model_features import (
    _EXPLAINED,
    CardRegressions,
    FeatureRegression,
    _terms,
    learn_from_cards,
    prior_from_card,
    regress_on_features,
)
from sklearn_uniroute._numerics._posterior import Prior


def models(n_models=12, n_features=4, n_targets=3, noise=0.3, seed=0):
    rng = np.random.RandomState(seed)
    features = rng.normal(size=(n_models, n_features))
    targets = features @ rng.normal(size=(n_features, n_targets))
    return features, targets + noise * rng.normal(size=targets.shape)


def test_a_regression_is_a_gaussian_process_over_models():
    """With a linear kernel of the standardised features, and a mean that is left out."""
    features, targets = models()
    features = 5 + features * [1, 10, 100, 0.1]
    new = features[0] + 0.3
    center, scale = features.mean(axis=0), features.std(axis=0)
    known, card = (features - center) / scale, (new - center) / scale
    contrast = np.eye(12) - 1 / 12
    deviation = contrast @ targets
    gram = deviation @ deviation.T
    n_targets = np.trace(gram) ** 2 / np.sum(gram**2)
    terms = _terms(features, [0, 1, 2, 3], targets)
    assert len(terms) == len(_EXPLAINED)
    for share, term in zip(_EXPLAINED, terms, strict=True):
        kernel = (1 - share) * np.eye(12) + share * known @ known.T / 4
        similar = share * known @ card / 4
        away = new - term.centers
        np.testing.assert_allclose(
            away @ term.coefficients, similar @ np.linalg.solve(kernel, deviation), rtol=1e-9
        )
        variance = (1 - share) + share * card @ card / 4
        variance -= similar @ np.linalg.solve(kernel, similar)
        assert term.unexplained + away @ term.spread @ away == pytest.approx(variance)
        within = contrast @ kernel @ contrast
        log_det = np.log(np.linalg.eigvalsh(within)[1:]).sum()
        ratio = np.trace(np.linalg.pinv(within) @ gram) / np.trace(gram)
        expected = -n_targets / 2 * (log_det + 11 * np.log(ratio))
        assert term.log_evidence == pytest.approx(expected)


@pytest.mark.parametrize("n_models", [3, 6, 20])
@pytest.mark.parametrize("n_features", [1, 10])
def test_noise_is_rarely_taken_for_a_signal(n_models, n_features):
    found = 0
    for seed in range(100):
        rng = np.random.RandomState(seed)
        features = rng.normal(size=(n_models, n_features))
        found += regress_on_features(features, rng.normal(size=(n_models, 1))) is not None
    assert found <= 6


def test_a_signal_is_found_among_noise():
    rng = np.random.RandomState(0)
    features = rng.normal(size=(20, 10))
    targets = features[:, [3]] + 0.1 * rng.normal(size=(20, 1))
    regression = regress_on_features(features, targets)
    card = rng.normal(size=10)
    shift, factor, _ = regression.predict(card)
    assert shift[0] == pytest.approx(card[3] - features[:, 3].mean(), abs=0.15)
    assert factor < 0.1
    # Far from the known models, less is known.
    assert regression.predict(10 * card)[1] > factor


def test_an_average_of_regressions_by_hand():
    two = FeatureRegression(
        weights=np.array([0.25, 0.75]),
        offsets=np.array([[1.0], [0.0]]),
        centers=np.array([[1.0, 0.0], [0.0, 2.0]]),
        coefficients=np.array([[[4.0], [0.0]], [[0.0], [2.0]]]),
        unexplained=np.array([0.5, 0.1]),
        spread=np.array([np.diag([0.1, 0.0]), np.diag([0.0, 0.2])]),
    )
    shift, factor, disagreement = two.predict(np.array([2.0, 3.0]))
    assert shift == pytest.approx([0.25 * 5 + 0.75 * 2])
    assert factor == pytest.approx(0.25 * 0.6 + 0.75 * 0.3)
    assert disagreement == pytest.approx([0.25 * 2.25**2 + 0.75 * 0.75**2])


@settings(max_examples=30, deadline=None)
@given(
    scale=st.lists(st.sampled_from([1e-6, 0.1, 1.0, 100.0, 1e6]), min_size=3, max_size=3),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 100),
)
def test_units_and_order_of_features_do_not_matter(scale, offset, seed):
    features, targets = models(n_models=10, n_features=3, seed=seed)
    order = np.random.RandomState(seed).permutation(3)
    one = regress_on_features(features, targets)
    other = regress_on_features((features * scale + offset * np.array(scale))[:, order], targets)
    assert (one is None) == (other is None)
    if one is not None:
        card = np.ones(3)
        shift, factor, _ = one.predict(card)
        moved = other.predict(((card + offset) * scale)[order])
        np.testing.assert_allclose(moved[0], shift, rtol=1e-6, atol=1e-9)
        assert moved[1] == pytest.approx(factor, rel=1e-6)


def test_models_without_a_feature_are_left_out_where_it_counts():
    features, targets = models(n_models=30, n_features=2)
    gaps = features.copy()
    gaps[:15, 1] = np.nan
    terms = _terms(gaps, [1], targets)
    alone = _terms(features[15:], [1], targets[15:])
    for one, other in zip(terms, alone, strict=True):
        np.testing.assert_allclose(one.coefficients, other.coefficients)
        np.testing.assert_allclose(one.offset, targets[15:].mean(axis=0) - targets.mean(axis=0))
        assert one.log_evidence == pytest.approx(other.log_evidence)
    assert regress_on_features(gaps, targets) is not None


def test_a_feature_that_only_strong_models_have():
    """As a score on a benchmark that weak models were never run on."""
    rng = np.random.RandomState(0)
    level = np.linspace(0.8, 0.05, 30)
    score = 1 - level + 0.01 * rng.normal(size=30)
    known = np.where(score > 0.65, score, np.nan)
    regression = regress_on_features(known[:, None], level[:, None])
    for value in (0.7, 0.8, 0.9):
        shift, factor, _ = regression.predict(np.array([value]))
        assert level.mean() + shift[0] == pytest.approx(1 - value, abs=0.03)
        assert np.sqrt(factor) * level.std() < 0.06


def test_what_features_cannot_tell_does_not_count_for_the_others():
    features, targets = models(n_features=6)
    plain = regress_on_features(features, targets).predict(features[0])
    constant = np.column_stack([features, np.ones(12), np.full(12, np.nan)])
    more = regress_on_features(constant, targets).predict(np.append(features[0], [1.0, np.nan]))
    np.testing.assert_allclose(more[0], plain[0])
    assert more[1] == pytest.approx(plain[1])


@pytest.mark.parametrize("kind", ["constant", "gaps"])
def test_noise_with_columns_that_say_nothing(kind):
    found = 0
    for seed in range(60):
        rng = np.random.RandomState(seed)
        features = rng.normal(size=(15, 20))
        if kind == "constant":
            features[:, 0] = 1
        else:
            features[rng.uniform(size=features.shape) < 0.15] = np.nan
        found += regress_on_features(features, rng.normal(size=(15, 1))) is not None
    assert found <= 5


@pytest.mark.parametrize(
    "features",
    [np.ones((8, 2)), np.full((8, 1), np.nan), np.where(np.arange(8)[:, None] < 6, np.nan, 1.0)],
    ids=["constant", "unknown", "known of two models"],
)
def test_features_that_say_nothing(features):
    _, targets = models(n_models=8)
    assert regress_on_features(features, targets) is None
    assert regress_on_features(np.arange(8.0)[:, None], np.ones((8, 3))) is None


def prior(n_clusters=4, n_further=0):
    rng = np.random.RandomState(1)
    root = rng.normal(size=(n_clusters, n_clusters))
    size = n_clusters + n_further
    covariance = np.eye(size)
    covariance[:n_clusters, :n_clusters] = root @ root.T
    return Prior(rng.normal(size=size), covariance, np.ones(size))


@pytest.mark.parametrize("n_further", [0, 3])
def test_a_card_moves_level_and_differences_apart(n_further):
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    rng = np.random.RandomState(0)
    features = rng.normal(size=(40, 2))
    differences = rng.normal(size=4)
    differences -= shares @ differences
    errors = features[:, :1] + features[:, 1:] * differences
    errors += 0.05 * rng.normal(size=(40, 1))
    learned = learn_from_cards(features, errors, shares)
    before, card = prior(n_further=n_further), np.array([0.5, 2.0])
    after = prior_from_card(before, learned, card, shares)
    moved = (after.mean - before.mean)[:4]
    expected = (card - features.mean(axis=0))[0] + (card - features.mean(axis=0))[1] * differences
    np.testing.assert_allclose(moved, expected, atol=0.1)
    np.testing.assert_array_equal(after.mean[4:], before.mean[4:])
    np.testing.assert_array_equal(after.covariance[4:], before.covariance[4:])
    assert np.linalg.eigvalsh(after.covariance).min() > 0
    block = slice(4)
    known, plain = after.covariance[block, block], before.covariance[block, block]
    assert shares @ known @ shares < 0.1 * shares @ plain @ shares
    center = np.eye(4) - shares
    assert np.trace(center @ known @ center.T) < 0.1 * np.trace(center @ plain @ center.T)


def test_without_a_regression_the_prior_stays():
    shares = np.full(4, 0.25)
    same = prior_from_card(prior(), CardRegressions(None, None), np.ones(2), shares)
    np.testing.assert_allclose(same.mean, prior().mean)
    np.testing.assert_allclose(same.covariance, prior().covariance, atol=1e-12)


def test_a_single_cluster_has_no_differences():
    features, targets = models(n_targets=1)
    learned = learn_from_cards(features, targets, np.ones(1))
    assert learned.differences is None
    after = prior_from_card(prior(1), learned, features[0], np.ones(1))
    assert after.mean[0] - prior(1).mean[0] == pytest.approx(
        (targets[0] - targets.mean())[0], abs=0.5
    )
