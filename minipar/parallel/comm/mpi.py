"""The MPI backend: ranks are processes of an MPI job, on one machine or many, and arrays travel as MPI messages.

Every call is made of MPI's nonblocking ones, which are tested until they are complete: so a wait has a timeout, can be
given up when another rank has failed, and can go on behind the user's code (``async_op=True``). Arrays are handed to
MPI as they lie in memory, without pickling.

MPI only moves data here; the ranks reduce it, each its own piece, in the order of the ranks. So every rank gets the
same bits as on the other backends, and every dtype of NumPy can be reduced. (MPI's own MPI_Allreduce, in an order of
its choice, is ``algorithm="mpi"``.)
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CommunicatorError, CommunicatorTimeout, MismatchError
from .mpi_messages import Port, as_bytes
from .on_board import BoardCommunicator
from .reduction import divide_mean, piece_of, reduce_in_order
from .telling import calls_differ, waited_too_long, waits_in_vain
from .work import ANYBODY, Steps, Waiting

if TYPE_CHECKING:
    from mpi4py import MPI

    from .mpi_job import Job

_SMALL = 16 << 10  # bytes up to which every rank gets the arrays of all and reduces them itself: one exchange, not two
_BUSY = 1 << 18  # turns, about a second, in which a wait only offers its core to others: calls of MPI move the data
_LAST = 1.0  # seconds that data of a rank which has finished may still be under way
_FOR_EVER = 1e9  # seconds
_UNSEEN = "on another host, where nothing is seen from here"

_MPI_OPERATIONS = {"sum": "SUM", "mean": "SUM", "max": "MAX", "min": "MIN", "prod": "PROD"}
_MPI_DTYPES = "bhilqBHILQfdFD"  # NumPy's codes of those that MPI can reduce as NumPy does


class MPICommunicator(BoardCommunicator):
    """One rank of an MPI job, or of a part of it. `members` are the ranks of this communicator in the whole job.

    Ranks of one host share a board, so they see at once that another has failed or finished; from the other hosts
    only messages tell.
    """

    backend = "mpi"
    own_algorithms: tuple[str, ...] = ("mpi",)

    def __init__(
        self,
        job: Job,
        comm: MPI.Intracomm,
        timeout: float,
        parent: MPICommunicator | None = None,
        members: list[int] | None = None,
    ) -> None:
        super().__init__(comm.rank, comm.size, timeout, job.board, parent, members)
        self._job = job
        self._comm = comm
        self._port = Port(comm, self._complete)
        self._gave_up_requests = False
        # the same number on all its ranks, and (but for a chance of 1 in 2^60) that of no other communicator
        self.identity: int = 0 if parent is None else hash((parent.identity, parent._number, *self._members))
        self._end()

    def _begin(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        super()._begin(kind, array, detail)
        self._job.answer_questions()
        self._board.group[self._me] = self.identity

    def _begin_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        super()._begin_message(kind, array, detail)
        self._job.answer_questions()

    def _resume(self) -> None:
        super()._resume()
        self._board.group[self._me] = self.identity

    # -- collective calls ------------------------------------------------------------------------------------------

    def _barrier(self) -> Steps:
        yield from self._agree()
        yield from self._complete(self._comm.Ibarrier)

    def _broadcast(self, flat: np.ndarray, root: int) -> Steps:
        yield from self._agree()
        yield from self._complete(lambda: self._comm.Ibcast(as_bytes(flat), root))

    def _all_gather(self, flat: np.ndarray, rows: np.ndarray) -> Steps:
        yield from self._agree()
        yield from self._complete(lambda: self._comm.Iallgather(as_bytes(flat), as_bytes(rows)))

    def _gather(self, flat: np.ndarray, rows: np.ndarray | None, root: int) -> Steps:
        yield from self._agree()
        received = None if rows is None else as_bytes(rows)
        yield from self._complete(lambda: self._comm.Igather(as_bytes(flat), received, root))

    def _scatter(self, rows: np.ndarray | None, out: np.ndarray, root: int) -> Steps:
        yield from self._agree()
        given = None if rows is None else as_bytes(rows)
        yield from self._complete(lambda: self._comm.Iscatter(given, as_bytes(out), root))

    def _all_to_all(self, rows: np.ndarray, out: np.ndarray) -> Steps:
        yield from self._agree()
        yield from self._complete(lambda: self._comm.Ialltoall(as_bytes(rows), as_bytes(out)))

    def _reduce_scatter(self, rows: np.ndarray, out: np.ndarray, op: str) -> Steps:
        received = np.empty_like(rows)
        yield from self._all_to_all(rows, received)
        reduce_in_order(list(received), op, out)

    def _reduce(self, flat: np.ndarray, out: np.ndarray | None, root: int, op: str) -> Steps:
        """Each rank reduces its piece, and the root gathers the pieces."""
        if flat.nbytes <= _SMALL:
            rows = None if out is None else np.empty((self.size, flat.size), flat.dtype)
            yield from self._gather(flat, rows, root)
            if rows is not None and out is not None:
                reduce_in_order(list(rows), op, out)
            return
        mine = yield from self._reduce_own_piece(flat, op)
        received = None if out is None else [out, self._pieces(flat), as_bytes(out)[1]]
        yield from self._complete(lambda: self._comm.Igatherv(as_bytes(mine), received, root))

    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        """Each rank reduces its piece, and gets those of the others: 2 n (p-1)/p bytes sent, as in a ring."""
        if algorithm == "mpi" and _mpi_reduces(op, flat.dtype):
            yield from self._all_reduce_by_mpi(flat, op)
        elif flat.nbytes <= _SMALL:
            rows = np.empty((self.size, flat.size), flat.dtype)
            yield from self._all_gather(flat, rows)
            reduce_in_order(list(rows), op, flat)
        else:
            mine = yield from self._reduce_own_piece(flat, op)
            received = [flat, self._pieces(flat), as_bytes(flat)[1]]
            yield from self._complete(lambda: self._comm.Iallgatherv(as_bytes(mine), received))

    def _all_reduce_by_mpi(self, flat: np.ndarray, op: str) -> Steps:
        from mpi4py import MPI

        yield from self._agree()
        operation = getattr(MPI, _MPI_OPERATIONS[op])
        yield from self._complete(lambda: self._comm.Iallreduce(MPI.IN_PLACE, flat, operation))
        divide_mean(flat, op, self.size)

    def _reduce_own_piece(self, flat: np.ndarray, op: str) -> Steps:
        """This rank's piece of the reduced array: every rank sends each other rank that one's piece."""
        yield from self._agree()
        mine = flat[piece_of(flat.size, self.rank, self.size)]
        received = np.empty((self.size, mine.size), flat.dtype)
        byte = as_bytes(flat)[1]
        equal = [mine.nbytes] * self.size, [mine.nbytes * rank for rank in range(self.size)]
        yield from self._complete(
            lambda: self._comm.Ialltoallv([flat, self._pieces(flat), byte], [received, equal, byte])
        )
        reduced = np.empty_like(mine)
        reduce_in_order(list(received), op, reduced)
        return reduced

    def _pieces(self, flat: np.ndarray) -> tuple[list[int], list[int]]:
        """The bytes of each rank's piece: how many, and where they begin."""
        pieces = [piece_of(flat.size, rank, self.size) for rank in range(self.size)]
        each = flat.itemsize
        return [(piece.stop - piece.start) * each for piece in pieces], [piece.start * each for piece in pieces]

    # -- between two ranks -----------------------------------------------------------------------------------------

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        self.traffic.count(array.nbytes)
        yield from self._port.send(array, dest, tag)

    def _recv(self, source: int, tag: int) -> Steps:
        inbox = self._port.inbox
        ticket = inbox.ask(source, tag)

        def arrived() -> bool:
            if not inbox.has(ticket):
                self._look_around()
            return inbox.has(ticket)

        yield from self._wait_for(source, arrived)
        return inbox.take(ticket)

    def _look_around(self) -> None:
        try:
            self._port.take_in()
        except self._job.library.Exception as error:
            raise self._failure(error) from None

    # -- groups and memory -----------------------------------------------------------------------------------------

    def _split(self, members: list[int] | None) -> Steps:
        """The members make it among themselves."""
        if members is None:
            return None
        try:
            comm = self._job.leaving.Create_group(self._comm.group.Incl(members))
        except self._job.library.Exception as error:
            raise self._failure(error) from None
        return self._job.communicator(comm, self.timeout, self, [self._members[member] for member in members])
        yield

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps:
        """Memory of this rank's own: what other hosts have, no rank sees."""
        yield from self._agree()
        return np.empty(shape, dtype)

    def _release(self) -> None:
        """A group's resources in MPI, of which there are about 2000, go; but not while MPI may write into arrays.

        In MPI's standard freeing is collective: all ranks of a group close it, or none.
        """
        if self._comm is not self._job.comm:
            self._free(self._comm)

    def _free(self, comm: MPI.Intracomm) -> None:
        if not (self._job.elastic or self._gave_up_requests or self._port.is_receiving or self._has_failed()):
            comm.Free()

    def close(self) -> None:
        leaving = not self._closed and self._family[0] is self
        super().close()
        if leaving and self._board.failed_rank is None:
            self._job.say_farewell()

    # -- agreeing --------------------------------------------------------------------------------------------------

    def _agree(self) -> Steps:
        """With ``debug=True``, the ranks first tell one another what they have called."""
        if self._agreed or not self._job.debug:
            return
        self._agreed = True
        digests = np.empty(self.size, np.int64)
        mine = np.array([self._digest])
        yield from self._complete(lambda: self._comm.Iallgather(mine, digests))
        if (digests == digests[0]).all():
            return
        said = np.frombuffer(self._said or b"", np.uint8)
        texts = np.empty((self.size, said.size), np.uint8)
        yield from self._complete(lambda: self._comm.Iallgather(as_bytes(said), as_bytes(texts)))
        calls = [self._numbered(text.tobytes()) for text in texts]
        self._give_up(MismatchError(calls_differ(zip(self._members, calls))))

    def _numbered(self, said: bytes) -> str:
        kind, *rest = said.rstrip(b"\0").decode(errors="replace").split()
        return " ".join([kind, f"#{self._number}", *rest])

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _complete(self, start: Callable[[], MPI.Request | list[MPI.Request]], peer: int = ANYBODY) -> Steps:
        """Start requests and wait for them. What is given up lives on: MPI may still write into its arrays."""
        request = None
        try:
            request = start()
            if isinstance(request, list):
                test: Callable[[], bool] = functools.partial(self._job.library.Request.Testall, request)
            else:
                test = request.Test
            if test():
                return
            waiting = Waiting(peer, test)
            while not test():
                yield waiting
        except self._job.library.Exception as error:
            raise self._failure(error) from None
        except GeneratorExit:
            self._abandon(request)
            raise

    def _abandon(self, requests: Any) -> None:
        self._gave_up_requests = True
        self._job.abandoned.append(requests)

    def _pause(self, waiting: Waiting) -> None:
        """Let MPI get on, and offer the core to other processes; after a second, sleep 0.1 ms from time to time."""
        waiting.turn += 1
        if waiting.turn & 7:
            return
        if not waiting.turn & 127:
            self._check_wait(waiting)  # before others get on: that may answer what is waited for, and use it up
        for comm in self._family:
            comm._look_around()
        if len(self._family) > 1 or self._messages or self._queue:
            self._progress()
        if waiting.turn < _BUSY:
            os.sched_yield()
        else:
            time.sleep(1e-4)

    def _check_wait(self, waiting: Waiting) -> None:
        self._check_peers()
        now, patience = time.monotonic(), min(self.timeout, _FOR_EVER)
        if not waiting.deadline or self._some_are_slow_by_right():
            waiting.deadline = now + patience
        waited = now - (waiting.deadline - patience)
        if waited > min(_LAST, patience) and (gone := self._gone(waiting.peer)) is not None and not waiting.ready():
            self._give_up(MismatchError(self._waits_in_vain(gone)))
        if waited > patience and not waiting.ready():
            self._give_up(CommunicatorTimeout(self._waited_too_long(waiting.peer)))

    def _some_are_slow_by_right(self) -> bool:
        return any(map(self._board.is_slow_by_right, self._job.seen))

    def _gone(self, peer: int) -> int | None:
        """A rank that is waited for, and has finished."""
        finished = self._job.finished()
        if peer != ANYBODY:
            return self._members[peer] if self._members[peer] in finished else None
        return next((rank for rank in self._members if rank in finished and self._never_began(rank)), None)

    def _never_began(self, finished: int) -> bool:
        """Whether this rank is known to have left out the current call: in many calls some ranks are through early.

        (Of one whose last call was in another communicator that is not known.)
        """
        identity, number = self._job.last_call(finished)
        return identity == self.identity and number < self._number

    def _waits_in_vain(self, peer: int) -> str:
        return waits_in_vain(self._me, self.doing(), peer)

    def _waited_too_long(self, peer: int) -> str:
        """Nobody knows who is late, and nothing is seen of other hosts: what is seen is told."""
        others = [rank for rank in self._members if rank != self._me] if peer == ANYBODY else [self._members[peer]]
        return waited_too_long(self._me, self.doing(), self.timeout, self._states(others))

    def _states(self, ranks: Iterable[int]) -> list[tuple[int, str]]:
        return [(rank, self._board.doing(rank) if rank in self._job.seen else _UNSEEN) for rank in ranks]

    def _failure(self, error: MPI.Exception) -> CommunicatorError:
        """What to raise for an error of the library."""
        self.fail()
        return CommunicatorError(
            f"MPI failed while rank {self._me} was {self.doing()}: {error.Get_error_string()}. If the ranks made "
            f"different calls, MINIPAR_DEBUG=1 tells which"
        )


def _mpi_reduces(op: str, dtype: np.dtype) -> bool:
    """Whether MPI has this reduction, with NumPy's meaning (its largest float ignores a NaN, or not, as it likes)."""
    return dtype.isnative and dtype.char in _MPI_DTYPES and not (op in ("max", "min") and dtype.kind == "f")
