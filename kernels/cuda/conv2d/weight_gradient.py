"""The gradient by the weight, as an implicit matrix product cut along its long side.

    dw[o, j] = sum over k = (n, p, q) of g[o, k] * windows[j, k],    j = (c, r, s)

The sum runs over all the pixels of all images, and there are few weights: a block for each tile of dw would leave most
of a GPU idle. So the pixels are cut into parts ("split-K"), each block adds up one part, and ``strips`` adds the parts
in their order. No two blocks add to one number: the same bits every time, which atomic additions would not give.
It costs one copy of dw a part, written and read once.

Neighbouring threads fetch neighbouring pixels of one channel, of g and of x (``pixel_lanes``). A thread's pixels lie
tile_k apart; where an input lies from there, the table of ``offsets`` says, whose entries wait in shared memory. All
else is as in ``implicit_gemm``. (NVIDIA, *CUTLASS*, "split-K".)
"""

from functools import cache

import numpy as np
from numba import cuda, float32, int32, int64, uint32

from ..matmul.outer_product import group_steps, outer_product
from ..matmul.tile import Tile
from ..plan import Kernel
from .offsets import HEADER, OUTSIDE
from .pixel_lanes import lane_mover, moved_on

NOWHERE = -(1 << 20)  # the row of what is no pixel: outside of the image under every tap
PADDING = 4  # of a line in shared memory: eight lines at four neighbouring places are then in 32 banks


@cache
def grad_weight_kernel(dtype: np.dtype, tile: Tile) -> Kernel:
    """The kernel for float32 and one tile of output channels x (c, r, s).

    TypeError for another dtype; ValueError for a tile that the threads do not share in whole lines.
    """
    if dtype != np.float32:
        raise TypeError(f"this kernel is for float32, not {dtype}")
    threads = tile.threads
    min_blocks = 2 if threads == 256 else 1  # so many share the registers of a multiprocessor
    tile_m, tile_n, tile_k, thread_m, thread_n = tile
    lines = threads // tile_k  # that the block fetches at once, tile_k pixels of each
    if not lines or threads % tile_k or tile_m % lines or tile_n % lines:
        raise ValueError(f"{tile}: its {threads} threads do not fetch {tile_m} and {tile_n} lines of {tile_k} evenly")
    g_pitch, x_pitch = tile_m + PADDING, tile_n + PADDING
    g_size, x_size = tile_k * g_pitch, tile_k * x_pitch  # of one buffer
    both_g, both_x, sums_shape = 2 * g_size, 2 * x_size, (thread_m, thread_n)
    held_g, held_x = tile_m // lines, tile_n // lines
    threads_n = tile_n // thread_n
    next_rows, next_columns = group_steps(tile)
    multiply = outer_product(tile)

    fetch_g, fetch_x, store = lane_mover(lines, held_g, held_x, "float32")

    def conv2d_grad_weight_gemm(
        g, x, parts, table, M, D, N, H, W, P, Q, groups, split, stride_h, stride_w, pad_h, pad_w
    ):
        g_tile = cuda.shared.array(both_g, float32, alignment=16)
        x_tile = cuda.shared.array(both_x, float32, alignment=16)
        taps = cuda.shared.array(tile_n, int64)
        sums = cuda.local.array(sums_shape, float32)
        g_column = cuda.local.array(thread_m, float32)
        x_row = cuda.local.array(thread_n, float32)
        next_g = cuda.local.array(held_g, float32)
        next_x = cuda.local.array(held_x, float32)

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

        for i in range(thread_m):
            for j in range(thread_n):
                sums[i, j] = float32(0)

        # This thread's pixel of the first tile, and how far it is to that of the next.
        lane = int32(thread % tile_k)
        line = int32(thread // tile_k)
        pixel = int32(part * split + lane)
        end = int32(min(part * split + split, N * P * Q))
        q = int32(uint32(pixel) % uint32(Q))
        p = int32(uint32(pixel) // uint32(Q) % uint32(P))
        n = int32(uint32(pixel) // uint32(P * Q))
        step_q = int32(tile_k % Q)
        step_p = int32(tile_k // Q % P)
        step_n = int32(tile_k // (P * Q))

        cuda.syncthreads()  # the taps are known
        steps = int32((end - part * split + tile_k - 1) // tile_k)
        my_m = int32(thread // threads_n * 4)
        my_n = int32(thread % threads_n * 4)
        half = int32(1)  # which buffer was filled last
        for step in range(steps + 1):
            if step < steps:
                inside = pixel < end
                g_base = int32((n * groups + group) * M * P * Q + p * Q + q if inside else 0)
                row = int32(p * stride_h - pad_h if inside else NOWHERE)
                column = int32(q * stride_w - pad_w)
                x_base = int32((n * groups + group) * D * H * W + row * W + column if inside else 0)
                fetch_g(g, g_base, int32(P * Q), int32(first_m + line), M, inside, next_g, 0)
                fetch_x(x, taps, line, row, column, x_base, H, W, next_x, 0)
                pixel = int32(pixel + tile_k)
                n, p, q = moved_on(n, p, q, step_n, step_p, step_q, P, Q)
            if step > 0:
                for k in range(tile_k):
                    g_at = int32(half * g_size + k * g_pitch + my_m)
                    x_at = int32(half * x_size + k * x_pitch + my_n)
                    multiply(g_tile, x_tile, g_at, x_at, g_column, x_row, sums)
            if step < steps:
                half = int32(1 - half)
                store(g_tile, int32(half * g_size + lane * g_pitch), int32(0), line, next_g, held_g)
                store(x_tile, int32(half * x_size + lane * x_pitch), int32(0), line, next_x, held_x)
                cuda.syncthreads()  # the next tiles are whole, and nobody reads the half before last any more

        for i in range(thread_m):
            m = int32(first_m + my_m + i // 4 * next_rows + i % 4)
            if m < M:
                for j in range(thread_n):
                    column = int32(first_j + my_n + j // 4 * next_columns + j % 4)
                    if column < J:
                        parts[int32(((part * groups + group) * M + m) * J + column)] = sums[i, j]

    return Kernel(conv2d_grad_weight_gemm, dtype, 3, threads, min_blocks, {"table": "int64*"})
