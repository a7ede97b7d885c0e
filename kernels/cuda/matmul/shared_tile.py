"""Rung 3, shared tile: the threads of a block fetch a tile of A and a tile of B together, and share them.

What a thread has fetched serves all threads of its row, or of its column: with tiles of 16 x 16, one global read
serves 16 multiplications instead of one: 2 n^3 / 16 reads in all. Every multiplication still reads both of its numbers,
now from shared memory, and threads wait for each other at two barriers a tile: until it is whole, and until everybody
has used it. (Kirk & Hwu, *Programming Massively Parallel Processors*, the chapter on tiling.)
"""

from functools import cache

import numba
import numpy as np
from numba import cuda, int32

from ..plan import Kernel
from .tile import Tile

TILE = Tile(16, 16, 16)


@cache
def shared_tile_kernel(dtype: np.dtype, tile: Tile, transpose_a: bool, transpose_b: bool) -> Kernel:
    """The kernel for one dtype and layout. ValueError unless tile.m, tile.n and tile.k are one number."""
    number = getattr(numba, dtype.name)
    if not tile.m == tile.n == tile.k:
        raise ValueError(f"every thread fetches one number of each tile, so tiles must be square, not {tile}")
    side = tile.m
    shape = (side, side)

    def matmul_shared_tile(A, B, C, M, N, K, lda, ldb, batch_a, batch_b):
        a_tile = cuda.shared.array(shape, number)
        b_tile = cuda.shared.array(shape, number)
        thread = int32(cuda.threadIdx.x)
        my_m = int32(thread // side)
        my_n = int32(thread % side)
        across = int32((N + side - 1) // side)
        down = int32((M + side - 1) // side)
        block = int32(cuda.blockIdx.x)
        column = int32(block % across * side + my_n)
        row = int32(block // across % down * side + my_m)
        matrix = int32(block // across // down)
        a_start = int32(matrix * batch_a)
        b_start = int32(matrix * batch_b)

        total = number(0)
        for first_k in range(0, K, side):
            a_k = int32(first_k + my_n)
            b_k = int32(first_k + my_m)
            a = number(0)
            if row < M and a_k < K:
                a = A[int32(a_start + (a_k * lda + row if transpose_a else row * lda + a_k))]
            b = number(0)
            if b_k < K and column < N:
                b = B[int32(b_start + (column * ldb + b_k if transpose_b else b_k * ldb + column))]
            a_tile[my_m, my_n] = a
            b_tile[my_m, my_n] = b
            cuda.syncthreads()  # the tiles are whole
            for k in range(side):
                total += a_tile[my_m, k] * b_tile[k, my_n]
            cuda.syncthreads()  # nobody reads them any more
        if row < M and column < N:
            C[int32((matrix * M + row) * N + column)] = total

    return Kernel(matmul_shared_tile, dtype, pointers=3, threads=tile.threads)
