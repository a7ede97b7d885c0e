"""The gradient of a convolution by its weight (and bias), as implicit GEMM: im2col times the transposed gradient.

For some pixels at a time the output's gradient is turned over (pixels × channels), then a few rows of im2col are packed
from the frame (see ``conv_frame``) and the register tile adds their products to those rows of the transposed gradient,
dwᵀ (K × channels). The gradient of the bias is a last row of it: that of an input of ones.

A sum over all images can be divided only by cutting it: into `pieces` of images or rows, and K into `parts`, both by a
rule that knows no threads; threads take such items, and the pieces are added in one order. So the bits do not depend on
the number of threads.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .conv_frame import fill_frame, find_pieces, find_stretches, gather, tap_places
from .conv_turn import transpose, turn
from .conv_vectors import MOST_TAPS, dot_taps, gated_copy
from .tile import ACCUMULATE, TALL, ZERO, tile
from .vectors import LANE_BYTES

PIXELS = 192  # summed at a time: 14 rows of im2col and a panel of the gradient fit the first-level cache

_tile = tile(None, *TALL)
_ROWS, _VECTORS = TALL


@njit(error_model="numpy")
def turn_gradient(to, lanes, g, go, gate, gated, m, room, channel_size, stretches, count):
    """to[panel·room·… + pixel·width + lane]: m channels of g, gated, as panels of pixels × channels."""
    width = _VECTORS * lanes
    for first in range(0, m, lanes):
        panel = first // width * room * width + first % width
        rows = min(lanes, m - first)
        of = go + first * channel_size
        for s in range(count):
            at = of + stretches[1, s]
            turn(
                to, panel + stretches[0, s] * width, width, g, at, channel_size, gate, at, gated, rows, stretches[2, s]
            )


@njit(error_model="numpy")
def add_dots(total, first_k, end_k, size, frame, base, row_size, places, first_place, g, dots, rows, columns, fresh):
    """total[k] += the dot product of g (rows × columns) with what tap k saw of one image; row `size` sees ones."""
    k = first_k
    while k < end_k:
        count = min(MOST_TAPS, min(end_k, size) - k)
        dot_taps(dots, g, 0, columns, frame, base, row_size, places, k - first_place, count, rows, columns)
        for i in range(count):
            total[k + i] = dots[i] if fresh else total[k + i] + dots[i]
        k += count
        if k == size and k < end_k:
            total[k] = dots[MOST_TAPS] if fresh else total[k] + dots[MOST_TAPS]
            k += 1


@njit(error_model="numpy")
def weight_item(
    item, cut, pieces, parts, partial, x, g, gate, gated, sizes, step,
    row_phases, column_phases, row_places, column_places,
):  # fmt: skip
    """Item (piece, part): partial[piece, group, k, channel] of the part's rows k, over the piece's images."""
    images, groups, channels, height, width, m, rows, columns = sizes
    images_at_once, rows_at_once, columns_at_once, _ = cut
    piece, part = divmod(item, parts)
    lanes = LANE_BYTES // x.itemsize
    panel_width = _VECTORS * lanes
    taps = row_places.shape[1] * column_places.shape[1]
    size = channels * taps
    blocks = -(-(size + 1) // _ROWS)
    block = -(-(size + 1) // blocks)
    blocks = -(-(size + 1) // block)
    first_k, end_k = part * blocks // parts * block, min(size + 1, (part + 1) * blocks // parts * block)
    first_channel, end_channel = first_k // taps, min(channels, (end_k - 1) // taps + 1)
    mine = max(0, end_channel - first_channel)

    reach_rows, reach_columns = row_places[1].max(), column_places[1].max()
    frame_size = row_phases.size * (rows_at_once + reach_rows) * column_phases.size * (columns_at_once + reach_columns)
    frame = np.empty(max(1, images_at_once * mine * frame_size), x.dtype)
    places = np.empty(mine * taps, np.int64)
    one_by_one = rows_at_once * columns_at_once if channels == m == 1 else 0
    turned = np.empty(max(one_by_one, -(-m // panel_width) * panel_width * PIXELS), x.dtype)
    dots = np.empty(MOST_TAPS + 1, x.dtype)
    row_step = PIXELS + lanes
    buffer = np.empty(block * row_step, x.dtype)
    stretches, outlets = np.empty((3, PIXELS), np.int64), np.empty((3, PIXELS), np.int64)
    stretch_pieces, starts = np.empty((3, PIXELS), np.int64), np.empty(PIXELS // lanes + 1, np.int64)

    channel_size = rows * columns
    column_blocks = -(-columns // columns_at_once)
    image_blocks = -(-rows // rows_at_once) * column_blocks
    units = images * image_blocks
    unit, last = piece * units // pieces, (piece + 1) * units // pieces
    room = partial.shape[3]
    start = ZERO
    before, most = (-1, -1, -1, -1), 0  # what the frame's edges are clean for
    while unit < last:
        image, inside = divmod(unit, image_blocks)
        row, column = inside // column_blocks * rows_at_once, inside % column_blocks * columns_at_once
        count, high, wide = (
            min(images_at_once, last - unit), min(rows_at_once, rows - row), min(columns_at_once, columns - column)
        )  # fmt: skip
        unit += count
        slot_rows, slot_columns = high + reach_rows, wide + reach_columns
        row_size = column_phases.size * slot_columns
        plane = row_phases.size * slot_rows * row_size
        tap_places(places, mine, row_places, column_places, plane, slot_rows, row_size, slot_columns)
        pixels = high * wide
        stretch = pixels if wide == columns else wide
        for group in range(groups):
            here = (row, column, high, wide)
            fill_frame(
                frame, here == before and count <= most, x, x, False, mine, groups * channels,
                group * channels + first_channel, image, count, height, width, row, column, step[0], step[1],
                row_phases, column_phases, slot_rows, slot_columns,
            )  # fmt: skip
            before, most = here, count
            go = (image * groups + group) * m * channel_size + row * columns + column
            if channels == m == 1:  # a channel with a kernel of its own
                for number in range(count):
                    of = go + number * groups * channel_size
                    for r in range(high):
                        gated_copy(turned, r * wide, g, of + r * columns, gate, of + r * columns, gated, wide)
                    add_dots(
                        partial[piece, group, :, 0], first_k, end_k, size, frame, number * plane, row_size, places,
                        first_channel * taps, turned, dots, high, wide, start == ZERO and number == 0,
                    )  # fmt: skip
                continue
            for pixel in range(0, count * pixels, PIXELS):
                n = min(PIXELS, count * pixels - pixel)
                inlets = find_stretches(stretches, pixel, n, pixels, wide, mine * plane, row_size, 1)
                vectors = find_pieces(stretch_pieces, starts, stretches, inlets, lanes, n)
                exits = find_stretches(
                    outlets, pixel, n, pixels, stretch, groups * m * channel_size, columns, 1
                )  # fmt: skip
                turn_gradient(turned, lanes, g, go, gate, gated, m, PIXELS, channel_size, outlets, exits)
                for k in range(first_k, end_k, block):
                    tall = min(block, end_k - k)
                    within = min(tall, size - k)
                    gather(
                        buffer, row_step, frame, 0, stretch_pieces, starts, vectors, lanes, places,
                        k - first_channel * taps, within,
                    )  # fmt: skip
                    if within < tall:
                        for j in range(n):
                            buffer[within * row_step + j] = 1
                    to = ((piece * groups + group) * (size + 1) + k) * room
                    for o in range(0, m, panel_width):
                        _tile(
                            buffer, 0, row_step, 1, 0, turned, o * PIXELS, panel_width, 0, 1, n, partial, to + o, room,
                            tall, min(panel_width, m - o), start if pixel == 0 else ACCUMULATE, buffer, 0, False,
                        )  # fmt: skip
        start = ACCUMULATE
    if start == ZERO:
        partial[piece, :, first_k:end_k] = 0


@njit(error_model="numpy")
def add_pieces(part, parts, partial, dw, db, groups, m, size):
    """Rows part·size/parts … of dwᵀ, all pieces added, turned over into dw (groups·m, size); the last part: db."""
    room = partial.shape[3]
    first, end = part * size // parts, (part + 1) * size // parts + (part == parts - 1)
    for group in range(groups):
        total = partial[0, group]
        for piece in range(1, partial.shape[0]):
            for k in range(first, end):
                for o in range(m):
                    total[k, o] += partial[piece, group, k, o]
        rows = min(end, size) - first
        of = (group * (size + 1) + first) * room
        transpose(dw, group * m * size + first, size, partial, of, room, rows, m)
        if end > size:
            for o in range(m):
                db[group * m + o] = total[size, o]


_SIGNATURES = [
    f"void({', '.join(kinds)})"
    for real in ("float32", "float64")
    for kinds in [[
        "int64", "UniTuple(int64, 4)", "int64", f"{real}[:,:,:,::1]", f"{real}[::1]", f"{real}[::1]", f"{real}[::1]",
        "boolean", f"{real}[::1]", f"{real}[::1]", "UniTuple(int64, 8)", "UniTuple(int64, 2)",
        "int64[::1]", "int64[::1]", "int64[:,::1]", "int64[:,::1]",
    ]]
]  # fmt: skip


@compiled(_SIGNATURES, parallel=True)
def correlate_weight(
    threads, cut, parts, partial, x, g, gate, gated, dw, db, sizes, step,
    row_phases, column_phases, row_places, column_places,
):  # fmt: skip
    """Write dw and db from flat arrays x and g. Nothing is checked: ``conv2d`` does. For the arguments see correlate.

    partial (pieces, groups, K + 1, room for m channels) is scratch memory.
    """
    pieces = partial.shape[0]
    items = pieces * parts
    if threads == 1:  # a parallel loop wakes all threads, however short it is
        for item in range(items):
            weight_item(
                item, cut, pieces, parts, partial, x, g, gate, gated, sizes, step, row_phases, column_phases,
                row_places, column_places,
            )  # fmt: skip
        add_pieces(0, 1, partial, dw, db, sizes[1], sizes[5], partial.shape[2] - 1)
        return
    for thread in prange(threads):
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            weight_item(
                item, cut, pieces, parts, partial, x, g, gate, gated, sizes, step, row_phases, column_phases,
                row_places, column_places,
            )  # fmt: skip
    for thread in prange(threads):
        add_pieces(thread, threads, partial, dw, db, sizes[1], sizes[5], partial.shape[2] - 1)
