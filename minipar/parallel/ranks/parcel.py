"""Values on their way between processes: pickled, and in shared memory if they are large.

Pickle's protocol 5 leaves large buffers (the data of NumPy arrays) out of its stream. They are written into one block
after the stream, and the receiver's arrays lie in its own mapping of that block: a large array is copied once, whoever
and however many receive it.
"""

import os
import pickle
import struct
from itertools import accumulate
from typing import Any, NamedTuple

import cloudpickle

from ..comm.shared_memory import create_block
from .mapping import mapped

INLINE = 32 << 10  # bytes: less than this needs no block
_ALIGNMENT = 64  # of arrays in a block, as of fresh ones
_NUMBER = struct.Struct("=q")


class Parcel(NamedTuple):
    """A packed value: its stream, or a block which holds the number of parts, their lengths, stream and buffers."""

    stream: bytes
    descriptor: int | None
    nbytes: int

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


def pack(value: Any, apart: int = INLINE, inline: int = INLINE) -> Parcel:
    """Pickle `value` (functions by value), and lay arrays of `apart` bytes or more out in a block.

    Without such arrays and with at most `inline` bytes no block is made. The exceptions are pickle's; OSError if memory
    is short.
    """
    buffers: list[memoryview] = []

    def stays_in_stream(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= apart:
            buffers.append(raw)
        return raw.nbytes < apart

    stream = cloudpickle.dumps(value, protocol=5, buffer_callback=stays_in_stream)
    if not buffers and len(stream) <= inline:
        return Parcel(stream, None, len(stream))
    parts = [memoryview(stream), *buffers]
    lengths = [part.nbytes for part in parts]
    table = memoryview(b"".join(map(_NUMBER.pack, [len(parts), *lengths])))
    *offsets, end = _places([table.nbytes, *lengths])
    descriptor = create_block(end)
    try:
        for part, offset in zip([table, *parts], offsets):
            _write(descriptor, part, offset)
    except BaseException:
        os.close(descriptor)
        raise
    return Parcel(b"", descriptor, sum(lengths))


def unpack(stream: bytes, descriptor: int | None, access: tuple[int, int]) -> Any:
    """The value; closes the descriptor. `access` says what its arrays in a block are (mapping.py)."""
    parts = opened(stream, descriptor, access)
    return pickle.loads(parts[0], buffers=parts[1:])


def opened(stream: bytes, descriptor: int | None, access: tuple[int, int]) -> list[memoryview]:
    """The stream and the buffers that `pickle.loads` wants."""
    if descriptor is None:
        return [memoryview(stream)]
    try:
        block = mapped(descriptor, access)
    finally:
        os.close(descriptor)
    (count,) = _NUMBER.unpack_from(block)
    table = _NUMBER.size * (count + 1)
    lengths = [table, *(length for (length,) in _NUMBER.iter_unpack(block[_NUMBER.size : table]))]
    return [block[start : start + length] for start, length in zip(_places(lengths), lengths)][1:]


def _places(lengths: list[int]) -> list[int]:
    """Where parts of these lengths begin in a block, and where the block ends."""
    return [0, *accumulate(-(-length // _ALIGNMENT) * _ALIGNMENT for length in lengths)]


def _write(descriptor: int, part: memoryview, offset: int) -> None:
    """Not through a mapping: each page would be zeroed and mapped before it is filled."""
    while part.nbytes:
        count = os.pwrite(descriptor, part, offset)
        part, offset = part[count:], offset + count
