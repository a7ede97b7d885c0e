"""Rung 4, tensor cores: the implicit product by the instruction that multiplies small matrices, of shorter numbers.

Tiles come into shared memory as in rung 3, float32 rounded to TF32 on the way, or float16 in pairs; then warps multiply
as in the matrix product's rung "tf32" (``matmul.warp_product``), with sums in float32. What is fetched for each
multiplication is the same and the multiplications take a small part of the time, so that here the table and its
comparisons weigh most. TF32 differs from float32 from the fourth digit on, so users ask for it
(``minipar.set_float32_matmul_precision``). Float16 is multiplied as it is, and rounded once, when it is stored.
(NVIDIA, *PTX ISA*, "Warp Level Matrix Multiply-Accumulate Instructions".)
"""

from functools import cache

import numpy as np
from numba import cuda, float32, int32, uint64

from ..matmul.fetching import mover
from ..matmul.fetching_pairs import pair_mover
from ..matmul.warp_product import PADDING, WARP, WarpTile, warp_product
from ..plan import Kernel
from .offsets import phase_of, place_of, window_of
from .windows import window_mover
from .words import words


@cache
def tensor_core_kernel(
    dtype: np.dtype,
    tile: WarpTile,
    transposed: bool,
    vector_w: bool = False,
    bias: bool = False,
    relu: bool = False,
    multiplied: str = "tf32",
) -> Kernel:
    """The kernel that multiplies float32 arrays as "tf32", float16 arrays as "fp16"; else as in rung 3.

    TypeError for another dtype; ValueError for a tile that warps and threads do not share evenly.
    """
    of_arrays, numbers, number, word, _ = words(multiplied)
    if dtype != of_arrays:
        raise TypeError(f"this kernel is for {of_arrays}, not {dtype}")
    threads = tile.threads
    tile_m, tile_n, tile_k, warp_m, warp_n = tile
    multiply = warp_product(tile, multiplied)
    if multiplied == "tf32":
        of_w = mover(tile_m, tile_k, threads, not transposed, 4 if vector_w else 1, PADDING, in_tf32=True)
    else:
        of_w = pair_mover(dtype, tile_m, tile_k, threads, not transposed, vector_w, PADDING)
    fetch_w, store_w, held_w, register_w = of_w
    fetch_x, store_x = window_mover(tile_n, tile_k, threads, PADDING, multiplied)
    held_x = tile_k * tile_n // threads
    depth = tile_k // numbers  # in words
    w_pitch, x_pitch = tile_m + PADDING, tile_n + PADDING
    w_size, x_size = depth * w_pitch, depth * x_pitch  # of one buffer
    both_w, both_x = 2 * w_size, 2 * x_size
    warps_n = tile_n // warp_n
    rows, columns = warp_m // 16, warp_n // 8  # matrices of a warp
    sums_shape, w_shape, x_shape = (rows, columns, 4), (rows, 4), (columns, 2)

    def conv2d_tensor_cores(
        w, x, y, bias_of, table, M, D, N, H, W, P, Q, groups, phases, move_h, move_w, step_h, step_w
    ):
        w_tile = cuda.shared.array(both_w, word, alignment=16)
        x_tile = cuda.shared.array(both_x, word, alignment=16)
        places = cuda.shared.array(tile_n, int32)
        sums = cuda.local.array(sums_shape, float32)
        w_part = cuda.local.array(w_shape, word)
        x_part = cuda.local.array(x_shape, word)
        next_w = cuda.local.array(held_w, register_w)
        next_x = cuda.local.array(held_x, number)

        thread = int32(cuda.threadIdx.x)
        down = int32((M + tile_m - 1) // tile_m)
        block = int32(cuda.blockIdx.x)  # neighbouring blocks share pixels: these are many, and the weights few
        first_m = int32(block % down * tile_m)
        group = int32(block // down % groups)
        phase = int32(block // down // groups % phases)
        first_pixel = int32(block // down // groups // phases * tile_n)
        K, entries, weights, pixels = phase_of(table, phase, N)
        weights = int32(weights + group * M * K)
        if first_pixel >= pixels:
            return  # a phase may have fewer pixels than another

        pixel = int32(first_pixel + thread % tile_n)  # this thread's
        row, column, base = window_of(table, phase, pixel, N, D, H, W, groups, group, move_h, move_w)
        if thread < tile_n:
            places[thread] = place_of(table, phase, pixel, N, M, P, Q, groups, group, step_h, step_w)

        for i in range(rows):
            for j in range(columns):
                for r in range(4):
                    sums[i, j, r] = float32(0)

        line_w = int32(M if transposed else K)
        fetch_w(w, weights, line_w, first_m, M, int32(0), K, next_w, thread)
        fetch_x(x, table, entries, row, column, base, H, W, next_x, thread)
        store_w(w_tile, int32(0), next_w, thread)
        store_x(x_tile, int32(0), next_x, thread)
        cuda.syncthreads()  # the first tiles are whole
        warp = int32(thread // WARP)
        g = int32(thread % WARP // 4)
        t = int32(thread % 4)
        my_m = int32(warp // warps_n * warp_m + g)
        my_n = int32(warp % warps_n * warp_n)
        half = int32(0)  # which buffer is multiplied
        for first_k in range(0, K, tile_k):
            next_k = int32(first_k + tile_k)
            if next_k < K:
                fetch_w(w, weights, line_w, first_m, M, next_k, K, next_w, thread)
                fetch_x(x, table, int32(entries + next_k), row, column, base, H, W, next_x, thread)
            w_at = uint64(half * w_size + t * w_pitch + my_m)
            x_at = uint64(half * x_size + t * x_pitch + my_n + g)
            multiply(w_tile, x_tile, w_at, x_at, w_part, x_part, sums)
            if next_k < K:
                half = int32(1 - half)
                store_w(w_tile, int32(half * w_size), next_w, thread)
                store_x(x_tile, int32(half * x_size), next_x, thread)
                cuda.syncthreads()  # the next tiles are whole, and nobody reads the half before last any more

        for i in range(rows):
            for r in range(4):
                m = int32(first_m + my_m + 16 * i + r // 2 * 8)
                if m < M:
                    shift = float32(bias_of[int32(group * M + m)]) if bias else float32(0)
                    for j in range(columns):
                        place = places[int32(my_n + 8 * j + 2 * t + r % 2)]
                        if place >= 0:
                            total = sums[i, j, r]
                            if bias:
                                total += shift
                            if relu and total < float32(0):  # CUDA's max would make 0 of a NaN
                                total = float32(0)
                            y[int32(place + m * P * Q)] = number(total)

    return Kernel(conv2d_tensor_cores, dtype, 4, threads, others={"table": "int64*"})
