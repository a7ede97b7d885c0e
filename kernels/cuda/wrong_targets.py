"""Class numbers that are none, of which only the GPU knows: noted there, and told when the host waits anyway.

To raise where a loss is computed, the host would have to wait for the GPU in every step, and the GPU for the host then.
So the kernel that adds up the losses writes a note into its GPU's memory, of the first wrong class number, where it
stands and what would have been right. Whoever brings numbers to the host (`item()`, `cpu()`, …) looks at the notes of
the streams on which losses were computed since: no number is read that a wrong target has touched, without an error.
(PyTorch's CUDA kernels end in a device-side assertion at the same moment, which names neither, and ends the process's
use of the GPU.)
"""

import threading
from typing import Any

import numpy as np

from ..reference.namespace import array_namespace

Array = Any

WRONG, ROW, CLASS, COUNT, IGNORED = range(5)  # of a note: is there anything, and what
LENGTH = 5

_lock = threading.Lock()
_notes: dict[tuple[int, int], tuple[Any, Array]] = {}  # of each GPU and stream: the stream, its note
_unread: set[tuple[int, int]] = set()


def note_of(array: Array) -> Array:
    """The note (LENGTH,) int64 for a loss of ``array`` on CuPy's current stream of its GPU; it will be looked at."""
    cupy = array_namespace(array)
    with array.device:
        stream = cupy.cuda.get_current_stream()
        key = array.device.id, stream.ptr
        with _lock:
            if key not in _notes:
                _notes[key] = stream, cupy.zeros(LENGTH, np.int64)
            _unread.add(key)
            return _notes[key][1]


def tell() -> None:
    """IndexError for a class number that was wrong in a loss computed since the last call; waits for these losses."""
    while _unread:
        with _lock:
            if not _unread:
                return
            stream, note = _notes[_unread.pop()]
        with note.device, stream:
            wrong, row, number, count, ignored = note.tolist()
            if wrong:
                note.fill(0)
                raise IndexError(complaint(row, number, count, ignored))


def complaint(row: int, number: int, count: int, ignored: int) -> str:
    return f"target[{row}] is {number}, not in 0..{count - 1} nor ignore_index ({ignored})"
