"""Registered memory: arrays that all ranks of a communicator have mapped, so that each can read those of all."""

from __future__ import annotations

import weakref
from mmap import mmap
from typing import NamedTuple

import numpy as np

_OFFSET_BITS = 44  # of a place: 16 TiB
PRIVATE = 0  # the place of an array that the others do not see


class Registered:
    """The registered memory of one communicator: blocks 0, 1, …, each with a part of the same size for every rank.

    A place tells where an array begins: in which block, and how many bytes from the start of the rank's part; the
    others find the same stretch of that rank's part by it.
    """

    def __init__(self) -> None:
        self._made = 0
        self._blocks: dict[int, Block] = {}  # by the id of the array that all arrays in this rank's part look at
        self._by_number: dict[int, Block] = {}

    def add(self, memory: mmap, rank: int, each: int) -> np.ndarray:
        """The part of this rank, `each` bytes, of a new block. It is forgotten when no array looks at it any more."""
        own = np.frombuffer(memory, np.uint8, each, rank * each)
        number, key = self._made, id(own)
        self._made += 1
        block = Block(number, own.__array_interface__["data"][0], np.frombuffer(memory, np.uint8), each)
        self._blocks[key] = self._by_number[number] = block
        weakref.finalize(own, self._forget, key, number).atexit = False
        return own

    def block_of(self, array: np.ndarray) -> Block | None:
        """The block in which this array of this rank lies."""
        return self._blocks.get(id(array.base))

    def place_of(self, array: np.ndarray) -> int:
        """Where this contiguous array begins, or PRIVATE."""
        block = self.block_of(array)
        return PRIVATE if block is None else block.place_of(array)

    def view(self, rank: int, place: int, like: np.ndarray) -> np.ndarray:
        """The array of another rank, of the shape and dtype of `like`, at `place`."""
        block = self._by_number[number_of(place)]
        start = rank * block.each + offset_of(place)
        return block.bytes[start : start + like.nbytes].view(like.dtype).reshape(like.shape)

    def _forget(self, key: int, number: int) -> None:
        del self._blocks[key], self._by_number[number]


def number_of(place: int) -> int:
    """The number of the block that this place lies in; negative for PRIVATE."""
    return (place >> _OFFSET_BITS) - 1


def offset_of(place: int) -> int:
    """How many bytes from the start of the rank's part."""
    return place & ((1 << _OFFSET_BITS) - 1)


class Block(NamedTuple):
    """The memory of all ranks: rank r's part is bytes[r * each : (r + 1) * each]; that of this rank is at `address`."""

    number: int
    address: int
    bytes: np.ndarray
    each: int

    def place_of(self, array: np.ndarray) -> int:
        """Where this contiguous array of this rank begins."""
        return (self.number + 1) << _OFFSET_BITS | array.__array_interface__["data"][0] - self.address
