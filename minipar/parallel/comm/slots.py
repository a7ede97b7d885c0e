"""Shared memory through which arrays of any size pass, chunk by chunk.

    the slots      for each rank two halves of CHUNK bytes, where it puts its array
    the result     two halves, into which every rank reduces its share of a chunk

Two halves let consecutive chunks be copied in, reduced and copied out at the same time, with one meeting a chunk: the
half of a chunk is written again two chunks later, and by then every rank has passed the meeting in between. The chunks
are counted over the life of the communicator, so this also holds from one call to the next. A chunk is small enough to
stay in a core's cache on its way.
"""

from mmap import mmap

import numpy as np

CHUNK = 512 << 10  # bytes; a multiple of every item size


class Slots:
    """A view of the slots and the result in `memory` from `offset` on: `Slots.nbytes(size)` bytes.

    Arrays are told by `like`, 2-d, of the shape and dtype of what every rank puts in: a chunk has as many of its
    columns, of all rows, as fit.
    """

    def __init__(self, memory: mmap, offset: int, rank: int, size: int) -> None:
        self._memory = memory
        self._offset = offset
        self._rank = rank
        self._size = size
        self._halves: dict[np.dtype, list[tuple[list[np.ndarray], np.ndarray]]] = {}
        self.passed = 0  # chunks, in all calls before this one; every rank has to count the same

    @staticmethod
    def nbytes(size: int) -> int:
        return (size + 1) * 2 * CHUNK

    @staticmethod
    def columns(like: np.ndarray) -> int:
        """How many columns a chunk has."""
        return CHUNK // (len(like) * like.itemsize)

    def put(self, chunk: int, shown: np.ndarray | None) -> None:
        """Copy this chunk of this rank's array in (counted from 0 in each call), if it has one."""
        if shown is not None:
            each = self.columns(shown)
            part = shown[:, chunk * each : (chunk + 1) * each]
            slots, _ = self.half(chunk, shown.dtype)
            slots[self._rank][: part.size].reshape(part.shape)[...] = part

    def views(self, chunk: int, like: np.ndarray) -> list[np.ndarray]:
        """This chunk of all ranks' arrays."""
        rows, each = len(like), self.columns(like)
        columns = min(each, like.shape[1] - chunk * each)
        slots, _ = self.half(chunk, like.dtype)
        return [slot[: rows * columns].reshape(rows, columns) for slot in slots]

    def half(self, chunk: int, dtype: np.dtype) -> tuple[list[np.ndarray], np.ndarray]:
        """The slots of all ranks, and the result, through which this chunk passes; all 1-d."""
        halves = self._halves.get(dtype)
        if halves is None:
            halves = self._halves[dtype] = [self._view(half, dtype) for half in (0, 1)]
        return halves[(self.passed + chunk) & 1]

    def whole(self, dtype: np.dtype) -> tuple[np.ndarray, tuple[int, int], int]:
        """All slots as one array; where rank 0's slot begins in it, for each half; how far apart slots are."""
        each = CHUNK // dtype.itemsize
        return np.frombuffer(self._memory, dtype, self._size * 2 * each, self._offset), (0, each), 2 * each

    def release(self) -> None:
        """Look at the memory no more."""
        self._halves.clear()
        del self._memory

    def _view(self, half: int, dtype: np.dtype) -> tuple[list[np.ndarray], np.ndarray]:
        start = self._offset + half * CHUNK
        views = [
            np.frombuffer(self._memory, dtype, CHUNK // dtype.itemsize, start + slot * 2 * CHUNK)
            for slot in range(self._size + 1)
        ]
        return views[:-1], views[-1]
