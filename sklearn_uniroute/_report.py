"""What a comparison of routers shows: a table, JSON, and a picture."""

import textwrap
import warnings
from pathlib import Path

import numpy as np

from sklearn_uniroute._compare import mean_interval
from sklearn_uniroute._display import DeferralCurveDisplay
from sklearn_uniroute._optional import import_optional

NOTES = """\
Mean over trials ± half the 95 % interval; scored on unseen models and test prompts only.
area: quality averaged over the pool's range of costs. gain: area less that of {first}, in pairs.
QNC: cost, relative to the best single model, at which its quality is reached; over the trials
that reach it, whose share stands beside it ("-": none). saved: cost saved at that quality, 0 where
it is not reached.
peak: highest quality on the curve."""


def summarise(comparison):
    """Summarise the trials, one record per router.

    Each score is a pair of its mean and half the width of its 95 % interval. An interval is NaN
    where fewer than two trials enter it.
    """
    gain = comparison.area - comparison.area[:, :1]
    saved = 1 - np.minimum(comparison.qnc, 1)
    records = []
    for number, name in enumerate(comparison.routers):
        qnc = comparison.qnc[:, number]
        reached = np.isfinite(qnc)
        scores = {
            "area": comparison.area[:, number],
            "gain": gain[:, number],
            "peak_quality": comparison.peak[:, number],
            "cost_saved": saved[:, number],
        }
        record = {"router": name, "qnc": (np.nan, np.nan), "qnc_reached": float(reached.mean())}
        if reached.any():
            scores["qnc"] = qnc[reached]
        for score, values in scores.items():
            record[score] = tuple(float(number) for number in mean_interval(values))
        records.append(record)
    return records


def table(comparison):
    """Write the summary as text."""
    columns = ("router", "area", "gain", "QNC", "reached", "peak", "saved")
    rows = [
        (
            record["router"],
            _cell(*record["area"]),
            _cell(*record["gain"], sign="+") if number else "-",
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


def _cell(mean, half_width, *, sign="", percent=False):
    if np.isnan(mean):
        return "-"
    form = f"{sign}.0%" if percent else f"{sign}.3f"
    interval = "" if np.isnan(half_width) else f" ± {half_width:{form.lstrip('+')}}"
    return f"{mean:{form}}{interval}"


def as_json(comparison, settings):
    """Bring a comparison into plain lists and numbers; what is not finite becomes None."""
    return _plain(
        {
            **settings,
            "redrawn_splits": sum(split.n_redrawn for split in comparison.splits),
            "routers": [
                {
                    **record,
                    "trials": {
                        "area": comparison.area[:, number],
                        "qnc": comparison.qnc[:, number],
                        "peak_quality": comparison.peak[:, number],
                    },
                }
                for number, record in enumerate(summarise(comparison))
            ],
        }
    )


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def draw(comparison, data, title, folder):
    """Draw the mean curves and the single models.

    A curve is drawn where at least half of the trials have a model that costs no more, and is
    averaged over these.

    Returns
    -------
    path : Path
        Of the picture, ``deferral_curves.png`` in `folder`.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    model_costs = np.nanmean(np.atleast_2d(data.costs), axis=0)
    models = {"model_cost": model_costs, "model_quality": np.nanmean(data.y, axis=0)}
    shown = np.isfinite(comparison.curves[:, 0]).mean(axis=0) >= 0.5
    for number, name in enumerate(comparison.routers):
        with warnings.catch_warnings():
            # Costs below all models of all trials have no mean, and are not shown.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            curve = np.nanmean(comparison.curves[:, number], axis=0)
        display = DeferralCurveDisplay(
            comparison.grid[shown], curve[shown], name=name, **(models if not number else {})
        )
        display.plot(axes)
    axes.set_title(textwrap.fill(title, 72), fontsize="medium")
    axes.set(xlabel=f"Average cost per prompt ({data.cost_unit})")
    axes.grid(alpha=0.3)
    path = Path(folder) / "deferral_curves.png"
    figure.savefig(path, dpi=150)
    return path
