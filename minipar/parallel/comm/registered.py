"""Registered memory: arrays that all ranks of a communicator have mapped, so that each can read those of all."""

from __future__ import annotations

import weakref
from mmap import mmap

import numpy as np

_OFFSET_BITS = 44  # of a place: 16 TiB
PRIVATE = 0  # the place of an array that the others do not see


class Registered:
    """The registered memory of one communicator: blocks 0, 1, …, of which every rank has one of its own.

    A place tells where an array begins: in which block, and how many bytes from its start; the others find the same
    stretch of that rank's memory by it.
    """

    def __init__(self) -> None:
        self._made = 0
        self._blocks: dict[int, _Block] = {}  # by the id of the array that all arrays in this rank's memory look at
        self._by_number: dict[int, _Block] = {}

    def add(self, memories: list[mmap], rank: int) -> np.ndarray:
        """The bytes of this rank in a new block. It is forgotten when no array looks at them any more."""
        ranks = [np.frombuffer(memory, np.uint8) for memory in memories]
        own = ranks.pop(rank)
        ranks.insert(rank, np.empty(0, np.uint8))  # nothing here may keep this rank's own alive
        number, key = self._made, id(own)
        self._made += 1
        self._blocks[key] = self._by_number[number] = _Block(number, own.__array_interface__["data"][0], ranks)
        weakref.finalize(own, self._forget, key, number).atexit = False
        return own

    def place_of(self, array: np.ndarray) -> int:
        """Where this contiguous array begins, or PRIVATE."""
        block = self._blocks.get(id(array.base))
        if block is None:
            return PRIVATE
        offset = array.__array_interface__["data"][0] - block.address
        return (block.number + 1) << _OFFSET_BITS | offset

    def view(self, rank: int, place: int, like: np.ndarray) -> np.ndarray:
        """The array of another rank, of the shape and dtype of `like`, at `place`; of this rank, nothing."""
        block = self._by_number[number_of(place)]
        offset = place & ((1 << _OFFSET_BITS) - 1)
        found = block.ranks[rank][offset : offset + like.nbytes]
        return found.view(like.dtype).reshape(like.shape)

    def _forget(self, key: int, number: int) -> None:
        del self._blocks[key], self._by_number[number]


def number_of(place: int) -> int:
    """The number of the block that this place lies in; negative for PRIVATE."""
    return (place >> _OFFSET_BITS) - 1


class _Block:
    def __init__(self, number: int, address: int, ranks: list[np.ndarray]) -> None:
        self.number = number
        self.address = address
        self.ranks = ranks
