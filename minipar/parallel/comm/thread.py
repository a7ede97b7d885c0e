"""The thread backend: ranks are threads of this process and read each other's arrays directly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .board import CALLER, Board
from .inbox import Inbox
from .lines import Lines
from .meeting import MeetingCommunicator, Views
from .work import Steps


class ThreadWorld:
    """What the threads of one launch share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.board = Board(bytearray(Board.nbytes(size)), size)
        self.changed = threading.Condition()
        self.group = ThreadGroup(size)

    def interrupt(self) -> None:
        """Have all ranks raise at their next communicator call."""
        self.board.fail(CALLER)
        with self.changed:
            self.changed.notify_all()


class ThreadGroup:
    """What the ranks of one communicator share."""

    def __init__(self, size: int) -> None:
        self.lines = Lines(bytearray(Lines.nbytes(size)), size)
        self.shown: list[Any] = [None] * size  # by each rank in the current call, and taken back at its end
        self.inboxes = [Inbox() for _ in range(size)]


class ThreadCommunicator(MeetingCommunicator):
    """One rank of a `ThreadWorld`."""

    backend = "thread"
    _LOOK_AROUND = 0.05  # seconds between two looks at the clock; everything else wakes the thread

    def __init__(
        self,
        world: ThreadWorld,
        rank: int,
        timeout: float,
        parent: ThreadCommunicator | None = None,
        members: list[int] | None = None,
        group: ThreadGroup | None = None,
    ) -> None:
        self._world = world
        self._shared = world.group if group is None else group
        size = world.size if members is None else len(members)
        super().__init__(rank, size, timeout, world.board, self._shared.lines, parent, members)
        self._end()

    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        self._shared.shown[self.rank] = flat[None]
        yield from self._agree()
        yield from self._reduce_pieces(list(self._shared.shown), op)
        self._shared.shown[self.rank] = None

    def _exchange(
        self,
        shown: np.ndarray | None,
        like: np.ndarray,
        pick: Callable[[int, Views], None],
        only: int | None = None,
    ) -> Steps:
        self._shared.shown[self.rank] = shown
        yield from self._agree()
        pick(0, self._shared.shown)
        yield from self._arrive()  # from here on ranks may change their arrays
        self._shared.shown[self.rank] = None

    def _split(self, members: list[int] | None) -> Steps:
        """The lowest rank of each group makes what the group shares, and shows it."""
        self._shared.shown[self.rank] = ThreadGroup(len(members)) if members and self.rank == min(members) else None
        yield from self._arrive()
        group = self._shared.shown[min(members)] if members else None
        yield from self._arrive()
        self._shared.shown[self.rank] = None
        if members is None:
            return None
        in_world = [self._members[member] for member in members]
        return ThreadCommunicator(self._world, members.index(self.rank), self.timeout, self, in_world, group)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps:
        yield from self._agree()
        return np.empty(shape, dtype)  # threads see all memory

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        self.traffic.count(array.nbytes)
        with self._world.changed:
            self._shared.inboxes[dest].put(self.rank, tag, array.copy())
            self._world.changed.notify_all()
        yield from ()

    def _recv(self, source: int, tag: int) -> Steps:
        inbox = self._shared.inboxes[self.rank]
        ticket = inbox.ask(source, tag)
        yield from self._wait_for(source, lambda: inbox.has(ticket))
        return inbox.take(ticket)

    def _wake(self) -> None:
        with self._world.changed:
            self._world.changed.notify_all()

    def _rest(self, turn: int, ready: Callable[[], bool]) -> bool:
        with self._world.changed:
            if not ready() and self._board.failed_rank is None:
                self._world.changed.wait(self._LOOK_AROUND)
        return True
