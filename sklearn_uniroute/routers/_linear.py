"""Routing by linear functions of the embedding."""

from typing import Any

import numpy as np

from sklearn_uniroute._numerics._features import Affine, Phi, weighted_mean
from sklearn_uniroute._numerics._predictors import FeaturePredictor
from sklearn_uniroute._numerics._ridge import (
    choose_penalty,
    contrasts,
    gram_sums,
    ridge_coefficients,
    ridge_penalty,
)
from sklearn_uniroute.metrics._curve import model_means
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_positive, is_auto
from sklearn_uniroute.utils._weights import check_sample_weight

# Penalties among which "auto" chooses, by the errors of so many models at most.
_ALPHAS = 10.0 ** np.arange(-3, 5.5, 0.5)
_JUDGED = 32


class LinearRouter(BaseRouter):
    """Route by errors that are linear in the embedding, each model on its own.

    A static router: ridge regression of the errors of each model on the embedding. An added model
    is fitted on its validation prompts alone. A :class:`KMeansRouter` takes in new models better;
    fitted on all models with thousands of prompts, this router is a strong baseline. Everything is
    in closed form, and evidence adds up.

    Parameters
    ----------
    alpha : float or "auto", default="auto"
        Penalty on the squared coefficients, as in :class:`sklearn.linear_model.Ridge`. The
        intercept is not penalised. "auto" chooses one penalty for all models by generalized
        cross-validation of how their errors differ from the mean of the models.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, 1 + n_features)
        Error of each model at the mean prompt, then its coefficients.
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
    MatrixFactorizationRouter : Linear in few features that all models share.
    HybridRouter : Takes in new models from few prompts.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 2 and eq. 3.

    Examples
    --------
    >>> from sklearn_uniroute import LinearRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = LinearRouter(alpha=10, random_state=0)
    >>> router.fit(data.X[:300], data.y[:300], costs=data.costs)
    LinearRouter(alpha=10, random_state=0)
    >>> router.predict_error(data.X[300:], pool=[0, 4]).shape
    (200, 2)
    """

    __module__ = "sklearn_uniroute"

    representation_: np.ndarray
    center_: np.ndarray
    # Penalty on the coefficients, of shape (n_outputs, n_outputs). The evidence holds `grams` and
    # `moments`: the sums of ``phi phi'`` and of ``phi error`` over the prompts of each model.
    _penalty: np.ndarray

    def __init__(
        self,
        *,
        alpha: float | str = "auto",
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        random_state: RandomState = None,
    ) -> None:
        self.alpha = alpha
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.random_state = random_state

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self.center_ = weighted_mean(X, sample_weight)
        grams, moments, self.alpha_ = self._sums(X, errors, sample_weight)
        self._evidence = {"grams": grams, "moments": moments}
        self._penalty = ridge_penalty(self.alpha_, X.shape[1])

    def _sums(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None
    ) -> tuple[list[np.ndarray], np.ndarray, float]:
        """Sum up the evidence on coefficients of the embedding, and choose the penalty."""
        affine = Affine(self.center_).block
        if not is_auto(self.alpha, "alpha"):
            return *gram_sums(X, errors, affine, weights), float(self.alpha)
        n_models = errors.shape[1]
        targets = contrasts(errors - model_means(errors, check_sample_weight(weights, len(X))))
        grams, moments = gram_sums(X, np.hstack([errors, targets]), affine, weights)
        judged = np.arange(n_models)[:: -(-n_models // _JUDGED)]
        alpha = choose_penalty(
            [grams[model] for model in judged],
            moments[n_models + judged],
            np.nansum(
                check_sample_weight(weights, len(X))[:, None] * targets[:, judged] ** 2, axis=0
            ),
            _ALPHAS,
        )
        return grams[:n_models], moments[:n_models], alpha

    def _phi(self) -> Phi:
        return Affine(self.center_)

    def _check_params(self) -> None:
        super()._check_params()
        if not is_auto(self.alpha, "alpha"):
            check_positive(self.alpha, "alpha")

    def _fit_evidence(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        self.representation_ = ridge_coefficients(**self._evidence, penalty=self._penalty)

    def _model_rows(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        prompts = self.X_val_ if X_val is None else X_val
        (gram,), moments = gram_sums(
            prompts, val_errors[:, None], self._phi().block, self._times(X_val)
        )
        if position is not None:
            gram = gram + self._evidence["grams"][position]
            moments = moments + self._evidence["moments"][position]
        (coefficients,) = ridge_coefficients([gram], moments, self._penalty)
        return {"grams": gram, "moments": moments[0], "representation_": coefficients}

    def _predictor(self, index: np.ndarray) -> FeaturePredictor:
        return FeaturePredictor(self._phi(), self.representation_[index], self._prices(index))
