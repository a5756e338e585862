"""Ratios of run times, taken in turns so that a busy machine slows both sides alike."""

from time import perf_counter

import numpy as np


def ratio(function, baseline, *, repeats=11):
    """Median over rounds of the time of one function over that of another, and its quartiles."""
    function()
    baseline()
    ratios = []
    for number in range(repeats):
        times = {}
        for one in (function, baseline) if number % 2 else (baseline, function):
            start = perf_counter()
            one()
            times[one] = perf_counter() - start
        ratios.append(times[function] / times[baseline])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return f"{median:.2f} (quartiles {low:.2f} to {high:.2f})"
