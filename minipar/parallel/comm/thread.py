"""The thread backend: ranks are threads of this process and read each other's arrays directly."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .board import CALLER, Board
from .inbox import Inbox
from .meeting import MeetingCommunicator
from .reduction import piece_of, reduce_in_order


class ThreadWorld:
    """What the threads of one launch share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.board = Board(bytearray(Board.nbytes(size)), size)
        self.changed = threading.Condition()
        self.shown: list[Any] = [None] * size  # arrays as given to the current call
        self.reduced: list[Any] = [None] * size  # each rank's share of the result
        self.inboxes = [Inbox() for _ in range(size)]

    def interrupt(self) -> None:
        """Have all ranks raise at their next communicator call."""
        self.board.fail(CALLER)
        with self.changed:
            self.changed.notify_all()


class ThreadCommunicator(MeetingCommunicator):
    """One rank of a `ThreadWorld`."""

    _LOOK_AROUND = 0.05  # seconds between two looks at the clock; everything else wakes the thread

    def __init__(self, world: ThreadWorld, rank: int, timeout: float) -> None:
        super().__init__(rank, world.size, timeout, world.board)
        self._world = world
        self._end()

    def _broadcast(self, flat: np.ndarray, root: int) -> None:
        shown = self._world.shown
        shown[self.rank] = flat
        self._meet()
        if self.rank != root:
            flat[...] = shown[root]
        self._arrive()  # from here on the root may change its array
        shown[self.rank] = None

    def _all_reduce(self, flat: np.ndarray, op: str) -> None:
        shown, reduced = self._world.shown, self._world.reduced
        shown[self.rank] = flat
        self._meet()
        mine = piece_of(flat.size, self.rank, self.size)
        part = np.empty_like(flat[mine])
        reduce_in_order([array[mine] for array in shown], op, part)
        reduced[self.rank] = part
        self._arrive()  # nobody reads `shown` any more: arrays may be overwritten
        shown[self.rank] = None
        for rank, part in enumerate(reduced):
            flat[piece_of(flat.size, rank, self.size)] = part

    def _send(self, array: np.ndarray, dest: int, tag: int) -> None:
        with self._world.changed:
            self._world.inboxes[dest].put(self.rank, tag, array.copy())
            self._world.changed.notify_all()

    def _recv(self, source: int, tag: int) -> np.ndarray:
        inbox = self._world.inboxes[self.rank]
        self._wait_for(source, lambda: inbox.has(source, tag))
        return inbox.take(source, tag)

    def _wake(self) -> None:
        with self._world.changed:
            self._world.changed.notify_all()

    def _pause(self, turn: int, ready: Callable[[], bool]) -> bool:
        with self._world.changed:
            if not ready() and self._board.failed_rank is None:
                self._world.changed.wait(self._LOOK_AROUND)
        return True
