"""Rung 2, coalesced: as the naive one, but neighbouring threads stand beside each other.

The 32 threads of a warp now want the same number of A, one sector, and 32 neighbouring numbers of a row of B, which are
4 sectors, every byte of them used: 5 sectors for 32 multiplications instead of 33, by two indices that have changed
places. (CUDA C++ Best Practices Guide, "Coalesced Access to Global Memory".) A transposed B is read down a column
again.
"""

from functools import cache

import numba
import numpy as np
from numba import cuda, int32

from ..plan import Kernel
from .tile import Tile

TILE = Tile(8, 32)


@cache
def coalesced_kernel(dtype: np.dtype, tile: Tile, transpose_a: bool, transpose_b: bool) -> Kernel:
    """The kernel for one dtype and layout, in blocks of tile.m x tile.n threads."""
    number = getattr(numba, dtype.name)
    tile_m, tile_n = tile.m, tile.n

    def matmul_coalesced(A, B, C, M, N, K, lda, ldb, batch_a, batch_b):
        thread = int32(cuda.threadIdx.x)
        across = int32((N + tile_n - 1) // tile_n)
        down = int32((M + tile_m - 1) // tile_m)
        block = int32(cuda.blockIdx.x)
        column = int32(block % across * tile_n + thread % tile_n)
        row = int32(block // across % down * tile_m + thread // tile_n)
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

    return Kernel(matmul_coalesced, dtype, pointers=3, threads=tile.threads)
