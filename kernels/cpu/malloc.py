"""glibc's malloc keeps what a training step frees, for the next one.

By default it asks the operating system for each block above a threshold, and gives it back as soon as it is free: every
step then pays for fresh pages, one interruption for 4 KB (W6: 480 a step, half of its time).
"""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt's, from malloc.h
LARGEST = 32 * 1024 * 1024  # bytes that come from malloc's own memory; glibc allows no more
KEPT = 256 * 1024 * 1024  # bytes at the end of it that may lie idle


def keep_freed_memory() -> bool:
    """Set both thresholds for this process, unless the user has (MALLOC_…_THRESHOLD_), and where malloc is glibc's."""
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT))
