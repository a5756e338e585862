"""Routing without looking at the prompt."""

import numpy as np

from sklearn_uniroute._numerics._features import NearestCluster, Phi
from sklearn_uniroute.routers._cluster import ClusterRouter
from sklearn_uniroute.utils._typing import RandomState


class ZeroRouter(ClusterRouter):
    """Route without looking at the prompt, by the mean costs and errors of the models.

    This is the baseline that every router has to beat, and a strong one if little is known of the
    models. With a `cost_weight`, it sends all prompts to one model on the lower convex hull of
    (cost, error). With a `budget`, it mixes the two models of the hull around the budget at random,
    such that the expected mean cost is the budget.

    Parameters
    ----------
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to spend instead of a `cost_weight`, in the unit of the costs. A budget
        above the cost of the model of lowest error is not spent in full.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation prompts and for the mixing of models. A prompt always goes
        to the same model.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, 1)
        Mean error of each model.
    cluster_sizes_, cluster_shares_ : ndarray of shape (1,)
        Number of training prompts, and 1: all prompts are one cluster.
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
    KMeansRouter : Estimates errors by cluster.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix D.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_uniroute import ZeroRouter
    >>> X = np.arange(10000.0).reshape(-1, 1)
    >>> y = np.tile([[0, 1], [1, 1]], (5000, 1))  # half right, all right
    >>> router = ZeroRouter(random_state=0).fit(X, y, costs=[1, 5])
    >>> router.predict([[3.0]], cost_weight=0.2)
    array([0])
    >>> mixed = router.predict(X, budget=2)  # a quarter of the way from 1 to 5
    >>> float(router.costs_[mixed].mean().round(2))
    2.0
    """

    __module__ = "sklearn_uniroute"

    _n_clusters = 1
    _randomizes = True

    def __init__(
        self,
        *,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        random_state: RandomState = None,
    ) -> None:
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.random_state = random_state

    def _fit_clusters(
        self, X: np.ndarray, rng: np.random.RandomState, weights: np.ndarray | None
    ) -> None:
        """All prompts are one cluster."""

    def _phi(self) -> Phi:
        return NearestCluster(np.zeros((1, self.n_features_in_)))

    def _assign(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=np.intp)
