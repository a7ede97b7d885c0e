"""Which worker runs which job: OpenMP's three schedules of independent jobs, simulated and executed by the same object.

OpenMP Application Programming Interface 5.2, section 11.5.3 (the schedule clause of a worksharing loop):

    static     the jobs are cut before anything runs. Without a chunksize each worker gets one consecutive share, all
               about equally long; with one, chunks of that size go round: worker 0, 1, 2, 0, 1, …
    dynamic    a worker that has nothing to do takes the next chunk, of 1 job unless chunksize says otherwise
    guided     the same with chunks that shrink: those that are left over the number of workers, rounded up, but no
               fewer than chunksize. (OpenMP leaves the factor open; this is the original, guided self-scheduling:
               Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987, and what GCC does.)

Static costs no decision while jobs run, and is as good as its guess that they take equally long. Dynamic is never more
than one job away from even loads (Graham, "Bounds on multiprocessing timing anomalies", 1969: at most 2 − 1/workers
times the best possible), but asks for every chunk. Guided asks seldom at first, and evens out at the end.
"""

from __future__ import annotations

import heapq
import operator
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from ..shares import shares
from ..timeline import Span

SCHEDULES = ("static", "dynamic", "guided")
JOB = "job"  # the kind of spans of jobs, and the beginning of their names


def check_schedule(workers: int, schedule: str, chunksize: int | None) -> tuple[int, int | None]:
    """`workers` and `chunksize` as ints. TypeError or ValueError if the three make no sense."""
    workers = operator.index(workers)
    if workers < 1:
        raise ValueError(f"workers={workers} must be at least 1")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is unknown: choose one of {', '.join(SCHEDULES)}")
    if chunksize is not None and (chunksize := operator.index(chunksize)) < 1:
        raise ValueError(f"chunksize={chunksize} must be at least 1")
    return workers, chunksize


