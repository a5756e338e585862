"""Classes of routers, and the router at the end of pipelines and searches."""

from typing import Any

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def final_router(estimator: Any) -> Any:
    """Find the router at the end of pipelines and searches that are not fitted yet."""
    while not hasattr(estimator, "add_model"):
        if isinstance(estimator, Pipeline) and estimator.steps:
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "estimator"):
            estimator = estimator.estimator
        else:
            raise TypeError(
                "the estimator must be a router, or a pipeline or search that ends in one; got "
                f"{estimator!r}."
            )
    return estimator


def last_router(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Find the fitted router at the end of pipelines and searches, and its input for `X`."""
    check_is_fitted(estimator)
    while not hasattr(estimator, "add_model"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            before = estimator[:-1]
            X = before.transform(X) if len(before) else X
            estimator = estimator[-1]
        else:
            raise TypeError(
                "the estimator must be a fitted router, or a pipeline or search (with refit=True) "
                f"that ends in one; got {estimator!r}."
            )
    return estimator, X


def fit_name(estimator: Any, name: str) -> str:
    """Name of a parameter of the router's `fit` as the estimator's `fit` takes it."""
    if get_config()["enable_metadata_routing"]:
        return name
    steps = []
    while not hasattr(estimator, "add_model"):
        if isinstance(estimator, Pipeline):
            step, estimator = estimator.steps[-1]
            steps.append(step)
        else:
            estimator = estimator.estimator
    return "__".join([*steps, name])


def check_overrides(kind: type, base: type) -> None:
    """Refuse a router with a method of its own that tables, scores and comparisons do not call."""
    for name in ("predict", "predict_error", "predict_cost", "decision_function"):
        if getattr(kind, name) is not getattr(base, name):
            raise TypeError(
                f"{kind.__name__} overrides `{name}`, but scores, tables and comparisons would not "
                "use it; override `_represent` and `_estimate` of BaseRouter instead."
            )
    for name, caller in (("_estimate", "_predictor"), ("_represent", "_model_rows")):
        own = getattr(kind, name) is not getattr(base, name)
        if own and getattr(kind, caller) is not getattr(base, caller):
            raise TypeError(
                f"{kind.__name__} overrides `{name}`, but inherits a `{caller}` that does not call "
                f"it; subclass BaseRouter, or override `{caller}`."
            )
