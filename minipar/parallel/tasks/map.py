"""`map`: independent jobs over workers; results in the order of the jobs, or as they come."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NamedTuple

from ...backend.random import default_generator, set_default_generator
from ...backend.settings import ThreadSettings
from .. import timeline
from ..comm.cores import usable_cores
from ..ranks.environment import refuse_inside_a_rank
from ..ranks.pool import Pool
from ..ranks.stacks import hide_own_lines
from .assignment import Counter, check_schedule, span_of_job
from .bar import bar
from .job import Job, JobError, Outcome, make_jobs, run_job
from .on_executor import outcomes as outcomes_on_executor

if TYPE_CHECKING:
    from ..ranks.output import Screen

ON_ERROR = ("raise", "return")


def map(
    fn: Callable[[Any], Any],
    jobs: Iterable[Any],
    *,
    workers: int | None = None,
    pool: Pool | None = None,
    executor: Executor | None = None,
    schedule: str = "dynamic",
    chunksize: int | None = None,
    retries: int = 0,
    on_error: str = "raise",
    progress: bool | None = None,
) -> list[Any]:
    """``[fn(job) for job in jobs]``, computed by many workers; the results stand in the order of the jobs.

    Who works: `workers` new processes (as many as this process may use cores; they end afterwards), the workers of a
    `Pool`, or any ``concurrent.futures.Executor``, of which `workers` says how many it has where it does not tell
    itself. ``workers=0``: this thread, one job after the other. Function, arguments and results travel by value, as in
    `Pool.run`; handles of ``pool.put`` may stand in jobs and in what the function mentions.

    How jobs are shared out: "dynamic", "static" or "guided", with `chunksize`, as OpenMP has them
    (minipar/parallel/tasks/assignment.py says what they mean; `simulate_schedule` computes what they would do). An
    executor gets a chunk, or the whole of a worker's static share, as one call.

    Every job begins with the caller's settings, and with random numbers of its own, which follow from the state of the
    caller's generator and the job's number: so results depend neither on workers nor on the schedule. The caller's
    generator does not move. (NumPy's and Python's own generators are not touched: seed them from the job.) In a job
    `parallel.init` gives a communicator of one rank.

    A job that raises, ends its worker or returns what cannot be sent is tried `retries` times more, with the same
    random numbers; a dead worker is replaced. After that ``on_error="raise"`` ends what runs, and raises a `JobError`,
    which has the results so far; with "return" the error stands among the results, and all other jobs are done.
    An executor, whose workers nobody can end, does not begin what has not begun; one of processes is lost with a worker
    that dies, and its jobs fail.
    Ctrl-C ends the jobs that run, as in `Pool.run`, and keeps the pool.

    `progress` draws a bar (tqdm) on stderr; None: on terminals and in notebooks, if it takes longer than half a second.
    Inside ``timeline.record()`` each job leaves a span whose rank is its worker: see `Assignment.measured`.

    TypeError or ValueError for arguments that make no sense, TypeError for what cannot be sent; RuntimeError inside a
    rank or a job, unless an executor or workers=0 is given, and if the pool is closed or busy.

    >>> with minipar.parallel.Pool(workers=2) as pool:
    ...     minipar.parallel.map(lambda x: x * x, range(5), pool=pool)
    [0, 1, 4, 9, 16]
    """
    results: dict[int, Any] = {}
    finished = map_unordered(
        fn,
        jobs,
        workers=workers,
        pool=pool,
        executor=executor,
        schedule=schedule,
        chunksize=chunksize,
        retries=retries,
        on_error=on_error,
        progress=progress,
    )
    try:
        for number, result in finished:
            results[number] = result
    except Exception as error:
        if isinstance(error, JobError):
            error.results = results
        hide_own_lines(error)
        raise
    return [results[number] for number in range(len(results))]


def map_unordered(
    fn: Callable[[Any], Any],
    jobs: Iterable[Any],
    *,
    workers: int | None = None,
    pool: Pool | None = None,
    executor: Executor | None = None,
    schedule: str = "dynamic",
    chunksize: int | None = None,
    retries: int = 0,
    on_error: str = "raise",
    progress: bool | None = None,
) -> Iterator[tuple[int, Any]]:
    """The results of `map` as they come: pairs (number of the job, result). The arguments are those of `map`.

    It begins when the first is asked for. Closing the iterator, or leaving a loop over it, ends what runs; until then
    a pool is busy with it.

    >>> for number, result in minipar.parallel.map_unordered(lambda x: x * x, [3, 4], workers=0):
    ...     print(number, result)
    0 9
    1 16
    """
    if not callable(fn):
        raise TypeError(f"map needs a function to run on each job, not {type(fn).__name__}")
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error={on_error!r} is unknown: choose one of {', '.join(ON_ERROR)}")
    if (retries := operator.index(retries)) < 0:
        raise ValueError(f"retries={retries} must be at least 0")
    where = Where.checked(workers, pool, executor)
    check_schedule(where.workers or 1, schedule, chunksize)
    ready = make_jobs(list(jobs))
    counter = Counter(len(ready), where.workers or 1, schedule, chunksize)
    return _finished(fn, ready, counter, where, retries, on_error, progress)


class Where(NamedTuple):
    """Who works: a pool, an executor, `workers` that are to be started, or, if that is 0, this thread."""

    workers: int
    pool: Pool | None
    executor: Executor | None

    @classmethod
    def checked(cls, workers: int | None, pool: Pool | None, executor: Executor | None) -> Where:
        """TypeError, ValueError or RuntimeError as `map` says."""
        if pool is not None and (workers is not None or executor is not None):
            raise ValueError("map takes a pool, or an executor, or workers: a pool knows how many workers it has")
        if pool is not None and not isinstance(pool, Pool):
            raise TypeError(f"pool must be a Pool, not {type(pool).__name__}: others are executors (executor=…)")
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}")
        if pool is not None:
            pool.crew_for("map")  # RuntimeError if it is closed or busy
            return cls(pool.workers, pool, None)
        workers = None if workers is None else operator.index(workers)
        least = 0 if executor is None else 1
        if workers is not None and workers < least:
            raise ValueError(f"workers={workers} must be at least {least}")
        if workers is None:
            workers = getattr(executor, "_max_workers", None) or usable_cores()
        if executor is None and workers:
            refuse_inside_a_rank("map")
        return cls(workers, None, executor)


def _finished(
    fn: Callable[[Any], Any],
    jobs: list[Job],
    counter: Counter,
    where: Where,
    retries: int,
    on_error: str,
    progress: bool | None,
) -> Iterator[tuple[int, Any]]:
    """Each job's number and result, or its `JobError`, once it will not be tried again."""
    attempts = [0] * len(jobs)
    with ExitStack() as opened:
        outcomes, screen = _begun(opened, fn, jobs, counter, where)
        opened.enter_context(closing(outcomes))
        advance = opened.enter_context(closing(bar(len(jobs), progress, screen)))
        for outcome in outcomes:
            number = outcome.number
            attempts[number] += 1
            timeline.add(span_of_job(number, outcome.worker, outcome.start_ns, outcome.end_ns))
            if outcome.failure is not None and attempts[number] <= retries:
                counter.give_again(number)
                continue
            result = outcome.value
            if outcome.failure is not None:
                result = JobError.of(outcome.failure, jobs[number], attempts[number])
                if on_error == "raise":
                    raise result
            advance.update()
            yield number, result


