"""A schedule laid over the timeline of a run: when each rank has done what, as `simulate` says when it would."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from ..timeline import COMPUTE, Span, check_recording
from .run import span_name
from .schedule import Compute, Schedule
from .simulate import Simulation, Timed

_OURS = re.compile(r"(forward|backward) \d+(, input|, weights)?")


def lay_over(schedule: Schedule, recordings: Sequence[Sequence[Span]]) -> Simulation:
    """What `simulate` works out, as it was measured: in seconds since the first forward began.

    `recordings`: of every rank the timeline of one training step with this schedule (`timeline.merge`). Of what a rank
    does only its computing is there: all else, waiting, messages, and what Python does in between, is the bubble.

    TypeError for anything but a list of recordings; ValueError for those of another number of ranks, and unless each
    rank has recorded the computing of the schedule, once.

    >>> from minipar.parallel import pipeline, timeline
    >>> schedule = pipeline.make_schedule("gpipe", ranks=2, microbatches=1)
    >>> def spans(rank, *times):
    ...     names = "forward 0", "backward 0"
    ...     return [timeline.Span(rank, "compute", name, *when) for name, when in zip(names, times)]
    >>> second = 10**9
    >>> recordings = [
    ...     spans(0, (5 * second, 6 * second), (9 * second, 10 * second)),
    ...     spans(1, (6 * second, 7 * second), (7 * second, 9 * second)),
    ... ]
    >>> run = pipeline.lay_over(schedule, recordings)
    >>> run.makespan, run.busy, run.bubble
    (5.0, [2.0, 3.0], 0.5)
    """
    for recording in recordings:
        check_recording("lay_over", recording)
    if len(recordings) != len(schedule.ranks):
        raise ValueError(f"lay_over: {len(recordings)} recordings are not one for each of the ranks of {schedule!r}")
    computing = [
        [span for span in recording if span.kind == COMPUTE and _OURS.fullmatch(span.name)] for recording in recordings
    ]
    origin = min((span.start_ns for spans in computing for span in spans), default=0)
    ranks = []
    for rank, (order, spans) in enumerate(zip(schedule.ranks, computing)):
        computes = [x for x in order if isinstance(x, Compute)]
        _check_names(schedule, rank, [span.name for span in spans], [span_name(x) for x in computes])
        times = [((span.start_ns - origin) / 1e9, (span.end_ns - origin) / 1e9) for span in spans]
        ranks.append(tuple(Timed(x, start, end) for x, (start, end) in zip(computes, times)))
    return Simulation(schedule, tuple(ranks))


def _check_names(schedule: Schedule, rank: int, found: list[str], wanted: list[str]) -> None:
    for has, should in zip_longest(found, wanted):
        if has != should:
            raise ValueError(
                f"lay_over: rank {rank} has recorded {has or 'nothing'}, where {schedule!r} has "
                f"{should or 'nothing'}: record one training step with this schedule"
            )
