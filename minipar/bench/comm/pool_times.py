"""How long workers take to start, and how long it takes to have workers that are there do nothing."""

from __future__ import annotations

import statistics
from time import perf_counter

from ...parallel import Pool

WORKERS = 2
STARTS = 5
ROUND_TRIPS = 300
START_LIMIT, ROUND_TRIP_LIMIT = 1.0, 2e-3  # seconds


def measure() -> tuple[float, float]:
    """Seconds until a new pool has done its first task, and of a task when others came before it; medians.

    The task is a function by value, as those of a notebook are.
    """
    starts, trips = [], []
    for _ in range(STARTS):
        start = perf_counter()
        with Pool(WORKERS) as pool:
            pool.run(lambda comm: None)
            starts.append(perf_counter() - start)
            for _ in range(ROUND_TRIPS // STARTS):
                start = perf_counter()
                pool.run(lambda comm: None)
                trips.append(perf_counter() - start)
    return statistics.median(starts), statistics.median(trips)
