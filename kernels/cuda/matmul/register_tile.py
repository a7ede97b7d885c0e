"""Rung 4, register tile: every thread makes a small tile of C, which stays in its registers.

A number that a thread has read from shared memory serves a whole row or column of its own tile: with 64 x 64 numbers of
C a block and 4 x 4 a thread, one global read serves 64 multiplications and one shared read four. A shared read takes an
instruction, as a multiplication does: rung 3 spends two of three on reading, this one a third. (Kirk & Hwu,
*Programming Massively Parallel Processors*, the chapter on thread coarsening; Volkov & Demmel 2008, "Benchmarking GPUs
to tune dense linear algebra".)
"""

from functools import cache

import numba
import numpy as np
from numba import cuda, int32

from ..plan import Kernel
from .tile import Tile

TILE = Tile(64, 64, 8, 4, 4)

# Shared memory has 32 banks of 4 bytes. Threads that store a row-major A walk down a column of its tile; four columns
# of padding put those numbers into different banks.
BANK_PADDING = 4


@cache
def register_tile_kernel(dtype: np.dtype, tile: Tile, transpose_a: bool, transpose_b: bool) -> Kernel:
    """The kernel for one dtype, tile and layout."""
    number = getattr(numba, dtype.name)
    threads = tile.threads
    loads_a, loads_b = tile.fetches
    tile_m, tile_n, tile_k, thread_m, thread_n = tile
    threads_m, threads_n = tile_m // thread_m, tile_n // thread_n
    a_shape, b_shape, c_shape = (tile_k, tile_m + BANK_PADDING), (tile_k, tile_n + BANK_PADDING), (thread_m, thread_n)

    def matmul_register_tile(A, B, C, M, N, K, lda, ldb, batch_a, batch_b):
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

    return Kernel(matmul_register_tile, dtype, pointers=3, threads=threads)
