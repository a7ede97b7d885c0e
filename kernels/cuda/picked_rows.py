"""The gradient of an embedding on the GPU: each row of the table is the sum of what came to it, in a fixed order.

CuPy's scattered sum adds atomically, in whatever order the threads come, so its bits change from run to run. Here the
uses are sorted by row first (CuPy's stable radix sort), so that those of one row lie side by side, in the order of the
input; where such a run begins, the threads of one row of numbers walk along it and add up.

A run of more than LONGEST uses is cut into pieces of that many, counted from its own beginning, and other threads walk
along each of them at the same time; a second launch adds the pieces of each long run, the first piece first. So what a
row's bits are depends on its own uses alone, and the word "the" of a long text is no long walk.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size, flat
from .rows import Rows, rows_of

Array = Any

LONGEST = 64  # uses that one walk adds up


def embedding_backward(
    g: Array, numbers: Array, rows: int, padding: int | None, by_frequency: bool, out: Array | None = None
) -> Array:
    """See the reference; a number outside [0, rows) gets nothing."""
    order = numbers.reshape(-1).argsort()
    total, pieces = launcher.launch(plan_sums, g, numbers, order, rows, padding, by_frequency, out, LONGEST)
    if pieces is not None:
        launcher.launch(plan_long_sums, pieces, total, numbers, order, padding, by_frequency, LONGEST)
    if out is not None and out is not total:
        out[...] = total
        return out
    return total


def plan_sums(
    g: Array,
    numbers: Array,
    order: Array,
    rows: int,
    padding: int | None,
    by_frequency: bool,
    out: Array | None,
    longest: int,
) -> Plan:
    """The launch that leaves (the gradient (rows, width) but for the long runs, the sums of these runs' pieces).

    The gradient is in ``out`` if that is contiguous; ``order`` sorts the numbers. The pieces are None where no run can
    be long; else there are two places for each ``longest`` uses: for the one piece that begins a run among them, and
    for the one that does not. (Two that both do, or both do not, begin further apart.)
    """
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
    pieces = xp.empty((2 * blocks_for(numbers.size, longest), width), dtype) if numbers.size > longest else None
    arrays = flat(g), flat(total), flat(total if pieces is None else pieces), _int64(numbers), _int64(order)
    kernel, blocks = _for_each_use(sums_kernel, dtype, numbers.size, width, longest)
    return Plan(kernel, blocks, (*arrays, *_sizes(numbers, total, padding, by_frequency)), (total, pieces))


def plan_long_sums(
    pieces: Array, total: Array, numbers: Array, order: Array, padding: int | None, by_frequency: bool, longest: int
) -> Plan:
    """The launch that adds up the pieces of each long run, into ``total``."""
    arrays = flat(pieces), flat(total), _int64(numbers), _int64(order)
    dtype = check_operands(pieces=pieces, total=total)
    kernel, blocks = _for_each_use(long_sums_kernel, dtype, numbers.size, total.shape[1], longest)
    return Plan(kernel, blocks, (*arrays, *_sizes(numbers, total, padding, by_frequency)), total)


def _for_each_use(factory: Any, dtype: np.dtype, uses: int, width: int, longest: int) -> tuple[Kernel, int]:
    """The kernel, and blocks that give each use the threads of a row."""
    shared_out = rows_of(width)
    return factory(dtype, shared_out, longest), blocks_for(uses, shared_out.count) if width else 0


def _sizes(numbers: Array, total: Array, padding: int | None, by_frequency: bool) -> tuple[Any, ...]:
    rows, width = total.shape
    return numbers.size, width, rows, int(by_frequency), np.int64(-1 if padding is None else padding)


def _int64(numbers: Array) -> Array:
    return flat(numbers.astype(np.int64, copy=False))


@cuda.jit(device=True)
def _begins(numbers, order, first):
    """Is this the first use of its row?"""
    return first == 0 or numbers[order[first - 1]] != numbers[order[first]]


@cache
def sums_kernel(dtype: np.dtype, shared_out: Rows, longest: int) -> Kernel:
    """Sums of pieces of the rows of g that have one number; a row without any is left as it is."""
    number = getattr(numba, dtype.name)
    each, count = shared_out

    @cuda.jit(device=True)
    def begins_piece(numbers, order, first):
        if _begins(numbers, order, first):
            return True
        mine = numbers[order[first]]
        if first < longest or numbers[order[first - longest]] != mine:
            return False
        low = int32(0)  # the run begins from here
        high = int32(first - longest)  # to here
        while low < high:
            middle = int32(low + int32(high - low) // 2)
            if numbers[order[middle]] < mine:
                low = int32(middle + 1)
            else:
                high = middle
        return int32(first - low) % longest == 0

    def embedding_backward(g, total, pieces, numbers, order, N, W, rows, by_frequency, padding):
        thread = int32(cuda.threadIdx.x)
        first = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if first < N:
            mine = numbers[order[first]]
            if 0 <= mine < rows and mine != padding and begins_piece(numbers, order, first):
                end = int32(first + 1)
                while end < N and end < first + longest and numbers[order[end]] == mine:
                    end = int32(end + 1)
                begins = _begins(numbers, order, first)
                whole = begins and (end == N or numbers[order[end]] != mine)
                place = 2 * (first // longest) + (1 if begins else 0)
                divisor = number(end - first) if by_frequency else number(1)
                for c in range(thread % each, W, each):
                    value = number(0)
                    for use in range(first, end):
                        value += g[order[use] * W + c]
                    if whole:
                        total[mine * W + c] = value / divisor
                    else:
                        pieces[place * W + c] = value

    others = {"numbers": "int64*", "order": "int64*", "padding": "int64"}
    return Kernel(embedding_backward, dtype, pointers=3, threads=shared_out.threads, others=others)


@cache
def long_sums_kernel(dtype: np.dtype, shared_out: Rows, longest: int) -> Kernel:
    """Sums of the pieces of each run that has several."""
    number = getattr(numba, dtype.name)
    each, count = shared_out

    def embedding_long_rows(pieces, total, numbers, order, N, W, rows, by_frequency, padding):
        thread = int32(cuda.threadIdx.x)
        first = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if first + longest < N:
            mine = numbers[order[first]]
            is_long = numbers[order[first + longest]] == mine and _begins(numbers, order, first)
            if is_long and 0 <= mine < rows and mine != padding:
                last = int32(first + longest)  # where the last piece begins
                while last + longest < N and numbers[order[last + longest]] == mine:
                    last = int32(last + longest)
                end = int32(last + 1)
                while end < N and numbers[order[end]] == mine:
                    end = int32(end + 1)
                divisor = number(end - first) if by_frequency else number(1)
                for c in range(thread % each, W, each):
                    value = pieces[(2 * (first // longest) + 1) * W + c]
                    for piece in range(first + longest, end, longest):
                        value += pieces[2 * (piece // longest) * W + c]
                    total[mine * W + c] = value / divisor

    others = {"numbers": "int64*", "order": "int64*", "padding": "int64"}
    return Kernel(embedding_long_rows, dtype, pointers=2, threads=shared_out.threads, others=others)
