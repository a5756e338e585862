"""A pool of small classifiers: real models with real errors, in seconds and offline."""

from typing import Any

import numpy as np
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

_N_TRAINING_IMAGES = 400
# Standard deviation of the noise on pixels in [0, 1].
_PIXEL_NOISE = 0.15
_N_SPECIALISTS = 14


def make_classifier_pool(*, random_state: RandomState = 0) -> Bunch:
    """Train classifiers of different size and skill, and record which gets which image right.

    It stands in for a pool of language models where none is at hand: images of handwritten digits
    play the prompts, and classifiers trained on other such images the models. Generalists know
    all ten digits; specialists are small and have seen four or five of them only.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=0
        Seeds the noise on the images, their split, and the training.

    Returns
    -------
    data : Bunch
        With `X` of shape (1397, 64), the noisy pixels; `y` of shape (1397, 25), 1 where the
        classifier is right; `costs` of shape (25,), the number of a classifier's fitted
        parameters, or of its nodes if it is made of trees; `models`, their names; `prompts`,
        None; `source` of shape (1397,), the digit shown; `cost_unit`.

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
