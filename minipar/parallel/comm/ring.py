"""A stream of bytes from one rank to one other: a ring buffer in shared memory with one writer and one reader."""

from collections.abc import Callable, Iterator
from mmap import mmap

import numpy as np

_LINE = 64


class Ring:
    """Two counters that only grow, each on its own cache line and written by one side only, and the bytes."""

    def __init__(self, memory: mmap, offset: int, capacity: int, fence: Callable[[], None]) -> None:
        counters = memoryview(memory)[offset : offset + 2 * _LINE].cast("q")
        self._written = counters[:1]
        self._read = counters[_LINE // 8 : _LINE // 8 + 1]
        self._capacity = capacity
        self._data = np.frombuffer(memory, np.uint8, capacity, offset + 2 * _LINE)
        self._fence = fence

    @staticmethod
    def nbytes(capacity: int) -> int:
        return 2 * _LINE + capacity

    @staticmethod
    def reset(memory: mmap, offset: int) -> None:
        """Make the ring at `offset` empty. Nobody may be using it."""
        memory[offset : offset + 2 * _LINE] = bytes(2 * _LINE)

    def has_room(self) -> bool:
        return self.room() > 0

    def room(self) -> int:
        """How many bytes can be written now."""
        return self._capacity - (self._written[0] - self._read[0])

    def has_data(self) -> bool:
        return self._written[0] != self._read[0]

    def write(self, data: np.ndarray) -> int:
        """Copy in as many of these bytes as there is room for; returns how many."""
        written = self._written[0]
        count = min(data.size, self._capacity - (written - self._read[0]))
        start = written % self._capacity
        first = min(count, self._capacity - start)
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
        start = read % self._capacity
        first = min(count, self._capacity - start)
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
