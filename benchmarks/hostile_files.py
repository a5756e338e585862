"""Damaged and hostile files of each kind: what becomes of them, in what time and memory.

Run as ``python -m benchmarks.hostile_files [TRIALS]``, with the number of files of each kind. A
file is damaged anew each time: a bit flipped, a byte set, the end cut off, a part cut out or
doubled, a number made long, or a part of another file put in. Files with checksums must be refused,
or give what the undamaged file gives. Tables of texts have no checksum: what is read must be a
table. Anything but a ValueError ends the run. Printed are the share refused, the longest time of
one file, and the largest memory of the process.
"""

import resource
import tempfile
import warnings
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from benchmarks._runner import arguments
from sklearn_uniroute import KMeansRouter, RoutingTable, load_router, save_router
from sklearn_uniroute.datasets import load_routing_data, make_routing_data
from tests.damage import damaged


def written(folder):
    """Write a small file of each kind; returns the paths and how to read them."""
    data = make_routing_data(40, 3, n_features=4, n_clusters=2, random_state=0)
    router = KMeansRouter(2, n_validation=10, random_state=0)
    router.fit(data.X, data.y, costs=data.costs)
    names = ["small", "mid", "large"]
    save_router(router, folder / "router.skops")
    router.routing_table(cost_weight=0.01).save(folder / "table.npz")
    np.savez(folder / "data.npz", X=data.X, y=data.y, costs=data.costs, models=np.array(names))
    wide = {name: data.y[:, place] for place, name in enumerate(names)}
    wide |= {
        f"{name}|cost": np.full(40, cost) for name, cost in zip(names, data.costs, strict=True)
    }
    wide |= {f"x{place}": column for place, column in enumerate(data.X.T)}
    wide |= {"prompt_id": [f"p{row}" for row in range(40)], "prompt": ["some words"] * 40}
    prompt, model = np.divmod(np.arange(120), 3)
    long = {"prompt_id": prompt, "model": np.array(names)[model], "quality": data.y.ravel()}
    frames = {"wide": pd.DataFrame(wide), "long": pd.DataFrame(long)}
    for kind, frame in frames.items():
        frame.to_csv(folder / f"{kind}.csv", index=False)
        frame.to_csv(folder / f"{kind}.csv.gz", index=False)
        frame.to_parquet(folder / f"{kind}.parquet")
    read = {"router.skops": load_router, "table.npz": RoutingTable.load}
    tables = ("data.npz", *(f"{k}.{s}" for k in frames for s in ("csv", "csv.gz", "parquet")))
    return read | dict.fromkeys(tables, load_routing_data), data.X


def content_of(loaded, X):
    """Arrays by which two loaded files are compared."""
    if isinstance(loaded, RoutingTable):
        return [np.array([loaded.explain(x).score for x in X[:5]])]
    if hasattr(loaded, "predict_error"):
        return [loaded.predict_error(X)]
    return [loaded.X, loaded.y, loaded.costs]


def check_table(data):
    """What is read is a table, whatever its numbers."""
    n_prompts, n_models = data.y.shape
    assert n_models == len(data.models) == len(set(data.models.tolist()))
    assert not np.isinf(data.y).any()
    for name in ("X", "prompts", "source"):
        assert data[name] is None or len(data[name]) == n_prompts
    if data.costs is not None:
        assert data.costs.shape in ((n_models,), (n_prompts, n_models))
        assert not (data.costs < 0).any()


def attack(name, n_files):
    """Load files of one kind so many times, and print what became of them."""
    warnings.simplefilter("ignore")
    rng = np.random.RandomState(sum(map(ord, name)))
    with tempfile.TemporaryDirectory() as folder:
        read, X = written(Path(folder))
        path, load = Path(folder) / name, read[name]
        content, expected = path.read_bytes(), content_of(load(path), X)
        n_refused, longest = 0, 0.0
        for _ in range(n_files):
            path.write_bytes(damaged(content, rng))
            start = perf_counter()
            try:
                loaded = load(path)
            except ValueError:
                n_refused += 1
                loaded = None
            longest = max(longest, perf_counter() - start)
            if loaded is None:
                continue
            if name in ("router.skops", "table.npz", "data.npz"):
                for one, other in zip(content_of(loaded, X), expected, strict=True):
                    np.testing.assert_array_equal(one, other)
            else:
                check_table(loaded)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = n_refused / n_files
    print(
        f"{name:<14} {n_files:>7}   {share:6.1%}   {longest:6.2f} s   {peak:5.0f} MiB", flush=True
    )


def main():
    n_files = arguments(__doc__, trials=100_000).trials
    print(f"{'file':<14} {'files':>7}   refused   longest     memory")
    with tempfile.TemporaryDirectory() as folder:
        kinds = list(written(Path(folder))[0])
    # A process for each kind, so that its memory can be told.
    for name in kinds:
        process = get_context("spawn").Process(target=attack, args=(name, n_files))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name}: something else than a ValueError")


if __name__ == "__main__":
    main()
