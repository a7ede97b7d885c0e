"""The process backend: ranks are processes of one machine, and arrays pass through memory that all have mapped.

An array that lies in registered memory (`Communicator.empty`) is read where it is. Any other passes through slots,
chunk by chunk. The memory of a communicator, one block of `nbytes(size)` bytes, is laid out as

    the board      what each rank is doing (board.py): that of the first communicator, which a launch makes
    the lines      over which the ranks meet (lines.py)
    the slots      through which arrays pass (slots.py)
    the rings      a stream of messages from every rank to every other (mail.py)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from mmap import mmap
from typing import Any

import numpy as np

from . import fence
from .board import Board
from .cores import usable_cores
from .lines import Lines
from .mail import Mail
from .meeting import MeetingCommunicator, Views
from .objects import packed
from .reduction import piece_of, reduce_in_order
from .registered import PRIVATE, Registered, number_of
from .shared_memory import create_block, map_block, open_block
from .shortcut import SMALL, Shortcut
from .slots import Slots
from .work import Steps

_PAGE = 4096
_PATIENCE = 10, 4000, 4000  # turns of a wait: it spins, offers its core, then sleeps, the longer every so many turns
_IN_NEED = 1, 100, 20  # the same with more ranks than cores: the rank that is waited for may need this one


def nbytes(size: int) -> int:
    """Bytes of shared memory that a communicator of `size` ranks needs."""
    return _rings_at(size) + Mail.nbytes(size)


def reset(memory: mmap, size: int) -> None:
    """Make used memory like new, for new communicators of all ranks. Nobody may be using it."""
    memory[: _slots_at(size)] = bytes(_slots_at(size))
    Mail.reset(memory, _rings_at(size), size)


def _slots_at(size: int) -> int:
    return -(-(Board.nbytes(size) + Lines.nbytes(size)) // _PAGE) * _PAGE


def _rings_at(size: int) -> int:
    return _slots_at(size) + Slots.nbytes(size)


class ProcessCommunicator(MeetingCommunicator):
    """One rank; `memory` is the mapped block of this communicator.

    `parent` and `members` (ranks as the board knows them) are those of a communicator that `split` makes.
    """

    backend = "process"

    def __init__(
        self,
        memory: mmap,
        rank: int,
        size: int,
        timeout: float,
        parent: ProcessCommunicator | None = None,
        members: list[int] | None = None,
    ) -> None:
        board = Board(memory, size) if parent is None else parent._board
        lines = Lines(memory, size, Board.nbytes(size))
        super().__init__(rank, size, timeout, board, lines, parent, members)
        if not fence.keeps_store_order():
            self._fence = fence.make_fence()  # type: ignore[method-assign]
        self._has_cores = usable_cores() >= board.size  # else the rank waited for may need this core
        self._slots = Slots(memory, _slots_at(size), rank, size)
        self._mail = Mail(memory, _rings_at(size), rank, size, self._fence)
        self._registered = Registered()
        self._places_told = 0  # in how many meetings ranks have told where their arrays lie
        line_words = np.frombuffer(memory, np.int64, Lines.nbytes(size) // 8, Board.nbytes(size))
        self._shortcut = Shortcut(self, line_words, board.words())
        self._end()

    def _release(self) -> None:
        super()._release()
        self._mail.release()
        self._slots.release()
        self._shortcut.release()

    # -- collective calls ------------------------------------------------------------------------------------------

    def _take_shortcut(self, op: Any, array: np.ndarray) -> bool:
        return not self._closed and self._shortcut.take(op, array)

    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        mine = flat[None]
        views = yield from self._first_meeting(mine, mine, directly=flat.nbytes > SMALL)
        yield from self._reduce_met(views, flat, op)

    def _reduce_met(self, views: Views | None, flat: np.ndarray, op: str) -> Steps:
        """All-reduce after the first meeting, which has returned `views`."""
        if views is not None:
            yield from self._reduce_pieces(views, op)
        elif self.size <= 2 or flat.nbytes <= SMALL:
            yield from self._reduce_slots(flat, op)
        else:
            yield from self._reduce_shares(flat, op)

    def _reduce_slots(self, flat: np.ndarray, op: str) -> Steps:
        """Every rank reduces all that passes through the slots. Chunk 0 is there."""

        def pick(start: int, views: Views) -> None:
            reduce_in_order([view[0] for view in views], op, flat[start : start + views[0].shape[1]])

        return self._through_slots(flat[None], flat[None], pick)

    def _exchange(
        self,
        shown: np.ndarray | None,
        like: np.ndarray,
        pick: Callable[[int, Views], None],
        only: int | None = None,
    ) -> Steps:
        views = yield from self._first_meeting(shown, like, directly=like.nbytes > SMALL, only=only)
        if views is None:
            yield from self._through_slots(shown, like, pick)
        else:
            pick(0, views)
            yield from self._arrive()  # from here on ranks may change their arrays

    def _first_meeting(
        self, shown: np.ndarray | None, like: np.ndarray, directly: bool, only: int | None = None
    ) -> Steps:
        """Meet for the first time in this exchange. Returns the arrays of all (or of rank `only`), or None.

        They can be seen where they are if those of all ranks (of one that shows nothing: what it fills) lie in one
        registered block. If not, the first chunk of each is in its slot when this returns None.
        """
        here = like if shown is None else shown
        place = self._registered.place_of(here) if directly else PRIVATE
        if place == PRIVATE:
            self._slots.put(0, shown)
        if not directly:
            yield from self._agree()
            return None
        self._places_told += 1
        self._lines.place[self._places_told & 1][self.rank] = place
        yield from self._agree()
        return (yield from self._seen(shown, here, place, only))

    def _seen(self, shown: np.ndarray | None, here: np.ndarray, place: int, only: int | None) -> Steps:
        """What `_first_meeting` returns, now that all have told their places."""
        places = self._lines.place[self._places_told & 1]
        blocks = {number_of(place) for place in places}
        if len(blocks) == 1 and place != PRIVATE:
            return [
                self._registered.view(rank, places[rank], here) if rank != self.rank and only in (None, rank) else here
                for rank in range(self.size)
            ]
        if any(places):  # who hoped to show its array where it is now puts it into its slot
            if place != PRIVATE:
                self._slots.put(0, shown)
            yield from self._arrive()
        return None

    def _through_slots(self, shown: np.ndarray | None, like: np.ndarray, pick: Callable[[int, Views], None]) -> Steps:
        """In step k every rank puts chunk k into its slot, and picks from chunk k-1 of all. Chunk 0 is there."""
        each = self._slots.columns(like)
        chunks = -(-like.shape[1] // each)
        for step in range(1, chunks + 1):
            if step < chunks:
                self._slots.put(step, shown)
            pick((step - 1) * each, self._slots.views(step - 1, like))
            if step < chunks:
                yield from self._arrive()
        self._slots.passed += chunks

    def _reduce_shares(self, flat: np.ndarray, op: str) -> Steps:
        """In step k every rank puts chunk k into its slot, reduces its share of chunk k-1, and copies chunk k-2 out."""
        each = self._slots.columns(flat[None])
        chunks = [flat[start : start + each] for start in range(0, flat.size, each)]
        for step in range(1, len(chunks) + 2):
            if step < len(chunks):
                self._slots.put(step, flat[None])
            if step <= len(chunks):
                slots, result = self._slots.half(step - 1, flat.dtype)
                mine = piece_of(chunks[step - 1].size, self.rank, self.size)
                reduce_in_order([slot[mine] for slot in slots], op, result[mine])
            if step >= 2:
                _, result = self._slots.half(step - 2, flat.dtype)
                chunks[step - 2][...] = result[: chunks[step - 2].size]
            if step <= len(chunks):
                yield from self._arrive()
        self._slots.passed += len(chunks)

    # -- groups and memory -----------------------------------------------------------------------------------------

    def _split(self, members: list[int] | None) -> Steps:
        """The lowest rank of each group makes the memory of the group."""
        leader = min(members) if members else self.rank
        wanted = nbytes(len(members)) if members and leader == self.rank else None
        memory = yield from self._share_block(wanted, None if members is None else leader)
        if members is None:
            return None
        in_world = [self._members[member] for member in members]
        return ProcessCommunicator(
            memory, members.index(self.rank), len(members), self.timeout, parent=self, members=in_world
        )

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps:
        wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        each = max(1, -(-wanted // _PAGE)) * _PAGE
        memory = yield from self._share_block(self.size * each if self.rank == 0 else None, 0)
        return self._registered.add(memory, self.rank, each)[:wanted].view(dtype).reshape(shape)

    def _share_block(self, wanted: int | None, source: int | None) -> Steps:
        """Make a block of `wanted` bytes (None: no block) and map that of rank `source` (None: nothing)."""
        descriptor = -1
        try:
            if wanted is not None:
                descriptor = create_block(wanted)
            holders = yield from self._tell_all(packed((os.getpid(), descriptor)))
            memory = None
            if source is not None:
                opened = open_block(*holders[source])
                try:
                    memory = map_block(opened)
                finally:
                    os.close(opened)
            yield from self._arrive()
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return memory

    # -- between two ranks -----------------------------------------------------------------------------------------

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        self.traffic.count(array.nbytes)
        return self._mail.send(array, dest, tag, self._wait_for)

    def _recv(self, source: int, tag: int) -> Steps:
        return self._mail.recv(source, tag, self._wait_for)

    def _look_around(self) -> None:
        try:
            self._mail.take_in()
        except BaseException:  # half a message may have been taken in
            self.fail()
            raise

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _rest(self, turn: int, ready: Callable[[], bool]) -> bool:
        """Spin for some microseconds, then offer the core to others, then sleep: 0.05 ms at first, 1 ms in the end."""
        spins, offers, longer = _PATIENCE if self._has_cores else _IN_NEED
        if turn <= spins:
            return False
        if turn < offers:
            os.sched_yield()
            return turn % 4 == 0
        time.sleep(min(1e-3, 50e-6 * (1 + (turn - offers) // longer)))
        return True
