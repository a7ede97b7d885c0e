"""The gradient of a convolution by its weight (and bias) for few output channels: ``conv_direct_weight``, turned over.

Vectors of few channels would be mostly empty. But in a channels-last frame (see ``conv_image``) the taps of one kernel
row, window columns × channels, are neighbours too: so here they are a tile's columns, output channels its rows, and a
number of the output's gradient is multiplied with all that its pixel saw in that row. The frame is read where it lies,
and the gradient as it lies.

The sum is cut into `pieces` of images or rows, and the input channels into `parts`, both by a rule that knows no
threads; threads take such items, and the pieces are added in one order. So the bits do not depend on their number.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .conv_image import fill_image, slots
from .conv_turn import transpose
from .conv_vectors import MOST_TAPS, dot_taps, gated_copy
from .tile import ACCUMULATE, FLAT, SINGLE, TALL, ZERO, tile
from .vectors import LANE_BYTES

_tall, _flat, _single = (tile(None, *shape) for shape in (TALL, FLAT, SINGLE))


@njit(error_model="numpy")
def add_products(
    vectors, block, frame, at, pixel_size, row_size, g, go, g_room, g_row, rows, columns, m, n, partial, po, room, start
):  # fmt: skip
    """partial[po + o·room + j] = start + Σ g[go + o·g_room + i·g_row + k]·frame[at + i·row_size + k·pixel_size + j]

    over i < rows and k < columns, for o < m output channels and j < n.
    """
    width = vectors * (LANE_BYTES // g.itemsize)
    for j in range(0, n, width):
        wide = min(width, n - j)
        for o in range(0, m, block):
            of, to, tall = go + o * g_room, po + o * room + j, min(block, m - o)
            if vectors == TALL.vectors:
                _tall(
                    g, of, g_room, 1, g_row, frame, at + j, pixel_size, row_size, rows, columns, partial, to, room,
                    tall, wide, start, g, 0, False,
                )  # fmt: skip
            elif vectors == FLAT.vectors:
                _flat(
                    g, of, g_room, 1, g_row, frame, at + j, pixel_size, row_size, rows, columns, partial, to, room,
                    tall, wide, start, g, 0, False,
                )  # fmt: skip
            else:
                _single(
                    g, of, g_room, 1, g_row, frame, at + j, pixel_size, row_size, rows, columns, partial, to, room,
                    tall, wide, start, g, 0, False,
                )  # fmt: skip


@njit(error_model="numpy")
def narrow_item(item, cut, shape, pieces, parts, partial, x, g, gate, gated, sizes, row_axis, column_axis):
    """Item (piece, part): partial[piece, group, o, …] of the part's input channels, over the piece's images.

    There the part's channels c0 … c1 − 1 begin at c0·taps: (tap, c − c0); behind all of them is the bias's gradient.
    """
    images, groups, channels, m = sizes
    _, rows, _, _, _, row_hop, row_delta, row_taps = row_axis
    _, columns, _, _, _, column_hop, column_delta, column_taps = column_axis
    images_at_once, rows_at_once, columns_at_once, _, _ = cut
    vectors, block = shape
    piece, part = divmod(item, parts)
    first, end = part * channels // parts, (part + 1) * channels // parts
    mine, taps, room = end - first, row_taps * column_taps, partial.shape[3]
    # Neighbours in the frame: the taps of a kernel row, or, where they are dilated, the channels of a tap.
    runs, run = (1, column_taps * mine) if column_delta == 1 else (column_taps, mine)
    with_bias = part == parts - 1

    frame = np.empty(
        images_at_once * slots(row_axis, rows_at_once) * slots(column_axis, columns_at_once) * mine, x.dtype
    )
    through = np.empty(m * images_at_once * rows_at_once * columns_at_once, x.dtype)
    dots, no_taps = np.empty(MOST_TAPS + 1, x.dtype), np.empty(0, np.int64)
    flat = partial.reshape(-1)
    column_blocks = -(-columns // columns_at_once)
    image_blocks = -(-rows // rows_at_once) * column_blocks
    units = images * image_blocks
    unit, last = piece * units // pieces, (piece + 1) * units // pieces
    start = ZERO
    before, most = (-1, -1, -1, -1), 0  # what the frame's edges are clean for
    while unit < last:
        image, inside = divmod(unit, image_blocks)
        row, column = inside // column_blocks * rows_at_once, inside % column_blocks * columns_at_once
        count, high, wide = (
            min(images_at_once, last - unit), min(rows_at_once, rows - row), min(columns_at_once, columns - column)
        )  # fmt: skip
        unit += count
        slot_rows, slot_columns = slots(row_axis, high), slots(column_axis, wide)
        line, pixels, here = slot_columns * mine, high * wide, (row, column, high, wide)
        for group in range(groups):
            fill_image(
                frame, here == before and count <= most, x, x, False, mine, groups * channels,
                group * channels + first, image, count, row, column, row_axis, column_axis, slot_rows, slot_columns,
            )  # fmt: skip
            before, most = here, count
            for o in range(m):
                for k in range(count):
                    of = ((((image + k) * groups + group) * m + o) * rows + row) * columns + column
                    to, stretch = (o * count + k) * pixels, pixels if wide == columns else wide
                    for i in range(0, pixels, stretch):
                        gated_copy(through, to + i, g, of, gate, of, gated, stretch)
                        of += columns
            po = (piece * groups + group) * m * room
            for tap in range(row_taps * runs):
                i, j = divmod(tap, runs)
                at, to = i * row_delta * line + j * column_delta * mine, po + first * taps + tap * run
                if count == 1:
                    add_products(
                        vectors, block, frame, at, column_hop * mine, row_hop * line, through, 0, pixels, wide, high,
                        wide, m, run, flat, to, room, start,
                    )  # fmt: skip
                    continue
                for r in range(high):  # a row of each of several small images, then the next
                    add_products(
                        vectors, block, frame, at + r * row_hop * line, column_hop * mine, slot_rows * line, through,
                        r * wide, count * pixels, pixels, count, wide, m, run, flat, to, room,
                        ACCUMULATE if r else start,
                    )  # fmt: skip
            if with_bias:
                for o in range(m):
                    n = count * pixels
                    dot_taps(dots, through, o * n, n, frame, 0, 0, no_taps, 0, 0, 1, n)
                    partial[piece, group, o, room - 1] = dots[MOST_TAPS] + (
                        0 if start == ZERO else partial[piece, group, o, room - 1]
                    )
        start = ACCUMULATE
    if start == ZERO:  # a piece without pixels
        partial[piece, :, :, first * taps : end * taps + with_bias] = 0


@njit(error_model="numpy")
def add_narrow_pieces(share, shares, parts, partial, dw, db, groups, channels, m, taps):
    """A share of each part's channels, all pieces added, turned over into dw (groups·m, C·taps); the last: db."""
    room, size, flat = partial.shape[3], channels * taps, partial.reshape(-1)
    for part in range(parts):
        c0, c1 = part * channels // parts, (part + 1) * channels // parts
        first, end = share * (c1 - c0) // shares, (share + 1) * (c1 - c0) // shares
        for group in range(groups):
            for o in range(m):
                total = partial[0, group, o]
                for piece in range(1, partial.shape[0]):
                    more = partial[piece, group, o]
                    for tap in range(taps):
                        at = c0 * taps + tap * (c1 - c0)
                        for k in range(at + first, at + end):
                            total[k] += more[k]
                row = group * m + o
                transpose(
                    dw, row * size + (c0 + first) * taps, taps, flat, row * room + c0 * taps + first, c1 - c0, taps,
                    end - first,
                )  # fmt: skip
    if share == shares - 1:
        for group in range(groups):
            for o in range(m):
                db[group * m + o] = partial[:, group, o, room - 1].sum()


