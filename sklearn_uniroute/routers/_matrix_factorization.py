"""Routing by linear functions of a few features that all models share."""

import numpy as np

from sklearn_uniroute._numerics._features import Affine, AffineProjection, Phi, weighted_mean
from sklearn_uniroute._numerics._ridge import (
    contrasts,
    gram_sums,
    low_rank_factors,
    ridge_coefficients,
    ridge_penalty,
)
from sklearn_uniroute.routers._linear import LinearRouter
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_count, check_enough

# Share of the training prompts held out to choose the rank, if there are at least so many prompts.
_HELD_OUT = 0.1
_LEAST_PROMPTS = 10


class MatrixFactorizationRouter(LinearRouter):
    """Route by errors that are linear in a few features shared by all models.

    The errors of the models at a prompt x are ``A B x``, up to the level of each model. B has
    `rank` rows and projects prompts to the features that explain the errors of the training models
    best. Each row of A holds the weights of one model. B is fitted once; an added model gets its
    row of A from its validation prompts. Both are in closed form: reduced-rank ridge regression if
    all training models were run on all training prompts.

    Parameters
    ----------
    rank : int, default=None
        Number of shared features, at most the number of training models and of features of `X`. By
        default, the rank by which the differences between models are predicted best on a held-out
        tenth of the training prompts, or the highest possible rank with fewer than 10 prompts.
    alpha : float or "auto", default="auto"
        Penalty on the squared coefficients of the embedding, ``A B``. The intercept is not
        penalised. "auto" chooses it as a :class:`LinearRouter` does.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation prompts and of the held-out prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, 1 + rank)
        Error of each model at the mean prompt, then its row of A.
    projection_ : ndarray of shape (rank, n_features)
        B.
    alpha_ : float
        Penalty.
    center_ : ndarray of shape (n_features,)
        Mean of the training prompts.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        Validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Rows of the validation prompts in the training prompts: run a new model on these. None if
        `fit` was given `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        Weight of each validation prompt in an average over the training distribution. All 1 if
        they were drawn uniformly or passed to `fit`.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if `X` has feature names that are all
        strings.

    See Also
    --------
    LinearRouter : Each model on its own.
    KMeansRouter : Takes in new models from fewer prompts.

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

    __module__ = "sklearn_uniroute"

    def __init__(
        self,
        rank: int | None = None,
        *,
        alpha: float | str = "auto",
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

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self.center_ = weighted_mean(X, sample_weight)
        most = min(errors.shape[1], X.shape[1])
        grams, moments, self.alpha_ = self._sums(X, errors, sample_weight)
        if self.rank is not None:
            check_enough(self.rank, "rank", most, "models or features")
            rank = self.rank
        elif len(X) < _LEAST_PROMPTS:
            rank = most
        else:
            rank = self._choose_rank(X, errors, rng, sample_weight)
        _, projection = self._factorize(grams, moments)[1:]
        self.projection_ = projection[:rank]
        self._penalty = np.zeros((1 + rank, 1 + rank))
        self._penalty[1:, 1:] = self.alpha_ * self.projection_ @ self.projection_.T
        grams, moments = gram_sums(X, errors, self._phi().block, sample_weight)
        self._evidence = {"grams": grams, "moments": moments}

    def _factorize(
        self, grams: list[np.ndarray], moments: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels of the models, and the factors of their ridge coefficients."""
        penalty = ridge_penalty(self.alpha_, grams[0].shape[1] - 1)
        coefficients = ridge_coefficients(grams, moments, penalty)
        metric = (sum(grams) / len(grams) + penalty)[1:, 1:]
        return coefficients[:, :1], *low_rank_factors(coefficients[:, 1:], metric)

    def _choose_rank(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        weights: np.ndarray | None,
    ) -> int:
        weights = np.ones(len(X)) if weights is None else weights
        order = rng.permutation(len(X))
        held_out, training = np.split(order, [int(_HELD_OUT * len(X))])
        # A model that was run on held-out prompts alone says nothing about the rank.
        errors = errors[:, ~np.isnan(errors[training]).all(axis=0)]
        block = Affine(self.center_).block
        sums = gram_sums(X[training], errors[training], block, weights[training])
        levels, models, projection = self._factorize(*sums)
        features = AffineProjection(self.center_, projection).block(X[held_out])[:, 1:]
        residual = errors[held_out] - levels.T
        losses = []
        for feature, coefficients in zip(features.T, models.T, strict=True):
            residual = residual - np.outer(feature, coefficients)
            losses.append(np.nansum(weights[held_out, None] * contrasts(residual) ** 2))
        return int(np.argmin(losses)) + 1

    def _phi(self) -> Phi:
        return AffineProjection(self.center_, self.projection_)
