"""Baselines of a comparison: what can be done without a router, or in hindsight."""

import numpy as np

BASELINES = ("random", "cheapest", "best", "oracle")


def baseline_inputs(
    name: str,
    y_val: np.ndarray,
    y_test: np.ndarray,
    costs: np.ndarray,
    model_costs: np.ndarray,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Express a baseline as errors and costs to choose by.

    Parameters
    ----------
    name : str
        "random" chooses by random errors; "cheapest" is the cheapest model for every prompt,
        "best" the one of highest mean quality on the validation prompts; "oracle" knows what each
        call costs and whether it will be right.
    y_val, y_test : ndarray of shape (n_prompts, n_models)
        Quality on validation and test prompts; NaN where a model was not run.
    costs : ndarray of shape (n_models,) or (n_test_prompts, n_models)
        What is paid.
    model_costs : ndarray of shape (n_models,)
        Mean costs.
    rng : RandomState

    Returns
    -------
    error_pred, routing_costs : ndarray of shape (n_test_prompts, n_models)
    """
    routing_costs = np.array(np.broadcast_to(model_costs, y_test.shape))
    if name == "random":
        return rng.uniform(size=y_test.shape), routing_costs
    if name == "oracle":
        paid = np.broadcast_to(costs, y_test.shape)
        # A call that was not made is not made now.
        worst = 1 + np.nanmax(1 - y_test)
        error = np.where(np.isnan(y_test), worst, 1 - y_test)
        return error, np.where(np.isnan(paid), routing_costs, paid)
    quality = np.nanmean(y_val, axis=0)
    # The last key counts first; the other settles ties.
    keys = (model_costs, -quality) if name == "best" else (-quality, model_costs)
    chosen = np.lexsort(keys)[0]
    error = np.tile(np.arange(len(quality)) != chosen, (len(y_test), 1)).astype(float)
    # Of models that cost the same, the one without error is chosen at every cost weight.
    return error, np.ones(y_test.shape)