def _begun(
    opened: ExitStack, fn: Callable[[Any], Any], jobs: list[Job], counter: Counter, where: Where
) -> tuple[Generator[Outcome, None, None], Screen | None]:
    """What comes of the jobs, and what shows the output of workers, if it is shown by us.

    `opened` closes whatever is opened for the jobs.
    """
    workers, pool, executor = where
    if pool is None and executor is None:
        if not workers:
            return _outcomes_here(fn, jobs, counter), None
        pool = opened.enter_context(Pool(workers))
    if pool is not None:
        crew = pool.crew_for("map")
        if crew is not None:
            from .on_pool import outcomes

            return outcomes(crew, pool.timeout, fn, jobs, counter), crew.screen
        executor = ThreadPoolExecutor(workers, "job")
        opened.callback(executor.shutdown, wait=False)
    assert executor is not None
    threads = max(1, usable_cores() // workers)
    if isinstance(executor, ThreadPoolExecutor):
        from threadpoolctl import threadpool_limits

        opened.enter_context(threadpool_limits(threads))  # those of BLAS, which threads share
    return outcomes_on_executor(executor, fn, jobs, counter, threads), None


def _outcomes_here(fn: Callable[[Any], Any], jobs: list[Job], counter: Counter) -> Generator[Outcome, None, None]:
    """In this thread, one job after the other."""
    while (number := counter.next(0)) is not None:
        before, generator = ThreadSettings.of_this_thread(), default_generator()
        try:
            outcome = run_job(fn, jobs[number], 0)
        finally:
            before.adopt()
            set_default_generator(generator)  # the caller's own, not one of the same state
        yield outcome
