"""Convolution, bias, ReLU and 2 × 2 max-pooling in one pass: what ``conv_direct`` does, and its sums pooled at once.

The sums of a few rows of outputs lie pixel by pixel in the first-level cache, where the largest of four is a vector
operation over the channels: only a quarter of the numbers is turned over and leaves. A window's winner is a byte, which
also says where the ReLU lets no gradient pass (see ``pool_pixels``); winners stay channels-last, as the gradient's
kernels read them.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .conv_direct import pack_by_tap, sums
from .conv_image import fill_image, slots, write_pixels
from .pool_vectors import pool_pixels
from .tile import TALL
from .vectors import LANE_BYTES

FLUSH = 56  # pixels, about, that are pooled while they lie in the first-level cache

_VECTORS = TALL.vectors


@njit(error_model="numpy")
def pooled_part(
    thread, threads, cut, x, a, bias, start, y, winners, sizes, row_axis, column_axis, pooled
):  # fmt: skip
    """One thread's share: some of the blocks of pooled pixels, some of the output channels."""
    images, groups, channels, m = sizes
    _, _, _, _, _, row_hop, row_delta, row_taps = row_axis
    _, _, _, _, _, column_hop, column_delta, column_taps = column_axis
    rows, columns = pooled
    images_at_once, rows_at_once, _, row_parts, along = cut
    panel = _VECTORS * (LANE_BYTES // x.itemsize)
    depth, panels = channels * row_taps * column_taps, -(-m // panel)
    part = thread % row_parts
    first_panel, end_panel = part * panels // row_parts, (part + 1) * panels // row_parts
    wide = 2 * columns
    slot_columns = slots(column_axis, wide)
    line = slot_columns * channels
    frame = np.empty(images_at_once * slots(row_axis, 2 * rows_at_once) * line, x.dtype)
    at_once = rows_at_once if along == 1 else min(rows_at_once, max(1, FLUSH // (2 * wide)))
    pixels = np.empty(2 * at_once * wide * panel, x.dtype)
    maxima = np.empty(rows_at_once * columns * panel, x.dtype)

    blocks = -(-rows // rows_at_once)
    units, parts = images * blocks, threads // row_parts
    unit, last = thread // row_parts * units // parts, (thread // row_parts + 1) * units // parts
    before, most = (-1, -1), 0  # what the frame's edges are clean for
    while unit < last:
        image, row = divmod(unit, blocks)
        row *= rows_at_once
        count, high = min(images_at_once, last - unit), min(rows_at_once, rows - row)
        unit += count
        slot_rows = slots(row_axis, 2 * high)
        for group in range(groups):
            fill_image(
                frame, (row, high) == before and count <= most, x, x, False, channels, groups * channels,
                group * channels, image, count, 2 * row, 0, row_axis, column_axis, slot_rows, slot_columns,
            )  # fmt: skip
            before, most = (row, high), count
            for p in range(first_panel, end_panel):
                n = min(panel, m - p * panel)
                first = group * m + p * panel
                for k in range(count):
                    for i in range(0, high, at_once):
                        now = min(at_once, high - i)
                        down, across = (2 * now, row_hop * line, wide * panel), (wide, column_hop * channels, panel)
                        sums(
                            frame, (k * slot_rows + 2 * i * row_hop) * line, (1, 0, 0), across if along == 1 else down,
                            down if along == 1 else across, channels, row_taps, row_delta * line, column_taps,
                            column_delta, a, first * depth, n, pixels, start, bias, first, True,
                        )  # fmt: skip
                        for j in range(now * columns):
                            r, c = divmod(j, columns)
                            place = ((image + k) * rows + row + i + r) * columns + c
                            pool_pixels(
                                pixels, (r * wide + c) * 2 * panel, wide * panel, panel, maxima,
                                (i * columns + j) * panel, winners, place * groups * m + first, n,
                            )  # fmt: skip
                    to = (((image + k) * groups * m + first) * rows + row) * columns
                    write_pixels(y, to, rows * columns, columns, 1, maxima, panel, high, columns, n, maxima)


_SIGNATURES = [
    f"void({', '.join(kinds)})"
    for real in ("float32", "float64")
    for kinds in [[
        "int64", "UniTuple(int64, 5)", f"{real}[::1]", f"{real}[::1]", "UniTuple(int64, 3)", f"{real}[::1]", "int64",
        f"{real}[::1]", "uint8[::1]", "UniTuple(int64, 4)", "UniTuple(int64, 8)", "UniTuple(int64, 8)",
        "UniTuple(int64, 2)", "UniTuple(int64, 2)", "int64[::1]", "int64[::1]",
    ]]
]  # fmt: skip


@compiled(_SIGNATURES, parallel=True)
def correlate_pooled(
    threads, cut, x, w, strides, bias, start, y, winners, sizes, row_axis, column_axis, pooled, window, row_taps,
    column_taps,
):  # fmt: skip
    """Write y (n, groups·m, *pooled) and winners (n, *pooled, groups·m), both flat; the rest as ``correlate_direct``.

    `cut` counts pooled rows. Nothing is checked.
    """
    a = np.empty(sizes[1] * sizes[3] * sizes[2] * row_taps.size * column_taps.size, x.dtype)
    if threads == 1:  # a parallel loop wakes all threads, however short it is
        pack_by_tap(0, 1, a, w, sizes[1], sizes[3], sizes[2], strides, row_taps, column_taps, window)
        pooled_part(0, 1, cut, x, a, bias, start, y, winners, sizes, row_axis, column_axis, pooled)
        return
    for part in prange(threads):
        pack_by_tap(part, threads, a, w, sizes[1], sizes[3], sizes[2], strides, row_taps, column_taps, window)
    for thread in prange(threads):
        pooled_part(thread, threads, cut, x, a, bias, start, y, winners, sizes, row_axis, column_axis, pooled)
