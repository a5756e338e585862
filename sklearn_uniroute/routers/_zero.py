"""Routing without looking at the prompt."""

import numpy as np

from sklearn_uniroute._numerics._features import NearestCluster, Phi
from sklearn_uniroute.routers._cluster import ClusterRouter
from sklearn_uniroute.utils._typing import RandomState


class ZeroRouter(ClusterRouter):
    """Route without looking at the prompt, by the models' mean costs and errors alone.

    The baseline that every router has to beat, and a strong one where little is known of the
    models. Given a `cost_weight` it sends all prompts to one model on the lower convex hull of
    (cost, error). Given a `budget` it mixes the two models of the hull around it at random, so
    that the expected mean cost is the budget.

    Parameters
    ----------
    cost_weight : float, default=0.0
        Error that a unit of cost is worth, lambda of the paper, in the unit of the costs.
    budget : float, default=None
        Mean cost per prompt to spend, in the unit of the costs, instead of a `cost_weight`. All
        that is above the cost of the model of least error is saved.
    n_validation : int, default=400
        How many of the training prompts at most serve as validation prompts when `fit` gets no
        `X_val`; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of validation prompts and the mixing of models. Which of the two models a
        prompt goes to depends on the prompt and on this seed alone.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added ones.
    costs_ : ndarray of shape (n_models,) or None
        Their mean costs.
    representation_ : ndarray of shape (n_models, 1)
        Their mean errors.
    cluster_sizes_, cluster_shares_ : ndarray of shape (1,)
        Number of training prompts, and 1: all are one cluster.
    error_sums_, error_counts_ : ndarray of shape (n_models, 1)
        Sums and numbers of the observed errors.
    mixing_seed_ : int
        Seed of the mixing.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        The validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Their rows in the training prompts: run a new model on these. None where `fit` got `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        What each of them counts in an average over the traffic; all 1, as they are drawn evenly.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had names of strings only.

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
    2.04
    """

    _always_mixes = True

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

    def _fit_clusters(self, X: np.ndarray, rng: np.random.RandomState) -> None:
        """All prompts are one cluster."""

    @property
    def _n_clusters(self) -> int:
        return 1

    def _phi(self) -> Phi:
        return NearestCluster(np.zeros((1, self.n_features_in_)))

    def _assign(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=np.intp)
