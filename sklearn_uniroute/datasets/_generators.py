"""Synthetic routing data."""

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch, check_random_state

from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_count

_N_TRAINING_IMAGES = 400
# Standard deviation of the noise on pixels in [0, 1].
_PIXEL_NOISE = 0.15
_N_SPECIALISTS = 14


def make_routing_data(
    n_prompts: int = 1000,
    n_models: int = 10,
    *,
    n_features: int = 16,
    n_clusters: int = 8,
    random_state: RandomState = None,
) -> Bunch:
    """Generate prompts from latent clusters, and models that differ in cost and skill.

    The probability that a model is right on a prompt is the logistic function of
    ``skill - difficulty + strength``: the skill of the model, the difficulty of the cluster of the
    prompt, and the strength of the model in that cluster. Models with more skill cost more.

    Parameters
    ----------
    n_prompts : int, default=1000
        Number of prompts.
    n_models : int, default=10
        Number of models.
    n_features : int, default=16
        Number of features of the embeddings.
    n_clusters : int, default=8
        Number of latent clusters.
    random_state : int, RandomState instance or None, default=None
        Seed for the random draws.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `X` of shape (n_prompts, n_features): prompt embeddings.
        - `y` of shape (n_prompts, n_models): 1 where the model is right, and 0 where it is wrong.
        - `costs` of shape (n_models,): cost of each model per prompt, rising from 1 to 100.
        - `models` of shape (n_models,): names of the models.
        - `prompts`: None, since the prompts have no texts.
        - `source` of shape (n_prompts,): latent cluster of each prompt.
        - `error_rates` of shape (n_clusters, n_models): probability that each model is wrong on a
          prompt of each cluster.
        - `cost_unit`: unit of the costs, "units".

    Raises
    ------
    ValueError
        If the number of prompts, models, features or clusters is below 1.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=200, n_models=3, random_state=0)
    >>> data.X.shape, data.y.shape, data.costs
    ((200, 16), (200, 3), array([  1.,  10., 100.]))
    """
    for name, value in (
        ("n_prompts", n_prompts),
        ("n_models", n_models),
        ("n_features", n_features),
        ("n_clusters", n_clusters),
    ):
        check_count(value, name)
    rng = check_random_state(random_state)
    centers = rng.normal(size=(n_clusters, n_features))
    cluster = rng.randint(n_clusters, size=n_prompts)
    X = centers[cluster] + 0.3 * rng.normal(size=(n_prompts, n_features))
    skill = np.linspace(0, 3, n_models)
    difficulty = rng.normal(size=(n_clusters, 1))
    strength = rng.normal(scale=1.5, size=(n_clusters, n_models))
    error_rates = expit(difficulty - skill - strength)
    y = (rng.uniform(size=(n_prompts, n_models)) >= error_rates[cluster]).astype(np.float64)
    return Bunch(
        X=X,
        y=y,
        costs=np.geomspace(1, 100, n_models),
        models=np.array([f"model-{number}" for number in range(n_models)]),
        prompts=None,
        source=cluster,
        error_rates=error_rates,
        cost_unit="units",
    )


def make_classifier_pool(*, random_state: RandomState = 0) -> Bunch:
    """Train classifiers of different size and skill, and record their correctness on images.

    The classifiers stand in for a pool of language models. The prompts are images of handwritten
    digits, and the classifiers are trained on other such images. Generalists know all ten digits;
    specialists are small and are trained on only four or five digits.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=0
        Seed for the noise on the images, their split, and the training.

    Returns
    -------
    data : Bunch
        Data with the attributes

        - `X` of shape (1397, 64): noisy pixels of the images.
        - `y` of shape (1397, 25): 1 where the classifier is right, and 0 where it is wrong.
        - `costs` of shape (25,): number of fitted parameters of each classifier, or number of nodes
          if it consists of trees.
        - `models` of shape (25,): names of the classifiers.
        - `prompts`: None, since the images have no texts.
        - `source` of shape (1397,): digit on each image.
        - `cost_unit`: unit of the costs, "fitted parameters".

    Examples
    --------
    >>> from sklearn_uniroute.datasets import make_classifier_pool
    >>> data = make_classifier_pool()
    >>> data.X.shape, data.y.shape, data.costs.shape
    ((1397, 64), (1397, 25), (25,))
    """
    rng = check_random_state(random_state)
    X, digit = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    X = X[order] / 16 + rng.normal(scale=_PIXEL_NOISE, size=X.shape)
    digit = digit[order]
    seen, new = slice(None, _N_TRAINING_IMAGES), slice(_N_TRAINING_IMAGES, None)
    models = {
        name: (classifier, np.arange(10))
        for name, classifier in _generalists(rng.randint(2**31)).items()
    }
    for number in range(_N_SPECIALISTS):
        digits = np.sort(rng.choice(10, size=4 + number % 2, replace=False))
        models[f"only-{''.join(map(str, digits))}"] = (_projected(4, LogisticRegression()), digits)
    right, costs = [], []
    for classifier, digits in models.values():
        known = np.isin(digit[seen], digits)
        classifier.fit(X[seen][known], digit[seen][known])
        right.append(classifier.predict(X[new]) == digit[new])
        costs.append(_size(classifier))
    return Bunch(
        X=X[new],
        y=np.column_stack(right).astype(np.float64),
        costs=np.array(costs, dtype=np.float64),
        models=np.array(list(models)),
        prompts=None,
        source=digit[new].astype(str),
        cost_unit="fitted parameters",
    )


def _generalists(seed: int) -> dict[str, Any]:
    return {
        **{
            f"logistic-pca{size}": _projected(size, LogisticRegression(max_iter=500))
            for size in (4, 8, 16, 32)
        },
        "bayes": GaussianNB(var_smoothing=0.05),
        "bayes-pca8": _projected(8, GaussianNB()),
        "tree-48": DecisionTreeClassifier(max_leaf_nodes=48, random_state=seed),
        "forest-10": RandomForestClassifier(10, max_leaf_nodes=60, random_state=seed),
        **{
            f"mlp-{size}": MLPClassifier(
                (size,), learning_rate_init=0.01, max_iter=500, tol=1e-3, random_state=seed
            )
            for size in (8, 16, 24)
        },
    }


def _projected(n_components: int, classifier: Any) -> Any:
    return make_pipeline(PCA(n_components, svd_solver="full"), classifier)


def _size(classifier: Any) -> int:
    """Count the fitted parameters, or the nodes of trees."""
    if hasattr(classifier, "steps"):
        return sum(_size(step) for _, step in classifier.steps)
    if hasattr(classifier, "estimators_"):
        return sum(_size(tree) for tree in classifier.estimators_)
    if hasattr(classifier, "tree_"):
        return int(classifier.tree_.node_count)
    if hasattr(classifier, "coefs_"):
        return sum(array.size for array in (*classifier.coefs_, *classifier.intercepts_))
    names = ("mean_", "components_", "coef_", "intercept_", "theta_", "var_", "class_prior_")
    return sum(getattr(classifier, name).size for name in names if hasattr(classifier, name))
