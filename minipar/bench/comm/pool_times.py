"""How long workers take to start, and how long it takes to have workers that are there do nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from time import perf_counter

from ...parallel import Pool
from ..cpu_clock import Reading, foreign_share, reading, wait_for_quiet
from ..summary import Block, Row

WORKERS = 2
POOLS = 15  # at the most, where the machine is not quiet
ENOUGH = 5  # quiet pools
ROUND_TRIPS = 100  # of each pool
PATIENCE = 0.5  # seconds to wait for a quiet moment before a pool
START_LIMIT, ROUND_TRIP_LIMIT = 1.0, 2e-3  # seconds


def measure() -> tuple[Row, Row]:
    """Until a new pool has done its first task, and a task when others came before it; a block is a pool.

    The task is a function by value, as those of a notebook are.
    """
    starts, trips = Row("started, first task done"), Row("round trip")
    while len(starts.blocks) < POOLS and (starts.quiet_blocks or 0) < ENOUGH:
        wait_for_quiet(os.getpid(), PATIENCE)
        before = _reading()
        first, *others = _one_pool()
        foreign = foreign_share(before, _reading())
        starts.blocks.append(Block.of([first], foreign))
        trips.blocks.append(Block.of(others, foreign))
    return starts, trips


def _one_pool() -> list[float]:
    """Seconds of each task; of the first, since before there was a pool."""
    seconds = []
    start = perf_counter()
    with Pool(WORKERS) as pool:
        for _ in range(1 + ROUND_TRIPS):
            pool.run(lambda comm: None)
            seconds.append(perf_counter() - start)
            start = perf_counter()
    return seconds


def _reading() -> Reading | None:
    """The clocks; our own time is this process's and that of the workers that have ended."""
    found = reading(os.getpid())
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return found and replace(found, own=own)
