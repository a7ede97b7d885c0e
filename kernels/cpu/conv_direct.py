"""Correlation of images with weights without im2col: the register tile reads images where they lie.

For every block of images or rows a channels-last frame is filled (see ``conv_image``). The tile's rows are neighbouring
pixels, its columns output channels: at each (tap, channel) a number of every pixel is broadcast and multiplied into a
vector of weights. The sums, pixels × channels, are turned over on their way out. This is the layout of Georganas et
al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures" (2018). It suits 16 output channels
and more; ``conv_correlate`` has its vectors along the pixels.

Threads work on different images, rows or output channels, and every sum runs in one order, whatever their number.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .conv_image import fill_image, fill_pooled, slots, write_pixels
from .conv_turn import transpose
from .conv_vectors import gated_copy
from .tile import ACCUMULATE, TALL, tile
from .vectors import LANE_BYTES

FLUSH = 112  # pixels, about, whose sums are turned over while they lie in the first-level cache

_tile = tile(None, *TALL)
_ROWS, _VECTORS = TALL


@njit(error_model="numpy")
def pack_by_tap(part, parts, to, w, groups, m, channels, strides, row_taps, column_taps, window):
    """Panels of output channels side by side: to[(group·m + panel's first)·K + (tap·C + c)·width of it + row].

    w[group·strides[0] + row·strides[1] + c·strides[2] + i·window[1] + j] is the weight of tap (i, j).
    """
    high, wide = row_taps.size, column_taps.size
    taps, panel = high * wide, _VECTORS * (LANE_BYTES // w.itemsize)
    upwards, downwards = taps == window[0] * window[1], taps == window[0] * window[1]
    for i in range(high):
        upwards, downwards = upwards and row_taps[i] == i, downwards and row_taps[i] == high - 1 - i
    for j in range(wide):
        upwards, downwards = upwards and column_taps[j] == j, downwards and column_taps[j] == wide - 1 - j
    first, end = part * channels // parts, (part + 1) * channels // parts
    for group in range(groups):
        for start in range(0, m, panel):
            width = min(panel, m - start)
            k = (group * m + start) * channels * taps
            base = group * strides[0] + start * strides[1]
            if taps == 1 and strides[2] == 1:
                transpose(to, k + first * width, width, w, base + first, strides[1], width, end - first)
                continue
            for c in range(first, end):
                of, at = base + c * strides[2], k + c * width
                if taps == 1 and strides[1] == 1:
                    gated_copy(to, at, w, of, w, of, False, width)
                elif upwards:
                    transpose(to, at, channels * width, w, of, strides[1], width, taps)
                elif downwards:
                    last = at + (taps - 1) * channels * width
                    transpose(to, last, -channels * width, w, of, strides[1], width, taps)
                else:
                    for i in row_taps:
                        for j in column_taps:
                            for row in range(width):
                                to[at + row] = w[of + row * strides[1] + i * window[1] + j]
                            at += channels * width


@njit(error_model="numpy")
def sums(
    frame, at, outer, inner, along, channels, row_taps, row_step, column_taps, column_delta, w, wo, n, c,
    start, bias, bias_o, relu,
):  # fmt: skip
    """c[pixel, channel] for outer × inner × along pixels; each axis is (count, distance in frame, distance in c).

    The taps: `row_taps` rows, `row_step` apart in the frame, of `column_taps` pixels, `column_delta` pixels apart.
    """
    count = along[0]
    block = -(-count // -(-count // _ROWS))
    run = column_taps * channels
    for i in range(outer[0]):
        for j in range(inner[0]):
            for p in range(0, count, block):
                of = at + i * outer[1] + j * inner[1] + p * along[1]
                to = i * outer[2] + j * inner[2] + p * along[2]
                m = min(block, count - p)
                if column_delta == 1 or channels == 1:
                    _tile(
                        frame, of, along[1], column_delta, row_step, w, wo, n, run * n, row_taps, run,
                        c, to, along[2], m, n, start, bias, bias_o, relu,
                    )  # fmt: skip
                    continue
                for tap in range(row_taps):
                    _tile(
                        frame, of + tap * row_step, along[1], 1, column_delta * channels, w, wo + tap * run * n, n,
                        channels * n, column_taps, channels, c, to, along[2], m, n,
                        ACCUMULATE if tap else start, bias, bias_o, relu and tap == row_taps - 1,
                    )  # fmt: skip


@njit(error_model="numpy")
def direct_part(
    thread, threads, cut, x, gate, gated, winners, pooled, a, bias, start, relu, y, sizes, row_axis, column_axis, out
):  # fmt: skip
    """One thread's share: some of the blocks of pixels, some of the output channels."""
    images, groups, channels, m = sizes
    _, rows, _, _, _, row_hop, row_delta, row_taps = row_axis
    _, columns, _, _, _, column_hop, column_delta, column_taps = column_axis
    first_row, row_spacing, row_room, first_column, column_spacing, column_room = out
    images_at_once, rows_at_once, columns_at_once, row_parts, along = cut
    panel = _VECTORS * (LANE_BYTES // x.itemsize)
    depth, panels = channels * row_taps * column_taps, -(-m // panel)
    part = thread % row_parts
    first_panel, end_panel = part * panels // row_parts, (part + 1) * panels // row_parts
    frame = np.empty(
        images_at_once * slots(row_axis, rows_at_once) * slots(column_axis, columns_at_once) * channels, x.dtype
    )
    pixels = np.empty(images_at_once * rows_at_once * columns_at_once * panel, x.dtype)
    apart = np.empty(columns_at_once * panel if column_spacing > 1 else 0, x.dtype)
    turned = np.empty(pooled[0] * pooled[1] * channels, x.dtype)

    channel_size = row_room * column_room
    column_blocks = -(-columns // columns_at_once)
    image_blocks = -(-rows // rows_at_once) * column_blocks
    units, parts = images * image_blocks, threads // row_parts
    unit, last = thread // row_parts * units // parts, (thread // row_parts + 1) * units // parts
    before, most = (-1, -1, -1, -1), 0  # what the frame's edges are clean for
    while unit < last:
        image, inside = divmod(unit, image_blocks)
        row, column = inside // column_blocks * rows_at_once, inside % column_blocks * columns_at_once
        count, high, wide = (
            min(images_at_once, last - unit), min(rows_at_once, rows - row), min(columns_at_once, columns - column)
        )  # fmt: skip
        unit += count
        slot_rows, slot_columns = slots(row_axis, high), slots(column_axis, wide)
        line = slot_columns * channels
        in_image, in_row, in_column = (count, slot_rows * line), (high, row_hop * line), (wide, column_hop * channels)
        here = (row, column, high, wide)
        place = (first_row + row * row_spacing) * column_room + first_column + column * column_spacing
        for group in range(groups):
            clean = here == before and count <= most
            if pooled[1]:
                fill_pooled(
                    frame, clean, turned, x, winners, pooled, channels, groups * channels, group * channels,
                    image, count, row, column, row_axis, column_axis, slot_rows, slot_columns,
                )  # fmt: skip
            else:
                fill_image(
                    frame, clean, x, gate, gated, channels, groups * channels, group * channels,
                    image, count, row, column, row_axis, column_axis, slot_rows, slot_columns,
                )  # fmt: skip
            before, most = here, count
            for p in range(first_panel, end_panel):
                n = min(panel, m - p * panel)
                first = group * m + p * panel
                if along == 2:  # a tile's rows are the same pixel of several images
                    sums(
                        frame, 0, (high, in_row[1], wide * panel), (wide, in_column[1], panel),
                        (count, in_image[1], high * wide * panel), channels, row_taps, row_delta * line, column_taps,
                        column_delta, a, first * depth, n, pixels, start, bias, first, relu,
                    )  # fmt: skip
                    for k in range(count):
                        to = ((image + k) * groups * m + first) * channel_size + place
                        write_pixels(
                            y, to, channel_size, row_spacing * column_room, column_spacing,
                            pixels[k * high * wide * panel :], panel, high, wide, n, apart,
                        )  # fmt: skip
                    continue
                at_once = high if along == 1 else max(1, FLUSH // wide)
                for k in range(count):
                    to = ((image + k) * groups * m + first) * channel_size + place
                    for i in range(0, high, at_once):
                        now = min(at_once, high - i)
                        down, across = (now, in_row[1], wide * panel), (wide, in_column[1], panel)
                        sums(
                            frame, k * in_image[1] + i * in_row[1], (1, 0, 0), across if along == 1 else down,
                            down if along == 1 else across, channels, row_taps, row_delta * line, column_taps,
                            column_delta, a, first * depth, n, pixels, start, bias, first, relu,
                        )  # fmt: skip
                        write_pixels(
                            y, to + i * row_spacing * column_room, channel_size, row_spacing * column_room,
                            column_spacing, pixels, panel, now, wide, n, apart,
                        )  # fmt: skip


_SIGNATURES = [
    f"void({', '.join(kinds)})"
    for real in ("float32", "float64")
    for kinds in [[
        "int64", "UniTuple(int64, 5)", f"{real}[::1]", f"{real}[::1]", "boolean", "uint8[::1]",
        "UniTuple(int64, 2)", f"{real}[::1]", "UniTuple(int64, 3)", f"{real}[::1]", "int64", "boolean", f"{real}[::1]",
        "UniTuple(int64, 4)", "UniTuple(int64, 8)", "UniTuple(int64, 8)", "UniTuple(int64, 6)", "UniTuple(int64, 2)",
        "int64[::1]", "int64[::1]",
    ]]
]  # fmt: skip


@compiled(_SIGNATURES, parallel=True)
def correlate_direct(
    threads, cut, x, gate, gated, winners, pooled, w, strides, bias, start, relu, y, sizes, row_axis, column_axis, out,
    window, row_taps, column_taps,
):  # fmt: skip
    """Write y[n, g·m + o, …] = start + Σ x·w for all pixels of two ``conv_plan.Line``. Nothing is checked here.

    Flat arrays x, y, w (its strides and window as in pack_by_tap) and bias; sizes = (n, groups, channels a group, m);
    out = (first, spacing, room) of the rows, then of the columns. If `pooled` is not (0, 0), x is the gradient of a
    max-pooling of that many rows and columns, with these winners (see ``fill_pooled``).
    """
    a = np.empty(sizes[1] * sizes[3] * sizes[2] * row_taps.size * column_taps.size, x.dtype)
    if threads == 1:  # a parallel loop wakes all threads, however short it is
        pack_by_tap(0, 1, a, w, sizes[1], sizes[3], sizes[2], strides, row_taps, column_taps, window)
        direct_part(
            0, 1, cut, x, gate, gated, winners, pooled, a, bias, start, relu, y, sizes, row_axis, column_axis, out
        )
        return
    for part in prange(threads):
        pack_by_tap(part, threads, a, w, sizes[1], sizes[3], sizes[2], strides, row_taps, column_taps, window)
    for thread in prange(threads):
        direct_part(
            thread, threads, cut, x, gate, gated, winners, pooled, a, bias, start, relu, y, sizes, row_axis,
            column_axis, out,
        )  # fmt: skip
