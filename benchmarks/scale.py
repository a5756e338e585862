"""How time, memory and traffic grow: adding models, fitting, and fitting on several machines.

Run as ``python -m benchmarks.scale``. Exponents are slopes of log time over log size, fitted by
least squares; times of different sizes are taken in turns, on one thread.
"""

import os
import pickle
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data

N_FEATURES, N_CLUSTERS, N_MODELS = 384, 100, 20
# One pass over the prompts, however many there are.
ONE_PASS = MiniBatchKMeans(
    N_CLUSTERS,
    init="random",
    batch_size=4096,
    max_iter=1,
    max_no_improvement=None,
    n_init=1,
    random_state=0,
)


def exponent(sizes, times):
    return np.polyfit(np.log(sizes), np.log(times), 1)[0]


def in_turns(calls, repeats=9):
    """Median time of each call."""
    times = np.empty((repeats, len(calls)))
    for row in times:
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            row[number] = time.perf_counter() - start
    return np.median(times, axis=0)


def report(what, sizes, times):
    relative = ", ".join(f"{value / times[0]:.2f}" for value in times)
    print(f"{what} {', '.join(f'{size:,}' for size in sizes)}: time {relative}; ", end="")
    print(f"exponent {exponent(sizes, times):.2f}")


def adding():
    """Time of add_model over numbers of training prompts, of models, of validation prompts."""
    data = make_routing_data(n_prompts=64_000, n_models=161, n_features=64, random_state=0)
    X = data.X.astype(np.float32)
    errors = 1 - data.y[:, 160]

    def adder(n_prompts=8000, n_models=10, n_validation=400):
        clusterer = clone(ONE_PASS).set_params(n_clusters=24)
        router = KMeansRouter(clusterer=clusterer, n_validation=n_validation, random_state=0)
        router.fit(X[:n_prompts], data.y[:n_prompts, :n_models], costs=data.costs[:n_models])
        own = errors[router.validation_indices_]
        return partial(router.add_model, own, name=n_models, cost=1.0, replace=True)

    sizes = [4000, 8000, 16_000, 32_000, 64_000]
    calls = [adder(n_prompts=size) for size in sizes]
    report("add_model, training prompts", sizes, in_turns(calls, 41))
    sizes = [10, 20, 40, 80, 160]
    calls = [adder(n_models=size) for size in sizes]
    report("add_model, models", sizes, in_turns(calls, 41))
    sizes = [4000, 8000, 16_000, 32_000, 64_000]
    calls = [adder(n_prompts=64_000, n_validation=size) for size in sizes]
    report("add_model, validation prompts", sizes, in_turns(calls, 21))


class PeakMemory(threading.Thread):
    """Memory that is no file's, in bytes, at its highest while this runs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.done = self.now(), threading.Event()

    @staticmethod
    def now():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    def run(self):
        while not self.done.wait(0.005):
            self.peak = max(self.peak, self.now())


def prompts_on_disk(folder, n_prompts):
    """Embeddings in a file, mapped to memory, and labels."""
    path = Path(folder) / f"prompts{n_prompts}.npy"
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n_prompts, N_FEATURES))
    rng = np.random.RandomState(0)
    topics = rng.normal(size=(N_CLUSTERS, N_FEATURES)).astype(np.float32)
    skills = rng.uniform(size=(N_CLUSTERS, N_MODELS))
    y = np.empty((n_prompts, N_MODELS), dtype=np.float32)
    for start in range(0, n_prompts, 20_000):
        rows = slice(start, min(start + 20_000, n_prompts))
        topic = rng.randint(N_CLUSTERS, size=rows.stop - start)
        X[rows] = topics[topic] + rng.standard_normal((len(topic), N_FEATURES)).astype(np.float32)
        y[rows] = rng.uniform(size=(len(topic), N_MODELS)) < skills[topic]
    X.flush()
    return path, y


def fitting(folder):
    sizes = [10_000, 31_623, 100_000, 316_228, 1_000_000]
    costs = np.geomspace(0.1, 10, N_MODELS)
    files = [prompts_on_disk(folder, size) for size in sizes]
    router = KMeansRouter(clusterer=ONE_PASS, random_state=0)
    times, peaks = [], []
    for path, y in files:
        X = np.load(path, mmap_mode="r")
        memory = PeakMemory()
        before = memory.peak
        memory.start()
        start = time.perf_counter()
        clone(router).fit(X, y, costs=costs)
        times.append(time.perf_counter() - start)
        memory.done.set()
        memory.join()
        peaks.append((memory.peak - before) / 2**20)
    report("fit, prompts", sizes, times)
    print(f"peak memory beyond the file, MiB: {', '.join(f'{peak:.0f}' for peak in peaks)}")
    for path, _ in files[:-1]:
        os.unlink(path)
    return files[-1]


def load(path, start, stop):
    return np.array(np.load(path, mmap_mode="r")[start:stop])


def on_workers(path, y, block=50_000):
    """Fit on one and on two workers that read blocks of the file themselves."""
    n_prompts = len(y)
    y_path = Path(path).with_suffix(".labels.npy")
    np.save(y_path, y)
    costs = np.geomspace(0.1, 10, N_MODELS)
    starts = range(0, n_prompts, block)

    def in_blocks(file, n_columns):
        parts = [
            da.from_delayed(
                dask.delayed(load)(str(file), start, start + block),
                (min(block, n_prompts - start), n_columns),
                np.float32,
            )
            for start in starts
        ]
        return da.concatenate(parts)

    X_blocks, y_blocks = in_blocks(path, N_FEATURES), in_blocks(y_path, N_MODELS)
    router = KMeansRouter(N_CLUSTERS, random_state=0)
    times = {}
    for n_workers in (1, 2, 2, 1):
        cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster):
            start = time.perf_counter()
            router.fit(X_blocks, y_blocks, costs=costs)
            times.setdefault(n_workers, []).append(time.perf_counter() - start)
            if n_workers == 1:
                start = time.perf_counter()
                KMeansRouter(N_CLUSTERS, random_state=0).fit(X_blocks[:10_000], y_blocks[:10_000])
                times.setdefault("sample", []).append(time.perf_counter() - start)
    one, two, sample = (np.mean(times[key]) for key in (1, 2, "sample"))
    print(
        f"fit on {n_prompts:,} prompts in {len(starts)} blocks: 2 workers {one / two:.2f} times as "
        f"fast as 1, and {(one - sample) / (two - sample):.2f} times but for the sample's own fit"
    )
    sums = len(pickle.dumps(router._get_sums()))
    gathered = 10_000 * (N_FEATURES + N_MODELS) * 4
    print(
        f"bytes of sums moved to the scheduler: {sums:,} ({len(starts)} blocks of them between "
        f"workers at most); sample of 10,000 prompts: {gathered:,}; prompts: "
        f"{n_prompts * (N_FEATURES + N_MODELS) * 4:,}"
    )


def main():
    with tempfile.TemporaryDirectory() as folder:
        with threadpool_limits(1):
            adding()
            path, y = fitting(folder)
        on_workers(path, y[:400_000])


if __name__ == "__main__":
    sys.exit(main())