_SIGNATURES = [
    f"void({', '.join(kinds)})"
    for real in ("float32", "float64")
    for kinds in [[
        "int64", "UniTuple(int64, 5)", "UniTuple(int64, 2)", "int64", f"{real}[:,:,:,::1]", f"{real}[::1]",
        f"{real}[::1]", f"{real}[::1]", "boolean", f"{real}[::1]", f"{real}[::1]", "UniTuple(int64, 4)",
        "UniTuple(int64, 8)", "UniTuple(int64, 8)",
    ]]
]  # fmt: skip


@compiled(_SIGNATURES, parallel=True)
def correlate_narrow_weight(
    threads, cut, shape, parts, partial, x, g, gate, gated, dw, db, sizes, row_axis, column_axis
):
    """Write dw and db from flat arrays x and g. Nothing is checked: ``conv2d`` does. The axes are of outputs.

    partial (pieces, groups, m, K + 1) is scratch memory; shape = (vectors of the tile, rows of a block); sizes = (n,
    groups, channels a group, m).
    """
    pieces = partial.shape[0]
    items = pieces * parts
    taps = row_axis[7] * column_axis[7]
    if threads == 1:  # a parallel loop wakes all threads, however short it is
        for item in range(items):
            narrow_item(item, cut, shape, pieces, parts, partial, x, g, gate, gated, sizes, row_axis, column_axis)
        add_narrow_pieces(0, 1, parts, partial, dw, db, sizes[1], sizes[2], sizes[3], taps)
        return
    for thread in prange(threads):
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            narrow_item(item, cut, shape, pieces, parts, partial, x, g, gate, gated, sizes, row_axis, column_axis)
    for thread in prange(threads):
        add_narrow_pieces(thread, threads, parts, partial, dw, db, sizes[1], sizes[2], sizes[3], taps)
