"""An MPI job as one of its ranks sees it: the library, the hosts, what the ranks of its own host are doing, its end.

A bare MPI program whose rank 1 raises hangs for ever: rank 1 waits in MPI_Finalize, the others wait for rank 1. Here

    an exception that nobody catches    is printed, and ends the job (MPI_Abort);
    a rank that has finished            tells the others, waits until they have finished too, and only then finalises:
                                        one that waits for a message of it gets an error instead, and ends the job.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import time
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from .board import Activity, Board
from .errors import CommunicatorError, PeerFailedError
from .host_memory import shared_block
from .parent_death import die_with_the_parent

if TYPE_CHECKING:
    from mpi4py import MPI

    from .elastic import ElasticCommunicator
    from .mpi import MPICommunicator

INSTALL = 'pip install "minipar[mpi]"'
_FAREWELL = -9  # the tag of the last message of a rank
_FAREWELL_LIMIT = 60.0  # seconds that it may be under way, once all have left
_GRACE = 1.0  # seconds for which a rank that fails because of another lets that one speak first
_SEGMENTS = re.compile(r"(/dev/shm/(?:mpich_shm_|mpich_vci_|sm_segment\.)\S+)$", re.MULTILINE)


def load() -> ModuleType:
    """mpi4py's MPI, initialised. ImportError that says what to install.

    It is not finalised by itself (unless the program has imported it before): that would be done in every forked
    process too, which breaks the job; and it may hang (Open MPI 5.0) once a rank has died.
    """
    try:
        import mpi4py

        mpi4py.rc.finalize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, an MPI library is not
        raise ImportError(f"the MPI backend needs mpi4py and an MPI library: {INSTALL} ({error})") from error
    return MPI


class Job:
    """What all communicators of a rank share. Collective: every rank of the job makes one.

    `memory` is that of a board which all ranks see (None: those of a host make one). `debug`: every collective call
    first compares what the ranks have called (None: if MINIPAR_DEBUG=1). `hierarchical`: all-reduce through the shared
    memory of each host (hybrid.py; None: where there are several hosts, and one with several ranks). `elastic`: the
    death of a rank does not end the job (elastic.py).
    """

    def __init__(
        self,
        memory: mmap | None = None,
        *,
        debug: bool | None = None,
        hierarchical: bool | None = None,
        elastic: bool = False,
    ) -> None:
        if elastic:
            from .elastic import check_elastic

            check_elastic()
        self.library = load()
        self.elastic = elastic
        self._process = os.getpid()
        self.debug = os.environ.get("MINIPAR_DEBUG", "") not in ("", "0") if debug is None else debug
        self.hierarchical = hierarchical
        self.abandoned: list[Any] = []  # requests that were given up, and their arrays
        self.comm: MPI.Intracomm = self.library.COMM_WORLD.Dup()
        self._leaving: MPI.Intracomm = self.comm.Dup()  # where a last barrier meets no other call
        self.rank, self.size = self.comm.rank, self.comm.size
        self.hosts = self._find_hosts()
        here = [rank for rank in range(self.size) if self.hosts[rank] == self.hosts[self.rank]]
        host = self.comm.Split(here[0], self.rank)
        shared = shared_block(host, Board.nbytes(self.size)) if memory is None else memory
        self.seen = {self.rank} if shared is None else set(here)
        self.board = Board(bytearray(Board.nbytes(self.size)) if shared is None else shared, self.size)
        self.board.activity[self.rank] = Activity.USER_CODE
        host.Barrier()
        host.Free()
        _drop_names()

    def _find_hosts(self) -> list[int]:
        """For each rank the lowest rank on its host.

        With MINIPAR_HOST, ranks of one machine pose as several hosts: the name of this rank's, or of all ("a,a,b,b").
        """
        machine = self.comm.Split_type(self.library.COMM_TYPE_SHARED, self.rank)
        posing = os.environ.get("MINIPAR_HOST", "").split(",")
        name = (machine.bcast(self.rank), posing[self.rank % len(posing)])
        machine.Free()
        names = self.comm.allgather(name)
        return [names.index(name) for name in names]

    def world(self, timeout: float) -> MPICommunicator:
        """The communicator of all ranks."""
        self._world = self.communicator(self.comm, timeout)
        return self._world

    def communicator(
        self,
        comm: MPI.Intracomm,
        timeout: float,
        parent: MPICommunicator | None = None,
        members: list[int] | None = None,
    ) -> MPICommunicator:
        """That of these ranks, by way of their hosts' memory where it is to be used. Collective."""
        from .elastic import ElasticCommunicator
        from .hybrid import HybridCommunicator, hosts_of, memory_for
        from .mpi import MPICommunicator

        if self.elastic:
            return ElasticCommunicator(self, comm, timeout, parent, members)
        hosts = hosts_of(self.hosts, range(self.size) if members is None else members)
        several = len(hosts) > 1 and max(map(len, hosts)) > 1
        if several if self.hierarchical is None else self.hierarchical:
            memory = memory_for(comm, hosts)
            if memory is not None:
                return HybridCommunicator(self, comm, timeout, parent, members, memory, hosts)
            if self.hierarchical:
                raise CommunicatorError("hierarchical=True, but ranks of one host cannot see one another's memory")
        return MPICommunicator(self, comm, timeout, parent, members)

    def go_on_with(self, comm: MPI.Intracomm, before: MPICommunicator, members: list[int]) -> ElasticCommunicator:
        """The communicator of the ranks that are left, instead of `before`."""
        from .elastic import ElasticCommunicator

        self._leaving = comm.Dup()
        self._world = ElasticCommunicator(self, comm, before.timeout, before, members)
        self._world.identity = hash(tuple(members))  # the survivors may have been in different calls of `before`
        return self._world

    # -- finishing -------------------------------------------------------------------------------------------------

    def finished(self) -> set[int]:
        """The ranks that have finished, as far as is known here."""
        world = self._world
        told = {member for rank, member in enumerate(world._members) if world._port.inbox.has((rank, _FAREWELL, 0))}
        return told | {rank for rank in self.seen if self.board.activity[rank] == Activity.FINISHED}

    def last_call(self, finished: int) -> tuple[int, int]:
        """The last collective call of a rank that has finished: in which communicator, and its number there."""
        if finished in self.seen:
            return self.board.group[finished], self.board.number[finished]
        rank = self._world._members.index(finished)
        identity, number = self._world._port.inbox.look_at((rank, _FAREWELL, 0))
        return int(identity), int(number)

    def say_farewell(self) -> None:
        """Tell the ranks of other hosts that this one makes no more calls, and its last one; its own see the board."""
        last = np.array([self.board.group[self.rank], self.board.number[self.rank]], np.int64)
        for rank, member in enumerate(self._world._members):
            if member not in self.seen:
                self.abandoned.append(self._world._port.send(last, rank, _FAREWELL))
                next(self.abandoned[-1], None)

    def end_with_the_program(self) -> None:
        """Have the end of this rank's program, good or bad, end the job in the right way."""
        die_with_the_parent()  # mpiexec may be killed before it can end its ranks
        previous = sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
            previous(kind, error, place)
            if self._is_forked():
                return
            if isinstance(error, PeerFailedError):
                time.sleep(_GRACE)
            if self.elastic:
                self.flush()
                os.kill(os.getpid(), signal.SIGKILL)  # Open MPI takes no other end for a death that others survive
            self.abort()

        sys.excepthook = hook
        atexit.register(self._leave)

    def _is_forked(self) -> bool:
        """A forked process is nobody's rank: its end is not the job's."""
        return os.getpid() != self._process

    def abort(self) -> None:
        """End all ranks of the job."""
        self.flush()
        self.board.fail(self.rank)
        self.comm.Abort(1)

    @staticmethod
    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()

    def _leave(self) -> None:
        """Finalise together with all others, or not at all."""
        if self._is_forked():
            return
        try:
            self._world.close()
            failed = self.board.failed_rank
            if failed is not None and not self.elastic:  # an error was caught; the ranks are out of step
                print(f"minipar: rank {self.rank} ends the job: rank {failed} has failed", file=sys.stderr)
                self.abort()
            self._wait_for_all()
            if self._world.size == self.size:
                self.library.Finalize()
        except (PeerFailedError, self.library.Exception):
            if not self.elastic:
                self.abort()
        except BaseException as error:
            print(f"minipar: rank {self.rank} could not finish: {error}", file=sys.stderr)
            self.abort()

    def _wait_for_all(self) -> None:
        world = self._world
        all_finished = self._leaving.Ibarrier()
        calls, since = [0], time.monotonic()
        while not all_finished.Test():
            world._look_around()
            time.sleep(1e-3)
            busy = [r for r in self.seen if self.board.activity[r] not in (Activity.USER_CODE, Activity.FINISHED)]
            before, calls = calls, [self.board.calls(rank) for rank in self.seen]
            idle = [rank for rank in self.seen if self.board.activity[rank] == Activity.USER_CODE]
            if busy or calls != before or not idle:  # a call has a timeout of its own; ranks elsewhere may be at work
                since = time.monotonic()
            if time.monotonic() - since > world.timeout:
                self._say_who_is_missing(world.timeout)
                self.abort()
        since = time.monotonic()
        while not self.finished() >= set(world._members):  # no message may be under way when MPI ends
            world._look_around()
            if time.monotonic() - since > min(world.timeout, _FAREWELL_LIMIT):
                self._say_who_is_missing(time.monotonic() - since)
                self.abort()

    def _say_who_is_missing(self, timeout: float) -> None:
        missing = set(self._world._members) - self.finished()
        doing = [f"rank {r} is {self.board.doing(r) if r in self.seen else 'on another host'}" for r in sorted(missing)]
        print(
            f"minipar: rank {self.rank} has finished, and has waited {timeout:g} s for the others: {'; '.join(doing)}",
            file=sys.stderr,
        )


def _drop_names() -> None:
    """Take away the names of the shared memory that MPI has made, once all ranks of the host have mapped it.

    Whoever is killed from now on leaves nothing in /dev/shm.
    """
    with suppress(OSError):
        for name in set(_SEGMENTS.findall(Path("/proc/self/maps").read_text(errors="surrogateescape"))):
            Path(name).unlink(missing_ok=True)


def world_communicator(
    timeout: float, *, debug: bool | None = None, hierarchical: bool | None = None, elastic: bool = False
) -> MPICommunicator:
    """The communicator of all ranks of a job that mpiexec has started; from now on an error ends all of them.

    The options are those of `Job`. ImportError without mpi4py.
    """
    job = Job(debug=debug, hierarchical=hierarchical, elastic=elastic)
    job.end_with_the_program()
    return job.world(timeout)
