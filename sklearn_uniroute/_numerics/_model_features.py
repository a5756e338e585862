"""What features of models, such as scores on public benchmarks, tell about their errors."""

from math import comb, log
from typing import NamedTuple

import numpy as np
from scipy.linalg import svd
from scipy.special import logsumexp

from sklearn_uniroute._numerics._posterior import Prior

# Shares of the variance between models that features may explain.
_EXPLAINED = np.array([0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99])
# Odds, before the targets are seen, that features are of no use.
_DOUBT = 5
# Number of features that sets of features are built up to, one by one.
_LARGEST_SET = 10
# Terms of a lower weight than this are left out.
_LEAST_WEIGHT = 1e-3
# Features that vary by less, relative to their size, are constant.
_ROUNDING = 1e-9
# Share of the prompts that a cluster without any counts as.
_LEAST_SHARE = 1e-9
# Number of models from which on a regression says anything.
_LEAST_MODELS = 3


class FeatureRegression(NamedTuple):
    """Bayesian ridge regressions on sets of features, averaged by their evidence.

    Attributes
    ----------
    weights : ndarray of shape (n_terms,)
        Weights of the regressions; they sum to 1.
    offsets : ndarray of shape (n_terms, n_targets)
        Mean of the targets over the models of a regression, less that over all models.
    centers : ndarray of shape (n_terms, n_features)
        Mean of each feature over the models of a regression.
    coefficients : ndarray of shape (n_terms, n_features, n_targets)
    unexplained : ndarray of shape (n_terms,)
        Variance of the targets of a model whose features are at the means, relative to that of all
        models.
    spread : ndarray of shape (n_terms, n_features, n_features)
        Quadratic form by which this variance grows with the distance to the means.
    """

    weights: np.ndarray
    offsets: np.ndarray
    centers: np.ndarray
    coefficients: np.ndarray
    unexplained: np.ndarray
    spread: np.ndarray

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """Predict how the targets of a model differ from their mean over the models.

        Parameters
        ----------
        features : ndarray of shape (n_features,)
            Features of the model; those of a coefficient of 0 may be NaN.

        Returns
        -------
        shift : ndarray of shape (n_targets,)
        factor : float
            Variance that is left, relative to that of all models.
        disagreement : ndarray of shape (n_targets,)
            Variance between the regressions.
        """
        away = np.where(np.isnan(features), 0.0, features - self.centers)
        shifts = self.offsets + np.einsum("tf,tfo->to", away, self.coefficients)
        shift = self.weights @ shifts
        growth = np.einsum("tf,tfg,tg->t", away, self.spread, away)
        factor = self.weights @ (self.unexplained + growth)
        return shift, float(factor), self.weights @ (shifts - shift) ** 2


def regress_on_features(features: np.ndarray, targets: np.ndarray) -> FeatureRegression | None:
    """Learn how targets of models go with their features, if they do.

    The targets of a model are a Gaussian vector, with a linear dependence on standardised features
    and a remainder of the same covariance. A regression has one set of features and one share of
    the variance that they explain. The sets are built up greedily, and all features together stand
    for half of the prior weight. A regression leaves out the models of which it lacks a feature.
    One more regression, which knows no feature, has five times the prior weight of all others.

    Parameters
    ----------
    features : ndarray of shape (n_models, n_features)
        NaN where a feature is not known.
    targets : ndarray of shape (n_models, n_targets)

    Returns
    -------
    regression : FeatureRegression or None
        None if the features are more likely of no use.
    """
    useful = [column for column, values in enumerate(features.T) if _tells(values)]
    n_sizes = min(len(useful), _LARGEST_SET)
    sets: list[tuple[float, list[_Term]]] = []
    chosen: list[int] = []
    while len(chosen) < n_sizes:
        rest = [column for column in useful if column not in chosen]
        candidates = [_terms(features, [*chosen, column], targets) for column in rest]
        best = max(range(len(rest)), key=lambda place: _total(candidates[place]))
        chosen.append(rest[best])
        # A size is worth as much as another, and shares its weight among its sets.
        share = 0.5 / n_sizes / comb(len(useful), len(chosen))
        sets.append((share, candidates[best]))
    if useful:
        sets.append((0.5, _terms(features, useful, targets)))
    terms = [(log(share) + term.log_evidence, term) for share, one in sets for term in one]
    if not terms:
        return None
    # Sets that too few models have all features of weigh against the others.
    doubt = log(_DOUBT * len(_EXPLAINED) * sum(share for share, _ in sets))
    terms.append((doubt, _useless(features.shape[1], targets.shape[1])))
    values = np.array([value for value, _ in terms])
    weights = np.exp(values - logsumexp(values))
    if weights[-1] > 0.5:
        return None
    kept = np.flatnonzero(weights >= _LEAST_WEIGHT)
    parts = [terms[place][1] for place in kept]
    return FeatureRegression(
        weights[kept] / weights[kept].sum(),
        np.array([one.offset for one in parts]),
        np.array([one.centers for one in parts]),
        np.array([one.coefficients for one in parts]),
        np.array([one.unexplained for one in parts]),
        np.array([one.spread for one in parts]),
    )


class _Term(NamedTuple):
    """One regression, and how much likelier the targets are with it than without features."""

    log_evidence: float
    offset: np.ndarray
    centers: np.ndarray
    coefficients: np.ndarray
    unexplained: float
    spread: np.ndarray


def _tells(values: np.ndarray) -> bool:
    """Whether a feature is known of some models, and varies among them."""
    values = values[~np.isnan(values)]
    varies = len(values) and values.std() > _ROUNDING * np.abs(values).max()
    return bool(varies and len(values) >= _LEAST_MODELS)


