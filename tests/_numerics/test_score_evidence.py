import numpy as np
import pytest
from scipy.special import expit, logit

from sklearn_uniroute._numerics._score_evidence import (
    learn_evidence,
    learn_levels,
    residual_correlation,
)


@pytest.fixture
def answers():
    """Estimates that are right on average, and scores with a normal distribution."""
    rng = np.random.RandomState(0)
    estimates = rng.uniform(0.2, 0.9, size=(1500, 4))
    quality = (rng.uniform(size=estimates.shape) < estimates).astype(float)
    scores = 1.5 * quality + rng.normal(size=quality.shape)
    return scores, quality, estimates


@pytest.mark.parametrize("calibration", ["isotonic", "logistic"])
def test_log_odds_are_those_of_the_scores(answers, calibration):
    evidence = learn_evidence(*answers, calibration)
    # The odds of a score of two normal distributions: linear, and 0 halfway between them.
    points = np.array([-0.5, 0.25, 0.75, 1.25, 2.0])
    np.testing.assert_allclose(evidence.of(points), 1.5 * (points - 0.75), atol=0.35)
    assert (np.diff(evidence.log_odds) >= 0).all()
    for chances in (evidence.right, evidence.wrong):
        assert chances.sum() == pytest.approx(1)
    np.testing.assert_allclose(evidence.log_odds, np.log(evidence.right / evidence.wrong))
    assert evidence.of(np.array([np.nan])).tolist() == [0]


@pytest.mark.parametrize("calibration", ["isotonic", "logistic"])
def test_posteriors_are_calibrated_on_other_prompts(answers, calibration):
    scores, quality, estimates = answers
    evidence = learn_evidence(scores[:700], quality[:700], estimates[:700], calibration)
    held_out = slice(700, 1500)
    posterior = expit(logit(estimates[held_out]) + evidence.of(scores[held_out]))
    edges = np.quantile(posterior, np.linspace(0, 1, 9)[1:-1])
    bins = np.searchsorted(edges, posterior.ravel())
    counts = np.bincount(bins)
    expected = np.bincount(bins, posterior.ravel()) / counts
    observed = np.bincount(bins, quality[held_out].ravel()) / counts
    np.testing.assert_allclose(expected, observed, atol=0.07)


def test_low_scores_may_be_good(answers):
    scores, quality, estimates = answers
    evidence = learn_evidence(scores, quality, estimates, "isotonic")
    reverse = learn_evidence(-scores, quality, estimates, "isotonic")
    assert (evidence.sign, reverse.sign) == (1, -1)
    np.testing.assert_allclose(evidence.of(scores), reverse.of(-scores), atol=1e-9)


def test_scores_that_repeat_the_estimate_say_nothing(answers):
    _, quality, estimates = answers
    rng = np.random.RandomState(1)
    for scores in (
        np.ones(quality.shape),
        np.full(quality.shape, np.nan),
        rng.normal(size=quality.shape),
    ):
        assert learn_evidence(scores, quality, estimates, "isotonic") is None
    # Scores that know the estimate alone are taken by a small factor at most.
    evidence = learn_evidence(estimates, quality, estimates, "isotonic")
    assert evidence is None or np.abs(evidence.log_odds).max() < 0.3


def test_graded_answers_are_partly_right(answers):
    scores, quality, estimates = answers
    graded = 0.25 + 0.5 * quality
    for calibration in ("isotonic", "logistic"):
        evidence = learn_evidence(scores, graded, 0.25 + 0.5 * estimates, calibration)
        assert (np.diff(evidence.log_odds) >= 0).all()
        assert 0.3 < np.ptp(evidence.log_odds) < 3


def test_levels_find_models_with_higher_scores(answers):
    scores, quality, _ = answers
    shifts = np.array([0.0, 0.0, 1.0, -1.0])
    levels = learn_levels(scores + shifts, quality)
    found = [levels.shift(*column) for column in zip((scores + shifts).T, quality.T, strict=True)]
    np.testing.assert_allclose(found, shifts, atol=0.1)
    # Few scores are drawn to the others, and none say nothing.
    few = levels.shift(scores[:2, 0] + 5, quality[:2, 0])
    assert 1 < few < levels.shift(scores[:200, 0] + 5, quality[:200, 0]) < 5.2
    assert levels.shift(np.array([np.nan]), np.array([1.0])) == 0
    assert learn_levels(scores, quality).between < 0.003


def test_correlation_is_that_of_a_common_difficulty():
    rng = np.random.RandomState(0)
    hard = rng.normal(size=(20_000, 1))
    latent = np.sqrt(0.5) * hard + np.sqrt(0.5) * rng.normal(size=(20_000, 3))
    quality = (latent > 0).astype(float)
    # Of the signs of two normal variables with a correlation of one half: 2 / pi * arcsin(1 / 2).
    estimates = np.full(quality.shape, 0.5)
    assert residual_correlation(quality, estimates) == pytest.approx(1 / 3, abs=0.02)
    quality[:, 1:] = np.nan
    assert residual_correlation(quality, estimates) == 0
