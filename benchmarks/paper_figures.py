"""The paper's figures on each real file, as pictures in ``docs/results`` and as numbers.

Run as ``python -m benchmarks.paper_figures [TRIALS] [--figure
{curves,sizes,clusters,similarity}]``; all figures without ``--figure``.

curves (figures 3 and 6)
    Mean deferral curves of all routers with a dynamic pool.
sizes (figure 2, bottom)
    Area on unseen models against the number of validation prompts, with 96 % intervals.
clusters (figure 5)
    Area of the training models on the validation prompts, by which the paper tunes, against the
    number of neighbours or clusters, with 96 % intervals. Attributes are the kinds of prompts: how
    likely a prompt is of each, as a logistic regression tells from its embedding.
similarity (figures 8 and 9)
    Gaussian kernel similarity of all models.
"""

import textwrap
from collections import Counter
from functools import partial

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from scipy.stats import sem, t
from sklearn.utils import Bunch

from benchmarks._paper import (
    MLP,
    K,
    Trial,
    dynamic_routers,
    dynamic_rows,
    k_nearest,
    paper_kmeans,
    paper_map,
    paper_trials,
    score_all,
    scored_trial,
)
from benchmarks._runner import N_VALIDATION, arguments, model_costs, real_data
from benchmarks.record import RESULTS
from sklearn_uniroute import AttributeEncoder, KMeansRouter
from sklearn_uniroute.inspection import ModelSimilarityDisplay
from sklearn_uniroute.model_selection import RouterComparison

SHOWN = (
    "ZeroRouter",
    "K-NN",
    "UniRoute, K-means",
    "UniRoute, learned map",
    f"Posterior, K-means (K = {K})",
)
SIZES = (25, 50, 100, 200, 400)
CLUSTERS = (2, 4, 8, 16, 32, 64)
CONFIDENCE = 0.96
# Panels side by side.
PANELS = 3
LINES = {"Retrained": ":", "Clairvoyant": "--"}
# Colours and markers that colour-blind readers can tell apart.
COLORS = style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
MARKERS = "osD^vP"


def save(figure, name):
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"paper_figures-{name}.png", dpi=120)


def interval_plot(results, title, xlabel, ylabel):
    """Draw and print, for each file, mean and interval of each row at each size."""
    n_rows = -(-len(results) // PANELS)
    figure = Figure((5.5 * min(len(results), PANELS), 4.5 * n_rows + 0.5), layout="constrained")
    panels = figure.subplots(n_rows, min(len(results), PANELS), squeeze=False).ravel()
    for ax in panels[len(results) :]:
        ax.remove()
    for ax, (name, areas) in zip(panels, results.items(), strict=False):
        rows = list(areas[0])
        sizes = np.array(list(areas[0][rows[0]]))
        print(f"\n{name}, {len(areas)} trials")
        print(f"{xlabel:<34}" + "".join(f"{size:>16}" for size in sizes))
        # Side by side, so that intervals do not hide each other.
        shifts = np.linspace(0.92, 1.08, len(rows))
        for shift, row, color, marker in zip(shifts, rows, COLORS, MARKERS, strict=False):
            values = np.array([[one[row][size] for size in sizes] for one in areas])
            mean = values.mean(axis=0)
            half = sem(values) * t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
            look = {"color": color, "marker": marker, "markersize": 4, "capsize": 2}
            ax.errorbar(sizes * shift, mean, half, label=row, **look)
            cells = (f"{m:.4f} ± {h:.4f}" for m, h in zip(mean, half, strict=True))
            print(f"{row:<34}" + "".join(f"{cell:>16}" for cell in cells))
        ax.set(title=name, xlabel=xlabel, ylabel=ylabel, xscale="log")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=len(rows))
    figure.suptitle(title)
    return figure


