"""The end of a rank of an MPI job: how it leaves, and how its failure ends all others.

A bare MPI program whose rank 1 raises hangs for ever: rank 1 waits in MPI_Finalize, the others wait for rank 1. Here

    an exception that nobody catches    is printed, and ends the job (MPI_Abort);
    a rank that has finished            tells the others, waits until they have finished too, and only then finalises:
                                        one that waits for a message of it gets an error instead, and ends the job.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from .board import Activity
from .errors import PeerFailedError
from .host_memory import drop_names
from .mpi_messages import ANSWER, LAST, QUESTION
from .parent_death import die_with_the_parent

if TYPE_CHECKING:
    from .mpi_job import Job

_FAREWELL_LIMIT = 60.0  # seconds that the last message of a rank may be under way, once all have left
_GRACE = 1.0  # seconds for which a rank that fails because of another lets that one speak first
_FORWARDING = 0.2  # seconds that mpiexec has to pass on what was written, which an abort can overtake
_POLL = 1e-3  # seconds


class Ending:
    """The end of the program of this rank."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._process = os.getpid()
        self._asked: dict[int, float] = {}  # ranks of other hosts: when they were asked whether they still come by

    def comes_with_the_program(self) -> None:
        """Have the end of this program, good or bad, end the job in the right way."""
        die_with_the_parent()  # mpiexec may be killed before it can end its ranks
        self._shown_before = sys.excepthook
        sys.excepthook = self._on_exception
        atexit.register(self._leave)

    def _is_forked(self) -> bool:
        """A forked process is nobody's rank: its end is not the job's."""
        return os.getpid() != self._process

    # -- a bad one -------------------------------------------------------------------------------------------------

    def _on_exception(self, kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
        heard = not self._is_forked() and _is_of_others(error)
        if heard:
            _say(f"minipar: rank {self._job.rank} stops: {error}\n")
        elif self._shown_before is sys.__excepthook__:
            _say("".join(traceback.format_exception(kind, error, place)))
        else:
            self._shown_before(kind, error, place)
        if self._is_forked():
            return
        if isinstance(error, PeerFailedError):
            time.sleep(_GRACE)
        if self._job.elastic:
            _flush()
            os.kill(os.getpid(), signal.SIGKILL)  # Open MPI takes no other end for a death that others survive
        self.abort()

    def abort(self) -> NoReturn:
        """End all ranks of the job."""
        _flush()
        if self._job.has_begun:
            self._job.board.fail(self._job.rank)
        else:
            drop_names()
        time.sleep(_FORWARDING)
        self._job.library.COMM_WORLD.Abort(1)
        os._exit(1)  # MPICH's returns before the others have ended

    # -- a good one ------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Finalise together with all others, or not at all."""
        if self._is_forked():
            return
        job = self._job
        if not job.has_begun:  # others have not come, or wait for this one
            self.abort()
        try:
            job.of_all.close()
            failed = job.board.failed_rank
            if failed is not None and not job.elastic:  # an error was caught; the ranks are out of step
                _say(f"minipar: rank {job.rank} ends the job: rank {failed} has failed\n")
                self.abort()
            self._wait_for_all()
            if job.of_all.size == job.size:
                job.library.Finalize()
        except (PeerFailedError, job.library.Exception):
            if not job.elastic:
                self.abort()
        except BaseException as error:
            _say(f"minipar: rank {job.rank} could not finish: {error}\n")
            self.abort()

    def _wait_for_all(self) -> None:
        """Ranks at work are waited for as long as they make calls. A rank that makes none for too long has hung."""
        world, board, seen = self._job.of_all, self._job.board, self._job.seen
        all_finished = self._job.leaving.Ibarrier()
        calls, since = [0], time.monotonic()
        while not all_finished.Test():
            world._look_around()
            time.sleep(_POLL)
            busy = [rank for rank in seen if board.activity[rank] not in (Activity.USER_CODE, Activity.FINISHED)]
            before, calls = calls, [board.calls(rank) for rank in seen]
            idle = [rank for rank in seen if board.activity[rank] == Activity.USER_CODE]
            if busy or calls != before or not idle:  # a call has a timeout of its own
                since = time.monotonic()
            if time.monotonic() - since > world.timeout or self._are_silent():
                self._say_who_is_missing(world.timeout)
                self.abort()
        self._wait_for_messages()

    def _wait_for_messages(self) -> None:
        """None may be under way when MPI ends (UCX tells of each that is).

        A rank says its last to those of other hosts when all have finished, and have answered what it asked; it leaves
        when it has heard theirs.
        """
        port, members = self._job.of_all._port, set(self._job.of_all._members)
        asked, others = list(self._asked), [rank for rank, _ in self._others()]
        self._wait_until(lambda: self._job.finished() >= members and port.have_all_said(ANSWER, asked))
        for rank in others:
            port.tell(rank, LAST)
        self._wait_until(lambda: port.have_all_said(LAST, others))

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        """… taking in messages meanwhile; ends the job if it takes too long."""
        world, since = self._job.of_all, time.monotonic()
        while not is_so():
            world._look_around()
            time.sleep(_POLL)
            if time.monotonic() - since > min(world.timeout, _FAREWELL_LIMIT):
                self._say_who_is_missing(time.monotonic() - since)
                self.abort()

    def _others(self) -> list[tuple[int, int]]:
        """The ranks of other hosts: in the communicator of all that are left, and in the job."""
        members = enumerate(self._job.of_all._members)
        return [(rank, member) for rank, member in members if member not in self._job.seen]

    def _are_silent(self) -> bool:
        """Ask the ranks of other hosts from time to time. Those that make calls answer (mpi_messages.py)."""
        world, now = self._job.of_all, time.monotonic()
        finished = self._job.finished()
        for rank, member in self._others():
            answers = world._port.inbox
            if member in finished or now - self._asked.get(rank, 0.0) < world.timeout / 10:
                continue
            if rank in self._asked and not answers.has((rank, ANSWER, 0)):
                if now - self._asked[rank] > world.timeout:
                    return True
                continue
            if rank in self._asked:
                answers.take(answers.ask(rank, ANSWER))
            self._asked[rank] = now
            world._port.tell(rank, QUESTION)
        return False

    def _say_who_is_missing(self, timeout: float) -> None:
        job, doing = self._job, []
        silent = {member for rank, member in self._others() if not job.of_all._port.have_all_said(LAST, [rank])}
        for rank in sorted(set(job.of_all._members) - job.finished() or silent):
            doing.append(f"rank {rank} is {job.board.doing(rank) if rank in job.seen else 'on another host'}")
        waited = f"rank {job.rank} has finished, and has waited {timeout:g} s for the others"
        _say(f"minipar: {waited}: {'; '.join(doing)}\n")


def _is_of_others(error: BaseException) -> bool:
    """Whether all there is to tell of an exception is that another rank has failed."""
    link: BaseException | None = error
    while isinstance(link, PeerFailedError):
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return link is None


def _say(text: str) -> None:
    """Write to stderr all at once: what several ranks write at the same time would be mixed line by line."""
    _flush()
    try:
        data = text.encode(sys.stderr.encoding, "backslashreplace")
        while data:
            data = data[os.write(sys.stderr.fileno(), data) :]
    except (AttributeError, OSError, ValueError):  # something that the program has put in its place, or closed
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(text)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
