"""Rows of a matrix among threads, and what the threads of one row find together: a sum or a maximum.

A short row has a warp, whose lanes know each other's numbers by shuffles; a long row has a block, whose warps leave
their results in shared memory for each other. Numbers are always added in one order, so sums have the same bits every
time. (Harris 2007, "Optimizing parallel reduction in CUDA"; the order of a warp is the butterfly of a fast Fourier
transform, after which every lane has the sum.)
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
from numba import cuda, int32

from .plan import WARP

ALL_LANES = 0xFFFFFFFF
SHORT = 256  # numbers of a row that a warp is soon done with


class Rows(NamedTuple):
    """``each`` threads share a row, and a block has ``count`` rows."""

    each: int
    count: int

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.each * self.count


def rows_of(width: int) -> Rows:
    """How rows of ``width`` numbers are shared out."""
    return Rows(WARP, 4) if width <= SHORT else Rows(256, 1)


@cache
def row_sum(dtype: str, each: int) -> Callable[..., Any]:
    """A device function: from a number of each thread of a row to their sum, in all of these threads."""
    return _together(dtype, each, False)


@cache
def row_maximum(dtype: str, each: int) -> Callable[..., Any]:
    """A device function: from a number of each thread of a row to the largest, in all of these threads."""
    return _together(dtype, each, True)


def _together(dtype: str, each: int, largest: bool) -> Callable[..., Any]:
    number, warps = getattr(numba, dtype), each // WARP

    @cuda.jit(device=True)
    def together(value):
        for halving in range(5):
            other = cuda.shfl_xor_sync(ALL_LANES, value, int32(16 >> halving))
            value = max(value, other) if largest else value + other
        if warps > 1:
            of_warps = cuda.shared.array(warps, number)
            thread = int32(cuda.threadIdx.x)
            cuda.syncthreads()  # nobody reads any more what an earlier call has left here
            if thread % WARP == 0:
                of_warps[thread // WARP] = value
            cuda.syncthreads()  # all warps have left their results
            value = of_warps[0]
            for warp in range(1, warps):
                value = max(value, of_warps[warp]) if largest else value + of_warps[warp]
        return value

    return together
