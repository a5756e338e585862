"""All routers with their defaults, and regressors of scikit-learn, on static pools of real files.

Run as ``python -m benchmarks.static_pool [TRIALS]``. All models are known on all training prompts.
Each method predicts the errors of all models on the test prompts. For each file, it prints the area
under the deferral curve and its paired difference to ZeroRouter, both with standard errors; the
highest quality less that of the best single model; the quality-neutral cost, relative to the cost
of that model, and the share of the splits in which it is reached; and the time to fit and predict.
Then it prints the paired difference of the best preset to the best of the other tools.

Logistic regressions, boosted trees and Gaussian processes take minutes on large files. They are run
in the first of so many trials as ``--slow`` says, and are compared on these splits.
"""

from time import perf_counter

import numpy as np
from scipy.stats import sem
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

from benchmarks._runner import Split, arguments, paired, real_data, run_trials
from sklearn_uniroute import (
    EnsembleRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    MatrixFactorizationRouter,
    MLPRouter,
    ZeroRouter,
)
from sklearn_uniroute.metrics import (
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)

ZERO, PRESET = "ZeroRouter", "preset of docs/choosing"
# Number of prompts for a Gaussian process, whose time grows with their cube.
GP_PROMPTS = 1500


def preset():
    return EnsembleRouter(
        [
            ("clusters", KMeansRouter()),
            ("neighbors", KNeighborsRouter()),
            ("linear", LinearRouter()),
            ("factors", MatrixFactorizationRouter()),
        ]
    )


ROUTERS = {
    ZERO: ZeroRouter,
    "KMeansRouter": KMeansRouter,
    "HybridRouter": HybridRouter,
    "LearnedMapRouter": lambda: LearnedMapRouter(net_params={"device": "cpu"}),
    "KNeighborsRouter": KNeighborsRouter,
    "LinearRouter": LinearRouter,
    "MatrixFactorizationRouter": MatrixFactorizationRouter,
    "MLPRouter": lambda: MLPRouter(device="cpu"),
    PRESET: preset,
}


def nearest(seed):
    numbers = [5, 10, 20, 50, 100, 200]
    return GridSearchCV(KNeighborsRegressor(), {"n_neighbors": numbers}, cv=5)


def process(seed):
    kernel = RBF() + WhiteKernel()
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)


# Estimators that fit all models at once, and those that fit one.
TOGETHER = {
    "RidgeCV": lambda seed: RidgeCV(alphas=np.logspace(-2, 4, 13)),
    "KNeighbors, k by cross-validation": nearest,
    "RandomForest": lambda seed: RandomForestRegressor(
        min_samples_leaf=5, max_features="sqrt", random_state=seed
    ),
    "MLPRegressor": lambda seed: MLPRegressor(early_stopping=True, random_state=seed),
    "GaussianProcess, 1500 prompts": process,
}
ONE_BY_ONE = {
    "LogisticRegressionCV": lambda seed: LogisticRegressionCV(
        Cs=np.logspace(-3, 1, 7),
        cv=3,
        max_iter=300,
        l1_ratios=(0,),
        scoring="neg_log_loss",
        use_legacy_attributes=False,
    ),
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(
        max_iter=60, early_stopping=True, random_state=seed
    ),
}
SLOW = ("GaussianProcess, 1500 prompts", *ONE_BY_ONE)
PEERS = (*TOGETHER, *ONE_BY_ONE)


def fitted_together(name, X, errors, X_test, seed):
    """Predict the errors of all models; where a model was not run, its mean error stands in."""
    errors = np.where(np.isnan(errors), np.nanmean(errors, axis=0), errors)
    if name in SLOW:
        drawn = np.random.RandomState(seed).permutation(len(X))[:GP_PROMPTS]
        X, errors = X[drawn], errors[drawn]
    return TOGETHER[name](seed).fit(X, errors).predict(X_test)


def fitted_one_by_one(name, X, errors, X_test, seed):
    predicted = np.empty((len(X_test), errors.shape[1]))
    for model, column in enumerate(errors.T):
        run = ~np.isnan(column)
        estimator = ONE_BY_ONE[name](seed)
        if name == "LogisticRegressionCV":
            # A graded error counts as one answer of each kind, by its share.
            labels = np.repeat([0, 1], run.sum())
            weight = np.append(1 - column[run], column[run])
            if min(weight[labels == 0].sum(), weight[labels == 1].sum()) < 3:
                predicted[:, model] = column[run].mean()
                continue
            kept = weight > 0
            estimator.fit(np.tile(X[run], (2, 1))[kept], labels[kept], sample_weight=weight[kept])
            predicted[:, model] = estimator.predict_proba(X_test)[:, 1]
        else:
            predicted[:, model] = estimator.fit(X[run], column[run]).predict(X_test)
    return predicted


def predictions(name, split, seed):
    """Predicted errors on the test prompts."""
    X, X_test = split.X.astype(np.float64), split.X_test.astype(np.float64)
    if name in ROUTERS:
        router = ROUTERS[name]().set_params(random_state=seed)
        return router.fit(X, split.y, costs=split.model_costs).predict_error(X_test)
    fit = fitted_together if name in TOGETHER else fitted_one_by_one
    return fit(name, X, 1 - split.y, X_test, seed)


def trial(data, n_slow, seed):
    """Scores of each method: area, peak less best model, QNC, and seconds."""
    split = Split(data, seed, 1)
    models = np.arange(data.y.shape[1])
    y, costs = data.y[split.test], split.costs(split.test, models)
    scores = {}
    for name in (*ROUTERS, *PEERS):
        if name in SLOW and seed >= n_slow:
            continue
        start = perf_counter()
        error = predictions(name, split, seed)
        seconds = perf_counter() - start
        curve = y, error, costs
        known = {"routing_costs": split.model_costs}
        scores[name] = (
            deferral_area_score(*curve, **known),
            peak_quality_score(*curve, **known) - np.nanmean(y, axis=0).max(),
            quality_neutral_cost(*curve, **known),
            seconds,
        )
    return scores


def report(name, results):
    print(f"\n{name}, {len(results)} splits")
    print(f"{'':<34}  area ± error   less ZeroRouter      peak     QNC reached     seconds")
    for method in results[0]:
        both = [one for one in results if method in one]
        area, peak, qnc, seconds = np.array([one[method] for one in both]).T
        gain, error = paired(area, np.array([one[ZERO][0] for one in both]))
        reached = np.isfinite(qnc)
        neutral = f"{np.median(qnc[reached]):.2f}" if reached.any() else "none"
        print(
            f"{method:<34} {area.mean():.4f} ± {sem(area):.4f}  {gain:+.4f} ± {error:.4f}  "
            f"{peak.mean():+.4f}  {neutral:>6}  {reached.mean():>4.0%}  {np.median(seconds):>9.2f}"
        )
    best = max(
        (method for method in PEERS if method in results[0]),
        key=lambda method: np.mean([one[method][0] for one in results if method in one]),
    )
    both = [one for one in results if best in one]
    areas = (np.array([one[method][0] for one in both]) for method in (PRESET, best))
    gain, error = paired(*areas)
    print(f"preset less {best}, the best other tool: {gain:+.4f} ± {error:.4f}")


def main():
    slow = {"type": int, "default": 5, "help": "trials of slow tools; 5 by default"}
    args = arguments(__doc__, trials=20, slow=slow)
    for name, data, _ in real_data():
        report(name, run_trials(trial, range(args.trials), data, args.slow))


if __name__ == "__main__":
    main()
