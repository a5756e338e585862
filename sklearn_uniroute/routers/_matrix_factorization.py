"""Routing by linear functions of a few features that all models share."""

import numpy as np

from sklearn_uniroute._numerics._features import Affine, AffineProjection, Phi
from sklearn_uniroute._numerics._ridge import gram_sums, low_rank_factors, ridge_coefficients
from sklearn_uniroute.routers._ridge_router import RidgeRouter
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_count, check_enough

# Share of the training prompts that the rank is chosen on, where there are this many at least.
_HELD_OUT = 0.1
_LEAST_PROMPTS = 10


class MatrixFactorizationRouter(RidgeRouter):
    """Route by errors that are linear in a few features, learned from all training models.

    The errors of the models at a prompt x are ``A B x``, up to the level of each model. B, of
    `rank` rows, projects prompts to the features that tell most of the training models; a row of A
    weights them for one model. An added model gets its row from its validation prompts, as rows are
    folded into a factorised matrix, and B stays. Both are in closed form: reduced-rank ridge
    regression where all training models were run on all training prompts.

    Parameters
    ----------
    rank : int, default=None
        Number of shared features, at most that of the training models and of the features of `X`.
        By default the one of least squared error on a tenth of the training prompts, held out for
        that (all where there are fewer than 10 prompts).
    alpha : float, default=1.0
        Strength of the penalty on squared coefficients of the embedding, ``A B``. The level of a
        model is not penalised.
    cost_weight : float, default=0.0
        Error that a unit of cost is worth, lambda of the paper, in the unit of the costs.
    budget : float, default=None
        Mean cost per prompt to keep to, in the unit of the costs, instead of a `cost_weight`.
    n_validation : int, default=400
        How many of the training prompts at most serve as validation prompts when `fit` gets no
        `X_val`; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of validation prompts and of those that the rank is chosen on.

    Attributes
    ----------
    projection_ : ndarray of shape (rank, n_features)
        B.
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added ones.
    costs_ : ndarray of shape (n_models,) or None
        Their mean costs.
    representation_ : ndarray of shape (n_models, 1 + rank)
        For each model its error at the mean prompt, then its row of A.
    center_ : ndarray of shape (n_features,)
        The mean training prompt.
    penalty_ : ndarray of shape (1 + rank, 1 + rank)
        The penalty, in terms of the representation.
    grams_ : list of ndarray of shape (1 + rank, 1 + rank)
        For each model, the sum of ``phi phi'`` over its prompts, where phi is 1, then the features.
    moments_ : ndarray of shape (n_models, 1 + rank)
        For each model, the sum of ``phi error``.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        The validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Their rows in the training prompts: run a new model on these. None where `fit` got `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        What each of them counts in an average over the traffic; all 1, as they are drawn evenly.
    mixing_seed_ : int
        Seeds which prompts go beyond a budget that is to be spent in full.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had names of strings only.

    See Also
    --------
    LinearRouter : Shares nothing between models.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 2 and appendix
    G.2.

    Examples
    --------
    >>> from sklearn_uniroute import MatrixFactorizationRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = MatrixFactorizationRouter(rank=2, n_validation=50, random_state=0)
    >>> router.fit(data.X, data.y[:, :4], costs=data.costs[:4]).projection_.shape
    (2, 16)
    >>> val_errors = 1 - data.y[router.validation_indices_, 4]
    >>> router.add_model(val_errors, cost=data.costs[4]).representation_.shape
    (5, 3)
    """

    def __init__(
        self,
        rank: int | None = None,
        *,
        alpha: float = 1.0,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        random_state: RandomState = None,
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        if self.rank is not None:
            check_count(self.rank, "rank")

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> None:
        self.center_ = X.mean(axis=0, dtype=np.float64)
        most = min(errors.shape[1], X.shape[1])
        if self.rank is not None:
            check_enough(self.rank, "rank", most, "models or features")
            rank = self.rank
        elif len(X) < _LEAST_PROMPTS:
            rank = most
        else:
            rank = self._choose_rank(X, errors, rng)
        _, projection = self._factorize(X, errors)[1:]
        self.projection_ = projection[:rank]
        self.penalty_ = np.zeros((1 + rank, 1 + rank))
        self.penalty_[1:, 1:] = self.alpha * self.projection_ @ self.projection_.T

    def _factorize(
        self, X: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels of the models, and the factors of their ridge coefficients."""
        grams, moments = gram_sums(X, errors, Affine(self.center_).block)
        penalty = np.diag(np.append(0.0, np.full(X.shape[1], float(self.alpha))))
        coefficients = ridge_coefficients(grams, moments, penalty)
        metric = (sum(grams) / len(grams) + penalty)[1:, 1:]
        return coefficients[:, :1], *low_rank_factors(coefficients[:, 1:], metric)

    def _choose_rank(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> int:
        order = rng.permutation(len(X))
        held_out, training = np.split(order, [int(_HELD_OUT * len(X))])
        # A model that was run on prompts held out alone tells nothing of the rank.
        errors = errors[:, ~np.isnan(errors[training]).all(axis=0)]
        levels, models, projection = self._factorize(X[training], errors[training])
        features = AffineProjection(self.center_, projection).block(X[held_out])[:, 1:]
        residual = errors[held_out] - levels.T
        losses = []
        for feature, weights in zip(features.T, models.T, strict=True):
            residual = residual - np.outer(feature, weights)
            losses.append(np.nansum(residual**2))
        return int(np.argmin(losses)) + 1

    def _phi(self) -> Phi:
        return AffineProjection(self.center_, self.projection_)
