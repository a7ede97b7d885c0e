"""Timing on a GPU.

A sample is a number of calls, one right after the other, between two CUDA events on the current stream; so a call costs
whichever is longer, its work on the device or its launch by the host. Samples of all sides alternate, and the operands
rotate through copies that do not fit into the L2 cache together.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter
from typing import Any

SAMPLES = (5, 15)  # least and most of each side
SAMPLE_SECONDS = 5e-3
RACE_SECONDS = 6.0  # of all samples together, where the least is not more
CALLS = (1, 1000)  # calls of a sample, least and most
WARM_UP = 3
WAKING_SECONDS = 0.5
ROTATION_BYTES = 128 << 20
COPIES = (2, 64)

Call = Callable[..., Any]
Stopwatch = Callable[[Callable[[], Any]], float]  # runs what it is given; the seconds that took


@dataclass(frozen=True)
class Timing:
    """Median and minimum seconds a call of ours and of theirs, and the work of a call in floating-point operations (0:
    it is not these that count); and who they are."""

    name: str
    case: str
    ours: float
    theirs: float
    ours_minimum: float
    theirs_minimum: float
    flop: float
    opponent: str = "CuPy"

    @property
    def ratio(self) -> float:
        """Our speed as a share of theirs: above 1, ours is faster."""
        return self.theirs / self.ours


@dataclass(frozen=True)
class Launch:
    """Host seconds of one launch of a tiny kernel."""

    name: str
    seconds: float


def event_stopwatch(work: Callable[[], Any]) -> float:
    """Seconds between two CUDA events around `work` on the current stream."""
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    work()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end) * 1e-3


def race(sides: Mapping[str, Call], operands: Sequence[tuple], stopwatch: Stopwatch) -> dict[str, list[float]]:
    """Name → seconds a call, of each sample; all sides have the same operands, which are used in turn.

    Fewer samples are taken where, by the first calls, the most would need more than RACE_SECONDS.
    """
    rotation = cycle(operands)

    def sample(side: Call, calls: int) -> float:
        def work() -> None:
            for _ in range(calls):
                side(*next(rotation))

        return stopwatch(work) / calls

    counts, turn = {}, 0.0
    for name, side in sides.items():
        estimate = [sample(side, 1) for _ in range(WARM_UP)][-1]
        counts[name] = max(CALLS[0], min(CALLS[1], int(SAMPLE_SECONDS / max(estimate, 1e-9))))
        turn += counts[name] * estimate
    least, most = SAMPLES
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(max(least, min(most, int(RACE_SECONDS / max(turn, 1e-9))))):
        for name, side in sides.items():
            seconds[name].append(sample(side, counts[name]))
    return seconds


def compare(
    name: str,
    case: str,
    ours: Call,
    theirs: Call,
    operands: Sequence[tuple],
    flop: float,
    stopwatch: Stopwatch,
    opponent: str = "CuPy",
) -> Timing:
    """Two functions on the same operands."""
    found = race({"ours": ours, "theirs": theirs}, operands, stopwatch)
    medians, minima = ({side: pick(seconds) for side, seconds in found.items()} for pick in (statistics.median, min))
    return Timing(name, case, medians["ours"], medians["theirs"], minima["ours"], minima["theirs"], flop, opponent)


def wake(work: Callable[[], Any], stopwatch: Stopwatch) -> None:
    """Keep the device busy until it has left its idle clocks; the first call, which may compile, does not count."""
    work()
    spent = 0.0
    while spent < WAKING_SECONDS:
        spent += max(stopwatch(work), 1e-4)


def copies(nbytes: int) -> int:
    """How many copies of operands of `nbytes` bytes to rotate through, so that the L2 cache does not hold them all."""
    least, most = COPIES
    return max(least, min(most, -(-ROTATION_BYTES // max(nbytes, 1))))


def launch_overhead(
    calls: Mapping[str, Callable[[], Any]],
    synchronize: Callable[[], None],
    launches: int = 10_000,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, float]:
    """Name → host seconds a launch, over many launches of tiny kernels one after the other."""
    seconds = {}
    for name, call in calls.items():
        call()  # compiled and loaded before
        synchronize()
        start = clock()
        for _ in range(launches):
            call()
        synchronize()
        seconds[name] = (clock() - start) / launches
    return seconds
