"""Giving NCCL a call, and waiting for it: with a timeout, and hearing of ranks that have failed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .arguments import is_on_gpu
from .board import Activity
from .errors import CommunicatorError, CommunicatorTimeout, MismatchError
from .nccl_gpu import GPU, Elsewhere, InNCCL
from .objects import packed
from .on_board import BoardCommunicator
from .over_host import OverHost
from .telling import waited_too_long, waits_in_vain
from .work import Steps, Waiting

_BUSY = 2000  # turns, some milliseconds, in which a wait only offers its core to others

Post = Callable[[Any, int], None]  # gives NCCL's communicator a call, in a stream


class OnGPU(OverHost):
    """The ranks of `host`, which beside it have NCCL."""

    def __init__(self, host: BoardCommunicator, gpu: GPU, debug: bool) -> None:
        super().__init__(host)
        self._gpu = gpu
        self._debug = debug
        self._uncompared = 0  # calls of which the host knows nothing
        self._link: Any = None  # NCCL's communicator

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
            yield from self._connect()
        reached = self._gpu.mark()
        with self._failures_told():
            post(self._link, self._gpu.stream.ptr)
        yield from self._gpu.finished(reached)

    def _connect(self) -> Steps:
        """Make NCCL's communicator: all ranks together, which know it by an id that rank 0 hands round."""
        nccl = self._gpu.nccl
        identity = yield from self._host._tell(packed(nccl.get_unique_id()) if self.rank == 0 else None, 0)
        made = Elsewhere(self._gpu, lambda: nccl.NcclCommunicator(self.size, identity, self.rank))
        with self._failures_told():
            self._link = yield from made.wait()

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except self._gpu.nccl.NcclError as error:
            raise CommunicatorError(
                f"NCCL failed while rank {self._host._me} was {self.doing()}: {error}. NCCL_DEBUG=INFO tells more"
            ) from None

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
        board = host._board
        if self._link is not None:
            with self._failures_told():
                self._link.check_async_error()
        if not waiting.deadline or host._some_are_slow_by_right() or not waiting.is_reached():
            waiting.deadline = now + self.timeout
        others = [rank for rank in host._members if rank != host._me]
        for rank in others:
            if self._never_begins(rank) and not (waiting.is_last or waiting.ready()):
                raise MismatchError(waits_in_vain(host._me, self.doing(), rank, board.doing(rank)))
        if now > waiting.deadline and not waiting.ready():
            states = host._states(others)
            late = [(rank, doing) for rank, doing in states if doing != self.doing()] or states
            raise CommunicatorTimeout(waited_too_long(host._me, self.doing(), self.timeout, late))

    def _never_begins(self, rank: int) -> bool:
        """Whether this rank of the board has finished, and is known to have left out the current call.

        (Of one whose last call was in another communicator that is not known.)
        """
        board = self._host._board
        if board.activity[rank] != Activity.FINISHED:
            return False
        last = board.collective(rank)
        calls = board.number[rank] - last.startswith("close ")
        return last.endswith(self._host._group) and calls < self._number

    # -- failing and leaving ---------------------------------------------------------------------------------------

    def fail(self) -> None:
        """A call that the others will not join is taken from the GPU, in all communicators of this rank."""
        super().fail()
        for comm in self._family:
            if isinstance(comm, OnGPU):
                comm._end_links(abort=True)

    def close(self) -> None:
        """All ranks close it: what one has sent and another not yet received is waited for."""
        try:
            if not (self._closed or self._has_failed()):
                for work in (*self._queue, *self._messages):
                    if not work.may_be_left:
                        work.wait()
                self._leave()
        finally:
            super().close()

    def _leave(self) -> None:
        try:
            self._begin("close", None, "")
            self._drive(self._last_steps())
        except BaseException:
            self.fail()
            raise
        self._end()

    def _last_steps(self) -> Steps:
        """NCCL ends a communicator when the other ranks of this machine end it too."""
        if self._link is not None:
            link, self._link = self._link, None
            yield from Elsewhere(self._gpu, link.destroy).wait(is_last=True)

    def _release(self) -> None:
        self._end_links(abort=True)

    def _end_links(self, *, abort: bool) -> None:
        link, self._link = self._link, None
        if link is not None:
            (link.abort if abort else link.destroy)()
