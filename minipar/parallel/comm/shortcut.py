"""Barriers and all-reduces of a few numbers in one compiled call, once a communicator has made many of them.

The call does what `meeting.py` and `process.py` do, in the same memory, so that ranks that take the shortcut and ranks
that do not meet all the same. Where another rank is late, or anything is wrong, they go on from where it stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...backend.dispatch import kernels_in_use
from . import spans
from .announcement import Announcement
from .board import Activity, Board
from .work import Steps

if TYPE_CHECKING:
    from .process import ProcessCommunicator

MANY = 100  # calls, after which compiled code is worth loading: that takes as long as a hundred thousand barriers
SMALL = 32 << 10  # bytes up to which every rank reduces all by itself: a second meeting would take longer
_SHAPES = 1000  # that are remembered
_PATIENCE = 5000  # looks at the line of a rank that is late: some 10 microseconds


class _Barrier:
    """The operation of a barrier, beside "sum" and "mean"."""


BARRIER = _Barrier()


class Kind(NamedTuple):
    """What the compiled call needs to know of calls with one operation, dtype and shape (meeting.py of the kernels)."""

    announcement: Announcement
    slots: np.ndarray
    halves: tuple[int, int]
    places: np.ndarray
    mean: bool


class Shortcut:
    """The compiled calls of one communicator, or the wait until there have been enough to load them."""

    def __init__(self, comm: ProcessCommunicator, lines: np.ndarray, board: np.ndarray) -> None:
        self._comm = comm
        self._lines = lines
        self._board = board
        self._before = MANY
        self._meet_and_add: Callable[..., int] | None = None
        self._kinds: dict[tuple[str | _Barrier, np.dtype, tuple[int, ...]], Kind] = {}

    def take(self, op: str | _Barrier, array: np.ndarray) -> bool:
        """Carry out the call if it can be done in this way; a BARRIER is one of an empty array."""
        comm = self._comm
        if (
            type(array) is not np.ndarray
            or (type(op) is not str and op is not BARRIER)
            or comm._queue
            or not array.flags.carray
            or threading.get_ident() != comm._owner
        ):
            return False
        kind = self._kinds.get((op, array.dtype, array.shape))
        if kind is None:
            kind = self._kind_of(op, array)
            if kind is None:
                return False
        start = spans.clock() if spans.listener is not None else 0
        text, digest = kind.announcement
        comm._board.write_collective(comm._me, text)
        flat = array if array.ndim == 1 else array.reshape(-1)
        comm._number = number = comm._number + 1
        comm._epoch = epoch = comm._epoch + 1
        if number & 63 == 0:
            comm._look_around_everywhere()
        half = kind.halves[comm._slots.passed & 1]
        assert self._meet_and_add is not None
        if self._meet_and_add(
            self._lines, self._board, kind.slots, flat, kind.places, half, number, epoch, digest, kind.mean
        ):
            comm._said, comm._digest, comm._agreed = text, digest, False
            try:
                comm._drive(self._go_on(op, flat))
            except BaseException:
                comm.fail()
                raise
            comm._end()
        elif flat.size:
            comm._slots.passed += 1
        if start and spans.listener is not None:
            name = "barrier" if op is BARRIER else "all_reduce"
            spans.listener(name, number, array.nbytes, start, spans.clock(), 0)
        return True

    def release(self) -> None:
        """Look at the memory no more."""
        self._kinds.clear()
        del self._lines, self._board, self._comm

    def _go_on(self, op: str | _Barrier, flat: np.ndarray) -> Steps:
        """The rest of the call for a rank that has arrived, and was not met by all."""
        comm = self._comm
        comm._check_peers()
        yield from comm._await_all()
        comm._compare()
        if flat.size and isinstance(op, str):
            yield from comm._reduce_slots(flat, op)

    def _kind_of(self, op: str | _Barrier, array: np.ndarray) -> Kind | None:
        """None for a call that is not made in this way, at least not yet."""
        comm = self._comm
        if op not in (BARRIER, "sum", "mean") or array.dtype not in (np.float32, np.float64) or array.nbytes > SMALL:
            return None
        if self._before > 0:
            self._before -= 1
            return None
        if kernels_in_use() == "reference" or find_spec("numba") is None:
            self._before = MANY
            return None
        if self._meet_and_add is None:
            self._meet_and_add = self._load()
        if isinstance(op, str):
            announcement = comm._announcement("all_reduce", array, op)
        else:
            announcement = comm._announcement("barrier", None, "")
        slots, halves, step = comm._slots.whole(array.dtype)
        places = np.array([comm.rank, comm.size, Board.word_of(comm._me), step, _PATIENCE if comm._has_cores else 0])
        if len(self._kinds) == _SHAPES:
            self._kinds.clear()
        kind = Kind(announcement, slots, halves, places, op == "mean")
        return self._kinds.setdefault((op, array.dtype, array.shape), kind)

    def _load(self) -> Callable[..., int]:
        board, me = self._comm._board, self._comm._me
        before = board.activity[me]
        board.activity[me] = Activity.COMPILING  # or loading: other ranks do not count that time
        try:
            from ...kernels.cpu.meeting import meet_and_add

            return meet_and_add
        finally:
            board.activity[me] = before
