"""Rung 1, naive: one thread for each number of C, neighbouring threads below each other.

A thread fetches a row of A and a column of B from global memory, two numbers for every multiplication: 2 n^3 reads for
matrices of n x n. Memory comes in sectors of 32 bytes. The 32 threads of a warp want the same number of B, which is one
sector, but numbers of 32 different rows of A, which (row-major) are 32 sectors, of each of which 4 bytes are used:
33 sectors for 32 multiplications.
"""

from functools import cache

import numba
import numpy as np
from numba import cuda, int32

from ..plan import Kernel
from .tile import Tile

TILE = Tile(32, 8)


@cache
def naive_kernel(dtype: np.dtype, tile: Tile, transpose_a: bool, transpose_b: bool) -> Kernel:
    """The kernel for one dtype and layout, in blocks of tile.m x tile.n threads."""
    number = getattr(numba, dtype.name)
    tile_m, tile_n = tile.m, tile.n

    def matmul_naive(A, B, C, M, N, K, lda, ldb, batch_a, batch_b):
        thread = int32(cuda.threadIdx.x)
        across = int32((N + tile_n - 1) // tile_n)
        down = int32((M + tile_m - 1) // tile_m)
        block = int32(cuda.blockIdx.x)
        column = int32(block % across * tile_n + thread // tile_m)
        row = int32(block // across % down * tile_m + thread % tile_m)
        matrix = int32(block // across // down)
        a_start = int32(matrix * batch_a)
        b_start = int32(matrix * batch_b)
        if row < M and column < N:
            total = number(0)
            for k in range(K):
                a = A[int32(a_start + (k * lda + row if transpose_a else row * lda + k))]
                b = B[int32(b_start + (column * ldb + k if transpose_b else k * ldb + column))]
                total += a * b
            C[int32((matrix * M + row) * N + column)] = total

    return Kernel(matmul_naive, dtype, pointers=3, threads=tile.threads)
