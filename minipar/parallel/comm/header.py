"""What goes ahead of an array in a ring: its tag, its dtype and shape, and where the array is if it is not in the ring.

Messages repeat themselves from step to step, so what has been written or read before is known by heart.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

_MOST_AXES = 64  # NumPy's
_WORDS = struct.Struct(f"=8s{2 + 4 + _MOST_AXES}q")  # the dtype's name; tag, label, number of axes; shape
HEADER = _WORDS.size  # bytes


class Label(NamedTuple):
    """Which of its sender's blocks an array has been put into, and where that is found (parcels.py)."""

    number: int
    process: int
    descriptor: int
    inode: int


IN_RING = Label(-1, -1, -1, -1)  # of an array that follows in the ring


class Header(NamedTuple):
    """What is written in one."""

    tag: int
    dtype: np.dtype
    shape: tuple[int, ...]
    nbytes: int
    label: Label


@lru_cache(maxsize=1024)
def header_of(tag: int, dtype: np.dtype, shape: tuple[int, ...], label: Label) -> np.ndarray:
    """Its bytes."""
    unused = (0,) * (_MOST_AXES - len(shape))
    return np.frombuffer(_WORDS.pack(dtype.str.encode(), tag, *label, len(shape), *shape, *unused), np.uint8)


@lru_cache(maxsize=1024)
def parsed(header: bytes) -> Header:
    """What these bytes say."""
    name, tag, number, process, descriptor, inode, axes, *sizes = _WORDS.unpack(header)
    dtype, shape = np.dtype(name.rstrip(b"\0").decode()), tuple(sizes[:axes])
    return Header(tag, dtype, shape, dtype.itemsize * prod(shape), Label(number, process, descriptor, inode))
