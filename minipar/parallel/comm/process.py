"""The process backend: ranks are processes of one machine, and arrays pass through memory that all have mapped.

An array that lies in registered memory (`Communicator.empty`) is read where it is. Any other passes through slots,
chunk by chunk. The memory of a communicator, one block of `nbytes(size)` bytes, is laid out as

    the board      what each rank is doing (board.py): that of the first communicator, which a launch makes
    the lines      over which the ranks meet (lines.py)
    the slots      for each rank two halves of CHUNK bytes, where it puts its array, chunk by chunk
    the result     two halves, into which every rank reduces its share of a chunk
    the rings      a stream of messages from every rank to every other (ring.py)

Two halves let consecutive chunks be copied in, reduced and copied out at the same time, with one meeting a chunk: the
half of a chunk is written again two chunks later, and by then every rank has passed the meeting in between. The chunks
are counted over the life of the communicator, so this also holds from one call to the next.

So an array of any size fits, and a chunk stays in the cache on its way.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator
from mmap import mmap

import numpy as np

from . import fence
from .board import Board
from .cores import usable_cores
from .inbox import Inbox
from .lines import Lines
from .meeting import MeetingCommunicator, Views
from .reduction import piece_of, reduce_in_order
from .registered import PRIVATE, Registered, number_of
from .ring import Ring, fill
from .shared_memory import create_block, map_block, open_block
from .shortcut import SMALL, Shortcut
from .work import Steps

CHUNK = 512 << 10  # bytes; a multiple of every item size
_PAGE = 4096


def nbytes(size: int) -> int:
    """Bytes of shared memory that a communicator of `size` ranks needs."""
    return _rings_at(size) + size * size * Ring.NBYTES


def reset(memory: mmap, size: int) -> None:
    """Make used memory like new, for new communicators of all ranks. Nobody may be using it."""
    memory[: _slots_at(size)] = bytes(_slots_at(size))
    for ring in range(size * size):
        Ring.empty(memory, _rings_at(size) + ring * Ring.NBYTES)


def _slots_at(size: int) -> int:
    return -(-(Board.nbytes(size) + Lines.nbytes(size)) // _PAGE) * _PAGE


def _rings_at(size: int) -> int:
    return _slots_at(size) + (size + 1) * 2 * CHUNK


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
        self._memory = memory
        self._line_words = np.frombuffer(memory, np.int64, Lines.nbytes(size) // 8, Board.nbytes(size))
        self._board_words: np.ndarray = (
            np.frombuffer(memory, np.int64, Board.nbytes(size) // 8) if parent is None else parent._board_words
        )
        self._registered = Registered()
        self._looks = 0
        self._chunks = 0  # counted over all calls; chunk n passes through half n % 2
        self._halves: dict[np.dtype, list[tuple[list[np.ndarray], np.ndarray]]] = {}
        if not fence.keeps_store_order():
            self._fence = fence.make_fence()  # type: ignore[method-assign]
        self._has_cores = usable_cores() >= board.size  # else the rank waited for may need this core
        self._inbox = Inbox()
        self._shortcut = Shortcut(self)
        self._outgoing = {peer: self._ring(rank, peer) for peer in self._peers}
        self._leaving: dict[int, deque[object]] = {peer: deque() for peer in self._peers}
        self._incoming = {peer: self._receive_from(peer) for peer in self._peers}
        self._end()

    # -- collective calls ------------------------------------------------------------------------------------------

    def _take_shortcut(self, op: str, array: np.ndarray) -> bool:
        return self._shortcut.take(op, array)

    def _slots_of(self, dtype: np.dtype) -> tuple[np.ndarray, tuple[int, int], int]:
        """All slots as one array; where the slots of rank 0 begin in it, of each half; and how far apart slots are."""
        start = _slots_at(self.size) // dtype.itemsize
        chunk = CHUNK // dtype.itemsize
        whole = np.frombuffer(self._memory, dtype, start + (self.size + 1) * 2 * chunk)
        return whole, (start, start + chunk), 2 * chunk

    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        mine = flat[None]
        views = yield from self._look(mine, mine, directly=flat.nbytes > SMALL)
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
        views = yield from self._look(shown, like, directly=like.nbytes > SMALL)
        if views is None:
            yield from self._through_slots(shown, like, pick)
        else:
            pick(0, views)
            yield from self._arrive()  # from here on ranks may change their arrays

    def _look(self, shown: np.ndarray | None, like: np.ndarray, directly: bool) -> Steps:
        """The first meeting. Returns the arrays of all ranks if they can be seen where they are, else None.

        They can if those of all ranks (a rank that shows nothing: what it fills) lie in one registered block. If not,
        the first chunk of each is in its slot when this returns.
        """
        here = like if shown is None else shown
        place = self._registered.place_of(here) if directly else PRIVATE
        if place == PRIVATE:
            self._put_in_slot(0, shown)
        if not directly:
            yield from self._agree()
            return None
        self._looks += 1
        places = self._lines.place[self._looks & 1]
        places[self.rank] = place
        yield from self._agree()
        blocks = {number_of(place) for place in places}
        if len(blocks) == 1 and place != PRIVATE:
            return [
                here if rank == self.rank else self._registered.view(rank, places[rank], here)
                for rank in range(self.size)
            ]
        if any(places):  # who hoped to show its array where it is now puts it into its slot
            if place != PRIVATE:
                self._put_in_slot(0, shown)
            yield from self._arrive()
        return None

    def _through_slots(self, shown: np.ndarray | None, like: np.ndarray, pick: Callable[[int, Views], None]) -> Steps:
        """In step k every rank puts chunk k into its slot, and picks from chunk k-1 of all. Chunk 0 is there."""
        starts = range(0, like.shape[1], self._columns(like))
        for step, start in enumerate(starts, 1):
            if step < len(starts):
                self._put_in_slot(step, shown)
            pick(start, self._views(step - 1, start, like))
            if step < len(starts):
                yield from self._arrive()
        self._chunks += len(starts)

    def _reduce_shares(self, flat: np.ndarray, op: str) -> Steps:
        """In step k every rank puts chunk k into its slot, reduces its share of chunk k-1, and copies chunk k-2 out."""
        each = self._columns(flat[None])
        chunks = [flat[start : start + each] for start in range(0, flat.size, each)]
        for step in range(1, len(chunks) + 2):
            if step < len(chunks):
                self._put_in_slot(step, flat[None])
            if step <= len(chunks):
                slots, result = self._half(step - 1, flat.dtype)
                mine = piece_of(chunks[step - 1].size, self.rank, self.size)
                reduce_in_order([slot[mine] for slot in slots], op, result[mine])
            if step >= 2:
                _, result = self._half(step - 2, flat.dtype)
                chunks[step - 2][...] = result[: chunks[step - 2].size]
            if step <= len(chunks):
                yield from self._arrive()
        self._chunks += len(chunks)

    def _columns(self, like: np.ndarray) -> int:
        """How many columns of these rows a chunk holds."""
        return CHUNK // (len(like) * like.itemsize)

    def _put_in_slot(self, step: int, shown: np.ndarray | None) -> None:
        if shown is not None:
            each = self._columns(shown)
            part = shown[:, step * each : (step + 1) * each]
            slots, _ = self._half(step, shown.dtype)
            slots[self.rank][: part.size].reshape(part.shape)[...] = part

    def _views(self, step: int, start: int, like: np.ndarray) -> Views:
        rows, columns = len(like), min(self._columns(like), like.shape[1] - start)
        slots, _ = self._half(step, like.dtype)
        return [slot[: rows * columns].reshape(rows, columns) for slot in slots]

    def _half(self, step: int, dtype: np.dtype) -> tuple[list[np.ndarray], np.ndarray]:
        """The slots of all ranks, and the result, through which the chunk of this step passes."""
        halves = self._halves.get(dtype)
        if halves is None:
            halves = self._halves[dtype] = [self._view_half(half, dtype) for half in (0, 1)]
        return halves[(self._chunks + step) & 1]

    def _view_half(self, half: int, dtype: np.dtype) -> tuple[list[np.ndarray], np.ndarray]:
        start = _slots_at(self.size) + half * CHUNK
        views = [
            np.frombuffer(self._memory, dtype, CHUNK // dtype.itemsize, start + slot * 2 * CHUNK)
            for slot in range(self.size + 1)
        ]
        return views[:-1], views[-1]

    # -- groups and memory -----------------------------------------------------------------------------------------

    def _split(self, members: list[int] | None) -> Steps:
        """The lowest rank of each group makes the memory of the group."""
        leader = min(members) if members else None
        wanted = nbytes(len(members)) if members and leader == self.rank else None
        blocks = yield from self._share_blocks(wanted, [] if leader is None else [leader])
        if members is None:
            return None
        in_world = [self._members[member] for member in members]
        return ProcessCommunicator(
            blocks[0], members.index(self.rank), len(members), self.timeout, parent=self, members=in_world
        )

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps:
        count = int(np.prod(shape, dtype=np.int64))
        wanted = max(1, -(-count * dtype.itemsize // _PAGE)) * _PAGE
        blocks = yield from self._share_blocks(wanted, list(range(self.size)))
        return self._registered.add(blocks, self.rank)[: count * dtype.itemsize].view(dtype).reshape(shape)

    def _share_blocks(self, wanted: int | None, sources: list[int]) -> Steps:
        """Make a block of `wanted` bytes (None: no block) and map those of the ranks `sources`, in that order."""
        descriptor = -1
        try:
            if wanted is not None:
                descriptor = create_block(wanted)
            holders = yield from self._tell_all((os.getpid(), descriptor))
            blocks = []
            for source in sources:
                opened = open_block(*holders[source])
                blocks.append(map_block(opened))
                os.close(opened)
            yield from self._arrive()
        except OSError:
            self.fail()  # the others wait for this rank's memory
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return blocks

    # -- between two ranks -----------------------------------------------------------------------------------------

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        self.traffic.count(array.nbytes)
        if dest == self.rank:
            self._inbox.put(self.rank, tag, array.copy())
            return
        turn, leaving, ring = object(), self._leaving[dest], self._outgoing[dest]
        leaving.append(turn)
        yield from self._wait_for(dest, lambda: leaving[0] is turn)
        header = pickle.dumps((tag, array.dtype, array.shape))
        for part in (_length(header), np.frombuffer(header, np.uint8), array.reshape(-1).view(np.uint8)):
            done = 0
            while done < part.size:
                if not ring.has_room():
                    yield from self._wait_for(dest, ring.has_room)
                done += ring.write(part[done:])
        leaving.popleft()

    def _recv(self, source: int, tag: int) -> Steps:
        ticket = self._inbox.ask(source, tag)

        def arrived() -> bool:
            if not self._inbox.has(ticket):
                self._look_around()
            return self._inbox.has(ticket)

        yield from self._wait_for(source, arrived)
        return self._inbox.take(ticket)

    def _look_around(self) -> None:
        for incoming in self._incoming.values():
            next(incoming)

    def _receive_from(self, source: int) -> Iterator[None]:
        """Move messages from a ring to the inbox for ever; yields whenever there is nothing to read for now."""
        ring = self._ring(source, self.rank)
        while True:
            length = np.empty(1, np.int64)
            yield from fill(ring, length.view(np.uint8))
            header = np.empty(length[0], np.uint8)
            yield from fill(ring, header)
            tag, dtype, shape = pickle.loads(header.tobytes())
            array = np.empty(shape, dtype)
            yield from fill(ring, array.reshape(-1).view(np.uint8))
            self._inbox.put(source, tag, array)

    def _ring(self, source: int, dest: int) -> Ring:
        index = source * self.size + dest
        return Ring(self._memory, _rings_at(self.size) + index * Ring.NBYTES, self._fence)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _rest(self, turn: int, ready: Callable[[], bool]) -> bool:
        """Spin for some microseconds, then offer the core to others, then sleep: 0.05 ms at first, 1 ms in the end."""
        if turn <= (10 if self._has_cores else 1):
            return False
        if turn < 4000:
            os.sched_yield()
            return turn % 4 == 0
        time.sleep(min(1e-3, 50e-6 * (turn // 4000)))
        return True


def _length(header: bytes) -> np.ndarray:
    return np.array([len(header)], np.int64).view(np.uint8)
