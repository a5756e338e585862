"""The paper's tables on each real file.

Run as ``python -m benchmarks.paper_tables [TRIALS] [--table {dynamic,static,retraining,shift}]``;
all tables without ``--table``.

dynamic (figures 2 and 6)
    Routers are fitted on the training models, take in the others from the validation prompts
    alone, and choose among these. Clairvoyant rows see labels of the unseen models on all training
    prompts.
static (table 1)
    All models are known on training and validation prompts.
retraining (appendix H.2)
    Time and labels that a new model takes.
shift (figure 7)
    Models known from battles, on prompts of other kinds than those of the battles.

Dynamic and static tables print the mean area over trials, which is also the area under the mean
curve where trials are aligned by their share of the range of costs; the median quality-neutral cost
(QNC); and the QNC of the mean curve, as the paper reads it. A mark * tells where a two-sided sign
test over trials, at the level of .01, finds a row worse than the best row. Clairvoyant rows are not
candidates for the best.
"""

import numpy as np
from scipy.stats import binomtest

from benchmarks._paper import (
    dynamic_rows,
    mean_curve_qnc,
    paper_trials,
    scored_trial,
    static_rows,
)
from benchmarks._retraining import report_retraining
from benchmarks._runner import N_VALIDATION, arguments, paired, real_data
from benchmarks._shift import report_shift

LEVEL = 0.01
ROWS = {"dynamic": dynamic_rows, "static": static_rows}
TABLES = (*ROWS, "retraining", "shift")


def is_worse(values, best):
    """Whether paired scores, of which more is better, are lower at the level of the paper."""
    above, below = int(np.sum(values > best)), int(np.sum(values < best))
    return above < below and binomtest(above, above + below).pvalue < LEVEL


def report(name, results):
    rows, sizes, *_ = zip(*results, strict=True)
    scores = {row: np.array([one[row][:2] for one in rows]) for row in rows[0]}
    neighbors, clusters = np.median(sizes, axis=0)
    print(
        f"\n{name}, {len(results)} trials; median K of K-NN {neighbors:g}, of K-means {clusters:g}"
    )
    print(f"{'':<34}{'area':>7}   {'QNC':>7}   {'of the mean curve':>17}")
    rivals = [row for row in scores if not row.startswith("Clairvoyant")]
    # Less is better for the cost, more for the area.
    columns = {row: values * [1, -1] for row, values in scores.items()}
    best = [
        columns[max(rivals, key=lambda row: columns[row][:, 0].mean())][:, 0],
        columns[max(rivals, key=lambda row: np.median(columns[row][:, 1]))][:, 1],
    ]
    for row, values in columns.items():
        marks = ["*" if is_worse(values[:, i], best[i]) else " " for i in range(2)]
        qnc = f"{-np.median(values[:, 1]):.1%}".replace("inf%", "inf")
        of_mean = mean_curve_qnc(np.array([one[row].gain for one in rows]))
        of_mean = f"{of_mean:.1%}".replace("inf%", "inf")
        area = values[:, 0].mean()
        print(f"{row:<34}{area:7.4f} {marks[0]} {qnc:>7} {marks[1]} {of_mean:>17}")
    for row in scores:
        if row.startswith("Clairvoyant"):
            gain, error = paired(columns[row][:, 0], best[0])
            print(f"{row} less the best row that sees no more: {gain:+.4f} ± {error:.4f}")


def run_table(table, n_trials):
    print(f"\n=== {table} ===")
    for name, data, model_share in real_data():
        if table == "retraining":
            report_retraining(name, data, model_share)
        elif table == "shift":
            report_shift(name, data, n_trials)
        else:
            settings = (ROWS[table], data, model_share, N_VALIDATION.get(name))
            report(name, paper_trials(scored_trial, n_trials, *settings))


def main():
    table = {"choices": TABLES, "help": "all tables by default"}
    args = arguments(__doc__, trials=40, table=table)
    for table in [args.table] if args.table else TABLES:
        run_table(table, args.trials)


if __name__ == "__main__":
    main()
