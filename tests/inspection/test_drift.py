import json

import numpy as np
import pandas as pd
import pytest

from sklearn_uniroute import KMeansRouter, LinearRouter
from sklearn_uniroute._numerics._drift import log_evidence_of_change, predict_in_turn
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.inspection import model_drift


@pytest.fixture(scope="module")
def served():
    """A router, and a log of calls that it knows nothing of."""
    data = make_routing_data(n_prompts=4000, n_models=3, random_state=0)
    router = KMeansRouter(random_state=0).fit(data.X[:1000], data.y[:1000], costs=data.costs)
    chosen = np.random.RandomState(0).randint(3, size=3000)
    return router, data.X[1000:], chosen, 1 - data.y[1000:][np.arange(3000), chosen]


def test_models_that_stay_as_they_are_raise_no_alarm(served):
    report = model_drift(*served)
    assert report.drifted == [False] * 3
    assert report.alarm == [None] * 3
    assert report.n_errors == np.bincount(served[2]).tolist()
    assert (np.abs(report.difference) < 3 * np.array(report.std)).all()


@pytest.mark.parametrize("worse", [True, False])
def test_a_change_is_found_soon(served, worse):
    router, X, chosen, errors = served
    errors = errors.copy()
    changed = (chosen == 1) & (np.arange(3000) >= 1500)
    errors[changed] = np.where(
        np.random.RandomState(1).uniform(size=changed.sum()) < 0.5, worse, errors[changed]
    )
    report = model_drift(router, X, chosen, errors)
    assert report.drifted == [False, True, False]
    assert 1500 < report.alarm[1] < 2400
    assert (report.difference[1] > 0) == worse
    json.dumps(report)


def test_differences_and_standard_errors_are_those_of_the_router(served):
    router, X, chosen, errors = served
    report = model_drift(router, X, chosen, errors)
    predicted = router.predict_error(X)
    features = router.transform(X)
    for model in range(3):
        rows = chosen == model
        difference = (errors - predicted[:, model])[rows]
        assert report.difference[model] == pytest.approx(difference.mean())
        known = features[rows].sum(axis=0)
        variance = known @ router._posterior_covariance(model) @ known
        variance += (features[rows] @ router.noise_).sum()
        assert report.std[model] == pytest.approx(np.sqrt(variance) / rows.sum())


def test_predictions_in_turn_are_those_of_a_gaussian():
    rng = np.random.RandomState(0)
    mean, root = rng.normal(size=3), rng.normal(size=(3, 3))
    covariance, noise = root @ root.T, rng.uniform(0.5, 2, size=3)
    features, errors = rng.dirichlet(np.ones(3), size=8), rng.normal(size=8)
    found = predict_in_turn(mean, covariance, noise, features, errors)
    joint = features @ covariance @ features.T + np.diag(features @ noise)
    for row in range(8):
        gain = np.linalg.solve(joint[:row, :row], joint[:row, row])
        expected = features[row] @ mean + gain @ (errors[:row] - features[:row] @ mean)
        assert found[row] == pytest.approx(expected)


def test_evidence_is_the_wealth_of_a_gambler():
    rng = np.random.RandomState(0)
    errors, predicted = rng.uniform(size=6), rng.uniform(0.1, 0.9, size=6)
    found = log_evidence_of_change(errors, predicted)
    odds = predicted / (1 - predicted)
    for n_calls in range(1, 7):
        total = 0.0
        for shift in (-2, -1, -0.5, -0.25, 0.25, 0.5, 1, 2):
            shifted = odds * np.exp(shift) / (1 + odds * np.exp(shift))
            wealth = 1 / (n_calls + 1)
            for start in range(n_calls):
                stake = 1 / ((start + 1) * (start + 2))
                for error, one, other in zip(
                    errors[start:n_calls], shifted[start:], predicted[start:], strict=False
                ):
                    stake *= error * one / other + (1 - error) * (1 - one) / (1 - other)
                wealth += stake
            total += wealth / 8
        assert found[n_calls - 1] == pytest.approx(np.log(total))


@pytest.mark.parametrize("mean", [0.0, 0.0005, 0.02, 0.5, 0.97, 1.0])
def test_false_alarms_are_as_rare_as_stated(mean):
    rng = np.random.RandomState(0)
    errors = (rng.uniform(size=(400, 1500)) < mean).astype(float)
    evidence = [log_evidence_of_change(one, np.full(1500, mean)).max() for one in errors]
    assert np.mean(np.array(evidence) > np.log(20)) <= 0.05 + 2 * np.sqrt(0.05 / 400)


def test_false_alarms_with_a_posterior_are_as_rare_as_stated():
    rng = np.random.RandomState(0)
    mean, covariance = np.array([0.3, 0.6]), np.array([[0.01, 0.004], [0.004, 0.01]])
    features = np.eye(2)[rng.randint(2, size=600)]
    alarms = []
    for _ in range(400):
        errors = rng.uniform(size=600) < features @ rng.multivariate_normal(mean, covariance)
        errors = errors.astype(float)
        predicted = predict_in_turn(mean, covariance, np.array([0.21, 0.24]), features, errors)
        alarms.append(log_evidence_of_change(errors, predicted).max() > np.log(20))
    assert np.mean(alarms) <= 0.05 + 2 * np.sqrt(0.05 / 400)


def test_calls_without_feedback_say_nothing(served):
    router, X, chosen, errors = served
    missing = (np.arange(3000) % 2 == 0) | (chosen == 2)
    kept = model_drift(router, X[~missing], chosen[~missing], errors[~missing])
    found = model_drift(router, X, chosen, np.where(missing, np.nan, errors))
    assert found.models == [0, 1]
    assert {**found, "alarm": None} == {**kept, "alarm": None}


def test_bad_logs_are_refused(served):
    router, X, chosen, errors = served
    with pytest.raises(ValueError, match="not known: 9"):
        model_drift(router, X, chosen + 9, errors)
    with pytest.raises(ValueError, match="between 0 and 1; got 0 to 100"):
        model_drift(router, X, chosen, 100 * errors)
    with pytest.raises(ValueError, match="no call has feedback"):
        model_drift(router, X, chosen, np.full(3000, np.nan))
    rows = [f"r{number}" for number in range(3000)]
    with pytest.raises(ValueError, match="in another order"):
        model_drift(router, X, pd.Series(chosen, index=rows), pd.Series(errors, index=rows[::-1]))
    for alpha in (0, 1, np.nan, "0.1"):
        with pytest.raises(ValueError, match="`alpha` must be"):
            model_drift(router, X, chosen, errors, alpha=alpha)
    with pytest.raises(TypeError, match="a posterior is needed"):
        model_drift(LinearRouter().fit(X[:50], np.ones((50, 2))), X, chosen, errors)
