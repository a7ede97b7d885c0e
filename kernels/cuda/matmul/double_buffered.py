"""Rung 5, double-buffered and vectorised: what runs for float32.

Four things more than rung 4:

- *Two buffers.* While a block multiplies one pair of tiles, the next pair is already on its way from global memory into
  registers, and goes into the other half of shared memory afterwards: one barrier a step instead of two, and nobody
  waits for memory as long as there is something to multiply.
- *Vectors.* An instruction moves 16 bytes. Each thread makes 8 x 8 numbers of C, in groups of 4 x 4, so that for one k
  it reads its 16 numbers from shared memory by 4 instructions, and multiplies 64 times. Global memory is read by fours
  where four neighbours lie aligned.
- *One long body.* The k of a tile are written out one behind the other. In a loop over them, 64 of 89 instructions
  multiplied, and the others counted and computed addresses; now it is 512 of some 630, and the loads for the next k
  stand among the products of the last.
- *The rest of a linear layer*: the bias is added and the ReLU taken while the numbers are in registers still, which
  saves reading and writing all of C again.

With 128 x 128 numbers of C a block, one global read serves 128 multiplications. (Volkov & Demmel 2008, "Benchmarking
GPUs to tune dense linear algebra"; NVIDIA, *CUTLASS: Fast Linear Algebra in CUDA C++*.)
"""

from functools import cache

import numpy as np
from numba import cuda, float32, int32

from ..intrinsics import store4
from ..plan import Kernel
from .fetching import mover
from .outer_product import group_steps, outer_product, unrolled
from .tile import Tile

TILE = Tile(128, 128, 8, 8, 8)
BANK_PADDING = 4  # where lines run along k, a warp stores into two of them, 4 k apart: so they begin 16 banks apart


@cache
def double_buffered_kernel(
    dtype: np.dtype,
    tile: Tile,
    transpose_a: bool,
    transpose_b: bool,
    vector_a: bool = False,
    vector_b: bool = False,
    vector_c: bool = False,
    bias: bool = False,
    relu: bool = False,
) -> Kernel:
    """The kernel for float32, one tile and layout.

    ``vector_a``, ``vector_b``, ``vector_c``: the matrix may be read, or written, by fours along its lines. With
    ``bias`` the kernel adds its fourth array (N,) to each row, and with ``relu`` it cuts off below 0. TypeError for
    another dtype; ValueError for a tile whose threads do not make groups of 4 x 4.
    """
    if dtype != np.float32:
        raise TypeError(f"this kernel is for float32, not {dtype}")
    # Two blocks of 256 threads share the 65,536 registers of a multiprocessor: one multiplies while the other waits.
    # Who reads numbers one by one needs more than 128 for their places, and would have to keep some in memory.
    min_blocks = 2 if vector_a and vector_b else 1
    threads = tile.threads
    tile_m, tile_n, tile_k, thread_m, thread_n = tile
    a_pitch, b_pitch = tile_m + BANK_PADDING, tile_n + BANK_PADDING
    a_size, b_size = tile_k * a_pitch, tile_k * b_pitch  # of one buffer
    both_a, both_b, c_shape = 2 * a_size, 2 * b_size, (thread_m, thread_n)
    threads_n = tile_n // thread_n
    next_rows, next_columns = group_steps(tile)
    column_groups = thread_n // 4
    multiply_tile = unrolled(outer_product(tile), tile_k, a_pitch, b_pitch)
    fetch_a, store_a, held_a, _ = mover(tile_m, tile_k, threads, not transpose_a, 4 if vector_a else 1, BANK_PADDING)
    fetch_b, store_b, held_b, _ = mover(tile_n, tile_k, threads, transpose_b, 4 if vector_b else 1, BANK_PADDING)

    def matmul_double_buffered(A, B, C, bias_of, M, N, K, lda, ldb, batch_a, batch_b):
        a_tile = cuda.shared.array(both_a, float32, alignment=16)
        b_tile = cuda.shared.array(both_b, float32, alignment=16)
        sums = cuda.local.array(c_shape, float32)
        a_column = cuda.local.array(thread_m, float32)
        b_row = cuda.local.array(thread_n, float32)
        next_a = cuda.local.array(held_a, float32)
        next_b = cuda.local.array(held_b, float32)

        thread = int32(cuda.threadIdx.x)
        across = int32((N + tile_n - 1) // tile_n)
        down = int32((M + tile_m - 1) // tile_m)
        block = int32(cuda.blockIdx.x)
        first_n = int32(block % across * tile_n)
        first_m = int32(block // across % down * tile_m)
        matrix = int32(block // across // down)
        a_start = int32(matrix * batch_a)
        b_start = int32(matrix * batch_b)
        my_m = int32(thread // threads_n * 4)
        my_n = int32(thread % threads_n * 4)

        for i in range(thread_m):
            for j in range(thread_n):
                sums[i, j] = float32(0)

        fetch_a(A, a_start, lda, first_m, M, int32(0), K, next_a, thread)
        fetch_b(B, b_start, ldb, first_n, N, int32(0), K, next_b, thread)
        store_a(a_tile, int32(0), next_a, thread)
        store_b(b_tile, int32(0), next_b, thread)
        cuda.syncthreads()  # the first tiles are whole
        half = int32(0)  # which buffer is multiplied
        for first_k in range(0, K, tile_k):
            next_k = int32(first_k + tile_k)
            if next_k < K:
                fetch_a(A, a_start, lda, first_m, M, next_k, K, next_a, thread)
                fetch_b(B, b_start, ldb, first_n, N, next_k, K, next_b, thread)
            multiply_tile(a_tile, b_tile, half * a_size + my_m, half * b_size + my_n, a_column, b_row, sums)
            if next_k < K:
                half = int32(1 - half)
                store_a(a_tile, int32(half * a_size), next_a, thread)
                store_b(b_tile, int32(half * b_size), next_b, thread)
                cuda.syncthreads()  # the next tiles are whole, and nobody reads the half before last any more

        for j in range(thread_n):
            column = int32(first_n + my_n + j // 4 * next_columns + j % 4)
            b_row[j] = bias_of[column] if bias and column < N else float32(0)
        for i in range(thread_m):
            row = int32(first_m + my_m + i // 4 * next_rows + i % 4)
            if row < M:
                for j in range(thread_n):
                    if bias:
                        sums[i, j] += b_row[j]
                    if relu and sums[i, j] < float32(0):  # CUDA's max would make 0 of a NaN
                        sums[i, j] = float32(0)
                for g in range(column_groups):
                    column = int32(first_n + my_n + g * next_columns)
                    at = int32((matrix * M + row) * N + column)
                    if vector_c:
                        if column < N:
                            store4(C, at, sums[i, 4 * g], sums[i, 4 * g + 1], sums[i, 4 * g + 2], sums[i, 4 * g + 3])
                    else:
                        for j in range(4):
                            if column + j < N:
                                C[int32(at + j)] = sums[i, 4 * g + j]

    return Kernel(matmul_double_buffered, dtype, pointers=4, threads=threads, min_blocks=min_blocks)
