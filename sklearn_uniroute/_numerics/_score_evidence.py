"""What the score of an answer says, learned from scores of answers of known quality.

Qualities are between 0 and 1, and stand for the probability that an answer is right.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

# Estimates are kept this far from 0 and 1 where odds are taken.
_MARGIN = 1e-3
# Number of bins of the scores, and of folds in which what they say is judged.
_BINS, _FOLDS = 16, 5
# Improvement of the log loss on held-out prompts, in standard errors, from which on scores count.
_LEAST_GAIN = 2.0
# Largest factor on the log odds of the bins.
_MOST_FACTOR = 1.5
# Typical difference between how much scores tell of other models, and the correlation of qualities.
_CORRELATION_SPREAD = 0.2


class Answers(NamedTuple):
    """Answers of known quality, and what the router expected of them.

    The router had not seen the prompts. All arrays have shape (n_prompts, n_models), with NaN where
    there is none.

    Attributes
    ----------
    quality, estimates : ndarray
        Quality, as observed and as expected.
    costs, expected_costs : ndarray
        Cost of the call, as observed and as expected.
    scores : ndarray
        Scores, less the shifts of their models.
    """

    quality: np.ndarray
    estimates: np.ndarray
    costs: np.ndarray
    expected_costs: np.ndarray
    scores: np.ndarray

    def rows(self, rows: np.ndarray) -> "Answers":
        return Answers(*(part[rows] for part in self))


class ScoreEvidence(NamedTuple):
    """What the score of an answer says, for scores in bins.

    Attributes
    ----------
    edges : ndarray of shape (n_bins - 1,)
        Scores between the bins, rising.
    sign : float
        1, or -1 if low scores are good; scores are multiplied by it first.
    log_odds : ndarray of shape (n_bins,)
        Log odds that a score in the bin adds to the log odds that the answer is right; rising.
    right, wrong : ndarray of shape (n_bins,)
        Probability of each bin for an answer that is right, and for one that is wrong.
    cost_ratio : ndarray of shape (n_bins,)
        Cost that a call of another model has if the score of an answer is in the bin, over its
        expected cost.
    correlation : float
        What the score of an answer tells of other models, as a share of what it tells of its own.
    """

    edges: np.ndarray
    sign: float
    log_odds: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    cost_ratio: np.ndarray
    correlation: float

    def bins(self, scores: np.ndarray) -> np.ndarray:
        """Find the bins of scores; -1 where there is none."""
        bins = np.searchsorted(self.edges, self.sign * scores, side="right")
        return np.where(np.isnan(scores), -1, bins)


class ScoreLevels(NamedTuple):
    """How the scores of the answers of some models are higher than those of others.

    The score of an answer is expected to be `base`, plus `slope` if it is right, plus the shift of
    its model. Shifts have the variance `between` over models, and single scores the variance
    `within`.
    """

    base: float
    slope: float
    between: float
    within: float

    def shift(self, scores: np.ndarray, quality: np.ndarray) -> float:
        """Estimate the shift of one model from its scores and qualities; 0 from none."""
        known = ~np.isnan(scores + quality)
        if self.between == 0 or not known.any():
            return 0.0
        residual = scores[known] - self.base - self.slope * quality[known]
        trust = self.between / (self.between + self.within / known.sum())
        return float(trust * residual.mean())


def learn_levels(scores: np.ndarray, quality: np.ndarray) -> ScoreLevels:
    """Learn by how much the scores of models differ, for equal quality of their answers.

    Parameters
    ----------
    scores, quality : ndarray of shape (n_prompts, n_models)
        NaN where there is none.

    Returns
    -------
    levels : ScoreLevels
        The variance between models is 0 if the means of their scores show no more than noise.
    """
    known = ~np.isnan(scores + quality)
    counts = known.sum(axis=0)
    models = np.flatnonzero(counts)
    scores, quality = (np.where(known, one, 0.0)[:, models] for one in (scores, quality))
    known, counts = known[:, models], counts[models]
    mean_score, mean_quality = scores.sum(axis=0) / counts, quality.sum(axis=0) / counts
    # Within models, so that good models with high scores do not count as good answers.
    deviation = np.where(known, quality - mean_quality, 0.0)
    spread = (deviation**2).sum()
    slope = (deviation * (scores - mean_score)).sum() / spread if spread > 0 else 0.0
    levels = mean_score - slope * mean_quality
    residual = np.where(known, scores - levels - slope * quality, 0.0)
    within = (residual**2).sum() / max(known.sum() - len(models) - 1, 1)
    noise = within * (1 / counts).mean()
    between = max(levels.var(ddof=1) - noise, 0.0) if len(models) > 1 else 0.0
    return ScoreLevels(float(levels.mean()), float(slope), float(between), float(within))


def learn_evidence(answers: Answers, calibration: str) -> ScoreEvidence | None:
    """Learn what scores say of answers, beyond the estimates of the router.

    Scores are put in bins. A bin adds the same log odds to any estimate. How much is learned from
    the qualities of the answers in the bin, and taken times one factor, which is learned on
    held-out prompts.

    Parameters
    ----------
    answers : Answers
    calibration : {"isotonic", "logistic"}
        How the log odds rise from bin to bin.

    Returns
    -------
    evidence : ScoreEvidence or None
        None if the scores say nothing: if the log loss on held-out prompts is not better by two
        standard errors.
    """
    known = ~np.isnan(answers.scores + answers.quality + answers.estimates)
    rows = known.nonzero()[0]
    quality, prior, scores = (
        answers.quality[known],
        _log_odds(answers.estimates[known]),
        answers.scores[known],
    )
    if len(scores) < _BINS or np.ptp(scores) == 0 or not 0 < quality.mean() < 1:
        return None
    sign = 1.0 if np.cov(scores, quality - expit(prior))[0, 1] >= 0 else -1.0
    scores = sign * scores
    # Edges that are scores themselves leave no bin empty.
    shares = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = np.unique(np.quantile(scores, shares, method="inverted_cdf"))
    edges = (
        edges[edges > scores.min()] if (edges > scores.min()).any() else scores.max(keepdims=True)
    )
    bins = np.searchsorted(edges, scores, side="right")
    added = np.zeros(len(scores))
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    for _, held_out in folds.split(np.unique(rows)) if len(np.unique(rows)) >= _FOLDS else ():
        out = np.isin(rows, np.unique(rows)[held_out])
        added[out] = _bin_odds(bins[~out], scores[~out], quality[~out], edges, calibration)[
            bins[out]
        ]

    def loss(factor: float) -> np.ndarray:
        odds = prior + factor * added
        return np.logaddexp(0, odds) - quality * odds

    bounds = (0, _MOST_FACTOR)
    factor = minimize_scalar(lambda one: loss(one).sum(), bounds=bounds, method="bounded").x
    gain = np.bincount(rows, loss(0) - loss(factor))[np.unique(rows)]
    if gain.sum() <= _LEAST_GAIN * np.sqrt(len(gain)) * gain.std():
        return None
    odds = factor * _bin_odds(bins, scores, quality, edges, calibration)
    shares, base = np.bincount(bins, minlength=len(edges) + 1) / len(bins), quality.mean()
    # Such that scores leave the mean quality as it is.
    offset = brentq(lambda one: shares @ expit(logit(base) + odds + one) - base, -30, 30)
    rates = expit(logit(base) + odds + offset)
    right, wrong = shares * rates / base, shares * (1 - rates) / (1 - base)
    ratio = _cost_ratio(bins, costs_of_others(answers)[known], len(edges) + 1)
    evidence = ScoreEvidence(edges, sign, odds + offset, right, wrong, ratio, 0.0)
    return evidence._replace(correlation=told_correlation(answers, evidence))


def costs_of_others(answers: Answers) -> np.ndarray:
    """Average the costs of the other models on the same prompt, relative to what is expected."""
    known = ~np.isnan(answers.costs) & (answers.expected_costs > 0)
    costs = np.where(known, answers.costs, 0.0) / np.where(known, answers.expected_costs, 1.0)
    n_others = known.sum(axis=1, keepdims=True) - known
    total = costs.sum(axis=1, keepdims=True) - costs
    return np.where(n_others > 0, total / np.maximum(n_others, 1), np.nan)


def _cost_ratio(bins: np.ndarray, costs: np.ndarray, n_bins: int) -> np.ndarray:
    """Average costs in each bin, relative to those in all bins."""
    known = ~np.isnan(costs)
    if not known.any() or costs[known].mean() == 0:
        return np.ones(n_bins)
    bins, costs = bins[known], costs[known] / costs[known].mean()
    # One more call of mean cost in each bin.
    return (np.bincount(bins, costs, n_bins) + 1) / (np.bincount(bins, minlength=n_bins) + 1)


def _bin_odds(
    bins: np.ndarray, scores: np.ndarray, quality: np.ndarray, edges: np.ndarray, calibration: str
) -> np.ndarray:
    """Log odds of a right answer in each bin, minus those in all bins."""
    n_bins, base = len(edges) + 1, quality.mean()
    base = np.clip(base, _MARGIN, 1 - _MARGIN)
    # One more answer of mean quality in each bin keeps odds finite.
    counts = np.bincount(bins, minlength=n_bins) + 1.0
    rates = (np.bincount(bins, quality, minlength=n_bins) + base) / counts
    if calibration == "isotonic":
        places = np.arange(n_bins)
        rates = IsotonicRegression().fit(places, rates, sample_weight=counts).predict(places)
        return logit(rates) - logit(base)
    center, scale = scores.mean(), scores.std() or 1.0
    standard = np.tile((scores - center) / scale, 2)[:, None]
    targets = np.repeat([1, 0], len(scores))
    # A graded answer is partly right and partly wrong.
    weights = np.concatenate([quality, 1 - quality])
    model = LogisticRegression().fit(standard, targets, sample_weight=weights)
    middles = np.bincount(bins, scores, minlength=n_bins) / np.maximum(counts - 1, 1)
    middles = np.where(counts > 1, middles, np.append(edges, edges[-1]))
    odds: np.ndarray = model.decision_function(((middles - center) / scale)[:, None])
    return np.maximum.accumulate(odds) - logit(base)


def told_correlation(answers: Answers, evidence: ScoreEvidence) -> float:
    """Estimate what a score tells of other models, as a share of what it tells of its own.

    If scores depend on the prompt through the quality of the answer alone, it is the correlation of
    the qualities of two models. It is higher for scores that tell how hard the prompt is.

    Parameters
    ----------
    answers : Answers
    evidence : ScoreEvidence

    Returns
    -------
    correlation : float
        How the residuals of other models rise with what the score tells, over how those of its own
        do. Few prompts are drawn towards the correlation of the qualities.
    """
    correlation = residual_correlation(answers.quality, answers.estimates)
    estimates, residual = standard_residual(answers.quality, answers.estimates)
    bins = evidence.bins(answers.scores)
    odds = logit(estimates) + evidence.log_odds[bins]
    change = (expit(odds) - estimates) / np.sqrt(estimates * (1 - estimates))
    known = ~np.isnan(residual)
    n_others = known.sum(axis=1, keepdims=True) - 1
    residual = np.where(known, residual, 0.0)
    # A prompt with one answer says nothing of others.
    change = np.where(known & (bins >= 0) & (n_others > 0), change, 0.0)
    others = (residual.sum(axis=1, keepdims=True) - residual) / np.maximum(n_others, 1)
    # Answers to one prompt are not independent.
    of_others, of_own = (change * others).sum(axis=1), (change * residual).sum(axis=1)
    if of_own.sum() <= 0:
        return correlation
    told = of_others.sum() / of_own.sum()
    noise = ((of_others - told * of_own) ** 2).sum() / of_own.sum() ** 2
    trust = _CORRELATION_SPREAD**2 / (_CORRELATION_SPREAD**2 + noise)
    return float(np.clip(correlation + trust * (told - correlation), 0, 1))


def standard_residual(quality: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute estimates away from 0 and 1, and residuals in standard deviations."""
    estimates = np.clip(estimates, 0.02, 0.98)
    return estimates, (quality - estimates) / np.sqrt(estimates * (1 - estimates))


def residual_correlation(quality: np.ndarray, estimates: np.ndarray) -> float:
    """Estimate how the qualities of two models on a prompt go together, beyond the estimates.

    Parameters
    ----------
    quality, estimates : ndarray of shape (n_prompts, n_models)
        NaN where there is none.

    Returns
    -------
    correlation : float
        Mean correlation of the residuals of two models, at least 0.
    """
    _, residual = standard_residual(quality, estimates)
    known = ~np.isnan(residual)
    residual, n_models = np.where(known, residual, 0.0), known.sum(axis=1)
    products = (residual.sum(axis=1) ** 2 - (residual**2).sum(axis=1)).sum()
    n_pairs = (n_models * (n_models - 1)).sum()
    return float(np.clip(products / n_pairs, 0, 0.95)) if n_pairs else 0.0


def _log_odds(quality: np.ndarray) -> np.ndarray:
    return logit(np.clip(quality, _MARGIN, 1 - _MARGIN))