def _useless(n_features: int, n_targets: int) -> _Term:
    """Regression that knows no feature."""
    return _Term(
        log_evidence=0.0,
        offset=np.zeros(n_targets),
        centers=np.zeros(n_features),
        coefficients=np.zeros((n_features, n_targets)),
        unexplained=1.0,
        spread=np.zeros((n_features, n_features)),
    )


def _total(terms: list[_Term]) -> float:
    return float(logsumexp([term.log_evidence for term in terms])) if terms else -np.inf


def _terms(features: np.ndarray, columns: list[int], targets: np.ndarray) -> list[_Term]:
    """Regress on one set of features, for each share of the variance; none if one is constant."""
    known = ~np.isnan(features[:, columns]).any(axis=1)
    if known.sum() < _LEAST_MODELS:
        return []
    values = features[np.ix_(known, columns)]
    offset = targets[known].mean(axis=0) - targets.mean(axis=0)
    deviation = targets[known] - targets[known].mean(axis=0)
    center, scale = values.mean(axis=0), values.std(axis=0)
    gram = deviation @ deviation.T
    total = np.trace(gram)
    # Models that have the feature may differ less among themselves than all models do.
    relative = total / known.sum() / max(targets.var(axis=0).sum(), np.finfo(float).tiny)
    if total == 0 or (scale <= _ROUNDING * np.abs(values).max(axis=0)).any():
        return []
    unit = scale * np.sqrt(len(columns))
    left, singular, right = svd((values - center) / unit, full_matrices=False)
    kept = singular > _ROUNDING * singular[0]
    left, singular, right = left[:, kept], singular[kept], right[kept] / unit
    moments = left.T @ deviation
    squares = (moments**2).sum(axis=1)
    beyond = max(total - squares.sum(), 0.0)
    # Some targets go together, and count as one.
    n_targets = total**2 / (gram**2).sum()
    freedom = known.sum() - 1
    terms = []
    for share in _EXPLAINED:
        variance = 1 - share + share * singular**2
        residual = beyond / (1 - share) + (squares / variance).sum()
        log_det = np.log(variance).sum() + (freedom - len(singular)) * log(1 - share)
        log_evidence = -n_targets / 2 * (log_det + freedom * log(residual / total))
        slope = (right.T * (share * singular / variance)) @ moments
        learned = (right.T * (share**2 * singular**2 / variance)) @ right
        spread = share * np.diag(1 / unit**2) - learned
        n_features = features.shape[1]
        centers = np.zeros(n_features)
        coefficients = np.zeros((n_features, targets.shape[1]))
        growth = np.zeros((n_features, n_features))
        centers[columns], coefficients[columns] = center, slope
        growth[np.ix_(columns, columns)] = relative * spread
        unexplained = relative * (1 - share)
        terms.append(_Term(log_evidence, offset, centers, coefficients, unexplained, growth))
    return terms


class CardRegressions(NamedTuple):
    """Regressions of the level of a model, and of its differences between clusters."""

    level: FeatureRegression | None
    differences: FeatureRegression | None


def learn_from_cards(
    features: np.ndarray, errors: np.ndarray, shares: np.ndarray
) -> CardRegressions:
    """Learn how the errors of models in the clusters go with their features.

    Parameters
    ----------
    features : ndarray of shape (n_models, n_features)
        NaN where a feature is not known.
    errors : ndarray of shape (n_models, n_clusters)
    shares : ndarray of shape (n_clusters,)
        Share of the training prompts in each cluster.
    """
    level = errors @ shares
    differences = _roots(shares) * (errors - level[:, None])
    return CardRegressions(
        regress_on_features(features, level[:, None]), regress_on_features(features, differences)
    )


def prior_from_card(
    prior: Prior, regressions: CardRegressions, card: np.ndarray, shares: np.ndarray
) -> Prior:
    """Condition the prior over a model on its features.

    Parameters
    ----------
    prior : Prior
        Prior over the errors in the clusters, then over coefficients of further features of
        prompts, which do not go with the features of models.
    regressions : CardRegressions
    card : ndarray of shape (n_features,)
        Features of the model.
    shares : ndarray of shape (n_clusters,)
        Share of the training prompts in each cluster.

    Returns
    -------
    prior : Prior
        With another mean and covariance of the errors in the clusters. The covariance counts what
        the features leave open.
    """
    n_clusters = len(shares)
    clusters = slice(n_clusters)
    mean, covariance = prior.mean.copy(), prior.covariance.copy()
    block = covariance[clusters, clusters]
    center = np.eye(n_clusters) - shares
    factors = np.ones(2)
    if regressions.level is not None:
        shift, factor, disagreement = regressions.level.predict(card)
        mean[clusters] += shift
        factors[0] = factor + disagreement[0] / (shares @ block @ shares)
    if regressions.differences is not None:
        shift, factor, disagreement = regressions.differences.predict(card)
        mean[clusters] += shift / _roots(shares)
        factors[1] = factor + disagreement.sum() / (shares @ np.diag(center @ block @ center.T))
    scale = np.sqrt(factors)
    turned = scale[0] * np.tile(shares, (n_clusters, 1)) + scale[1] * center
    covariance[clusters, clusters] = turned @ block @ turned.T
    # Errors in the clusters and further coefficients are independent.
    return prior._replace(mean=mean, covariance=(covariance + covariance.T) / 2)


def _roots(shares: np.ndarray) -> np.ndarray:
    """Weights of the clusters, such that squares sum to those of all prompts."""
    return np.sqrt(shares.clip(_LEAST_SHARE))
