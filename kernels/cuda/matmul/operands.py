"""Matrices as the kernels read them: where they are, whatever their strides, copied only where nothing else helps."""

import math
from typing import Any, NamedTuple

import numpy as np

from ...reference.namespace import array_namespace
from ..plan import check_size

Array = Any

VECTOR_BYTES = 16  # what one instruction moves for a thread, at most


class Operand(NamedTuple):
    """Memory, the distances of two lines and of two matrices in it (0: the same one), and whether lines are columns."""

    memory: Array
    line: int
    matrix: int
    transposed: bool

    def in_vectors(self, length: int) -> bool:
        """Whether lines of this length are whole groups of 16 bytes, each group at a multiple of its size."""
        group = VECTOR_BYTES // self.memory.itemsize
        places = (length, self.line, self.matrix)
        return address(self.memory) % VECTOR_BYTES == 0 and not any(place % group for place in places)


def operand(x: Array, batch: tuple[int, ...]) -> Operand:
    """x (…, rows, columns), broadcast to ``batch`` matrices.

    Copied only if neither of the last two axes is contiguous, if a stride is negative, or if no one distance leads
    through the broadcast batch.
    """
    xp = array_namespace(x)
    if not x.size:
        return Operand(xp.empty(0, x.dtype), 0, 0, False)
    rows, columns = x.shape[-2:]
    if x.shape[:-2] == batch:  # what most are, so that nothing else has to be found out
        if x.flags.c_contiguous:
            matrix = rows * columns if math.prod(batch) > 1 else 0
            return Operand(x.reshape(-1), columns if rows > 1 else 0, matrix, False)
        if x.ndim == 2 and x.flags.f_contiguous:
            return Operand(x.T.reshape(-1), rows if columns > 1 else 0, 0, True)
    if _line_axis(x) is None or any(stride < 0 and size > 1 for size, stride in zip(x.shape, x.strides)):
        x = xp.ascontiguousarray(x)
    line = _line_axis(x)
    x = xp.broadcast_to(x, batch + x.shape[-2:]).reshape(math.prod(batch), *x.shape[-2:])
    strides = [stride // x.itemsize if size > 1 else 0 for size, stride in zip(x.shape, x.strides)]
    extent = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, strides))
    check_size("an operand's memory", (extent,))
    memory = xp.lib.stride_tricks.as_strided(x, (extent,), (x.itemsize,))
    return Operand(memory, strides[line], strides[0], line == -1)


def _line_axis(x: Array) -> int | None:
    """The axis that steps from line to line, if the other of the last two is contiguous: -2 row-major, -1 transposed.

    An axis of size 1 takes no steps, so whatever its stride is, it counts as contiguous.
    """
    for line, along in ((-2, -1), (-1, -2)):
        if x.strides[along] == x.itemsize or x.shape[along] == 1:
            return line
    return None


def address(array: Array) -> int:
    """Where a NumPy or CuPy array begins."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