def draw_curves(n_trials):
    for name, data, model_share in real_data():
        settings = (dynamic_rows, data, model_share, N_VALIDATION.get(name))
        trials = paper_trials(scored_trial, n_trials, *settings)
        rows, _, splits, grids = zip(*trials, strict=True)
        stacked = {
            field: np.array([[getattr(one, field) for one in row.values()] for row in rows])
            for field in ("area", "qnc", "peak", "curve")
        }
        # Others are compared to the router that does not see the prompt.
        order = sorted(range(len(rows[0])), key=lambda place: list(rows[0])[place] != "ZeroRouter")
        comparison = RouterComparison(
            routers=[list(rows[0])[place] for place in order],
            baselines=[],
            area=stacked["area"][:, order],
            qnc=stacked["qnc"][:, order],
            peak=stacked["peak"][:, order],
            curves=stacked["curve"][:, order],
            grid=grids[0],
            splits=list(splits),
            model_cost=model_costs(data),
            model_quality=np.nanmean(data.y, axis=0),
        )
        print(f"\n{name}, {n_trials} trials\n{comparison}")
        figure = Figure((9, 6), layout="constrained")
        axes = figure.subplots()
        n_drawn = Counter()
        displays = comparison.plot(axes, confidence=0)
        for display in displays:
            line = next((LINES[kind] for kind in LINES if display.name.startswith(kind)), "-")
            display.line_.set(color=COLORS[n_drawn[line]], linestyle=line)
            n_drawn[line] += 1
        # Single models may be far below.
        heights = np.concatenate([display.line_.get_ydata() for display in displays])
        margin = 0.05 * np.ptp(heights)
        axes.set_ylim(heights.min() - margin, heights.max() + margin)
        axes.legend(fontsize="small")
        axes.set(title=name, xlabel=f"Average cost ({data.cost_unit})")
        axes.grid(alpha=0.3)
        save(figure, f"curves-{name}")


def sizes_trial(data, model_share, seed):
    areas = {}
    for size in SIZES:
        # Of a small file, no prompt would be left to train on.
        if size > len(data.X) / 2:
            continue
        trial = Trial(data, model_share, seed, n_validation=size)
        routers = dynamic_routers(*trial.tuned_sizes(trial.split.training_models))
        routers = {row: routers[row] for row in SHOWN}
        scores = {
            **score_all(trial.added, routers),
            **score_all(trial.retrained, {"MLP": MLP}, "Retrained "),
        }
        for row, score in scores.items():
            areas.setdefault(row, {})[size] = score.area
    return areas


def clusters_trial(data, model_share, seed):
    trial = Trial(data, model_share, seed)
    models, training = trial.split.training_models, trial.split.training
    kinds = np.unique(data.source[training])
    encoder = AttributeEncoder().fit(data.X[training], data.source[training, None] == kinds)
    attributes = Trial(Bunch(**data | {"X": encoder.transform(data.X)}), model_share, seed)
    views = {
        "K-NN": (trial, k_nearest),
        "UniRoute, K-means": (trial, paper_kmeans),
        "UniRoute, K-means, attributes": (attributes, paper_kmeans),
        "UniRoute, learned map": (trial, paper_map),
        "Posterior, K-means": (trial, KMeansRouter),
    }
    return {
        row: dict(zip(CLUSTERS, one.area_by_size(make, CLUSTERS, models), strict=True))
        for row, (one, make) in views.items()
    }


def draw_intervals(trial, name, title, xlabel, n_trials):
    results = {
        file: paper_trials(trial, n_trials, data, model_share)
        for file, data, model_share in real_data()
    }
    title = f"{title}: mean and 96 % interval"
    save(interval_plot(results, title, xlabel, "area under the deferral curve"), name)


def draw_similarity(_):
    for name, data, _ in real_data():
        router = KMeansRouter(K, random_state=0).fit(data.X, data.y)
        size = 4 + len(data.models) / 4
        figure = Figure((size + 1.5, size), layout="constrained")
        display = ModelSimilarityDisplay.from_estimator(router, ax=figure.subplots())
        names = [str(data.models[place]) for place in display.order_]
        display.ax_.set_xticks(range(len(names)), names, rotation=90)
        display.ax_.set_yticks(range(len(names)), names)
        save(figure, f"similarity-{name}")
        similarity = display.similarity - np.eye(len(names))
        first, second = np.unravel_index(similarity.argmax(), similarity.shape)
        print(
            f"\n{name}: most alike are {data.models[first]} and {data.models[second]}, "
            f"{similarity[first, second]:.3f}; in order of the picture:"
        )
        print(textwrap.fill(", ".join(names), 100))


FIGURES = {
    "curves": draw_curves,
    "sizes": partial(
        draw_intervals,
        sizes_trial,
        "sizes",
        "Unseen models, known from so many prompts",
        "validation prompts",
    ),
    "clusters": partial(
        draw_intervals, clusters_trial, "clusters", "Training models on validation prompts", "K"
    ),
    "similarity": draw_similarity,
}


def main():
    figure = {"choices": FIGURES, "help": "all figures by default"}
    args = arguments(__doc__, trials=20, figure=figure)
    for figure in [args.figure] if args.figure else FIGURES:
        print(f"\n=== {figure} ===")
        FIGURES[figure](args.trials)


if __name__ == "__main__":
    main()
