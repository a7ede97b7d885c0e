"""A stream of bytes from one rank to one other: a ring buffer in shared memory with one writer and one reader."""

from collections.abc import Callable, Iterator
from mmap import mmap

import numpy as np

_LINE = 64


class Ring:
    """Two counters that only grow, each on its own cache line and written by one side only, and the bytes."""

    CAPACITY = 128 << 10  # bytes
    NBYTES = 2 * _LINE + CAPACITY

    def __init__(self, memory: mmap, offset: int, fence: Callable[[], None]) -> None:
        counters = memoryview(memory)[offset : offset + 2 * _LINE].cast("q")
        self._written = counters[:1]
        self._read = counters[_LINE // 8 : _LINE // 8 + 1]
        self._data = np.frombuffer(memory, np.uint8, self.CAPACITY, offset + 2 * _LINE)
        self._fence = fence

    @staticmethod
    def empty(memory: mmap, offset: int) -> None:
        """Forget all messages of the ring at `offset`. Nobody may be using it."""
        memory[offset : offset + 2 * _LINE] = bytes(2 * _LINE)

    def has_room(self) -> bool:
        return self._written[0] - self._read[0] < self.CAPACITY

    def write(self, data: np.ndarray) -> int:
        """Copy in as many of these bytes as there is room for; returns how many."""
        written = self._written[0]
        count = min(data.size, self.CAPACITY - (written - self._read[0]))
        start = written % self.CAPACITY
        first = min(count, self.CAPACITY - start)
        self._data[start : start + first] = data[:first]
        self._data[: count - first] = data[first:count]
        self._fence()
        self._written[0] = written + count
        return count

    def read(self, out: np.ndarray) -> int:
        """Copy out as many bytes as are there and `out` can take; returns how many."""
        read = self._read[0]
        count = min(out.size, self._written[0] - read)
        self._fence()
        start = read % self.CAPACITY
        first = min(count, self.CAPACITY - start)
        out[:first] = self._data[start : start + first]
        out[first:count] = self._data[: count - first]
        self._fence()
        self._read[0] = read + count
        return count


def fill(ring: Ring, out: np.ndarray) -> Iterator[None]:
    """Read until `out` is full; yields whenever there is nothing to read for now."""
    done = 0
    while done < out.size:
        count = ring.read(out[done:])
        done += count
        if not count:
            yield
