"""One job, wherever it runs: with which random numbers, and what comes of it."""

from __future__ import annotations

import os
import reprlib
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from ...backend import random
from ..comm.spans import clock
from ..ranks.environment import apart_from_the_job
from ..ranks.errors import Failure

_SHORT = reprlib.Repr()
_SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 8, 60, 60


class Job(NamedTuple):
    """Its number among the jobs, what the function gets, and the seed of its random numbers."""

    number: int
    argument: Any
    seed: int


class Outcome(NamedTuple):
    """What came of one attempt at a job: its value, or how it failed. Who made it, and when, in ns of `spans.clock`."""

    number: int
    value: Any
    failure: Failure | None
    worker: Any  # its rank, or who it is among the workers of an executor
    start_ns: int
    end_ns: int


def make_jobs(arguments: list[Any]) -> list[Job]:
    """Each with a seed of its own: a hash of the state of the calling thread's generator and of the job's number.

    So a job draws the same numbers whoever runs it, whatever ran before, and when it is tried again.
    """
    seed, draws = random.default_generator().get_state()
    jobs = []
    for number, argument in enumerate(arguments):
        low, high = random.key_of(seed, draws, "job", number)
        jobs.append(Job(number, argument, low | high << 32))
    return jobs


def run_job(fn: Callable[[Any], Any], job: Job, worker: Any) -> Outcome:
    """Run it in this thread, whose generator is as before afterwards."""
    generator = random.Generator().manual_seed(job.seed)
    value, failure, start = None, None, clock()
    try:
        with random.drawing_from(generator), apart_from_the_job():
            value = fn(job.argument)
    except (Exception, SystemExit) as error:
        failure = Failure.of_exception(0, "", error)
    return Outcome(job.number, value, failure, worker, start, clock())


def this_worker() -> tuple[str, int, int]:
    """Who runs this, among all threads of all processes of all hosts."""
    return socket.gethostname(), os.getpid(), threading.get_ident()


class JobError(RuntimeError):
    """A job raised, took its worker with it, or returned something that cannot be sent back.

    `index` is its number, `job` its argument as text, shortened; `attempts` says how often it was tried. `exitcode` is
    that of a worker process that died in it (negative: the signal that killed it), else None; `remote_traceback` the
    text of its traceback, "" for most deaths. The exception itself is `cause` (and `__cause__`) where it can be rebuilt
    here, else None. `results` holds what other jobs of the same `map` had returned by then, by number.
    """

    def __init__(
        self, failure: Failure, index: int, job: str, attempts: int = 1, cause: BaseException | None = None
    ) -> None:
        told = f"job {index}, {job}, {failure.what}"
        if failure.doing:
            told += f", while its worker was {failure.doing}"
        if attempts > 1:
            told += f" ({attempts} attempts)"
        if failure.remote_traceback:
            told += f"\n\nTraceback of job {index}:\n{failure.remote_traceback}"
        super().__init__(told)
        self.index = index
        self.job = job
        self.attempts = attempts
        self.exitcode = failure.exitcode
        self.remote_traceback = failure.remote_traceback
        self.results: dict[int, Any] = {}
        self.cause = self.__cause__ = cause
        self._failure = failure

    @classmethod
    def of(cls, failure: Failure, job: Job, attempts: int) -> JobError:
        known = failure.error()  # with the lines of source that only this process has, and the exception
        failure = replace(failure, remote_traceback=known.remote_traceback, exception=None)
        return cls(failure, job.number, _SHORT.repr(job.argument), attempts, known.cause)

    def __reduce__(self) -> tuple:
        return JobError, (self._failure, self.index, self.job, self.attempts, self.cause)
