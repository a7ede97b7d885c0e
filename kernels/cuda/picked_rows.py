"""The gradient of an embedding on the GPU: each row of the table is the sum of what came to it, in a fixed order.

CuPy's scattered sum adds atomically, in whatever order the threads come, so its bits change from run to run. Here the
uses are sorted by row first (CuPy's stable radix sort), so that those of one row lie side by side, in the order of the
input; where such a run begins, the threads of one row of numbers walk along it and add up. A row that is used very
often is a long walk.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size
from .rows import Rows, rows_of

Array = Any


def embedding_backward(
    g: Array, numbers: Array, rows: int, padding: int | None, by_frequency: bool, out: Array | None = None
) -> Array:
    """See the reference; a number outside [0, rows) gets nothing."""
    order = numbers.reshape(-1).argsort()
    total = launcher.launch(plan_sums, g, numbers, order, rows, padding, by_frequency, out)
    if out is not None and out is not total:
        out[...] = total
        return out
    return total


def plan_sums(
    g: Array, numbers: Array, order: Array, rows: int, padding: int | None, by_frequency: bool, out: Array | None
) -> Plan:
    """The launch that leaves the gradient (rows, width), in ``out`` if that is contiguous; ``order`` sorts numbers."""
    xp, width = array_namespace(g), g.shape[-1]
    dtype = check_operands(g=g) if out is None else check_operands(g=g, out=out)
    if g.shape[:-1] != numbers.shape:
        raise ValueError(f"g must have shape {(*numbers.shape, width)}, a row for each number, got {g.shape}")
    if out is not None and out.shape != (rows, width):
        raise ValueError(f"out must have shape {(rows, width)}, got {out.shape}")
    for name, shape in (("g", g.shape), ("the gradient", (rows, width))):
        check_size(name, shape)
    total = out if out is not None and out.flags.c_contiguous else xp.empty((rows, width), dtype)
    total.fill(0)
    shared_out, int64 = rows_of(width), [xp.ascontiguousarray(v, np.int64).reshape(-1) for v in (numbers, order)]
    arrays = xp.ascontiguousarray(g).reshape(-1), total.reshape(-1), *int64
    sizes = numbers.size, width, rows, int(by_frequency), np.int64(-1 if padding is None else padding)
    blocks = blocks_for(numbers.size, shared_out.count) if width else 0
    return Plan(sums_kernel(dtype, shared_out), blocks, (*arrays, *sizes), total)


@cache
def sums_kernel(dtype: np.dtype, shared_out: Rows) -> Kernel:
    """Sums of the rows of g that have one number; those without any are left as they are."""
    number = getattr(numba, dtype.name)
    each, count = shared_out

    def embedding_backward(g, total, numbers, order, N, W, rows, by_frequency, padding):
        thread = int32(cuda.threadIdx.x)
        first = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if first < N:
            mine = numbers[order[first]]
            begins = first == 0 or numbers[order[first - 1]] != mine
            if begins and 0 <= mine < rows and mine != padding:
                end = int32(first + 1)
                while end < N and numbers[order[end]] == mine:
                    end = int32(end + 1)
                divisor = number(end - first) if by_frequency else number(1)
                for c in range(thread % each, W, each):
                    value = number(0)
                    for use in range(first, end):
                        value += g[order[use] * W + c]
                    total[mine * W + c] = value / divisor

    others = {"numbers": "int64*", "order": "int64*", "padding": "int64"}
    return Kernel(embedding_backward, dtype, pointers=2, threads=shared_out.threads, others=others)
