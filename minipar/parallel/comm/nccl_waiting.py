"""Giving NCCL a call, and waiting for it: with a timeout, and hearing of ranks that have failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .arguments import is_on_gpu
from .board import Activity
from .errors import CommunicatorError, CommunicatorTimeout, MismatchError
from .nccl_gpu import GPU, InNCCL
from .nccl_link import Given, Link, Post, abort_all
from .objects import packed
from .on_board import BoardCommunicator
from .over_host import OverHost
from .telling import waited_too_long, waits_in_vain
from .work import ANYBODY, Steps, Waiting

_BUSY = 2000  # turns, some milliseconds, in which a wait only offers its core to others

_MAY_BE_ANOTHERS = 2, 3, 6  # NCCL's system, internal and remote error: what it says first when another rank dies
_HEARING = 1.0  # seconds in which it is heard which one
_UNKNOWN_TO_CUPY = {
    6: "ncclRemoteError, another process failed or the network to it did",
    7: "ncclInProgress: unset NCCL_COMM_BLOCKING, for CuPy's calls have to block",
}


class OnGPU(OverHost):
    """The ranks of `host`, which beside it have NCCL."""

    def __init__(self, host: BoardCommunicator, gpu: GPU, debug: bool, path: str = "") -> None:
        super().__init__(host)
        self._path = path  # by which calls it was split off, on all its ranks the same
        self._gpu = gpu
        self._debug = debug
        self._uncompared = 0  # calls of which the host knows nothing
        self._link: Link | None = None
        self._groups: list[OnGPU] = []  # that have been split from it

    def _begin(self, kind: str, array: Any, detail: str) -> None:
        """A call that ranks do not compare meets nobody on the host, where ranks may thus be several calls apart."""
        host = self._host
        if self._debug or not is_on_gpu(array):
            super()._begin(kind, array, detail)
        else:
            self._check_peers(kind)
            host._said = host._announcement(kind, array, detail).text
            self._uncompared += 1
            host._board.begin_collective(host._me, host._number, host._said)
        self._number = host._number + self._uncompared
        host._board.number[host._me] = self._number

    def _carry_out(self, array: Any, post: Post) -> Steps:
        """Give NCCL a call about `array`, and wait until the GPU has completed it."""
        if self._debug:
            yield from self._agree()
        if not array.size:
            return
        if self._link is None:
            self._link = yield from self._connect()
        yield from self._completed(self._link.give(post, array).leave())

    def _connect(self) -> Steps:
        """NCCL's communicator: all ranks make it together, which know it by an id that rank 0 hands round."""
        nccl = self._gpu.nccl
        with self._failures_told():
            own = packed(nccl.get_unique_id()) if self.rank == 0 else None
        identity = yield from self._host._tell(own, 0)
        return Link(self._gpu, lambda: nccl.NcclCommunicator(self.size, identity, self.rank))

    def _completed(self, given: Given, peer: int = ANYBODY, *, is_last: bool = False) -> Steps:
        waiting = InNCCL(given, peer, is_last=is_last)
        while not given.is_over():
            yield waiting
        with self._failures_told():
            given.check()

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        """An error of NCCL's is that of the rank which caused it, if that is heard of; else one that tells the call."""
        try:
            yield
        except (self._gpu.nccl.NcclError, KeyError) as error:  # KeyError: CuPy has no words for this status
            status = error.args[0] if isinstance(error, KeyError) else error.status
            if status in _MAY_BE_ANOTHERS:
                self._hear_who_failed()
            said = f"status {status}, {_UNKNOWN_TO_CUPY.get(status)}" if isinstance(error, KeyError) else error
            raise CommunicatorError(
                f"NCCL failed while rank {self._host._me} was {self.doing()}: {said}. NCCL_DEBUG=INFO tells more"
            ) from None

    def _hear_who_failed(self) -> None:
        """PeerFailedError if a rank is known to have failed, by now or soon."""
        deadline = time.monotonic() + _HEARING
        while self.size > 1 and time.monotonic() < deadline:
            self._look_around_everywhere()
            self._check_peers()
            time.sleep(0.01)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _pause(self, waiting: Waiting) -> None:
        try:
            if isinstance(waiting, InNCCL):
                self._pause_in_nccl(waiting)
            else:
                self._host._pause(waiting)
        except CommunicatorError:
            self.fail()
            raise

    def _pause_in_nccl(self, waiting: InNCCL) -> None:
        waiting.turn += 1
        if waiting.turn & 7 == 0:
            self._look_around_everywhere()
            self._check_peers()
            self._check_patience(waiting)
            self._progress()
        if waiting.turn < _BUSY:
            os.sched_yield()
        else:
            time.sleep(1e-4)

    def _check_patience(self, waiting: InNCCL) -> None:
        """The time counts from when this rank's GPU has come to the call: until then nobody else is to blame."""
        host, now = self._host, time.monotonic()
        with self._failures_told():
            waiting.given.look()
        if not waiting.deadline or host._some_are_slow_by_right() or not waiting.given.is_reached():
            waiting.deadline = now + self.timeout
        others = [rank for rank in host._members if rank != host._me]
        if waiting.peer != ANYBODY:
            others = [host._members[waiting.peer]]
        elif not (waiting.is_last or waiting.ready()):
            for rank in filter(self._never_begins, others):
                ended = host._board.activity[rank] == Activity.FINISHED
                does = host._board.doing(rank) if ended else f"come to {host._board.collective(rank)}"
                raise MismatchError(waits_in_vain(host._me, self.doing(), rank, does))
        if now > waiting.deadline and not waiting.ready():
            states = host._states(others)
            late = [(rank, doing) for rank, doing in states if doing != self.doing()] or states
            hint = "" if self._debug else ". If the ranks made different calls, MINIPAR_DEBUG=1 tells which"
            raise CommunicatorTimeout(waited_too_long(host._me, self.doing(), self.timeout, late) + hint)

    def _never_begins(self, rank: int) -> bool:
        """Whether this rank of the board has finished, or closes this, and is known to have left out the current call.

        (Of one whose last call was in another communicator that is not known.)
        """
        board = self._host._board
        last, number = board.collective(rank), board.number[rank]
        if board.activity[rank] == Activity.FINISHED:
            return last.endswith(self._host._group) and number - last.startswith("close ") < self._number
        closing = self._host._announcement("close", None, self._path).text.rstrip(b"\0").decode()
        closes = board.activity[rank] == Activity.COLLECTIVE and last == closing.replace("close", f"close #{number}", 1)
        return closes and number <= self._number

    # -- failing and leaving ---------------------------------------------------------------------------------------

    def fail(self) -> None:
        """A call that the others will not join is taken from the GPU, in all communicators of this rank."""
        super().fail()
        abort_all([link for comm in self._family if isinstance(comm, OnGPU) for link in comm._taken_links()])

    def _taken_links(self) -> Iterable[Link]:
        """The links of this communicator, which are no longer its own, nor are the streams."""
        self._gpu.end()
        link, self._link = self._link, None
        return [] if link is None else [link]

    def close(self) -> None:
        """All ranks close it, and its groups before it: once they meet, what has not been received never will be."""
        try:
            if not (self._closed or self._has_failed()):
                for group in self._groups:
                    group.close()
                for work in (*self._queue, *self._messages):
                    if not work.may_be_left:
                        work.wait()
                self._leave()
        finally:
            super().close()

    def _leave(self) -> None:
        try:
            self._begin("close", None, self._path)
            self._drive(self._last_steps())
        except BaseException:
            self.fail()
            raise
        self._end()

    def _last_steps(self) -> Steps:
        """NCCL ends a communicator when the other ranks of this machine end it too."""
        yield from self._host._barrier()
        if self._link is not None:
            link, self._link = self._link, None
            yield from self._completed(link.destroy(), is_last=True)

    def _release(self) -> None:
        abort_all(self._taken_links())
