"""What the command line shows of a comparison of routers: notes, JSON, and a picture."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_uniroute.model_selection._comparison import RouterComparison, summarise
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath

NOTES = """\
Mean over trials ± half the 95 % interval; scored on unseen models and test prompts only.
area: quality averaged over the pool's range of costs. gain: area less that of {first}, in pairs,
with its 95 % bootstrap interval. p: exact sign test of the gain, after Holm for several routers.
QNC: cost, relative to the best single model, at which its quality is reached; over the trials
that reach it, whose share stands beside it ("-": none). saved: cost saved at that quality, 0 where
it is not reached.
peak: highest quality on the curve."""


def as_json(comparison: RouterComparison, settings: dict[str, Any]) -> Any:
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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def draw(comparison: RouterComparison, title: str, cost_unit: str, folder: StrPath) -> Path:
    """Draw a comparison into a file.

    Returns
    -------
    path : Path
        Of the picture, ``deferral_curves.png`` in `folder`.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    comparison.plot(axes, confidence=0)
    axes.set_title(textwrap.fill(title, 72), fontsize="medium")
    axes.set(xlabel=f"Average cost per prompt ({cost_unit})")
    axes.grid(alpha=0.3)
    path = Path(folder) / "deferral_curves.png"
    figure.savefig(path, dpi=150)
    return path
