"""Barriers and all-reduces in one compiled call, once a communicator has made many of them.

Such are sums and means of floats that are either few, or lie in registered memory. The call does what `meeting.py` and
`process.py` do, in the same memory, so that ranks that take the shortcut and ranks that do not meet all the same. Where
another rank is late, or anything is wrong, they go on from where it stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...backend.dispatch import kernels_in_use
from . import spans
from .board import Activity, Board
from .registered import Block, offset_of
from .work import Steps

if TYPE_CHECKING:
    from .process import ProcessCommunicator

MANY = 100  # calls, after which compiled code is worth loading: that takes as long as a hundred thousand barriers
SMALL = 32 << 10  # bytes up to which every rank reduces all by itself: a second meeting would take longer
_SHAPES = 1000  # that are remembered
_PATIENCE = 5000, 20  # looks at the line of a rank that is late (some 10 microseconds), then offers of the core to it
_IN_NEED = 20, 200  # the same with more ranks than cores: the rank that is late may need this one


class _Barrier:
    """The operation of a barrier, beside "sum" and "mean"."""


BARRIER = _Barrier()


class Kind(NamedTuple):
    """What is the same in all calls with one operation, dtype and shape."""

    text: bytes  # how it is announced
    digest: int
    is_short: bool
    is_mean: bool
    slots: np.ndarray
    halves: tuple[int, int]
    step: int


class Shortcut:
    """The compiled calls of one communicator, or the wait until there have been enough to load them."""

    def __init__(self, comm: ProcessCommunicator, lines: np.ndarray, board: np.ndarray) -> None:
        self._comm = comm
        self._lines = lines
        self._board = board
        self._before = MANY
        self._places = np.array(
            [comm.rank, comm.size, Board.word_of(comm._me), *(_PATIENCE if comm._has_cores else _IN_NEED)]
        )
        self._kernels: ModuleType | None = None
        self._meet_and_add: Callable[..., int] = lambda *arguments: 0  # until they are loaded: no kind is known before
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
        text, digest, is_short, is_mean, slots, halves, step = kind
        block = None if is_short else comm._registered.block_of(array)
        if block is None and not is_short:
            return False
        start = spans.clock() if spans.listener is not None else 0
        if text is not comm._board.written[comm._me]:
            comm._board.write_collective(comm._me, text)
        flat = array if array.ndim == 1 else array.reshape(-1)
        try:
            comm._number = number = comm._number + 1
            comm._epoch = epoch = comm._epoch + 1
            if number & 63 == 0:
                comm._look_around_everywhere()
            steps = None
            if block is not None:
                steps = self._add_in_place(kind, flat, block)
            elif self._meet_and_add(
                self._lines, self._board, slots, flat, self._places, step, halves[comm._slots.passed & 1],
                number, epoch, digest, is_mean,
            ):  # fmt: skip
                steps = self._go_on(flat, "mean" if is_mean else "sum")
            elif flat.size:
                comm._slots.passed += 1
            if steps is not None:
                comm._said, comm._digest, comm._agreed = text, digest, False
                comm._drive(steps)
                comm._end()
        except BaseException:  # in the middle of a call: an interrupt too leaves this rank out of step
            comm.fail()
            raise
        if start and spans.listener is not None:
            name = "barrier" if op is BARRIER else "all_reduce"
            spans.listener(name, number, array.nbytes, start, spans.clock(), 0)
        return True

    def release(self) -> None:
        """Look at the memory no more."""
        self._kinds.clear()
        del self._lines, self._board, self._comm

    def _add_in_place(self, kind: Kind, flat: np.ndarray, block: Block) -> Steps | None:
        """In registered memory. Returns what is left to do, if anything is."""
        comm, kernels = self._comm, self._kernels
        assert kernels is not None
        comm._places_told += 1
        place = block.place_of(flat)
        each, start = block.each // flat.itemsize, offset_of(place) // flat.itemsize
        status = kernels.meet_and_add_in_place(
            self._lines, self._board, block.bytes.view(flat.dtype), self._places, each, start, flat.size,
            comm._number, comm._epoch, kind.digest, place, comm._places_told, kind.is_mean,
        )  # fmt: skip
        if status in (kernels.DONE, kernels.ADDED):
            comm._epoch += 1
            return None if status == kernels.DONE else self._come_to_an_end()
        return self._go_on(flat, "mean" if kind.is_mean else "sum", place)

    def _go_on(self, flat: np.ndarray, op: str, place: int | None = None) -> Steps:
        """The rest of the call for a rank that has arrived, and was not met by all, or not at the same place."""
        comm = self._comm
        comm._check_peers()
        yield from comm._await_all()
        comm._compare()
        if place is not None:
            views = yield from comm._seen(flat[None], flat[None], place, None)
            yield from comm._reduce_met(views, flat, op)
        elif flat.size:
            yield from comm._reduce_slots(flat, op)

    def _come_to_an_end(self) -> Steps:
        self._comm._check_peers()
        return self._comm._await_all()

    def _kind_of(self, op: str | _Barrier, array: np.ndarray) -> Kind | None:
        """None for a call that is not made in this way, at least not yet."""
        comm = self._comm
        is_short = array.nbytes <= SMALL
        if op not in (BARRIER, "sum", "mean") or array.dtype not in (np.float32, np.float64):
            return None
        if not is_short and comm._registered.block_of(array) is None:
            return None
        if self._before > 0:
            self._before -= 1
            return None
        if kernels_in_use() == "reference" or find_spec("numba") is None:
            self._before = MANY
            return None
        if self._kernels is None:
            self._kernels = self._load()
            self._meet_and_add = self._kernels.meet_and_add
        if isinstance(op, str):
            announcement = comm._announcement("all_reduce", array, op)
        else:
            announcement = comm._announcement("barrier", None, "")
        if len(self._kinds) == _SHAPES:
            self._kinds.clear()
        slots, halves, step = comm._slots.whole(array.dtype)
        kind = Kind(announcement.text, announcement.digest, is_short, op == "mean", slots, halves, step)
        return self._kinds.setdefault((op, array.dtype, array.shape), kind)

    def _load(self) -> ModuleType:
        board, me = self._comm._board, self._comm._me
        before = board.activity[me]
        board.activity[me] = Activity.COMPILING  # or loading: other ranks do not count that time
        try:
            return import_module("minipar.kernels.cpu.meeting")
        finally:
            board.activity[me] = before
