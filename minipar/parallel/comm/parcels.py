"""Messages for which a ring has no room: each in a block of shared memory of its own, of which the ring tells.

So an `isend` needs nobody's help to leave, however large its array is, while its rank goes on to compute. The receiver
reads the array where it is; when no array looks at it any more, the block is empty, and the sender fills it again. So
pages are made and mapped once. There are not too many blocks: what finds none waits for room in the ring.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from mmap import mmap
from typing import Any

import numpy as np

from .header import Label
from .shared_memory import create_block, map_block, open_block

_MOST_BYTES, _MOST_BLOCKS = 64 << 20, 32  # for all other ranks together; a block takes up to two file descriptors
_SMALLEST = 64 << 10
_FIRST_LINE = 64  # bytes: who looks at the state should not wait for who writes the array
_EMPTY, _SENT, _HELD = range(3)  # states of a block


class Block:
    """The memory of one parcel after the other, as one of its two ranks has mapped it."""

    def __init__(self, memory: mmap) -> None:
        self._memory = memory
        self._state = np.frombuffer(memory, np.int64, 1)
        self.watch: Any = None  # of the receiver: a reference that tells when nobody looks at the parcel any more
        self.capacity = len(memory) - _FIRST_LINE

    @property
    def state(self) -> int:
        return self._state[0]

    @state.setter
    def state(self, state: int) -> None:
        self._state[0] = state

    def bytes(self, count: int) -> np.ndarray:
        """The first `count`; every array that looks at them has this one as its base."""
        return np.frombuffer(self._memory, np.uint8, count, _FIRST_LINE)


class Sent:
    """A block of this rank's, and its label."""

    def __init__(self, label: Label, block: Block) -> None:
        self.label = label
        self.block = block
        self.close = weakref.finalize(self, os.close, label.descriptor)
        self._found = False

    def is_found(self) -> bool:
        """Has the receiver mapped the block? It cannot find it any more when this rank has ended."""
        self._found = self._found or self.block.state != _SENT
        return self._found


class Parcels:
    """The blocks for one other rank, of `others`."""

    def __init__(self, others: int) -> None:
        self._sent: list[Sent] = []
        self._made = 0
        self._most_bytes, self._most_blocks = _MOST_BYTES // others, max(1, _MOST_BLOCKS // others)

    def pack(self, data: np.ndarray) -> Sent | None:
        """Copy these bytes into a block that is empty; None if there is none, and too much is in others."""
        empty = [sent for sent in self._sent if sent.block.state == _EMPTY]
        large = [sent for sent in empty if sent.block.capacity >= data.size]
        if large:
            sent = min(large, key=lambda sent: sent.block.capacity)
        else:
            if empty and len(self._sent) == self._most_blocks:  # a larger one in place of it
                self._sent.remove(empty[0])
                empty[0].close()
            made = self._make(data.size)
            if made is None:
                return None
            sent = made
        sent.block.bytes(data.size)[...] = data
        sent.block.state = _SENT
        return sent

    def release(self) -> None:
        """Look at the memory no more."""
        for sent in self._sent:
            sent.close()
        self._sent.clear()

    def _make(self, nbytes: int) -> Sent | None:
        capacity = max(_SMALLEST, 1 << (nbytes - 1).bit_length())
        held = sum(sent.block.capacity for sent in self._sent)
        if held + capacity > self._most_bytes or len(self._sent) == self._most_blocks:
            return None
        with ExitStack() as made:
            try:
                descriptor = create_block(_FIRST_LINE + capacity)
                made.callback(os.close, descriptor)
                block = Block(map_block(descriptor))
            except OSError:  # no memory is left for it, or no descriptor
                return None
            made.pop_all()
        self._made += 1
        self._sent.append(Sent(Label(self._made, os.getpid(), descriptor, os.fstat(descriptor).st_ino), block))
        return self._sent[-1]


class Deliveries:
    """The blocks of one other rank's parcels."""

    def __init__(self, fence: Callable[[], None]) -> None:
        self._fence = fence
        self._process = os.getpid()
        self._blocks: dict[int, Block] = {}

    def unpack(self, label: Label, nbytes: int) -> np.ndarray:
        """The bytes of a parcel that has come, where they are: the sender leaves them while an array looks at them.

        OSError if the sender has gone meanwhile, and the block with it.
        """
        block = self._blocks.get(label.number)
        if block is None:
            block = self._blocks[label.number] = _found(label)
        data = block.bytes(nbytes)
        block.state = _HELD
        block.watch = weakref.ref(data, partial(self._empty, block))
        return data

    def _empty(self, block: Block, _: Any) -> None:
        if os.getpid() == self._process:  # and not in a copy of it, made by fork
            self._fence()
            block.state = _EMPTY

    def release(self) -> None:
        """Look at the memory no more: what has been unpacked stays."""
        self._blocks.clear()


def _found(label: Label) -> Block:
    descriptor = open_block(label.process, label.descriptor)
    try:
        if os.fstat(descriptor).st_ino != label.inode:
            raise FileNotFoundError("the block has gone, and another file has its number")
        return Block(map_block(descriptor))
    finally:
        os.close(descriptor)
