"""Routing by linear functions of the embedding, one per model."""

import numpy as np

from sklearn_uniroute._numerics._features import Affine, Phi
from sklearn_uniroute.routers._ridge_router import RidgeRouter
from sklearn_uniroute.utils._typing import RandomState


class LinearRouter(RidgeRouter):
    """Route by errors that are linear in the prompt's embedding, by ridge regression.

    A static router: each model has coefficients of its own, which an added model gets from its
    validation prompts alone. They are many for a few hundred prompts, so that a
    :class:`KMeansRouter` takes in a new model better; fitted on all models with thousands of
    prompts, it is a strong baseline. All is in closed form, and evidence adds up.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty on squared coefficients, as in :class:`sklearn.linear_model.Ridge`.
        The level of a model is not penalised.
    cost_weight : float, default=0.0
        Error that a unit of cost is worth, lambda of the paper, in the unit of the costs.
    budget : float, default=None
        Mean cost per prompt to keep to, in the unit of the costs, instead of a `cost_weight`.
    n_validation : int, default=400
        How many of the training prompts at most serve as validation prompts when `fit` gets no
        `X_val`; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added ones.
    costs_ : ndarray of shape (n_models,) or None
        Their mean costs.
    representation_ : ndarray of shape (n_models, 1 + n_features)
        For each model its error at the mean prompt, then its coefficients.
    center_ : ndarray of shape (n_features,)
        The mean training prompt.
    penalty_ : ndarray of shape (1 + n_features, 1 + n_features)
        What is penalised.
    grams_ : list of ndarray of shape (1 + n_features, 1 + n_features)
        For each model, the sum of ``phi phi'`` over its prompts, where phi is 1, then the prompt
        less the mean one. Models that were run on the same training prompts share one array.
    moments_ : ndarray of shape (n_models, 1 + n_features)
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
    MatrixFactorizationRouter : Linear too, with few features that all models share.
    HybridRouter : Takes in new models from few prompts, and is static for the others.

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

    def __init__(
        self,
        *,
        alpha: float = 1.0,
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

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> None:
        self.center_ = X.mean(axis=0, dtype=np.float64)
        self.penalty_ = np.diag(np.append(0.0, np.full(X.shape[1], float(self.alpha))))

    def _phi(self) -> Phi:
        return Affine(self.center_)
