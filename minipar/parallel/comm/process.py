"""The process backend: ranks are processes on one machine, and arrays pass through memory that all of them have mapped.

The memory of a launch, one block of `nbytes(size)` bytes, is laid out as

    the board      what each rank is doing (board.py)
    the slots      for each rank two halves of CHUNK bytes, where it puts its array, chunk by chunk
    the result     two halves, into which every rank reduces its share of a chunk
    the rings      a stream of messages from every rank to every other (ring.py)

Two halves let consecutive chunks be copied in, reduced and copied out at the same time, with one meeting a chunk: the
half of a chunk is written again two chunks later, and by then every rank has passed the meeting in between. The chunks
are counted over the life of the communicator, so this also holds from one call to the next.

So an array of any size fits, and a chunk stays in the cache on its way.
"""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from mmap import mmap

import numpy as np

from . import fence
from .board import Board
from .cores import usable_cores
from .inbox import Inbox
from .meeting import MeetingCommunicator
from .reduction import piece_of, reduce_in_order
from .ring import Ring, fill

CHUNK = 512 << 10  # bytes; a multiple of every item size


def nbytes(size: int) -> int:
    """Bytes of shared memory that `size` ranks need."""
    return _rings_at(size) + size * size * Ring.NBYTES


def _slots_at(size: int) -> int:
    return -(-Board.nbytes(size) // 4096) * 4096


def _rings_at(size: int) -> int:
    return _slots_at(size) + (size + 1) * 2 * CHUNK


class ProcessCommunicator(MeetingCommunicator):
    """One rank; `memory` is the mapped block of this launch."""

    def __init__(self, memory: mmap, rank: int, size: int, timeout: float) -> None:
        super().__init__(rank, size, timeout, Board(memory, size))
        self._memory = memory
        self._chunks = 0  # counted over all calls; chunk n passes through half n % 2
        self._halves: dict[np.dtype, list[tuple[list[np.ndarray], np.ndarray]]] = {}
        if not fence.keeps_store_order():
            self._fence = fence.make_fence()  # type: ignore[method-assign]
        self._spins = (
            200 if usable_cores() >= size else 1
        )  # with more ranks than cores, the rank waited for may need this core
        self._inbox = Inbox()
        self._outgoing = {peer: self._ring(rank, peer) for peer in self._peers}
        self._incoming = {peer: self._receive_from(peer) for peer in self._peers}
        self._end()

    # -- collective calls ------------------------------------------------------------------------------------------

    def _broadcast(self, flat: np.ndarray, root: int) -> None:
        """In step k the root puts chunk k into its slot, while the others copy chunk k-1 out."""
        chunks = _chunks(flat)
        for step in range(len(chunks) + 1):
            if self.rank == root and step < len(chunks):
                slots, _ = self._half(step, flat.dtype)
                slots[root][: chunks[step].size] = chunks[step]
            if self.rank != root and step >= 1:
                slots, _ = self._half(step - 1, flat.dtype)
                chunks[step - 1][...] = slots[root][: chunks[step - 1].size]
            self._meet_in(step, last=max(0, len(chunks) - 1))
        self._chunks += len(chunks)

    def _all_reduce(self, flat: np.ndarray, op: str) -> None:
        """In step k every rank puts chunk k into its slot, reduces its share of chunk k-1, and copies chunk k-2 out."""
        chunks = _chunks(flat)
        for step in range(len(chunks) + 2):
            if step < len(chunks):
                slots, _ = self._half(step, flat.dtype)
                slots[self.rank][: chunks[step].size] = chunks[step]
            if 1 <= step <= len(chunks):
                slots, result = self._half(step - 1, flat.dtype)
                mine = piece_of(chunks[step - 1].size, self.rank, self.size)
                reduce_in_order([slot[mine] for slot in slots], op, result[mine])
            if step >= 2:
                _, result = self._half(step - 2, flat.dtype)
                chunks[step - 2][...] = result[: chunks[step - 2].size]
            self._meet_in(step, last=len(chunks))
        self._chunks += len(chunks)

    def _meet_in(self, step: int, last: int) -> None:
        if step == 0:
            self._meet()
        elif step <= last:
            self._arrive()

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

    # -- between two ranks -----------------------------------------------------------------------------------------

    def _send(self, array: np.ndarray, dest: int, tag: int) -> None:
        if dest == self.rank:
            self._inbox.put(self.rank, tag, array.copy())
            return
        header = pickle.dumps((tag, array.dtype, array.shape))
        ring = self._outgoing[dest]
        for part in (_length(header), np.frombuffer(header, np.uint8), array.reshape(-1).view(np.uint8)):
            done = 0
            while done < part.size:
                self._wait_for(dest, ring.has_room)
                done += ring.write(part[done:])

    def _recv(self, source: int, tag: int) -> np.ndarray:
        def arrived() -> bool:
            if not self._inbox.has(source, tag):
                self._take_in_messages()
            return self._inbox.has(source, tag)

        self._wait_for(source, arrived)
        return self._inbox.take(source, tag)

    def _take_in_messages(self) -> None:
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

    def _pause(self, turn: int, ready: Callable[[], bool]) -> bool:
        """Spin, then offer the core to others, then sleep: 0.05 ms at first, 1 ms in the end."""
        if turn <= self._spins:
            return False
        if turn < 4000:
            os.sched_yield()
        else:
            time.sleep(min(1e-3, 50e-6 * (turn // 4000)))
        return True


def _chunks(flat: np.ndarray) -> list[np.ndarray]:
    length = CHUNK // flat.itemsize
    return [flat[start : start + length] for start in range(0, flat.size, length)]


def _length(header: bytes) -> np.ndarray:
    return np.array([len(header)], np.int64).view(np.uint8)
