import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.base import clone

import sklearn_uniroute.routers._torch as training
from sklearn_uniroute import LearnedMapRouter, MLPRouter, ZeroRouter
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.routers._mlp import _worth
from tests.test_import import BLOCKED


@pytest.fixture
def router(device):
    return MLPRouter((16, 8), max_epochs=6, n_validation=60, device=device, random_state=0)


@pytest.fixture
def epochs(monkeypatch):
    """Weights before the first epoch and after each, beside what `KeepBest` made of them."""
    seen = []
    plain = training.KeepBest.judge_weights

    def watched(self, net):
        plain(self, net)
        outputs = net.forward(self.held_out).numpy()
        weights = {name: value.clone() for name, value in net.module_.state_dict().items()}
        seen.append((self.judge(outputs), weights))

    monkeypatch.setattr(training.KeepBest, "judge_weights", watched)
    return seen


@pytest.mark.parametrize("quality", ["rate", "score"])
def test_the_best_epoch_is_kept_and_exported_as_torch_computes_it(router, data, epochs, quality):
    y = data.y if quality == "rate" else 10 * data.y - 3
    X = data.X * 30 + 5
    router.set_params(learning_rate=0.05, max_epochs=15).fit(X, y, costs=data.costs)
    worth, weights = max(epochs, key=lambda epoch: epoch[0])
    assert len(epochs) == 1 + 15
    if quality == "rate":
        assert worth > epochs[-1][0]
    module = training.OutputPerModel(5, (16, 8), 8)
    module.load_state_dict(weights)
    standardised = torch.tensor(((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32))
    with torch.no_grad():
        outputs = module(standardised).numpy()
    errors = 1 - y
    expected = expit(outputs) if quality == "rate" else errors.mean() + errors.std() * outputs
    for dtype in (np.float32, np.float64):
        np.testing.assert_allclose(router.predict_error(X.astype(dtype)), expected, atol=2e-5)


def test_epochs_are_judged_by_differences_between_models_on_prompts_held_out(router, data, epochs):
    router.fit(data.X, data.y, costs=data.costs)
    held_out = np.random.RandomState(router._training_seed).permutation(len(data.X))[:40]
    worth, _ = max(epochs, key=lambda epoch: epoch[0])
    missed = router.predict_error(data.X[held_out]) - (1 - data.y[held_out])
    pairs = missed[:, :, None] - missed[:, None]
    # The sum of the squares of all differences between n numbers is 2 n^2 times their variance.
    assert worth == pytest.approx(-(pairs**2).sum() / (2 * 8), rel=1e-4)


@pytest.mark.parametrize("unit", [1, 50], ids=["right or wrong", "scores"])
def test_without_a_signal_it_is_a_zero_router(router, unit):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 300))
    y = unit * (rng.uniform(size=(200, 4)) < [0.2, 0.4, 0.6, 0.8])
    error = router.set_params(max_epochs=20).fit(X, y.astype(float)).predict_error(X)
    # All prompts are predicted nearly alike, by the mean error of those that were not held out.
    assert np.ptp(error, axis=0).max() < 0.01 * unit
    training_set = np.random.RandomState(router._training_seed).permutation(200)[20:]
    means = 1 - y[training_set].mean(axis=0)
    np.testing.assert_allclose(error[0], means, atol=0.01 * unit)


def test_losses_by_hand():
    outputs = np.array([[0.3, -2.0], [0.1, 0.2]])
    # A weight of 3, then of 1, and one error that is not known.
    errors = np.array([[1.0, np.nan, 3.0], [0.0, 0.0, 1.0]])
    squares = 3 * 0.7**2 + 0.1**2 + 0.2**2
    logs = -3 * np.log(expit(0.3)) - np.log(expit(-0.1)) - np.log(expit(-0.2))
    for squared, expected in ((True, squares / 3), (False, logs / 3)):
        loss = training.OutputLoss(squared)(torch.tensor(outputs), torch.tensor(errors))
        assert float(loss) == pytest.approx(expected)


def test_an_added_model_has_a_network_of_its_own(router, data):
    router.fit(data.X, data.y[:, :6], costs=data.costs[:6])
    before = router.predict_error(data.X)
    errors = 1 - data.y[router.validation_indices_, 7]
    router.add_model(errors, cost=1.0)
    np.testing.assert_array_equal(router.predict_error(data.X)[:, :6], before)
    assert router._evidence["networks"][0] is router._evidence["networks"][5]
    assert router._evidence["networks"][6] is not router._evidence["networks"][0]
    alone = clone(router).fit(router.X_val_, 1 - errors[:, None])
    # Another order of the prompts, so another network; much the same errors.
    off = alone.predict_error(data.X)[:, 0] - router.predict_error(data.X, [6])[:, 0]
    assert 0 < np.sqrt(np.mean(off**2)) < 0.2


def test_further_evidence_on_a_training_model_counts(router, data):
    router.fit(data.X[:200], data.y[:200], costs=data.costs)
    others = router.predict_error(data.X)[:, 1:]
    router.update_model(0, np.ones(200), X_val=data.X[200:])
    assert len(router._evidence["prompts"][0]) == 400
    np.testing.assert_array_equal(router.predict_error(data.X)[:, 1:], others)
    assert router.predict_error(data.X, [0])[200:].mean() > 1 - data.y[200:, 0].mean()


def test_cells_that_were_not_run_do_not_count(router, data):
    y = data.y.copy()
    gap = np.random.RandomState(0).uniform(size=y.shape) < 0.4
    y[gap] = np.nan
    # Rows without any label are as if they were not there.
    y[::5] = np.nan
    router.set_params(max_epochs=30).fit(data.X, y, costs=data.costs)
    error = router.predict_error(data.X)
    rate = 1 - np.nanmean(y, axis=0)
    assert np.abs(error.mean(axis=0) - rate).mean() < 0.1
    # What was wrong or right in the cells left out would have shown.
    filled = clone(router).fit(data.X, np.where(np.isnan(y), 0.0, y), costs=data.costs)
    assert np.all(filled.predict_error(data.X).mean(axis=0) > error.mean(axis=0) + 0.1)


