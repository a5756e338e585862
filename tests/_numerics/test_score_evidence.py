import numpy as np
import pytest
from scipy.special import expit, logit

from sklearn_uniroute._numerics import _score_evidence
from sklearn_uniroute._numerics._score_evidence import (
    Answers,
    learn_evidence,
    learn_levels,
    residual_correlation,
    told_correlation,
)


@pytest.fixture
def answers():
    """Estimates that are right on average, and scores with a normal distribution."""
    rng = np.random.RandomState(0)
    estimates = rng.uniform(0.2, 0.9, size=(1500, 4))
    quality = (rng.uniform(size=estimates.shape) < estimates).astype(float)
    scores = 1.5 * quality + rng.normal(size=quality.shape)
    costs = np.ones(quality.shape)
    return Answers(quality, estimates, costs, costs, scores)


def added(evidence, scores):
    return evidence.log_odds[evidence.bins(scores)]


@pytest.mark.parametrize("calibration", ["isotonic", "logistic"])
def test_log_odds_are_those_of_the_scores(answers, calibration):
    evidence = learn_evidence(answers, calibration)
    # The odds of a score of two normal distributions: linear, and 0 halfway between them.
    points = np.array([-0.5, 0.25, 0.75, 1.25, 2.0])
    np.testing.assert_allclose(added(evidence, points), 1.5 * (points - 0.75), atol=0.35)
    assert (np.diff(evidence.log_odds) >= 0).all()
    for chances in (evidence.right, evidence.wrong):
        assert chances.sum() == pytest.approx(1)
    np.testing.assert_allclose(evidence.log_odds, np.log(evidence.right / evidence.wrong))
    assert evidence.bins(np.array([np.nan, -9, 9])).tolist() == [-1, 0, len(evidence.edges)]


@pytest.mark.parametrize("calibration", ["isotonic", "logistic"])
def test_posteriors_are_calibrated_on_other_prompts(answers, calibration):
    evidence = learn_evidence(answers.rows(slice(700)), calibration)
    quality, estimates, _, _, scores = answers.rows(slice(700, 1500))
    posterior = expit(logit(estimates) + added(evidence, scores))
    edges = np.quantile(posterior, np.linspace(0, 1, 9)[1:-1])
    bins = np.searchsorted(edges, posterior.ravel())
    counts = np.bincount(bins)
    expected = np.bincount(bins, posterior.ravel()) / counts
    observed = np.bincount(bins, quality.ravel()) / counts
    np.testing.assert_allclose(expected, observed, atol=0.07)


def test_low_scores_may_be_good(answers):
    evidence = learn_evidence(answers, "isotonic")
    reverse = learn_evidence(answers._replace(scores=-answers.scores), "isotonic")
    assert (evidence.sign, reverse.sign) == (1, -1)
    np.testing.assert_allclose(
        added(evidence, answers.scores), added(reverse, -answers.scores), atol=1e-9
    )


def test_scores_that_repeat_the_estimate_say_nothing(answers):
    shape, rng = answers.quality.shape, np.random.RandomState(1)
    for scores in (np.ones(shape), np.full(shape, np.nan), rng.normal(size=shape)):
        assert learn_evidence(answers._replace(scores=scores), "isotonic") is None
    # Scores that know the estimate alone are taken by a small factor at most.
    evidence = learn_evidence(answers._replace(scores=answers.estimates), "isotonic")
    assert evidence is None or np.abs(evidence.log_odds).max() < 0.3


def test_graded_answers_are_partly_right(answers):
    graded = answers._replace(
        quality=0.25 + 0.5 * answers.quality, estimates=0.25 + 0.5 * answers.estimates
    )
    for calibration in ("isotonic", "logistic"):
        evidence = learn_evidence(graded, calibration)
        assert (np.diff(evidence.log_odds) >= 0).all()
        assert 0.3 < np.ptp(evidence.log_odds) < 3


def test_levels_find_models_with_higher_scores(answers):
    scores, quality = answers.scores, answers.quality
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


def hard_prompts(n_prompts, of_prompt):
    """Answers of four models on prompts of a common difficulty, and scores of their quality.

    The scores also tell the difficulty, by `of_prompt`, and long answers cost more.
    """
    rng = np.random.RandomState(0)
    hard = rng.normal(size=(n_prompts, 1))
    latent = np.sqrt(0.5) * hard + np.sqrt(0.5) * rng.normal(size=(n_prompts, 4))
    quality = (latent < 0).astype(float)
    scores = quality - of_prompt * hard + rng.normal(size=quality.shape)
    costs = np.tile([1.0, 2.0, 3.0, 4.0], (n_prompts, 1))
    estimates = np.full(quality.shape, 0.5)
    return Answers(quality, estimates, costs * np.exp(0.5 * hard), costs, scores)


def test_scores_may_tell_more_of_other_models_than_the_outcome_does(monkeypatch):
    told = learn_evidence(hard_prompts(5000, 0.0), "isotonic").correlation
    # As in the test of the correlation.
    assert told == pytest.approx(1 / 3, abs=0.04)
    assert 0.5 < learn_evidence(hard_prompts(5000, 1.0), "isotonic").correlation < 0.9
    # Prompts with one answer say nothing of other models.
    full, gaps = hard_prompts(5000, 1.0), hard_prompts(5000, 1.0)
    gaps.quality[2500:, 1:] = np.nan
    evidence = learn_evidence(full, "isotonic")
    assert told_correlation(gaps, evidence) == pytest.approx(
        told_correlation(full.rows(slice(2500)), evidence)
    )
    # What few prompts show is drawn towards the correlation of the qualities.
    few = hard_prompts(60, 1.0)
    drawn = learn_evidence(few, "isotonic").correlation
    monkeypatch.setattr(_score_evidence, "_CORRELATION_SPREAD", 1e6)
    shown = learn_evidence(few, "isotonic").correlation
    assert residual_correlation(few.quality, few.estimates) + 0.05 < drawn < shown - 0.02


def test_scores_tell_of_the_costs_of_other_models():
    answers = hard_prompts(5000, 1.0)
    evidence = learn_evidence(answers, "isotonic")
    # By the definition, for the second bin and the first model.
    ratio = answers.costs / answers.expected_costs
    bins = evidence.bins(answers.scores)
    others = (ratio.sum(axis=1, keepdims=True) - ratio) / 3
    in_bin = others[bins == 1].mean() / others.mean()
    assert evidence.cost_ratio[1] == pytest.approx(in_bin, rel=0.01)
    assert evidence.cost_ratio[0] > 1.5 > 1 > evidence.cost_ratio[-1]
    # Costs without a relation to the prompt, and costs that are the same for all prompts.
    rng = np.random.RandomState(0)
    for costs in (answers.expected_costs, rng.permutation(answers.costs)):
        same = learn_evidence(answers._replace(costs=costs), "isotonic").cost_ratio
        np.testing.assert_allclose(same, 1, atol=0.1)
    free = np.zeros_like(answers.costs)
    ratio = learn_evidence(answers._replace(costs=free, expected_costs=free), "isotonic").cost_ratio
    assert (ratio == 1).all()