def chunks(jobs: int, workers: int, schedule: str, chunksize: int | None) -> list[range]:
    """The chunks in the order in which they are handed out; of a static schedule, number k is for worker k % workers.

    Their sizes do not depend on who takes them.
    """
    if schedule == "static" and chunksize is None:
        sizes = shares(jobs, workers)
    elif schedule == "guided":
        sizes = []
        while (left := jobs - sum(sizes)) > 0:
            sizes.append(min(left, max(chunksize or 1, -(-left // workers))))
    else:
        each = chunksize or 1
        sizes = [each] * (jobs // each) + [jobs % each] * (jobs % each > 0)
    return [range(start, end) for start, end in pairwise(accumulate(sizes, initial=0))]


class Counter:
    """Where workers ask for their next job, as customers do: a counter in a shop."""

    def __init__(self, jobs: int, workers: int, schedule: str, chunksize: int | None) -> None:
        self._for_all: deque[range] = deque()
        self._for_worker: list[deque[int]] = [deque() for _ in range(workers)]
        self._failed: deque[int] = deque()
        cut = chunks(jobs, workers, schedule, chunksize)
        if schedule == "static":
            for number, chunk in enumerate(cut):
                self._for_worker[number % workers].extend(chunk)
        else:
            self._for_all.extend(cut)

    def next(self, worker: int) -> int | None:
        """The job that an idle worker begins with now; None if there is none for it."""
        if self._failed:
            return self._failed.popleft()
        mine = self._for_worker[worker]
        if not mine and self._for_all:
            mine.extend(self._for_all.popleft())
        return mine.popleft() if mine else None

    def take_all(self) -> list[list[int]]:
        """All that is left, for an executor to hand out: chunk by chunk, or, if static, worker by worker."""
        left = [[number] for number in self._failed] + [list(mine) for mine in self._for_worker if mine]
        left += map(list, self._for_all)
        self._failed.clear()
        self._for_all.clear()
        for mine in self._for_worker:
            mine.clear()
        return left

    def give_again(self, job: int) -> None:
        """A job that has failed is for whoever asks next."""
        self._failed.append(job)


@dataclass(frozen=True)
class Assignment:
    """Who ran what, and when: `spans`, one a job, in the order of the jobs; the `rank` of each is its worker.

    `simulate_schedule` makes one from known costs, `Assignment.measured` from what was recorded while `map` ran.

    >>> run = minipar.parallel.simulate_schedule([0.5, 0.25, 0.25], workers=2)
    >>> run.makespan, run.worker_of, run.jobs_of, run.busy
    (0.5, [0, 1, 1], [[0], [1, 2]], [0.5, 0.5])
    """

    workers: int
    spans: list[Span]

    @classmethod
    def measured(cls, recording: Sequence[Span], workers: int) -> Assignment:
        """Of one `map` in a recording of `timeline.record`; of a job that was tried several times, the last.

        >>> from minipar.parallel import timeline
        >>> with timeline.record() as recording:
        ...     squares = minipar.parallel.map(lambda x: x * x, [1, 2, 3], workers=0)
        >>> minipar.parallel.Assignment.measured(recording, workers=1).worker_of
        [0, 0, 0]
        """
        if not isinstance(recording, Sequence) or not all(isinstance(span, Span) for span in recording):
            raise TypeError(f"measured takes a recording, a list of Span, not {type(recording).__name__}")
        last = {span.number: span for span in recording if span.kind == JOB}
        return cls(workers, [last[job] for job in sorted(last)])

    @property
    def makespan(self) -> float:
        """Seconds from the beginning of the first job to the end of the last."""
        start = min((span.start_ns for span in self.spans), default=0)
        return (max((span.end_ns for span in self.spans), default=0) - start) / 1e9

    @property
    def worker_of(self) -> list[int]:
        """The worker of each job."""
        return [span.rank for span in self.spans]

    @property
    def jobs_of(self) -> list[list[int]]:
        """The jobs of each worker, in the order in which it ran them."""
        in_order = sorted(self.spans, key=lambda span: span.start_ns)
        return [[span.number for span in in_order if span.rank == worker] for worker in range(self.workers)]

    @property
    def busy(self) -> list[float]:
        """Seconds that each worker spent in jobs."""
        return [sum(span.duration_ns for span in self.spans if span.rank == w) / 1e9 for w in range(self.workers)]


def simulate_schedule(
    costs: Sequence[float], workers: int, schedule: str = "dynamic", chunksize: int | None = None
) -> Assignment:
    """Who would run what, and when, if job i took costs[i] seconds and handing it out took no time.

    What decides is what `map` asks too. `schedule` and `chunksize` as there. Workers that become idle at the same
    moment ask in order of their numbers. TypeError or ValueError if the arguments make no sense.

    Four jobs of which the first is as long as the others together:

    >>> for schedule in ("static", "dynamic"):
    ...     run = minipar.parallel.simulate_schedule([3, 1, 1, 1], workers=2, schedule=schedule)
    ...     print(schedule, run.makespan, run.jobs_of)
    static 4.0 [[0, 1], [2, 3]]
    dynamic 3.0 [[0], [1, 2, 3]]
    """
    workers, chunksize = check_schedule(workers, schedule, chunksize)
    durations = [round(1e9 * _seconds(cost)) for cost in costs]
    counter = Counter(len(durations), workers, schedule, chunksize)
    spans: dict[int, Span] = {}
    idle = [(0, worker) for worker in range(workers)]  # when each becomes idle: a heap
    while idle:
        now, worker = heapq.heappop(idle)
        job = counter.next(worker)
        if job is not None:
            spans[job] = span_of_job(job, worker, now, now + durations[job])
            heapq.heappush(idle, (now + durations[job], worker))
    return Assignment(workers, [spans[job] for job in range(len(durations))])


def span_of_job(job: int, worker: int, start_ns: int, end_ns: int) -> Span:
    return Span(worker, JOB, f"{JOB} {job}", start_ns, end_ns, number=job)


def _seconds(cost: Any) -> float:
    seconds = float(cost)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"costs are seconds, 0 or more, not {cost!r}")
    return seconds
