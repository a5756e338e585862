"""Comparison of routers on models they have not seen, over repeated random splits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits

from sklearn_uniroute.metrics._curve import (
    check_curve_inputs,
    curve_points,
    is_wide,
    model_means,
)
from sklearn_uniroute.metrics._plot import DeferralCurveDisplay
from sklearn_uniroute.metrics._scores import (
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)
from sklearn_uniroute.model_selection._estimators import (
    add_unseen,
    cells,
    checked_cards,
    fit_on_models,
    labelled_data,
    set_router_params,
    uses_cards,
)
from sklearn_uniroute.model_selection._split import (
    TRAIN_SIZE,
    DynamicPoolSplit,
    PoolFold,
    split_seeds,
)
from sklearn_uniroute.utils._estimators import final_router, last_router
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._statistics import (
    holm,
    mean_interval,
    t_test,
)
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_share,
    listing,
    repeated,
)

BASELINES = ("random", "cheapest", "best", "oracle")
# Number of costs at which curves are averaged over trials.
_GRID_SIZE = 300
# Coverage of intervals of gains, after adjustment.
_CONFIDENCE = 0.95
_METRICS = (deferral_area_score, quality_neutral_cost, peak_quality_score)


@dataclass(frozen=True)
class RouterComparison:
    """Scores of routers over trials, and their statistics.

    Made by :func:`sklearn_uniroute.model_selection.compare_routers`. It prints as a table if pandas
    is installed.

    Attributes
    ----------
    routers : list of str
        Names of the routers, then of the baselines.
    baselines : list of str
        Names of the baselines.
    area, qnc, peak : ndarray of shape (n_trials, n_routers)
        Area under the deferral curve, quality-neutral cost, and highest quality on the curve, of
        the unseen models on the test prompts. The area of a single model is NaN.
    curves : ndarray of shape (n_trials, n_routers, n_costs)
        Average qualities at the costs `grid`; NaN where no unseen model is as cheap.
    grid : ndarray of shape (n_costs,)
        Costs at which the curves are known.
    splits : list of PoolFold
        Positions of prompts and models in each trial.
    model_cost, model_quality : ndarray of shape (n_models,)
        Mean cost and quality of each model over all prompts.
    """

    __module__ = "sklearn_uniroute.model_selection"

    routers: list[str]
    baselines: list[str]
    area: np.ndarray
    qnc: np.ndarray
    peak: np.ndarray
    curves: np.ndarray
    grid: np.ndarray
    splits: list[PoolFold]
    model_cost: np.ndarray
    model_quality: np.ndarray

    def __repr__(self) -> str:
        try:
            text: str = self._table().to_string(index=False, justify="right")
        except ImportError:
            return f"<RouterComparison of {listing(self.routers)}, {len(self.area)} trials>"
        return "\n".join(line.rstrip() for line in text.splitlines())

    def _repr_html_(self) -> str:
        try:
            html: str = self._table().to_html(index=False)
        except ImportError:
            return ""
        return html

    def to_frame(self) -> Any:
        """Convert the statistics to a DataFrame.

        Returns
        -------
        frame : DataFrame
            One row per router:

            - `area`, `peak_quality`, `cost_saved` and `qnc` (over the trials that reach it), each
              with half the width of its 95 % Student t interval in `..._half_width`;
            - `qnc_reached`, the share of the trials that reach it;
            - `gain`, the area minus that of the first router in the same trial;
            - `p_value` of Student's t test of the gain, and `p_holm`, adjusted by Holm's method for
              the number of routers that are compared to the first. Baselines are not counted, and
              have no `p_holm`;
            - `gain_low` and `gain_high`, the ends of the Student t interval of the gain. Its
              coverage is 95 % after the same adjustment, so it excludes 0 if `p_holm` is below .05.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", "pandas")
        rows = {}
        for record in summarise(self):
            row: dict[str, object] = {}
            for score, value in record.items():
                ends = ("", "_low", "_high") if score == "gain" else ("", "_half_width")
                if isinstance(value, tuple):
                    row |= {score + end: part for end, part in zip(ends, value, strict=True)}
                elif score != "router":
                    row[score] = value
            rows[record["router"]] = row
        return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("router")

    def _table(self) -> Any:
        """Format the statistics as a DataFrame of texts."""
        pandas = import_optional("pandas", "pandas")
        width = max(map(len, ["router", *self.routers]))
        rows = [
            {
                "router": f"{record['router']:<{width}}",
                "area": _cell(*record["area"]),
                "gain": _gain(*record["gain"]) if number else "-",
                "p": "-" if np.isnan(record["p_holm"]) else f"{record['p_holm']:.3f}",
                "QNC": _cell(*record["qnc"]),
                "reached": f"{record['qnc_reached']:.0%}",
                "peak": _cell(*record["peak_quality"]),
                "saved": _cell(*record["cost_saved"], percent=True),
            }
            for number, record in enumerate(summarise(self))
        ]
        return pandas.DataFrame(rows).rename(columns={"router": f"{'router':<{width}}"})

    def plot(self, ax: Any = None, *, confidence: float = 0.95) -> list[DeferralCurveDisplay]:
        """Draw the mean deferral curves with pointwise intervals, and the single models.

        A curve covers the costs at which every trial has a model that costs no more, and averages
        over all trials. Single models are drawn with their means over all prompts; the test prompts
        of the trials may be easier or harder, so models may lie off the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new ones.
        confidence : float, default=0.95
            Coverage of the Student t intervals over trials; 0 draws none.

        Returns
        -------
        displays : list of DeferralCurveDisplay
            One display for each router.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_share(confidence, "confidence")
        models = {"model_cost": self.model_cost, "model_quality": self.model_quality}
        displays = []
        for number, name in enumerate(self.routers):
            curves = self.curves[:, number]
            # A trial that enters with its cheapest model would make the mean drop.
            shown = np.isfinite(curves).all(axis=0)
            mean, half = mean_interval(curves[:, shown], confidence)
            extras = {} if number else models
            if confidence > 0:
                extras = {"quality_low": mean - half, "quality_high": mean + half, **extras}
            display = DeferralCurveDisplay(self.grid[shown], mean, name=name, **extras)
            displays.append(display.plot(ax))
            ax = display.ax_
        return displays


def compare_routers(
    estimators: Any,
    X: Any,
    y: ArrayLike | None = None,
    costs: Costs | None = None,
    *,
    model_features: ArrayLike | str | None = None,
    n_trials: int = 20,
    n_validation: int | None = None,
    model_share: float = 2 / 3,
    baselines: Sequence[str] = (),
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> RouterComparison:
    """Compare routers on models they have not seen, over repeated random splits.

    Each trial splits the models into training and unseen models, and the prompts, 60 : 10 : 30,
    into training, validation and test prompts. A router is fitted on the training models and
    prompts, takes in each unseen model from the validation prompts, and is scored on the test
    prompts and the unseen models alone. All routers share the splits.

    Parameters
    ----------
    estimators : dict of str to estimator, or estimator
        Unfitted routers, or pipelines and searches that end in a router, by name. The others are
        compared to the first.
    X : array-like of shape (n_prompts, n_features), sequence of length n_prompts, or mapping
        Prompts, in the form that the estimators take. Or a mapping with `X`, `y` and `costs`, such
        as the functions of :mod:`sklearn_uniroute.datasets` return; `y` and `costs` are then left
        out.
    y : array-like or DataFrame of shape (n_prompts, n_models), default=None
        Quality of each model on each prompt; NaN where a model was not run. The routers know the
        models by number, also if the columns of a DataFrame name them.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Cost of each model, or of each call.
    model_features : array-like or DataFrame of shape (n_models, n_model_features), or \
            "log_cost", default=None
        Numbers on the cards of the models, as `fit` of routers over clusters takes them. Other
        routers do without.
    n_trials : int, default=20
        Number of splits.
    n_validation : int, default=None
        Number of validation prompts. By default, a tenth of all prompts. 0 adds models from their
        cards alone.
    model_share : float, default=2/3
        Share of the models to train on.
    baselines : sequence of {"random", "cheapest", "best", "oracle"}, default=()
        Baselines to compare as well: a random choice; the cheapest unseen model for all prompts;
        the unseen model that is best on the validation prompts; and the best choice in hindsight,
        which knows the cost and quality of each call.
    n_jobs : int, default=None
        Number of processes, as in joblib. The numbers do not depend on it.
    random_state : int, default=0
        Seed for the splits and the routers.
    progress : callable, default=iter
        Function that wraps the iterator over finished trials, such as ``tqdm.tqdm``.

    Returns
    -------
    comparison : RouterComparison
        Scores and statistics; prints as a table.

    Raises
    ------
    ValueError
        If the data has no embeddings or costs, or they do not fit together; if all models have the
        same cost; if there are too few prompts or models to split; if a baseline is unknown; if two
        rows have the same name; or if there are 0 validation prompts and a router or a baseline
        needs some.
    TypeError
        If an estimator does not end in a router.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 6 and appendix
    F.1.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter, ZeroRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import compare_routers
    >>> data = make_routing_data(random_state=0)
    >>> routers = {"zero": ZeroRouter(), "kmeans": KMeansRouter()}
    >>> comparison = compare_routers(routers, data.X, data.y, data.costs, n_trials=8)
    >>> bool(comparison.area[:, 1].mean() > comparison.area[:, 0].mean())
    True
    """
    if not isinstance(estimators, Mapping):
        estimators = {type(final_router(estimators)).__name__: estimators}
    baselines = [baselines] if isinstance(baselines, str) else list(baselines)
    for name in baselines:
        check_choice(name, "baselines", BASELINES)
    check_names([*estimators, *baselines])
    for estimator in estimators.values():
        final_router(estimator)
    check_count(n_trials, "n_trials")
    names_models = X.get("y") if y is None and isinstance(X, Mapping) else y
    X, y, costs = labelled_data(X, y, costs)
    cards = checked_cards(model_features, names_models, costs, y.shape[1])
    if n_validation == 0:
        check_does_without_prompts(estimators, baselines, cards)
    elif n_validation is None:
        n_validation = max(1, round(0.1 * len(y)))
    cv = DynamicPoolSplit(
        n_trials,
        train_size=TRAIN_SIZE,
        n_validation=n_validation or None,
        model_share=model_share,
        random_state=random_state,
    )
    folds = list(cv.split(X, y, costs))
    model_costs = model_means(costs, np.ones(len(y)))
    grid = cost_grid(model_costs)
    trials = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_run_trial)(X, y, costs, estimators, baselines, fold, grid, int(seed), cards)
        for fold, seed in zip(folds, split_seeds(random_state, n_trials), strict=True)
    )
    scores, curves = zip(*progress(trials), strict=True)
    area, qnc, peak = np.moveaxis(np.array(scores), -1, 0)
    return RouterComparison(
        routers=[*estimators, *baselines],
        baselines=baselines,
        area=area,
        qnc=qnc,
        peak=peak,
        curves=np.array(curves),
        grid=grid,
        splits=folds,
        model_cost=model_costs,
        model_quality=np.nanmean(y, axis=0),
    )


def check_names(names: list[str]) -> None:
    """Refuse a comparison of nothing, and two rows of the same name."""
    twice = repeated(names)
    if twice or not names:
        raise ValueError(
            "a comparison needs routers and baselines of different names; got "
            f"{listing(names) or 'none'}."
        )


def check_does_without_prompts(
    estimators: Mapping[str, Any], baselines: Sequence[str], cards: np.ndarray | None
) -> None:
    """Refuse to compare on no validation prompts what needs some."""
    needing = [name for name in baselines if name == "best"]
    needing += [name for name, one in estimators.items() if cards is None or not uses_cards(one)]
    if needing:
        raise ValueError(
            f"`n_validation` is 0, but {listing(needing)} know new models by their answers alone; "
            "pass `model_features` and routers over clusters, or some validation prompts."
        )


def _run_trial(
    X: Any,
    y: np.ndarray,
    costs: np.ndarray,
    estimators: Mapping[str, Any],
    baselines: Sequence[str],
    fold: PoolFold,
    grid: np.ndarray,
    seed: int,
    cards: np.ndarray | None,
) -> tuple[list[list[float]], list[np.ndarray]]:
    unseen = fold.unseen_models
    validation = fold.training[:0] if fold.validation is None else fold.validation
    # Without validation prompts, baselines need prices alone.
    priced = validation if len(validation) else fold.training
    y_val, validation_costs = cells(y, costs, priced, unseen)
    y_test, test_costs = cells(y, costs, fold.test, unseen)
    inputs = []
    # Sums in several threads would differ with their number, and with it the clusters.
    with threadpool_limits(1):
        for estimator in estimators.values():
            estimator = clone(estimator)
            set_router_params(estimator, random_state=seed % 2**31)
            fit_on_models(estimator, X, y, costs, fold.training, fold.training_models, cards)
            prompts = validation, unseen
            pool = add_unseen(estimator, X, y, costs, *prompts, cards=cards, priced=fold.training)
            router, X_test = last_router(estimator, _safe_indexing(X, fold.test))
            inputs.append(router.curve_inputs(X_test, y_test, test_costs, pool))
    known_costs = model_means(validation_costs, np.ones(len(validation_costs)))
    rng = np.random.RandomState(seed)
    for name in baselines:
        error, routing_costs = baseline_inputs(name, y_val, y_test, test_costs, known_costs, rng)
        inputs.append((y_test, error, test_costs, routing_costs))
    scores, curves = [], []
    singles = [False] * len(estimators) + [name == "best" for name in baselines]
    for single, (y_test, error, paid, routing_costs) in zip(singles, inputs, strict=True):
        score, heights = score_curve(y_test, error, paid, routing_costs, grid)
        if single:
            # A single model has no curve, and so no area.
            score[0] = np.nan
        scores.append(score)
        curves.append(heights)
    return scores, curves


def summarise(comparison: RouterComparison) -> list[dict[str, Any]]:
    """Summarise the trials, one record per router.

    Each score is a pair of its mean and half the width of its 95 % interval. The gain is its mean
    and the ends of its interval, adjusted as `p_holm` is. Intervals over fewer than two trials are
    NaN, and so are scores that a baseline does not have.
    """
    gain = comparison.area - comparison.area[:, :1]
    saved = 1 - np.minimum(comparison.qnc, 1)
    records = []
    for number, name in enumerate(comparison.routers):
        qnc = comparison.qnc[:, number]
        reached = np.isfinite(qnc)
        scores = {
            "area": comparison.area[:, number],
            "peak_quality": comparison.peak[:, number],
            "cost_saved": saved[:, number],
        }
        record: dict[str, Any] = {
            "router": name,
            "qnc": (np.nan, np.nan),
            "qnc_reached": float(reached.mean()),
        }
        if reached.any():
            scores["qnc"] = qnc[reached]
        for score, values in scores.items():
            record[score] = tuple(float(number) for number in mean_interval(values))
        compared = number > 0 and len(gain) > 1 and np.isfinite(gain[:, number]).all()
        record["p_value"] = t_test(gain[:, number]) if compared else np.nan
        record["p_holm"] = np.nan
        records.append(record)
    tested = [
        record
        for record in records
        if not np.isnan(record["p_value"]) and record["router"] not in comparison.baselines
    ]
    adjusted = holm([record["p_value"] for record in tested])
    for record, p_value in zip(tested, adjusted, strict=True):
        record["p_holm"] = float(p_value)
    for number, record in enumerate(records):
        # The interval excludes 0 where the adjusted test is significant.
        level = 1 - _CONFIDENCE
        if record["p_holm"] > 0:
            level *= record["p_value"] / record["p_holm"]
        elif record["p_holm"] == 0:
            level /= len(tested)
        mean, half_width = mean_interval(gain[:, number], 1 - level)
        record["gain"] = tuple(float(end) for end in (mean, mean - half_width, mean + half_width))
    return records


def _gain(mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:+.3f}" + ("" if np.isnan(low) else f" [{low:+.3f}, {high:+.3f}]")


def _cell(mean: float, half_width: float, *, percent: bool = False) -> str:
    if np.isnan(mean):
        return "-"
    form = ".0%" if percent else ".3f"
    interval = "" if np.isnan(half_width) else f" ± {half_width:{form}}"
    return f"{mean:{form}}{interval}"


def cost_grid(model_costs: np.ndarray) -> np.ndarray:
    """Choose costs at which curves are averaged over trials."""
    space = np.geomspace if is_wide(model_costs) else np.linspace
    return space(model_costs.min(), model_costs.max(), _GRID_SIZE)


def score_curve(
    y_true: np.ndarray,
    error: np.ndarray,
    costs: np.ndarray,
    routing_costs: np.ndarray | None,
    grid: np.ndarray,
) -> tuple[list[float], np.ndarray]:
    """Compute area, quality-neutral cost and peak of a curve, and its quality at the costs."""
    curve = check_curve_inputs(y_true, error, costs, routing_costs, sample_weight=None)
    metric = curve._asdict()
    score = [metric_of(**metric) for metric_of in _METRICS]
    cost, quality, _ = curve_points(*curve)
    # Where calls differ in cost, the average may fall between two points.
    heights = np.interp(grid, np.maximum.accumulate(cost), quality)
    return score, np.where(grid >= cost[0], heights, np.nan)


def baseline_inputs(
    name: str,
    y_val: np.ndarray,
    y_test: np.ndarray,
    costs: np.ndarray,
    model_costs: np.ndarray,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Express a baseline as errors and costs that decide the choices.

    Parameters
    ----------
    name : str
        "random" has random errors; "cheapest" is the cheapest model for every prompt, and "best"
        the model of highest mean quality on the validation prompts; "oracle" knows the cost and
        quality of each call.
    y_val, y_test : ndarray of shape (n_prompts, n_models)
        Quality on validation and test prompts; NaN where a model was not run.
    costs : ndarray of shape (n_models,) or (n_test_prompts, n_models)
        Costs that are paid.
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
