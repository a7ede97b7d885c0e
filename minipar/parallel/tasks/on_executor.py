"""Jobs over any `concurrent.futures.Executor`: threads, processes, those of an MPI job or of a Dask cluster.

An executor hands out by itself what is submitted, to whichever of its workers is idle. So each chunk of the schedule is
one call for it; of a static schedule, each worker's whole share.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

import cloudpickle

from ...backend.settings import ThreadSettings
from ..comm.spans import clock
from ..ranks.errors import RETURNING, Failure
from .assignment import Counter
from .job import Job, Outcome, run_job, this_worker

NOBODY = ("", 0, 0)  # the worker of a job that an executor has lost


class ByValue:
    """Something that travels by value where its executor pickles it, functions and classes of the caller's script too.

    Where nothing is pickled, in threads, it stays what it is.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple:
        return _by_value, (cloudpickle.dumps(self.value),)


def _by_value(pickled: bytes) -> ByValue:
    return ByValue(pickle.loads(pickled))


def outcomes(
    executor: Executor, fn: Callable[[Any], Any], jobs: list[Job], counter: Counter, threads: int
) -> Generator[Outcome, None, None]:
    """Run all that the counter holds, also what it is given back between two outcomes.

    Kernels called by a job use `threads` threads. When the iterator is closed, what has not begun is cancelled; an
    executor cannot end what has begun.
    """
    settings = ThreadSettings.of_this_thread()._replace(threads=threads)
    running: dict[Future, tuple[list[Job], int]] = {}
    workers: dict[tuple, int] = {}  # their numbers, in the order in which they were first heard of
    try:
        while True:
            for numbers in counter.take_all():
                chunk = [jobs[number] for number in numbers]
                running[_submitted(executor, ByValue((fn, settings, chunk)))] = chunk, clock()
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                for outcome in _outcomes_of(future, *running.pop(future)):
                    yield outcome._replace(worker=workers.setdefault(outcome.worker, len(workers)))
    finally:
        for future in running:
            future.cancel()


def _submitted(executor: Executor, call: ByValue) -> Future:
    """One that is broken says so with the result: jobs that are done already are not lost."""
    try:
        return executor.submit(run_chunk, call)
    except BrokenExecutor as error:
        future: Future = Future()
        future.set_exception(error)
        return future


def run_chunk(call: ByValue) -> list[Returned]:
    """What a worker of the executor runs: one job after the other, each with the caller's settings."""
    fn, settings, chunk = call.value
    before = ThreadSettings.of_this_thread()
    returned = []
    try:
        for job in chunk:
            settings.adopt()
            returned.append(Returned(run_job(fn, job, this_worker())))
    finally:
        before.adopt()
    return returned


class Returned:
    """An outcome on its way back: one that cannot be sent, or loaded, is the failure of its own job alone."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._pickled = b""  # where it has come from another process

    def __reduce__(self) -> tuple:
        outcome = self._outcome
        try:
            failure = None if outcome.failure is None else outcome.failure.to_bytes()
            pickled = cloudpickle.dumps((outcome.value, failure))
        except Exception as error:
            doing = f"returning its result, of type {type(outcome.value).__name__}"
            pickled = cloudpickle.dumps((None, Failure.of_exception(0, doing, error).to_bytes()))
        return _returned, (outcome._replace(value=None, failure=None), pickled)

    def outcome(self) -> Outcome:
        if not self._pickled:
            return self._outcome
        try:
            value, failure = pickle.loads(self._pickled)
        except Exception as error:
            return self._outcome._replace(failure=Failure.of_exception(0, RETURNING, error))
        return self._outcome._replace(value=value, failure=None if failure is None else Failure.from_bytes(failure))


def _returned(outcome: Outcome, pickled: bytes) -> Returned:
    returned = Returned(outcome)
    returned._pickled = pickled
    return returned


def _outcomes_of(future: Future, chunk: list[Job], since: int) -> list[Outcome]:
    """Of the jobs of a chunk. An executor that fails itself, because a worker has died, fails them all."""
    try:
        return [returned.outcome() for returned in future.result()]
    except (Exception, CancelledError) as error:
        failure = Failure.of_exception(0, "in a chunk of jobs that its executor has lost", error)
        return [Outcome(job.number, None, failure, NOBODY, since, clock()) for job in chunk]
