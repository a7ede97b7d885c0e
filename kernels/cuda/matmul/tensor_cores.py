"""Rung 6, tensor cores: a warp multiplies small matrices by one instruction, of numbers with fewer bits.

One instruction computes a product of 16 x 8 x 8 or 16 x 8 x 16 numbers, sums in float32 (``warp_product``), where
rung 5 needs 1,024 or 2,048 multiplications by 32 threads. How tiles come into shared memory, and ahead of time, is as
in rung 5.

Float32 matrices are rounded to TF32 or bfloat16 on the way, and results differ from the fourth digit on, or the third:
users ask for it, by ``minipar.set_float32_matmul_precision``. Float16 matrices are multiplied as they are; each number
of C is rounded to float16 once, when it is stored, with bias and ReLU. (NVIDIA, *PTX ISA*, "Warp Level Matrix
Multiply-Accumulate Instructions"; Markidis et al. 2018, "NVIDIA Tensor Core Programmability, Performance & Precision".)
"""

from functools import cache

import numpy as np
from numba import cuda, float32, int32, uint32, uint64
from numba.types import float16

from ..plan import Kernel
from .fetching import mover
from .fetching_pairs import pair_mover
from .warp_product import ARRAYS, NUMBERS, PADDING, WARP, WarpTile, warp_product

TILE = WarpTile(128, 128, 16, 64, 32)
TILE_OF_HALVES = WarpTile(128, 128, 32, 64, 32)  # as many bytes


@cache
def tensor_core_kernel(
    dtype: np.dtype,
    tile: WarpTile,
    transpose_a: bool,
    transpose_b: bool,
    vector_a: bool = False,
    vector_b: bool = False,
    bias: bool = False,
    relu: bool = False,
    multiplied: str = "tf32",
) -> Kernel:
    """The kernel that multiplies float32 arrays as "tf32" or "bf16", float16 arrays as "fp16"; else as in rung 5.

    TypeError for another dtype; ValueError for a tile that warps do not share evenly.
    """
    if dtype != ARRAYS[multiplied]:
        raise TypeError(f"this kernel is for {np.dtype(ARRAYS[multiplied])}, not {dtype}")
    threads = tile.threads
    tile_m, tile_n, tile_k, warp_m, warp_n = tile
    multiply = warp_product(tile, multiplied)
    if multiplied == "tf32":
        of_a = mover(tile_m, tile_k, threads, not transpose_a, 4 if vector_a else 1, PADDING, in_tf32=True)
        of_b = mover(tile_n, tile_k, threads, transpose_b, 4 if vector_b else 1, PADDING, in_tf32=True)
    else:
        of_a = pair_mover(dtype, tile_m, tile_k, threads, not transpose_a, vector_a, PADDING)
        of_b = pair_mover(dtype, tile_n, tile_k, threads, transpose_b, vector_b, PADDING)
    fetch_a, store_a, held_a, register_a = of_a
    fetch_b, store_b, held_b, register_b = of_b
    word = float32 if multiplied == "tf32" else uint32
    number = float16 if multiplied == "fp16" else float32
    depth = tile_k // NUMBERS[multiplied]  # in words
    a_pitch, b_pitch = tile_m + PADDING, tile_n + PADDING
    a_size, b_size = depth * a_pitch, depth * b_pitch  # of one buffer
    both_a, both_b = 2 * a_size, 2 * b_size
    warps_n = tile_n // warp_n
    rows, columns = warp_m // 16, warp_n // 8  # matrices of a warp
    sums_shape, a_shape, b_shape = (rows, columns, 4), (rows, 4), (columns, 2)

    def matmul_tensor_cores(A, B, C, bias_of, M, N, K, lda, ldb, batch_a, batch_b):
        a_tile = cuda.shared.array(both_a, word, alignment=16)
        b_tile = cuda.shared.array(both_b, word, alignment=16)
        sums = cuda.local.array(sums_shape, float32)
        a = cuda.local.array(a_shape, word)
        b = cuda.local.array(b_shape, word)
        next_a = cuda.local.array(held_a, register_a)
        next_b = cuda.local.array(held_b, register_b)

        thread = int32(cuda.threadIdx.x)
        warp = int32(thread // WARP)
        lane = int32(thread % WARP)
        g = int32(lane // 4)
        t = int32(lane % 4)
        across = int32((N + tile_n - 1) // tile_n)
        down = int32((M + tile_m - 1) // tile_m)
        block = int32(cuda.blockIdx.x)
        first_n = int32(block % across * tile_n)
        first_m = int32(block // across % down * tile_m)
        matrix = int32(block // across // down)
        a_start = int32(matrix * batch_a)
        b_start = int32(matrix * batch_b)
        my_m = int32(warp // warps_n * warp_m + g)
        my_n = int32(warp % warps_n * warp_n + g)

        for i in range(rows):
            for j in range(columns):
                for r in range(4):
                    sums[i, j, r] = float32(0)

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
            a_at = uint64(half * a_size + t * a_pitch + my_m)
            b_at = uint64(half * b_size + t * b_pitch + my_n)
            multiply(a_tile, b_tile, a_at, b_at, a, b, sums)
            if next_k < K:
                half = int32(1 - half)
                store_a(a_tile, int32(half * a_size), next_a, thread)
                store_b(b_tile, int32(half * b_size), next_b, thread)
                cuda.syncthreads()  # the next tiles are whole, and nobody reads the half before last any more

        for i in range(rows):
            for j in range(columns):
                for r in range(4):
                    row = int32(first_m + my_m + 16 * i + r // 2 * 8)
                    column = int32(first_n + my_n - g + 8 * j + 2 * t + r % 2)
                    if row < M and column < N:
                        total = sums[i, j, r]
                        if bias:
                            total += float32(bias_of[column])
                        if relu and total < float32(0):  # CUDA's max would make 0 of a NaN
                            total = float32(0)
                        C[int32((matrix * M + row) * N + column)] = number(total)

    return Kernel(matmul_tensor_cores, dtype, pointers=4, threads=threads)
