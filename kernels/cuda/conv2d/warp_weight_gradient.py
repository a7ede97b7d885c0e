"""The gradient by the weight on tensor cores: in parts, as in ``weight_gradient``, multiplied as in ``tensor_cores``.

A word of two float16 holds two pixels that lie half a tile apart: any two make a pair, as long as both matrices have
the same ones, and so neighbouring threads still fetch neighbouring pixels. Parts are in float32, also of float16: their
sum is rounded once.
"""

from functools import cache

import numpy as np
from numba import cuda, float32, int32, int64, uint32, uint64

from ..matmul.warp_product import PADDING, WARP, WarpTile, turn, warp_product
from ..plan import Kernel
from .offsets import HEADER, OUTSIDE
from .pixel_lanes import lane_mover, moved_on
from .weight_gradient import NOWHERE
from .words import words


@cache
def warp_grad_weight_kernel(dtype: np.dtype, tile: WarpTile, multiplied: str = "tf32") -> Kernel:
    """The kernel that multiplies float32 arrays as "tf32", float16 arrays as "fp16", for output channels x (c, r, s).

    TypeError for another dtype; ValueError for a tile that warps, or threads in whole lines, do not share evenly.
    """
    of_arrays, numbers, number, word, _ = words(multiplied)
    if dtype != of_arrays:
        raise TypeError(f"this kernel is for {of_arrays}, not {dtype}")
    threads = tile.threads
    tile_m, tile_n, tile_k, warp_m, warp_n = tile
    multiply = warp_product(tile, multiplied, turned=True)
    depth = tile_k // numbers  # in words: as many lanes
    lines = threads // depth  # that the block fetches at once, depth pixels of each
    if not lines or threads % depth or tile_m % lines or tile_n % lines:
        raise ValueError(f"{tile}: its {threads} threads do not fetch {tile_m} and {tile_n} lines of {depth} evenly")
    g_pitch, x_pitch = tile_m + PADDING, tile_n + PADDING
    g_size, x_size = depth * g_pitch, depth * x_pitch  # of one buffer
    both_g, both_x = 2 * g_size, 2 * x_size
    words_g, words_x = tile_m // lines, tile_n // lines  # of a thread
    held_g, held_x = words_g * numbers, words_x * numbers
    warps_n = tile_n // warp_n
    rows, columns = warp_m // 16, warp_n // 8  # matrices of a warp
    sums_shape, g_shape, x_shape = (rows, columns, 4), (rows, 4), (columns, 2)
    fetch_g, fetch_x, store = lane_mover(lines, words_g, words_x, multiplied)

    def conv2d_grad_weight_tensor_cores(
        g, x, parts, table, M, D, N, H, W, P, Q, groups, split, stride_h, stride_w, pad_h, pad_w
    ):
        g_tile = cuda.shared.array(both_g, word, alignment=16)
        x_tile = cuda.shared.array(both_x, word, alignment=16)
        taps = cuda.shared.array(tile_n, int64)
        sums = cuda.local.array(sums_shape, float32)
        g_part = cuda.local.array(g_shape, word)
        x_part = cuda.local.array(x_shape, word)
        next_g = cuda.local.array(held_g, number)
        next_x = cuda.local.array(held_x, number)

        thread = int32(cuda.threadIdx.x)
        J = int32(table[0])
        down = int32((M + tile_m - 1) // tile_m)
        across = int32((J + tile_n - 1) // tile_n)
        block = int32(cuda.blockIdx.x)
        first_m = int32(block % down * tile_m)
        first_j = int32(block // down % across * tile_n)
        group = int32(block // down // across % groups)
        part = int32(block // down // across // groups)
        for j in range(thread, tile_n, threads):
            taps[j] = table[int32(HEADER + first_j + j)] if first_j + j < J else int64(OUTSIDE)

        for i in range(rows):
            for j in range(columns):
                for r in range(4):
                    sums[i, j, r] = float32(0)

        # This thread's first pixel, and how far it is to the next: the other one of a pair, or that of the next tile.
        lane = int32(thread % depth)
        line = int32(thread // depth)
        turned_by = int32(turn(lane))
        pixel = int32(part * split + lane)
        end = int32(min(part * split + split, N * P * Q))
        q = int32(uint32(pixel) % uint32(Q))
        p = int32(uint32(pixel) // uint32(Q) % uint32(P))
        n = int32(uint32(pixel) // uint32(P * Q))
        step_q = int32(depth % Q)
        step_p = int32(depth // Q % P)
        step_n = int32(depth // (P * Q))

        cuda.syncthreads()  # the taps are known
        steps = int32((end - part * split + tile_k - 1) // tile_k)
        warp = int32(thread // WARP)
        t = int32(thread % 4)
        my_m = int32(warp // warps_n * warp_m + thread % WARP // 4)
        my_n = int32(warp % warps_n * warp_n)
        half = int32(1)  # which buffer was filled last
        for step in range(steps + 1):
            if step < steps:
                for u in range(numbers):
                    inside = pixel < end
                    g_base = int32((n * groups + group) * M * P * Q + p * Q + q if inside else 0)
                    row = int32(p * stride_h - pad_h if inside else NOWHERE)
                    column = int32(q * stride_w - pad_w)
                    x_base = int32((n * groups + group) * D * H * W + row * W + column if inside else 0)
                    fetch_g(g, g_base, int32(P * Q), int32(first_m + line), M, inside, next_g, u)
                    fetch_x(x, taps, line, row, column, x_base, H, W, next_x, u)
                    pixel = int32(pixel + depth)
                    n, p, q = moved_on(n, p, q, step_n, step_p, step_q, P, Q)
            if step > 0:
                g_at = uint64(half * g_size + t * g_pitch + my_m)
                x_at = uint64(half * x_size + t * x_pitch + my_n + thread % WARP // 4)
                multiply(g_tile, x_tile, g_at, x_at, g_part, x_part, sums)
            if step < steps:
                half = int32(1 - half)
                store(g_tile, int32(half * g_size + lane * g_pitch), turned_by, line, next_g, words_g)
                store(x_tile, int32(half * x_size + lane * x_pitch), turned_by, line, next_x, words_x)
                cuda.syncthreads()  # the next tiles are whole, and nobody reads the half before last any more

        for i in range(rows):
            for j in range(columns):
                for r in range(4):
                    m = int32(first_m + my_m + 16 * i + r // 2 * 8)
                    to = int32(first_j + my_n + 8 * j + 2 * t + r % 2)
                    if m < M and to < J:
                        parts[int32(((part * groups + group) * M + m) * J + to)] = sums[i, j, r]

    others = {"table": "int64*", "parts": "float32*"}
    return Kernel(conv2d_grad_weight_tensor_cores, dtype, 2, threads, others=others)
