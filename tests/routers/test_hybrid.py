import numpy as np
import pytest

from sklearn_uniroute import HybridRouter, KMeansRouter


def families(n_prompts=3000, n_models=8, seed=0):
    """Errors that are linear in the embedding; the models of one half are right where those of the
    other half are wrong."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n_prompts, 6))
    slope = np.where(np.arange(n_models) % 2, 0.12, -0.12)
    rate = np.clip(0.5 + X[:, :1] * slope, 0.02, 0.98)
    return X, (rng.uniform(size=rate.shape) > rate).astype(float), rate


def test_representations_are_those_of_a_gaussian_regression(data):
    router = HybridRouter(6, n_components=3, n_validation=40, random_state=0)
    router.fit(data.X, data.y[:, :6])
    errors = 1 - data.y[router.validation_indices_, 7]
    router.add_model(errors)
    phi = KMeansRouter(6, random_state=0).fit(data.X, data.y[:, :6])._features(router.X_val_)
    z = (router.X_val_ - data.X.mean(axis=0)) @ router.components_.T
    features = np.hstack([phi, z])
    variance = np.diag(phi @ router.noise_[:6])
    # Conditioning of errors and representation, which are jointly Gaussian.
    cross = features @ router.prior_covariance_
    total = cross @ features.T + variance
    expected = router.prior_mean_ + cross.T @ np.linalg.solve(
        total, errors - features @ router.prior_mean_
    )
    np.testing.assert_allclose(router.representation_[6], expected, atol=1e-8)
    covariance = router.prior_covariance_ - cross.T @ np.linalg.solve(total, cross)
    np.testing.assert_allclose(
        router.representation_std_[6], np.sqrt(np.diagonal(covariance)), atol=1e-8
    )
    _, std = router.predict_error(router.X_val_, [6], return_std=True)
    by_prompt = np.sqrt(np.einsum("nk,kj,nj->n", features, covariance, features))
    np.testing.assert_allclose(std[:, 0], by_prompt, atol=1e-8)


def test_components_are_scaled(data):
    router = HybridRouter(6, random_state=0).fit(100 * data.X, data.y)
    assert router.components_.shape == (5, 5)
    z = (100 * data.X - router.center_) @ router.components_.T
    assert np.mean(np.sum(z**2, axis=1)) == pytest.approx(1, rel=0.01)
    same = HybridRouter(6, random_state=0).fit(data.X, data.y)
    np.testing.assert_allclose(
        router.predict_error(100 * data.X), same.predict_error(data.X), atol=1e-8
    )


def test_without_a_linear_part_it_is_the_kmeans_router(data, monkeypatch):
    monkeypatch.setattr("sklearn_uniroute._numerics._prior._LINEAR_VARIANCES", np.array([1e-12]))
    monkeypatch.setattr("sklearn_uniroute._numerics._prior._COMMON_VARIANCE", 1e-12)
    settings = {"n_clusters": 6, "n_validation": 50, "random_state": 0}
    hybrid = HybridRouter(**settings).fit(data.X, data.y[:, :6])
    plain = KMeansRouter(**settings).fit(data.X, data.y[:, :6])
    np.testing.assert_array_equal(hybrid.validation_indices_, plain.validation_indices_)
    for router in (hybrid, plain):
        router.add_model(1 - data.y[router.validation_indices_, 7])
    np.testing.assert_allclose(hybrid.predict_error(data.X), plain.predict_error(data.X), atol=1e-6)


def test_training_models_are_estimated_within_clusters():
    X, y, rate = families()
    settings = {"n_clusters": 2, "random_state": 0}
    off = [
        np.sqrt(np.mean((router(**settings).fit(X, y).predict_error(X) - rate) ** 2))
        for router in (HybridRouter, KMeansRouter)
    ]
    assert off[0] < 0.5 * off[1]


def test_a_new_model_is_drawn_to_those_it_resembles():
    X, y, rate = families()
    off = {}
    for router in (HybridRouter, KMeansRouter):
        fitted = router(2, n_validation=200, random_state=0).fit(X, y[:, :6])
        for model in (6, 7):
            fitted.add_model(1 - y[fitted.validation_indices_, model])
        error = fitted.predict_error(X, [6, 7])
        off[router] = np.sqrt(np.mean((error - rate[:, 6:]) ** 2))
    assert off[HybridRouter] < 0.85 * off[KMeansRouter]


def test_prompts_that_are_all_alike(data):
    X = np.ones((50, 3))
    router = HybridRouter(1).fit(X, data.y[:50])
    np.testing.assert_allclose(
        router.predict_error(X).mean(axis=0), 1 - data.y[:50].mean(axis=0), atol=0.05
    )


@pytest.mark.parametrize("n_components", [0, 2.5])
def test_bad_parameters(data, n_components):
    with pytest.raises((ValueError, TypeError), match="n_components"):
        HybridRouter(n_components=n_components).fit(data.X, data.y)


def test_one_prompt_is_not_enough(data):
    with pytest.raises(ValueError, match="at least 2 training prompts"):
        HybridRouter(1).fit(data.X[:1], data.y[:1])
