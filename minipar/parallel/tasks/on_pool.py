"""Jobs over the workers of a pool: each runs on one worker, and no worker waits for another.

A job is a task that one worker alone is given (ranks/crew.py says what that is made of). One message brings it and one
its result, so a worker that dies takes one job with it, and the new worker in its place goes on with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from ..comm.communicator import Communicator
from ..comm.spans import clock
from ..comm.thread import ThreadCommunicator, ThreadWorld
from ..ranks.answers import Answers
from ..ranks.channel import Kind, NotTaken
from ..ranks.crew import Crew
from ..ranks.environment import mark_as_rank
from ..ranks.errors import RETURNING, Failure
from ..ranks.mapping import OWNED
from ..ranks.output import wait_and_show
from ..ranks.parcel import unpack
from ..ranks.processes import WorkerProcess
from .assignment import Counter
from .job import Job, Outcome, run_job

_POLL = 0.1  # seconds between two looks at processes: a child that a worker has forked keeps the dead worker's socket


def outcomes(
    crew: Crew, timeout: float, fn: Callable[[Any], Any], jobs: list[Job], counter: Counter
) -> Generator[Outcome, None, None]:
    """Run all that the counter hands out, also what it is given back between two outcomes.

    When the iterator is closed, or Ctrl-C comes, jobs that run are ended, and the crew is as after a failed `run`.
    """
    with crew.at_work("map"):
        running = _Running(crew, timeout)
        try:
            while True:
                for worker in running.idle():
                    number = counter.next(worker.rank)
                    if number is not None:
                        running.give(worker, fn, jobs[number])
                if not running.has_any():
                    break
                yield from running.wait()
        except BaseException:
            running.stop()
            raise
        running.show_all()


@dataclass
class JobFunction:
    """What a worker runs: the job as in a process of its own, with a communicator of one rank for `parallel.init`."""

    fn: Callable[[Any], Any]

    def __call__(self, comm: Communicator, number: int, job: Any, seed: int) -> tuple[Outcome, bytes | None]:
        """The outcome, and its failure in the form that can be sent."""
        alone = ThreadCommunicator(ThreadWorld(1), 0, comm.timeout)
        alone.device = comm.device
        mark_as_rank(alone)
        outcome = run_job(self.fn, Job(number, job, seed), comm.rank)
        failure = None if outcome.failure is None else outcome.failure.to_bytes()
        return outcome._replace(failure=None), failure


class _Running:
    """The jobs that run, each on its worker."""

    def __init__(self, crew: Crew, timeout: float) -> None:
        self._crew = crew
        self._timeout = timeout
        self._world = crew.ready_world()
        self._jobs: dict[int, tuple[Job, int]] = {}  # by the rank of the worker; and when it was given

    def idle(self) -> list[WorkerProcess]:
        return [worker for worker in self._crew.present() if worker.rank not in self._jobs]

    def has_any(self) -> bool:
        return bool(self._jobs)

    def give(self, worker: WorkerProcess, fn: Callable[[Any], Any], job: Job) -> None:
        """TypeError if the function or the argument cannot be sent."""
        arguments = {"number": job.number, "job": job.argument, "seed": job.seed}
        try:
            task = self._crew.pack("map", JobFunction(fn), (), arguments, self._timeout)
        except TypeError as error:
            raise TypeError(f"job {job.number} of {error}") from error.__cause__
        try:
            self._jobs[worker.rank] = job, clock()
            self._crew.send(worker, task, self._world)
        finally:
            task.parcel.close()

    def wait(self) -> list[Outcome]:
        """What has come of jobs, of at least one; in the place of each worker that has died there is a new one."""
        found: list[Outcome] = []
        while not found:
            busy = {worker.channel.fileno(): worker for worker in self._crew.present() if worker.rank in self._jobs}
            ready = wait_and_show([stream for worker in busy.values() for stream in worker.streams], busy, _POLL)
            if self._crew.has_ended:
                raise RuntimeError("the workers were ended while they ran jobs of map")
            for descriptor, worker in busy.items():
                if descriptor in ready:
                    found.append(self._received(worker))
                elif worker.has_ended() and not worker.has_written():
                    found.append(self._of_dead(worker))
        return found

    def stop(self) -> None:
        """KeyboardInterrupt in the workers that run jobs, and half a second later the end of those that go on."""
        try:
            if not self._crew.has_ended:
                busy = [worker for worker in self._crew.present() if worker.is_busy]
                Answers(busy, self._world.board, self._timeout).interrupt()
        finally:
            self._crew.give_up()

    def show_all(self) -> None:
        """What workers have written to the end, a line without an end too."""
        for worker in self._crew.present():
            worker.show_all()

    def _received(self, worker: WorkerProcess) -> Outcome:
        try:
            kind, body, descriptor = worker.channel.receive()
        except NotTaken as error:
            worker.is_busy = False
            return self._failed(worker, Failure.of_exception(worker.rank, RETURNING, error))
        except (EOFError, OSError):
            return self._of_dead(worker)
        worker.is_busy = False
        if kind == Kind.FAILURE:
            failure = Failure.from_bytes(body)
            return self._failed(worker, replace(failure, doing=failure.doing.removesuffix(", of type tuple")))
        try:
            outcome, told = unpack(body, descriptor, OWNED)
        except Exception as error:
            return self._failed(worker, Failure.of_exception(worker.rank, RETURNING, error))
        del self._jobs[worker.rank]
        return outcome if told is None else outcome._replace(failure=Failure.from_bytes(told))

    def _of_dead(self, worker: WorkerProcess) -> Outcome:
        exitcode = worker.exit_code()
        if exitcode is None:
            failure = Failure(worker.rank, "closed its connection without a result", "")
        else:
            failure = Failure.of_death(worker.rank, "", exitcode, worker.stack.crash())
        self._crew.renew(worker.rank)
        return self._failed(worker, failure)

    def _failed(self, worker: WorkerProcess, failure: Failure) -> Outcome:
        """Of a job whose worker could not say so itself."""
        job, since = self._jobs.pop(worker.rank)
        return Outcome(job.number, None, failure, worker.rank, since, clock())
