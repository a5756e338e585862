"""Every router against scikit-learn's estimator checks and against the router checks."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_uniroute import (
    AttributeEncoder,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    MatrixFactorizationRouter,
    MLPRouter,
    ZeroRouter,
)
from tests.router_checks import CHECKS
from tests.routers import ROUTERS


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
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("router", ROUTERS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_router_checks(router, check, data):
    check(router, data)
