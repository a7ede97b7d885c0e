"""All-reduces between the GPUs of this machine by minipar's own communicator: first whether they are right, then how
fast. With one GPU it is a world of one rank, where an all-reduce must be the identity: library and stream work.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ... import parallel
from .check import Check

NUMBERS = 100_003  # that are checked
SIZES = (1 << 12, 1 << 20, 25 << 20, 1 << 28)  # bytes that are timed
WARM_UP, REPEATS = 3, 15

Launch = Callable[..., list[Any]]  # as parallel.launch


@dataclass(frozen=True)
class AllReduce:
    """Median seconds of an all-reduce of so many bytes a rank, of the slowest rank."""

    ranks: int
    bytes: int
    seconds: float

    @property
    def bus_rate(self) -> float:
        """Bytes a second that each GPU must send at the least, and receive (as NCCL's own tests call it)."""
        return 2 * (self.ranks - 1) / self.ranks * self.bytes / self.seconds


def gpus() -> int:
    """How many there are."""
    import cupy

    return cupy.cuda.runtime.getDeviceCount()


def nccl_checks(ranks: int, launch: Launch = parallel.launch) -> Iterator[Check]:
    """The sum over all ranks, at each of them; of whole numbers, so that it must be exact."""
    found = launch(_sum_on_rank, workers=ranks, backend="nccl")
    exact = sum(_numbers(rank) for rank in range(ranks))
    for rank, array in enumerate(found):
        wrong = float(np.abs(array - exact).max())
        yield Check("NCCL all-reduce", f"rank {rank} of {ranks}, {NUMBERS:,} float32", wrong, 0.0)


def nccl_timings(ranks: int, launch: Launch = parallel.launch, sizes: tuple[int, ...] = SIZES) -> Iterator[AllReduce]:
    """In place, float32, one after the other; a rank's time is its host's, which waits for each."""
    by_rank = launch(_seconds_on_rank, sizes, workers=ranks, backend="nccl")
    for size, seconds in zip(sizes, zip(*by_rank)):
        yield AllReduce(ranks, size, statistics.median(map(max, zip(*seconds))))


def _sum_on_rank(comm: Any) -> np.ndarray:
    import cupy

    return cupy.asnumpy(comm.all_reduce(cupy.asarray(_numbers(comm.rank))))


def _seconds_on_rank(comm: Any, sizes: tuple[int, ...]) -> list[list[float]]:
    """Of each size, the seconds of each repeat."""
    import cupy

    found = []
    for size in sizes:
        array = cupy.zeros(size // 4, np.float32)
        seconds = []
        for _ in range(WARM_UP + REPEATS):
            comm.barrier()
            start = perf_counter()
            comm.all_reduce(array)
            seconds.append(perf_counter() - start)
        found.append(seconds[WARM_UP:])
    return found


def _numbers(rank: int) -> np.ndarray:
    return np.random.default_rng(rank).integers(-1000, 1000, NUMBERS).astype(np.float32)
