"""Every router against scikit-learn's estimator checks and against the router checks."""

import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_uniroute import (
    AttributeEncoder,
    EnsembleRouter,
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    MatrixFactorizationRouter,
    MLPRouter,
    ZeroRouter,
)
from sklearn_uniroute.metrics import deferral_curve
from sklearn_uniroute.utils._router_checks import grown, router_checks, routing_data
from tests.all_routers import ROUTERS


def expected_failures(estimator):
    """Random draws differ between rows with weights and rows that are repeated."""
    drawing = (EnsembleRouter, FeatureMapRouter, HybridRouter, KMeansRouter, LearnedMapRouter)
    drawing += (KNeighborsRouter, MLPRouter)
    if isinstance(estimator, drawing):
        return {"check_sample_weight_equivalence_on_dense_data": "draws rows at random"}
    return {}


@parametrize_with_checks(
    [
        AttributeEncoder(),
        ZeroRouter(),
        KMeansRouter(),
        LearnedMapRouter(),
        KNeighborsRouter(),
        HybridRouter(),
        LinearRouter(),
        MatrixFactorizationRouter(),
        MLPRouter(),
        FeatureMapRouter(Nystroem(n_components=5, random_state=0)),
        EnsembleRouter([("zero", ZeroRouter()), ("kmeans", KMeansRouter())]),
    ],
    expected_failed_checks=expected_failures,
)
# Checks of transformers pass a `y` of one dimension to all of them.
@pytest.mark.filterwarnings("ignore:`y` has one dimension:sklearn.exceptions.DataConversionWarning")
def test_estimator_checks(estimator, check):
    check(estimator)


# The training models share a network.
EXPECTED_FAILURES = {"check_missing_training_labels_are_left_out"}


@pytest.mark.parametrize("router", ROUTERS, ids=str)
@pytest.mark.parametrize("check", router_checks(), ids=lambda check: check.__name__)
def test_router_checks(router, check):
    if isinstance(router, MLPRouter) and check.__name__ in EXPECTED_FAILURES:
        with pytest.raises(AssertionError):
            check(router, routing_data())
    else:
        check(router, routing_data())


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_points_of_the_curve_are_where_the_router_works(router, data):
    router = grown(router, data)
    cost, _, cost_weight = deferral_curve(data.y, router.predict_error(data.X), router.costs_)
    for number in range(0, len(cost), 7):
        chosen = router.predict(data.X, cost_weight=cost_weight[number])
        assert router.costs_[chosen].mean() == pytest.approx(cost[number])
