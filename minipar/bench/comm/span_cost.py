"""What the timeline costs: a span and a recorded call, times those of a data-parallel training step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import minipar

from ...parallel import Communicator, DataParallel, launch, timeline
from ..workloads import WORKLOADS, prepare

WORKLOAD = "W3"
RANKS = 2
STEPS = 40
BATCHES, CALLS = 20, 1000  # the cheapest of so many batches of so many calls: what it costs when nobody disturbs
LIMIT = 0.02  # of a step


@dataclass(frozen=True)
class SpanCost:
    """Seconds: of a span while nobody records and while this thread does, what recording adds to a communicator call,
    and of a step; how many spans and calls a step has."""

    off: float
    on: float
    call: float
    step: float
    spans: int
    calls: int

    @property
    def share(self) -> float:
        """Of the step's time, while it is recorded."""
        return (self.spans * self.on + self.calls * self.call) / self.step


def measure() -> SpanCost:
    off, on, call = launch(_costs, workers=RANKS)[0]
    steps, recordings = zip(*launch(_steps, workers=RANKS))
    kinds = [span.kind for span in recordings[0]]
    calls = kinds.count(timeline.COMMUNICATION)
    return SpanCost(off, on, call, max(steps), len(kinds) - calls, calls)


def _costs(comm: Communicator) -> tuple[float, float, float]:
    """A span without and with recording, and what recording adds to a barrier."""
    off, bare = _cheapest(_span), _cheapest(comm.barrier)
    with timeline.record() as recording:
        on = _cheapest(_span, recording.clear)
        recorded = _cheapest(comm.barrier, recording.clear)
    return off, on, max(0.0, recorded - bare)


def _span() -> None:
    with timeline.span("forward"):
        pass


def _cheapest(call: Callable[[], object], tidy: Callable[[], object] = lambda: None) -> float:
    """Seconds a call; `tidy` runs between the batches."""
    least = math.inf
    for _ in range(BATCHES):
        start = perf_counter()
        for _ in range(CALLS):
            call()
        least = min(least, (perf_counter() - start) / CALLS)
        tidy()
    return least


def _steps(comm: Communicator) -> tuple[float, list[timeline.Span]]:
    """The median of unrecorded steps, in seconds, and the recording of one more."""
    training = prepare(minipar, WORKLOADS[WORKLOAD])
    model = DataParallel(training.model, comm)
    step = partial(
        model.train_step,
        lambda net, x, y: training.loss_function(net(x), y),
        training.optimizer,
        training.x,
        training.y,
    )
    seconds = []
    for _ in range(STEPS):
        comm.barrier()
        start = perf_counter()
        step()
        seconds.append(perf_counter() - start)
    with timeline.record() as recording:
        step()
    return statistics.median(seconds[STEPS // 4 :]), recording
