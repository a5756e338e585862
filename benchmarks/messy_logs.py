"""From a messy log of calls and a price map to a table that serves, and how long reading takes.

Run as ``python -m benchmarks.messy_logs``. It makes a log of 5,000 calls from the first file of
real data that has texts and token prices can be put to: six models, each prompt on one to three of
them, names with ``/`` and ``:``, grades from 1 to 5 for one model, missing token counts, repeated
calls, a long text, and a price that is missing. Then it runs the ten lines that follow it, and
prints what they give, their time and their peak memory. Last, it reads a log of a million calls
beside what pandas takes for the same file.
"""

import json
import tempfile
import tracemalloc
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from benchmarks._runner import arguments, ratio, real_data
from sklearn_uniroute.datasets import load_routing_data

NAMES = ["org/tiny:free", "org/small", "acme/base-v1.10", "acme/large", "lab/xl:beta", "lab/max"]
LINES = """\
log = pd.read_json(folder / "calls.jsonl", lines=True)
prices = load_prices(folder / "prices.json")
prices.loc["acme/base-v1.10", ["input", "output"]] = [0.5, 1.5]
log["usd"] = call_costs(prices, log["n_in"], log["n_out"], models=log["llm"])
names = {"model": "llm", "quality": "grade", "cost": "usd", "prompt": "text"}
data = load_routing_data(log, columns=names, scale={"acme/large": (1, 5)}, duplicates="mean",
                         as_frame=True)
pipeline = make_pipeline(StringEncoder(64, random_state=0), KMeansRouter(random_state=0))
pipeline.fit(data.prompts, data.y, kmeansrouter__costs=data.costs)
table = pipeline[-1].routing_table(budget=data.costs.mean().mean())
chosen = table.route_many(pipeline[:-1].transform(data.prompts))
"""
SETUP = """\
import pandas as pd
from skrub import StringEncoder
from sklearn.pipeline import make_pipeline
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import call_costs, load_prices, load_routing_data
"""


def write_log(data, folder, rng, n_calls=5000):
    """Write a log and a price map as gateways have them."""
    quality = np.nanmean(data.y, axis=0)
    models = np.argsort(quality)[np.linspace(0, len(quality) - 1, len(NAMES)).astype(int)]
    rows = []
    for prompt in rng.permutation(len(data.y)):
        for place in rng.permutation(len(models))[: rng.randint(1, 4)]:
            grade = data.y[prompt, models[place]]
            text = data.prompts[prompt]
            grade = 1 + 4 * grade if NAMES[place] == "acme/large" else grade
            rows.append(
                {
                    "ts": "2026-11-23T10:00:00Z",
                    "text": text,
                    "llm": NAMES[place],
                    "grade": None if np.isnan(grade) or rng.uniform() < 0.02 else float(grade),
                    "n_in": len(text) // 4,
                    "n_out": None if rng.uniform() < 0.01 else int(rng.lognormal(5, 1)),
                }
            )
        if len(rows) >= n_calls - 50:
            break
    rows += [dict(rows[place]) for place in rng.randint(len(rows), size=n_calls - len(rows))]
    long = rows[0]["text"]
    for row in rows:
        row["text"] = row["text"] + " x" * 500_000 if row["text"] == long else row["text"]
    with open(folder / "calls.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    prices = {"sample_spec": {"input_cost_per_token": 0, "mode": "one of: chat, embedding"}}
    for place, name in enumerate(NAMES):
        price = None if place == 2 else 1e-7 * 3**place
        prices[name] = {
            "input_cost_per_token": price,
            "output_cost_per_token": price and 4 * price,
            "max_input_tokens": 8192 * 2**place,
            "mode": "chat",
        }
    (folder / "prices.json").write_text(json.dumps(prices))


def transcript(folder):
    """Run the lines, and print what they give."""
    print(SETUP + "\n" + LINES)
    scope = {"folder": folder}
    exec(SETUP, scope)
    start = perf_counter()
    exec(LINES, scope)
    seconds = perf_counter() - start
    tracemalloc.start()
    exec(LINES, scope)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    data, table, chosen = scope["data"], scope["table"], scope["chosen"]
    size = (folder / "calls.jsonl").stat().st_size / 2**20
    print(f"{len(scope['log'])} calls ({size:.1f} MiB) of {len(data.y)} prompts")
    print("mean quality", data.y.mean().round(3).to_dict())
    print("mean cost", data.costs.mean().round(6).to_dict())
    print(table, pd.Series(chosen).value_counts().to_dict())
    print(f"{seconds:.1f} s, peak memory {peak:.0f} MiB")


def million(folder, rng, n_calls=1_000_000):
    """Read a log of a million calls, beside pandas."""
    cell = rng.permutation(2 * n_calls)[:n_calls]
    prompt, model = cell // 11, cell % 11
    log = pd.DataFrame(
        {
            "prompt_id": [f"p{number:07d}" for number in prompt],
            "model": np.array([f"vendor/model-{number}" for number in range(11)])[model],
            "quality": rng.randint(2, size=n_calls).astype(float),
            "cost": rng.exponential(size=n_calls).round(6),
            "prompt": [f"question number {number} of some length here" for number in prompt],
        }
    )
    log.to_csv(folder / "log.csv", index=False)
    log.to_parquet(folder / "log.parquet")
    log.to_json(folder / "log.jsonl", orient="records", lines=True)
    for name, read in (
        ("log.csv", pd.read_csv),
        ("log.parquet", pd.read_parquet),
        ("log.jsonl", lambda path: pd.read_json(path, lines=True)),
    ):
        path = folder / name

        def plain(path=path, read=read):
            read(path)

        def ours(path=path):
            load_routing_data(path)

        quotient = ratio(ours, plain, repeats=3)
        start = perf_counter()
        load_routing_data(path)
        seconds = perf_counter() - start
        tracemalloc.start()
        load_routing_data(path)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        size = path.stat().st_size / 2**20
        print(
            f"{name} ({size:.0f} MiB): {seconds:.2f} s, {quotient} times pandas, "
            f"peak memory {peak:.0f} MiB"
        )


def main():
    arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.RandomState(0)
        for _, data, _ in real_data():
            if data.prompts is not None and len(data.y) > 2500 and len(data.models) > len(NAMES):
                write_log(data, folder, rng)
                break
        transcript(folder)
        print("\nA log of a million calls of 11 models")
        million(folder, rng)


if __name__ == "__main__":
    main()
