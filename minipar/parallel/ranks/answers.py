"""Waiting for the ranks of one task: their results, or the failure that the caller is told of."""

import math
import signal
import time
from collections.abc import Sequence
from typing import Any, Protocol

from ..comm.board import Activity, Board
from . import processes
from .channel import Channel, Kind, NotTaken
from .errors import RETURNING, Failure
from .final_wait import FinalWait
from .inquest import Inquest
from .launch import GRACE
from .mapping import OWNED
from .output import RankStream, wait_and_show
from .parcel import unpack
from .stacks import ProcessStack

_POLL = 0.1  # seconds between two looks at processes: a child that a worker has forked keeps the dead worker's socket


class Contact(Protocol):
    """A rank as it is seen here: a `WorkerProcess`, or an `MPIRank`."""

    rank: int
    is_busy: bool
    channel: Channel
    stack: ProcessStack
    streams: list[RankStream]

    def has_ended(self) -> bool: ...

    def has_written(self) -> bool: ...

    def exit_code(self) -> int | None: ...

    def send_signal(self, number: int) -> None: ...


class Answers:
    """What comes back from the workers, which have been given one task. Their output is shown all the while."""

    def __init__(self, workers: Sequence[Contact], board: Board, timeout: float) -> None:
        self._board = board
        self._inquest = Inquest(board, [worker.stack for worker in workers])
        self._missing = {worker.channel.fileno(): worker for worker in workers}
        self._streams = [stream for worker in self._missing.values() for stream in worker.streams]
        self._size = len(self._missing)
        self._results: dict[int, Any] = {}
        self._final_wait = FinalWait(board, timeout)
        self._start_deadline = time.monotonic() + processes.START_LIMIT

    def results(self) -> list[Any]:
        """Wait for all ranks. After the first failure, the others have GRACE seconds to fail as well; WorkerError."""
        deadline = math.inf
        while self._missing and time.monotonic() < deadline:
            ready = self._wait(deadline)
            for descriptor, worker in list(self._missing.items()):
                if descriptor in ready:
                    self._receive(worker)
                elif (failure := self._failure_of_silent(worker)) is not None:
                    self._inquest.add(failure)
                    del self._missing[descriptor]
            if self._inquest.failures:
                deadline = min(deadline, time.monotonic() + GRACE)
        if self._inquest.failures:
            raise self._inquest.error()
        return [self._results[rank] for rank in range(self._size)]

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the ranks, and give them GRACE seconds to answer; nobody wants to know what."""
        self._board.interrupt()
        for worker in self._missing.values():
            worker.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE
        while self._missing and time.monotonic() < deadline:
            ready = self._wait(deadline)
            for descriptor, worker in list(self._missing.items()):
                if descriptor in ready:
                    self._receive(worker)
                elif worker.has_ended():
                    del self._missing[descriptor]

    def _wait(self, deadline: float) -> set[int]:
        return wait_and_show(self._streams, self._missing, min(_POLL, max(0.0, deadline - time.monotonic())))

    def _receive(self, worker: Contact) -> None:
        del self._missing[worker.channel.fileno()]
        try:
            kind, body, descriptor = worker.channel.receive()
        except NotTaken as error:
            worker.is_busy = False
            self._inquest.add(Failure.of_exception(worker.rank, RETURNING, error))
            return
        except (EOFError, OSError):
            self._inquest.add(self._death_of(worker))
            return
        worker.is_busy = False
        if kind == Kind.FAILURE:
            self._inquest.add(Failure.from_bytes(body))
            return
        try:
            self._results[worker.rank] = unpack(body, descriptor, OWNED)
        except Exception as error:
            self._inquest.add(Failure.of_exception(worker.rank, RETURNING, error))
        else:
            self._final_wait.returned(worker.rank)

    def _failure_of_silent(self, worker: Contact) -> Failure | None:
        """Whether a rank that has sent nothing is dead, or has hung; None as long as it may go on."""
        if worker.has_ended() and not worker.has_written():
            return self._death_of(worker)
        starts = self._board.activity[worker.rank] == Activity.STARTING
        if starts and time.monotonic() > self._start_deadline:
            return Failure(worker.rank, f"was not ready after {processes.START_LIMIT:g} s", "starting")
        return self._final_wait.failure_of(worker.rank)

    def _death_of(self, worker: Contact) -> Failure:
        doing = self._board.doing(worker.rank)
        exitcode = worker.exit_code()
        if exitcode is None:
            return Failure(worker.rank, "closed its connection without a result", doing)
        return Failure.of_death(worker.rank, doing, exitcode, worker.stack.crash())
