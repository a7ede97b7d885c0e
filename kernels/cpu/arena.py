"""Large arrays out of memory that earlier ones have left: a step that needs the same again touches no new page.

The operating system gives memory to a process page by page, at the first touch, and cleared: for a fresh array of 4 MB
that is a thousand interruptions, which take ten times as long as filling it does. malloc gives large blocks back as
soon as they are free, so every training step would pay again. Here a block goes on a shelf when the last array that
looks at it is gone, and the next array of about its size gets it back, the latest first.

How that is known: an array's `base` is what its memory belongs to, and every view of it holds on to the same. Here it
is a `_Lease`. When nothing looks at the memory any more, Python deletes the lease, whose last act is to put the block
on its shelf. So what lies on a shelf is seen by nobody.
"""

import mmap
import threading
from math import prod
from time import monotonic

import numpy as np

LEAST = 64 * 1024  # bytes; smaller arrays stay in memory that malloc keeps
KEEP = 256 * 1024 * 1024  # bytes on all shelves together; what is more goes back to the operating system


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """As np.empty, for a tuple and an np.dtype: numbers that are left over from anything."""
    size = prod(shape) * dtype.itemsize
    if size < LEAST or dtype.hasobject:
        return np.empty(shape, dtype)
    # Rounded up, by an eighth at most, so that nearly equal arrays share a shelf.
    step = 1 << (size.bit_length() - 4)
    size = -(-size // step) * step
    return np.ndarray(shape, dtype, _Lease(size, np.uint8, _take(size)))


def give_back() -> None:
    """Return all memory that no array looks at to the operating system."""
    with _lock:
        for shelf in _shelves.values():
            shelf.blocks.clear()
        _kept.size = 0


class _Lease(np.ndarray):
    """A block's bytes, for as long as somebody looks at them."""

    __slots__ = ()

    def __del__(self) -> None:
        if _put is not None:  # as it is while the interpreter ends
            _put(self.base, self.size)  # type: ignore[arg-type]


class _Shelf:
    """Blocks of one size that nobody looks at."""

    __slots__ = ("blocks", "visited")

    def __init__(self) -> None:
        self.blocks: list[mmap.mmap] = []
        self.visited = 0.0  # when one was wanted last


class _Kept:
    size = 0  # bytes on all shelves


_shelves: dict[int, _Shelf] = {}
_kept = _Kept()
_lock = threading.RLock()  # reentrant: Python may delete a lease, and so put a block back, at any point


def _take(size: int) -> mmap.mmap:
    with _lock:
        shelf = _shelves.get(size) or _shelves.setdefault(size, _Shelf())
        shelf.visited = monotonic()
        if shelf.blocks:
            _kept.size -= size
            return shelf.blocks.pop()
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _put(block: mmap.mmap, size: int) -> None:
    with _lock:
        _shelves[size].blocks.append(block)
        _kept.size += size
        while _kept.size > KEEP:
            stalest, shelf = min((item for item in _shelves.items() if item[1].blocks), key=lambda i: i[1].visited)
            del shelf.blocks[0]
            _kept.size -= stalest