def test_a_quality_that_never_varies_is_predicted_as_it_is(router, data):
    router.fit(data.X, np.full((400, 2), 3.3, dtype=np.float32))
    np.testing.assert_allclose(router.predict_error(data.X), -2.3, atol=1e-6)
    router.add_model(np.full(60, 7.0))
    np.testing.assert_allclose(router.predict_error(data.X, [2]), 7, atol=1e-6)


def test_scores_that_were_not_given_do_not_count(router, data):
    y = 50 * data.y
    y[np.random.RandomState(0).uniform(size=y.shape) < 0.4] = np.nan
    error = router.set_params(max_epochs=30).fit(data.X, y, costs=data.costs).predict_error(data.X)
    assert np.abs(error.mean(axis=0) - (1 - np.nanmean(y, axis=0))).mean() < 5


def test_training_stays_reproducible_beside_other_users_of_torch(router, data):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = router.fit(data.X, data.y).predict_error(data.X)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    np.testing.assert_array_equal(clone(router).fit(data.X, data.y).predict_error(data.X), first)


@pytest.mark.parametrize("n_prompts", [1, 2, 9])
def test_very_few_prompts(router, data, n_prompts):
    router.fit(data.X, data.y[:, :3])
    router.add_model(1 - data.y[:n_prompts, 5], X_val=data.X[:n_prompts])
    assert np.isfinite(router.predict_error(data.X, [3])).all()


def test_a_pickle_predicts_without_torch(router, data, tmp_path):
    router.fit(data.X, data.y, costs=data.costs)
    joblib.dump((router, data.X, router.predict_error(data.X)), tmp_path / "router")
    code = f"""
{BLOCKED.format(missing={"torch", "skorch"})}
import joblib, numpy
router, X, expected = joblib.load({str(tmp_path / "router")!r})
numpy.testing.assert_allclose(router.predict_error(X), expected, atol=1e-6)
print(router.predict(X[:1]).shape)
router.add_model(numpy.ones(60), cost=1.0)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "(1,)\n", result.stderr
    assert 'pip install "sklearn_uniroute[torch]" brings it' in result.stderr


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"hidden_layer_sizes": 100}, TypeError, "hidden_layer_sizes"),
        ({"max_epochs": 0}, ValueError, "max_epochs"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"loss": "hinge"}, ValueError, "loss"),
        ({"device": "abacus"}, ValueError, "device"),
        ({"learning_rate": 1e30}, ValueError, "training the network diverged"),
    ],
)
def test_bad_parameters(router, data, parameters, error, message):
    with pytest.raises(error, match=message):
        router.set_params(**parameters).fit(data.X, data.y)


@pytest.mark.filterwarnings("ignore:the errors of model")
def test_log_loss_needs_rates(router, data):
    router.set_params(loss="log_loss").fit(data.X, data.y)
    with pytest.raises(ValueError, match="log_loss"):
        router.add_model(np.full(60, 2.0))
    assert len(router.models_) == 8


def test_a_model_is_added_by_the_layers_that_were_fitted(router, data):
    router.fit(data.X, data.y[:, :7], costs=data.costs[:7])
    errors = 1 - data.y[router.validation_indices_, 7]
    expected = clone(router).fit(data.X, data.y[:, :7], costs=data.costs[:7])
    expected.add_model(errors, cost=1.0)
    router.set_params(hidden_layer_sizes=(4,)).add_model(errors, cost=1.0)
    np.testing.assert_array_equal(router.predict_error(data.X), expected.predict_error(data.X))


@pytest.mark.parametrize("scale", [1, 0.1, 0.01, 1e-4])
def test_small_qualities_are_learned_as_well(scale):
    """Trained by log odds, qualities up to .01 scored below a ZeroRouter."""
    data = make_routing_data(n_prompts=700, n_models=4, random_state=0)
    a, b = slice(0, 400), slice(400, 700)
    scores = [
        router.fit(data.X[a], scale * data.y[a], costs=data.costs).score(
            data.X[b], scale * data.y[b]
        )
        / scale
        for router in (MLPRouter(random_state=0), ZeroRouter(random_state=0))
    ]
    assert scores[0] > scores[1] + 0.05


def test_epochs_are_judged_on_the_scale_of_the_errors():
    """Log odds exaggerate differences between errors near 0 and 1."""
    errors = np.array([[1.0, 0.0], [0.0, 0.0]])
    outputs = np.array([[8.0, 4.0], [-4.0, -8.0]])
    predicted = 1 / (1 + np.exp(-outputs))
    own = np.diff(predicted - errors, axis=1)
    weights = np.array([1.0, 3.0])
    expected = -(weights @ own**2).sum() / 2
    assert _worth(outputs, errors, weights, squared=False) == pytest.approx(expected)


@pytest.mark.parametrize("router", [MLPRouter(max_epochs=1), LearnedMapRouter(3)], ids=str)
def test_extreme_features_are_refused(data, router):
    for scale, dtype, message in (
        (1e-160, np.float64, "squares underflow in float64"),
        (1e-40, np.float64, "vary by at most .* cannot tell apart"),
        (1e40, np.float64, "vary by at most"),
        (1e160, np.float64, "squares overflow in float64"),
        (1e20, np.float32, "row 0 of `X` is so large that its squares overflow in float32"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(router).fit((scale * data.X).astype(dtype), data.y)
