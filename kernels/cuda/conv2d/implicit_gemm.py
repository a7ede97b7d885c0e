"""Rung 3, implicit GEMM: forward, and gradient by the input, as a matrix product whose second matrix is not there.

    y[o, (n, p, q)] = sum over k = (c, r, s) of w[o, k] * windows[k, (n, p, q)]

The weights are the first matrix as they lie in memory. The second would be R S times as large as the image; its tiles
are put together in shared memory from the image itself (``windows``), at the places that a table knows (``offsets``).
All else is the matrix product's rung "double-buffered": 8 x 8 numbers a thread in registers, the next tiles on their
way while the present ones are multiplied, bias and ReLU before anything is stored. A tile of 128 x 128 reads each input
once for 128 multiplications where the direct kernel reads it once for a few; in exchange a block of few output channels
leaves rows of its tile idle, and each input costs an entry of the table and two comparisons.

The gradient by the input is the same kernel over g, phase by phase (``offsets``), with pixels stored ``step`` apart.
Each number is added up by one thread in the order of k, whatever the tile: the same bits every time. (Chetlur et al.
2014, "cuDNN: Efficient Primitives for Deep Learning"; Lavin & Gray 2016 on what a faster algorithm would save.)
"""

from functools import cache

import numpy as np
from numba import cuda, float32, int32

from ..intrinsics import store4
from ..matmul.fetching import mover
from ..matmul.outer_product import group_steps, outer_product
from ..matmul.tile import Tile
from ..plan import Kernel
from .offsets import phase_of, place_of, window_of
from .windows import window_mover


@cache
def implicit_gemm_kernel(
    dtype: np.dtype,
    tile: Tile,
    transposed: bool,
    vector_w: bool = False,
    vector_y: bool = False,
    bias: bool = False,
    relu: bool = False,
) -> Kernel:
    """The kernel for float32 and one tile of target channels x pixels.

    ``transposed``: weights lie as (K, channels) of a phase and group, not as (channels, K). ``vector_w``,
    ``vector_y``: weights may be read, and pixels written, by fours. TypeError for another dtype; ValueError for a tile
    that the threads do not share evenly.
    """
    if dtype != np.float32:
        raise TypeError(f"this kernel is for float32, not {dtype}")
    threads = tile.threads
    # Two blocks of 256 threads share the 65,536 registers of a multiprocessor. Who reads weights one by one along their
    # lines needs more than 128, and would have to keep some in memory.
    min_blocks = 2 if threads == 256 and (vector_w or transposed) else 1
    tile_m, tile_n, tile_k, thread_m, thread_n = tile
    held_w, held_x = tile.fetches
    w_size, x_size = tile_k * tile_m, tile_k * tile_n  # of one buffer
    both_w, both_x, sums_shape = 2 * w_size, 2 * x_size, (thread_m, thread_n)
    threads_n = tile_n // thread_n
    next_rows, next_columns = group_steps(tile)
    column_groups = thread_n // 4
    fetch_w, store_w = mover(tile_m, tile_k, threads, not transposed, 4 if vector_w else 1)[:2]
    fetch_x, store_x = window_mover(tile_n, tile_k, threads)
    multiply = outer_product(tile)

    def conv2d_implicit_gemm(
        w, x, y, bias_of, table, M, D, N, H, W, P, Q, groups, phases, move_h, move_w, step_h, step_w
    ):
        w_tile = cuda.shared.array(both_w, float32, alignment=16)
        x_tile = cuda.shared.array(both_x, float32, alignment=16)
        places = cuda.shared.array(tile_n, int32)
        sums = cuda.local.array(sums_shape, float32)
        w_column = cuda.local.array(thread_m, float32)
        x_row = cuda.local.array(thread_n, float32)
        next_w = cuda.local.array(held_w, float32)
        next_x = cuda.local.array(held_x, float32)

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

        for i in range(thread_m):
            for j in range(thread_n):
                sums[i, j] = float32(0)

        line_w = int32(M if transposed else K)
        fetch_w(w, weights, line_w, first_m, M, int32(0), K, next_w, thread)
        fetch_x(x, table, entries, row, column, base, H, W, next_x, thread)
        store_w(w_tile, int32(0), next_w, thread)
        store_x(x_tile, int32(0), next_x, thread)
        cuda.syncthreads()  # the first tiles are whole
        my_m = int32(thread // threads_n * 4)
        my_n = int32(thread % threads_n * 4)
        half = int32(0)  # which buffer is multiplied
        for first_k in range(0, K, tile_k):
            next_k = int32(first_k + tile_k)
            if next_k < K:
                fetch_w(w, weights, line_w, first_m, M, next_k, K, next_w, thread)
                fetch_x(x, table, int32(entries + next_k), row, column, base, H, W, next_x, thread)
            for k in range(tile_k):  # written out one behind the other, these would take some 25 registers more
                w_at = int32(half * w_size + k * tile_m + my_m)
                x_at = int32(half * x_size + k * tile_n + my_n)
                multiply(w_tile, x_tile, w_at, x_at, w_column, x_row, sums)
            if next_k < K:
                half = int32(1 - half)
                store_w(w_tile, int32(half * w_size), next_w, thread)
                store_x(x_tile, int32(half * x_size), next_x, thread)
                cuda.syncthreads()  # the next tiles are whole, and nobody reads the half before last any more

        for i in range(thread_m):
            m = int32(first_m + my_m + i // 4 * next_rows + i % 4)
            if m < M:
                shift = bias_of[int32(group * M + m)] if bias else float32(0)
                for j in range(thread_n):
                    if bias:
                        sums[i, j] += shift
                    if relu and sums[i, j] < float32(0):  # CUDA's max would make 0 of a NaN
                        sums[i, j] = float32(0)
                for g in range(column_groups):
                    at = int32(my_n + g * next_columns)
                    if vector_y:
                        place = places[at]
                        if place >= 0:
                            to = int32(place + m * P * Q)
                            store4(y, to, sums[i, 4 * g], sums[i, 4 * g + 1], sums[i, 4 * g + 2], sums[i, 4 * g + 3])
                    else:
                        for j in range(4):
                            place = places[int32(at + j)]
                            if place >= 0:
                                y[int32(place + m * P * Q)] = sums[i, 4 * g + j]

    return Kernel(conv2d_implicit_gemm, dtype, 4, threads, min_blocks, {"table": "int64*"})
