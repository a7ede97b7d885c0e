"""An MPI job as one of its ranks sees it: the library, the hosts, what the ranks of its own host are doing."""

from __future__ import annotations

import math
import os
import time
from mmap import mmap
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import mpi_arrival
from .board import Activity, Board
from .errors import CommunicatorError
from .host_memory import drop_names, shared_block

if TYPE_CHECKING:
    from mpi4py import MPI

    from .elastic import ElasticCommunicator
    from .mpi import MPICommunicator

INSTALL = 'pip install "minipar[mpi]"'
_BETWEEN_ANSWERS = 0.05  # seconds
_QUESTIONS = 4  # or farewells, that may have come meanwhile
_FAREWELL = -9  # the tag of what a rank says when it has made its last call


def load(timeout: float = math.inf) -> ModuleType:
    """mpi4py's MPI, initialised. ImportError that says what to install. Ends the process if not all ranks come in time.

    It is not finalised by itself (unless the program has imported it before): that would be done in every forked
    process too, which breaks the job; and it may hang (Open MPI 5.0) once a rank has died.
    """
    try:
        import mpi4py

        mpi4py.rc.finalize = False
        return mpi_arrival.mpi_when_all_ranks_have_come(timeout)
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, an MPI library is not
        raise ImportError(f"the MPI backend needs mpi4py and an MPI library: {INSTALL} ({error})") from error


class Job:
    """What all communicators of a rank share, as soon as it has begun.

    `debug`: every collective call first compares what the ranks have called (None: if MINIPAR_DEBUG=1).
    `hierarchical`: all-reduce through the shared memory of each host (hybrid.py; None: where there are several hosts,
    and one with several ranks). `elastic`: the death of a rank does not end the job (elastic.py). `timeout`: seconds
    that MPI has to start.
    """

    comm: MPI.Intracomm
    leaving: MPI.Intracomm  # where a last barrier meets no other call
    board: Board
    of_all: MPICommunicator  # of all ranks, or of those that are left

    def __init__(
        self,
        *,
        debug: bool | None = None,
        hierarchical: bool | None = None,
        elastic: bool = False,
        timeout: float = math.inf,
    ) -> None:
        if elastic:
            from .elastic import check_elastic

            check_elastic()
        self.library = load(timeout)
        self.elastic = elastic
        self.debug = os.environ.get("MINIPAR_DEBUG", "") not in ("", "0") if debug is None else debug
        self.hierarchical = hierarchical
        self.abandoned: list[Any] = []  # requests that were given up, and their arrays
        self.rank, self.size = self.library.COMM_WORLD.rank, self.library.COMM_WORLD.size
        self._answer_again = 0.0  # when it is
        self.has_begun = False

    def begin(self, timeout: float, memory: mmap | None = None) -> MPICommunicator:
        """Meet all other ranks, which must have come; returns the communicator of all.

        `memory` is that of a board which all ranks see (None: those of a host make one).
        """
        self.comm = self.library.COMM_WORLD.Dup()
        self.leaving = self.comm.Dup()
        self.hosts = self._find_hosts()
        here = [rank for rank in range(self.size) if self.hosts[rank] == self.hosts[self.rank]]
        host = self.comm.Split(here[0], self.rank)
        shared = shared_block(host, Board.nbytes(self.size)) if memory is None else memory
        self.seen = {self.rank} if shared is None else set(here)
        self.board = Board(bytearray(Board.nbytes(self.size)) if shared is None else shared, self.size)
        self.board.activity[self.rank] = Activity.USER_CODE
        host.Barrier()
        host.Free()
        drop_names()
        self.of_all = self.communicator(self.comm, timeout)
        self.has_begun = True
        return self.of_all

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

        self.leaving = comm.Dup()
        small = ElasticCommunicator(self, comm, before.timeout, before, members)
        small.identity = hash(tuple(members))  # the survivors may have been in different calls of `before`
        self.of_all = small
        return small

    def answer_questions(self) -> None:
        """In each call: a rank of another host that has finished may ask whether this one is still at work."""
        now = time.monotonic()
        if now > self._answer_again:
            self._answer_again = now + _BETWEEN_ANSWERS
            for _ in range(_QUESTIONS):  # MPI takes in one message each time
                self.of_all._look_around()

    # -- finishing -------------------------------------------------------------------------------------------------

    def finished(self) -> set[int]:
        """The ranks that have finished, as far as is known here."""
        world = self.of_all
        told = {member for rank, member in enumerate(world._members) if world._port.inbox.has((rank, _FAREWELL, 0))}
        return told | {rank for rank in self.seen if self.board.activity[rank] == Activity.FINISHED}

    def last_call(self, finished: int) -> tuple[int, int]:
        """The last collective call of a rank that has finished: in which communicator, and its number there."""
        if finished in self.seen:
            return self.board.group[finished], self.board.number[finished]
        rank = self.of_all._members.index(finished)
        identity, number = self.of_all._port.inbox.look_at((rank, _FAREWELL, 0))
        return int(identity), int(number)

    def say_farewell(self) -> None:
        """Tell the ranks of other hosts that this one makes no more calls, and its last one; its own see the board."""
        last = np.array([self.board.group[self.rank], self.board.number[self.rank]], np.int64)
        for rank, member in enumerate(self.of_all._members):
            if member not in self.seen:
                self.abandoned.append(self.of_all._port.send(last, rank, _FAREWELL))
                next(self.abandoned[-1], None)


def world_communicator(
    timeout: float, *, debug: bool | None = None, hierarchical: bool | None = None, elastic: bool = False
) -> MPICommunicator:
    """The communicator of all ranks of a job that mpiexec has started; from now on an error ends all of them.

    The options are those of `Job`. ImportError without mpi4py; CommunicatorTimeout if a rank does not come: it has
    `timeout` seconds, or START_LIMIT if that is longer.
    """
    from .mpi_end import Ending

    patience = max(timeout, mpi_arrival.START_LIMIT)
    job = Job(debug=debug, hierarchical=hierarchical, elastic=elastic, timeout=patience)
    Ending(job).comes_with_the_program()
    mpi_arrival.await_all(job.library.COMM_WORLD, patience)
    return job.begin(timeout)
