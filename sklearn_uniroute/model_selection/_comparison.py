"""What a comparison of routers comes to: statistics, a table, a data frame and a picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_uniroute.metrics._plot import DeferralCurveDisplay
from sklearn_uniroute.model_selection._split import Split
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    pointwise_interval,
    sign_test,
)


@dataclass(frozen=True)
class RouterComparison:
    """Scores of routers over trials, and what they come to.

    Printed, it is a table. Made by :func:`sklearn_uniroute.model_selection.compare_routers`.

    Attributes
    ----------
    routers : list of str
        Names of the routers, then of the baselines.
    n_baselines : int
        Number of baselines.
    area, qnc, peak : ndarray of shape (n_trials, n_routers)
        Area under the deferral curve, quality-neutral cost, and highest quality on the curve, of
        the unseen models on test prompts. A single model has no area: NaN.
    curves : ndarray of shape (n_trials, n_routers, n_costs)
        Average qualities at the costs `grid`, NaN where no unseen model is as cheap.
    grid : ndarray of shape (n_costs,)
        Costs at which the curves are known.
    splits : list of Split
        Positions of prompts and models in each trial.
    model_cost, model_quality : ndarray of shape (n_models,)
        Means of each model over all prompts.
    """

    routers: list[str]
    n_baselines: int
    area: np.ndarray
    qnc: np.ndarray
    peak: np.ndarray
    curves: np.ndarray
    grid: np.ndarray
    splits: list[Split]
    model_cost: np.ndarray
    model_quality: np.ndarray

    def __repr__(self) -> str:
        return write_table(self)

    def to_frame(self) -> Any:
        """Bring the statistics into a DataFrame.

        Returns
        -------
        frame : DataFrame
            A row for each router: `area`, `peak_quality`, `cost_saved` and `qnc` (over the trials
            that reach it), each with `..._half_width`, half its 95 % Student t interval;
            `qnc_reached`, the share of these trials; `gain`, the area less that of the first
            router in pairs, with `gain_low` and `gain_high`, its 95 % bootstrap interval; and
            `p_value` of the exact sign test that trials are won and lost alike, with `p_holm`,
            adjusted for the number of routers that are compared to the first.

        Raises
        ------
        ImportError
            If pandas is missing.
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

    def plot(self, ax: Any = None, *, confidence: float = 0.95) -> list[DeferralCurveDisplay]:
        """Draw the mean deferral curves with pointwise intervals, and the single models.

        A curve is drawn where at least half of the trials have a model that costs no more, and is
        averaged over these.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones by default.
        confidence : float, default=0.95
            Coverage of the intervals over trials, by Student's t; 0 draws none.

        Returns
        -------
        displays : list of DeferralCurveDisplay
            One for each router.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        models = {"model_cost": self.model_cost, "model_quality": self.model_quality}
        shown = np.isfinite(self.curves[:, 0]).mean(axis=0) >= 0.5
        displays = []
        for number, name in enumerate(self.routers):
            mean, low, high = pointwise_interval(self.curves[:, number], confidence)
            band = (
                {} if confidence == 0 else {"quality_low": low[shown], "quality_high": high[shown]}
            )
            display = DeferralCurveDisplay(
                self.grid[shown], mean[shown], name=name, **band, **(models if not number else {})
            )
            displays.append(display.plot(ax))
            ax = display.ax_
        return displays


def summarise(comparison: RouterComparison) -> list[dict[str, Any]]:
    """Summarise the trials, one record per router.

    Each score is a pair of its mean and half the width of its 95 % interval, and the gain is its
    mean and the ends of its interval. An interval is NaN where fewer than two trials enter it, as
    all is of a score that a baseline does not have.
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
        compared = np.isfinite(gain[:, number]).all()
        interval = bootstrap_interval(gain[:, number]) if compared else (np.nan, np.nan)
        record["gain"] = (float(gain[:, number].mean()), *interval)
        record["p_value"] = sign_test(gain[:, number]) if compared and number else np.nan
        records.append(record)
    tested = [record for record in records if not np.isnan(record["p_value"])]
    adjusted = holm([record["p_value"] for record in tested])
    for record in records:
        record["p_holm"] = np.nan
    for record, p_value in zip(tested, adjusted, strict=True):
        record["p_holm"] = float(p_value)
    return records


def write_table(comparison: RouterComparison) -> str:
    """Write the summary as text."""
    columns = ("router", "area", "gain", "p", "QNC", "reached", "peak", "saved")
    rows = [
        (
            record["router"],
            _cell(*record["area"]),
            _gain(*record["gain"]) if number else "-",
            "-" if np.isnan(record["p_holm"]) else f"{record['p_holm']:.3f}",
            _cell(*record["qnc"]),
            f"{record['qnc_reached']:.0%}",
            _cell(*record["peak_quality"]),
            _cell(*record["cost_saved"], percent=True),
        )
        for number, record in enumerate(summarise(comparison))
    ]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = []
    for row in (columns, tuple("-" * width for width in widths), *rows):
        first, *others = (
            f"{cell:<{width}}" if not place else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


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
