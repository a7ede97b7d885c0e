"""Arrays that end where memory ends: whoever reads or writes one element beyond ends the process."""

import ctypes
import mmap

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_pages = []  # kept: a page that was unmapped could be given to somebody else


def guarded(array: np.ndarray, at_start: bool = False) -> np.ndarray:
    """A C-contiguous copy whose last byte (or first, `at_start`) lies at a page that may not be touched."""
    page = mmap.PAGESIZE
    room = -(-max(array.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, room + page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    forbidden = address if at_start else address + room
    if _libc.mprotect(ctypes.c_void_p(forbidden), ctypes.c_size_t(page), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    _pages.append(memory)
    offset = page if at_start else room - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy
