"""Prompt attributes, such as "asks for code", predicted from embeddings."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import ClassifierTags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_uniroute.utils._validation import (
    FLOATS,
    as_numbers,
    check_same_order,
    check_training_prompts,
    listing,
)


class AttributeEncoder(TransformerMixin, BaseEstimator):
    """Replace prompt embeddings by predicted probabilities of prompt attributes.

    Attributes describe the difficulty or the kind of a prompt. A few attributes are coarser than an
    embedding, and remain valid on prompts that are unlike the training prompts of a router. Each
    attribute is predicted from the embedding by its own classifier, which is fitted on annotated
    prompts. The probabilities then replace the embedding in front of any router.

    The annotated prompts need not be the prompts on which models were run. Fit the encoder on them
    first, and put it into the pipeline frozen, as in the example. To fit the encoder within a
    pipeline, whose `y` is correctness, pass the annotations as `attributes`:
    ``pipeline.fit(X, y, attributeencoder__attributes=annotations)``.

    Parameters
    ----------
    estimator : classifier, default=None
        Classifier with `predict_proba`, which is cloned for each attribute. By default,
        :class:`sklearn.linear_model.LogisticRegression`.

    Attributes
    ----------
    estimators_ : list of classifier
        Fitted classifier of each attribute.
    attributes_ : ndarray of shape (n_attributes,)
        Names of the attributes: the columns of a DataFrame, or ``attribute0`` and so on.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if `X` has feature names that are all
        strings.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.4 and eq.
    23.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_uniroute import AttributeEncoder, KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_models=5, random_state=0)
    >>> annotations = data.source[:, None] % [2, 3, 5] == 0
    >>> encoder = AttributeEncoder().fit(data.X[:300], annotations[:300])
    >>> encoder.transform(data.X).shape
    (1000, 3)
    >>> router = make_pipeline(FrozenEstimator(encoder), KMeansRouter(random_state=0))
    >>> router = router.fit(data.X, data.y, kmeansrouter__costs=data.costs)
    """

    __module__ = "sklearn_uniroute"
    __metadata_request__fit = {"attributes": True}  # noqa: RUF012

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, *, attributes: ArrayLike | None = None
    ) -> Self:
        """Fit one classifier per attribute.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like or DataFrame of shape (n_prompts, n_attributes) or (n_prompts,)
            Whether each prompt has each attribute. Each column takes two values; the higher one
            means yes. Ignored if `attributes` is given.
        attributes : array-like or DataFrame of shape (n_prompts, n_attributes), default=None
            Annotations to use instead of `y`, within a pipeline whose `y` is correctness.

        Returns
        -------
        self : object
            Fitted encoder.

        Raises
        ------
        ValueError
            If shapes disagree, or if an attribute does not take two values.
        """
        if attributes is None:
            attributes = y
        check_same_order(X=X, attributes=attributes)
        X = check_training_prompts(self, X, attributes)
        attributes, names = check_attributes(attributes, len(X))
        classifier = LogisticRegression() if self.estimator is None else self.estimator
        self.estimators_ = [clone(classifier).fit(X, column) for column in attributes.T]
        self.attributes_ = names
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Compute the probability of each attribute.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.

        Returns
        -------
        probabilities : ndarray of shape (n_prompts, n_attributes)
            Probability of each attribute on each prompt, in the dtype of `X`.
        """
        check_is_fitted(self)
        prompts: np.ndarray = validate_data(self, as_numbers(X), reset=False, dtype=FLOATS)
        probabilities = [one.predict_proba(prompts)[:, 1] for one in self.estimators_]
        return np.column_stack(probabilities).astype(prompts.dtype, copy=False)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Get the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored: the attributes have names of their own.

        Returns
        -------
        names : ndarray of str
            Names of the attributes.
        """
        check_is_fitted(self)
        return self.attributes_


def check_attributes(attributes: Any, n_prompts: int) -> tuple[np.ndarray, np.ndarray]:
    """Check annotations with two values per column; return them and the names of the attributes."""
    names = getattr(attributes, "columns", None)
    if np.ma.is_masked(attributes):
        raise ValueError("attributes have masked cells; leave these prompts out.")
    attributes = check_array(
        attributes, dtype=None, ensure_2d=False, ensure_min_features=0, input_name="y"
    )
    if attributes.ndim == 1:
        attributes = attributes[:, None]
    n_attributes = attributes.shape[1]
    if n_attributes == 0:
        raise ValueError("attributes have no columns; pass one column per attribute.")
    if names is None:
        names = [f"attribute{number}" for number in range(n_attributes)]
    names = np.asarray(names, dtype=object)
    if len(attributes) != n_prompts:
        raise ValueError(
            f"attributes have {len(attributes)} rows but there are {n_prompts} prompts; pass one "
            "row per prompt."
        )
    for name, column in zip(names, attributes.T, strict=True):
        values = np.unique(column)
        if len(values) != 2:
            raise ValueError(
                f"{name} takes {len(values)} different values ({listing(values, 5)}) with "
                f"n_samples={n_prompts}; expected two, such as 0 and 1. Turn a category into one "
                "attribute per value, and leave out attributes that never vary."
            )
    return attributes, names
