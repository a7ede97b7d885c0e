"""A block of shared memory mapped into this process, without an open file for as long as the mapping lives.

A mapping of Python's `mmap` keeps a duplicate of the descriptor (before 3.13, always): 500 results that a program keeps
would be 500 open files, of the 1024 that it may have. The system does not need it. So `mmap` reserves addresses without
a file, and the system's own call lays the block there. (To copy blocks out instead takes half as long again as to read
them at 256 KB, and as long again at 25 MB.)
"""

import ctypes
import os
from mmap import MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap

PRIVATE = PROT_READ | PROT_WRITE, MAP_PRIVATE  # copied on write
READ_ONLY = PROT_READ, MAP_SHARED
OWNED = PROT_READ | PROT_WRITE, MAP_SHARED

_MAP_FIXED = 0x10  # right there, in the place of what is mapped there; Linux and macOS agree on the number
_FAILED = ctypes.c_void_p(-1).value

_library = ctypes.CDLL(None, use_errno=True)
_library.mmap.restype = ctypes.c_void_p
_library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def mapped(descriptor: int, access: tuple[int, int]) -> memoryview:
    """The bytes of the whole block, PRIVATE, READ_ONLY or OWNED, mapped for as long as something refers to them.

    The descriptor stays the caller's, who may close it at once. OSError if the system does not allow it.
    """
    length = os.fstat(descriptor).st_size
    reserved = mmap(-1, length)
    protection, sharing = access
    address = ctypes.addressof(ctypes.c_ubyte.from_buffer(reserved))
    if _library.mmap(address, length, protection, sharing | _MAP_FIXED, descriptor, 0) == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot map {length / 2**20:.1f} MiB of shared memory: {os.strerror(error)}")
    return memoryview(reserved) if protection & PROT_WRITE else memoryview(reserved).toreadonly()
