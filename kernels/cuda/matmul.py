"""Matrix product C = A B on the GPU: tiles of A and B in shared memory, a small tile of C in each thread's registers.

A product of n x n matrices reads 2n^3 numbers and computes on each once, if every thread fetches its own operands from
global memory. Here the threads of a block fetch a tile of A and a tile of B together, once, and each of them reuses
every number it reads from shared memory for a whole row or column of its own tile of C: with the default tile, one
global read serves 64 multiplications and one shared read 4. (Kirk & Hwu, *Programming Massively Parallel Processors*,
chapters on tiling and thread coarsening.)
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size

Array = Any

# Shared memory has 32 banks of 4 bytes. Threads that store a row-major A walk down a column of its tile; four columns
# of padding put those numbers into different banks.
BANK_PADDING = 4


class Tile(NamedTuple):
    """The tile of C of a block, ``m`` x ``n``; the depth ``k`` of one step; and the tile of C of one thread."""

    m: int
    n: int
    k: int
    thread_m: int
    thread_n: int


DEFAULT_TILE = Tile(64, 64, 8, 4, 4)


def matmul(a: Array, b: Array) -> Array:
    """a (…, M, K) times b (…, K, N) → (…, M, N); leading axes are broadcast as NumPy does.

    float32 or float64 CuPy arrays of any strides; a transposed view is read in place. Raises ValueError where shapes
    do not fit, devices differ or an array has more than 2^31 elements, TypeError for other dtypes.
    """
    return launcher.launch(plan_matmul, a, b)


def plan_matmul(a: Array, b: Array, tile: Tile = DEFAULT_TILE) -> Plan:
    """The launch that computes ``matmul(a, b)``."""
    dtype = check_operands(a=a, b=b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul takes shapes (…, M, K) and (…, K, N), got {a.shape} and {b.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    M, K, N = *a.shape[-2:], b.shape[-1]
    shape = (*batch, M, N)
    for name, size in (("a", a.shape), ("b", b.shape), ("the product", shape)):
        check_size(name, size)
    result = array_namespace(a).empty(shape, a.dtype)

    if b.ndim == 2 and a.ndim > 2:  # one B for all: the batch is more rows of A, and fills tiles better
        a, batch, M = a.reshape(-1 if a.size else 0, K), (), M * math.prod(batch)
    A, lda, batch_a, transpose_a = _operand(a, batch)
    B, ldb, batch_b, transpose_b = _operand(b, batch)
    kernel = matmul_kernel(dtype, tile, transpose_a, transpose_b)
    blocks = blocks_for(M, tile.m) * blocks_for(N, tile.n) * math.prod(batch) if result.size else 0
    return Plan(kernel, blocks, (A, B, result.reshape(-1), M, N, K, lda, ldb, batch_a, batch_b), result)


def _operand(x: Array, batch: tuple[int, ...]) -> tuple[Array, int, int, bool]:
    """x as the kernel reads it: (its memory, distance of two lines, distance of two matrices, is it transposed?).

    Copied only if neither of the last two axes is contiguous, if a stride is negative, or if no one distance leads
    through the broadcast batch.
    """
    xp = array_namespace(x)
    if not x.size:
        return xp.empty(0, x.dtype), 0, 0, False
    if _line_axis(x) is None or any(stride < 0 and size > 1 for size, stride in zip(x.shape, x.strides)):
        x = xp.ascontiguousarray(x)
    line = _line_axis(x)
    x = xp.broadcast_to(x, batch + x.shape[-2:]).reshape(math.prod(batch), *x.shape[-2:])
    strides = [stride // x.itemsize if size > 1 else 0 for size, stride in zip(x.shape, x.strides)]
    extent = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, strides))
    check_size("an operand's memory", (extent,))
    memory = xp.lib.stride_tricks.as_strided(x, (extent,), (x.itemsize,))
    return memory, strides[line], strides[0], line == -1


def _line_axis(x: Array) -> int | None:
    """The axis that steps from line to line, if the other of the last two is contiguous: -2 row-major, -1 transposed.

    An axis of size 1 takes no steps, so whatever its stride is, it counts as contiguous.
    """
    for line, along in ((-2, -1), (-1, -2)):
        if x.strides[along] == x.itemsize or x.shape[along] == 1:
            return line
    return None


@cache
def matmul_kernel(dtype: np.dtype, tile: Tile, transpose_a: bool, transpose_b: bool) -> Kernel:
    """The kernel for one dtype, tile and layout; a transposed operand is stored as (K, M), or (N, K).

    ``lda`` and ``ldb`` are the distances between stored lines, ``batch_a`` and ``batch_b`` between matrices (0: the
    same one for all). Blocks are numbered along the tiles of a row of C, then down, then through the batch.
    """
    number = getattr(numba, dtype.name)
    tile_m, tile_n, tile_k, thread_m, thread_n = tile
    threads_m, threads_n = tile_m // thread_m, tile_n // thread_n
    threads = threads_m * threads_n
    loads_a, loads_b = tile_m * tile_k // threads, tile_k * tile_n // threads
    if (threads_m * thread_m, threads_n * thread_n) != (tile_m, tile_n) or (
        (loads_a * threads, loads_b * threads) != (tile_m * tile_k, tile_k * tile_n)
    ):
        raise ValueError(f"{tile} does not divide evenly among its {threads} threads")
    a_shape, b_shape, c_shape = (tile_k, tile_m + BANK_PADDING), (tile_k, tile_n + BANK_PADDING), (thread_m, thread_n)

    def matmul(A, B, C, M, N, K, lda, ldb, batch_a, batch_b):
        a_tile = cuda.shared.array(a_shape, number)
        b_tile = cuda.shared.array(b_shape, number)
        sums = cuda.local.array(c_shape, number)
        a_column = cuda.local.array(thread_m, number)

        thread = int32(cuda.threadIdx.x)
        across = int32((N + tile_n - 1) // tile_n)
        down = int32((M + tile_m - 1) // tile_m)
        block = int32(cuda.blockIdx.x)
        first_n = int32(block % across * tile_n)
        first_m = int32(block // across % down * tile_m)
        matrix = int32(block // across // down)
        a_start = int32(matrix * batch_a)
        b_start = int32(matrix * batch_b)
        my_m = int32(thread // threads_n)
        my_n = int32(thread % threads_n)

        for i in range(thread_m):
            for j in range(thread_n):
                sums[i, j] = number(0)

        for first_k in range(0, K, tile_k):
            # Neighbouring threads fetch neighbouring numbers, along whichever axis is stored contiguously.
            for load in range(loads_a):
                e = int32(thread + load * threads)
                m, k = (e % tile_m, e // tile_m) if transpose_a else (e // tile_k, e % tile_k)
                row = int32(first_m + m)
                depth = int32(first_k + k)
                value = number(0)
                if row < M and depth < K:
                    value = A[int32(a_start + (depth * lda + row if transpose_a else row * lda + depth))]
                a_tile[k, m] = value
            for load in range(loads_b):
                e = int32(thread + load * threads)
                k, n = (e % tile_k, e // tile_k) if transpose_b else (e // tile_n, e % tile_n)
                depth = int32(first_k + k)
                column = int32(first_n + n)
                value = number(0)
                if depth < K and column < N:
                    value = B[int32(b_start + (column * ldb + depth if transpose_b else depth * ldb + column))]
                b_tile[k, n] = value
            cuda.syncthreads()  # the tiles are whole

            for k in range(tile_k):
                for i in range(thread_m):
                    a_column[i] = a_tile[k, my_m + i * threads_m]
                for j in range(thread_n):
                    b_value = b_tile[k, my_n + j * threads_n]
                    for i in range(thread_m):
                        sums[i, j] += a_column[i] * b_value
            cuda.syncthreads()  # nobody reads them any more

        for i in range(thread_m):
            for j in range(thread_n):
                row = int32(first_m + my_m + i * threads_m)
                column = int32(first_n + my_n + j * threads_n)
                if row < M and column < N:
                    C[int32((matrix * M + row) * N + column)] = sums[i, j]

    return Kernel(matmul, dtype, pointers=3, threads=threads)
