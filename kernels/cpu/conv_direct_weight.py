"""The gradient of a convolution by its weight (and bias) without im2col: the counterpart of ``conv_direct``.

An image lies in a channels-last frame (see ``conv_image``), its output's gradient pixel by pixel in panels of channels.
The taps of one kernel row, window columns × channels, are neighbours in the frame: so they are a tile's rows, output
channels its columns, and the sum runs over the pixels. Nothing is packed but the gradient, which is turned over once.

As in ``conv_weight`` the sum is cut into `pieces` of images or rows, and the taps into `parts`, both
by a rule that knows no threads; threads take such items, and the pieces are added in one order. So the bits do not
depend on the number of threads.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .conv_image import fill_image, slots, unpool_pixels
from .conv_turn import transpose, turn
from .conv_vectors import add_rows
from .tile import ACCUMULATE, TALL, ZERO, tile
from .vectors import LANE_BYTES

_tile = tile(None, *TALL)
_ROWS, _VECTORS = TALL


@njit(error_model="numpy")
def turn_panels(to, t, room, g, go, gate, gated, m, panel, channel_size, row_size, rows, columns):
    """to[t + first·room + pixel·panel + channel − first]: m channels of a block of g, gated, as panels of channels."""
    if row_size == columns:
        rows, columns = 1, rows * columns
    for first in range(0, m, panel):
        for i in range(rows):
            of = go + first * channel_size + i * row_size
            turn(
                to, t + first * room + i * columns * panel, panel, g, of, channel_size, gate, of, gated,
                min(panel, m - first), columns,
            )  # fmt: skip


@njit(error_model="numpy")
def unpool_panels(to, t, room, turned, g, go, winners, wo, pooled, m, all_channels, panel, row, column, rows, columns):
    """As turn_panels of rows × columns pixels from (row, column) on, of the gradient that `unpool_pixels` describes."""
    plane = pooled[0] * pooled[1]
    first_row, end_row = row // 2, min(pooled[0], (row + rows - 1) // 2 + 1)
    of = go + first_row * pooled[1]
    turn(turned, 0, m, g, of, plane, g, 0, False, m, (end_row - first_row) * pooled[1])
    for first in range(0, m, panel):
        n = min(panel, m - first)
        for i in range(rows):
            at = t + first * room + i * panel * columns
            if row + i < 2 * pooled[0]:
                unpool_pixels(
                    to, at, panel, turned[first:], m, winners, wo + first, all_channels, pooled[1], first_row, row + i,
                    column, columns, n,
                )  # fmt: skip
            else:
                for k in range(columns * panel):
                    to[at + k] = 0


@njit(error_model="numpy")
def add_products(
    first_block, end_block, block, frame, channels, line, images, image_size, rows, columns, row_axis, column_axis,
    turned, m, panel, partial, po, room, start,
):  # fmt: skip
    """Blocks first_block … of at most `block` rows of dwᵀ (taps × channels, m), each within one run of neighbours.

    The tile sums over all pixels of an image; or over a row of each of several small ones, then over the next.
    """
    _, _, _, _, _, row_hop, row_delta, _ = row_axis
    _, _, _, _, _, column_hop, column_delta, column_taps = column_axis
    together = column_delta == 1 or channels == 1  # a run is a kernel row, or else a tap
    run = column_taps * channels if together else channels
    blocks = -(-run // block)
    a_row = column_delta if channels == 1 else 1
    for first in range(0, m, panel):
        for number in range(first_block, end_block):
            which, inside = divmod(number, blocks)
            inside *= block
            i, j = (which, 0) if together else divmod(which, column_taps)
            of = i * row_delta * line + j * column_delta * channels + inside * a_row
            to = po + (which * run + inside) * room + first
            tall, wide = min(block, run - inside), min(panel, m - first)
            if images == 1:
                _tile(
                    frame, of, a_row, column_hop * channels, row_hop * line, turned, first * rows * columns, panel,
                    columns * panel, rows, columns, partial, to, room, tall, wide, start, frame, 0, False,
                )  # fmt: skip
                continue
            for row in range(rows):
                _tile(
                    frame, of + row * row_hop * line, a_row, column_hop * channels, image_size, turned,
                    (first * images * rows + row * panel) * columns, panel, rows * columns * panel, images, columns,
                    partial, to, room, tall, wide, ACCUMULATE if row else start, frame, 0, False,
                )  # fmt: skip


@njit(error_model="numpy")
def direct_item(
    item, cut, pieces, parts, partial, x, g, gate, gated, winners, pooled, sizes, row_axis, column_axis
):  # fmt: skip
    """Item (piece, part): partial[piece, group, (tap, c), channel] of the part's blocks, over the piece's images."""
    images, groups, channels, m = sizes
    _, rows, _, _, _, _, _, row_taps = row_axis
    _, columns, _, _, _, _, column_delta, column_taps = column_axis
    images_at_once, rows_at_once, columns_at_once, _, _ = cut
    piece, part = divmod(item, parts)
    panel = _VECTORS * (LANE_BYTES // x.itemsize)
    size = channels * row_taps * column_taps
    run = column_taps * channels if column_delta == 1 or channels == 1 else channels
    block = -(-run // -(-run // _ROWS))
    blocks = size // run * -(-run // block)
    first_block, end_block = part * blocks // parts, (part + 1) * blocks // parts
    with_bias = part == parts - 1

    frame = np.empty(
        images_at_once * slots(row_axis, rows_at_once) * slots(column_axis, columns_at_once) * channels, x.dtype
    )
    turned = np.empty(-(-m // panel) * panel * images_at_once * rows_at_once * columns_at_once, x.dtype)
    turned_pool = np.empty(m * pooled[0] * pooled[1], x.dtype)
    room = partial.shape[3]
    flat = partial.reshape(-1)
    column_blocks = -(-columns // columns_at_once)
    image_blocks = -(-rows // rows_at_once) * column_blocks
    units = images * image_blocks
    unit, last = piece * units // pieces, (piece + 1) * units // pieces
    start = ZERO
    before, most = (-1, -1, -1, -1), 0  # what the frame's edges are clean for
    if with_bias:
        partial[piece, :, size] = 0
    while unit < last:
        image, inside = divmod(unit, image_blocks)
        row, column = inside // column_blocks * rows_at_once, inside % column_blocks * columns_at_once
        count, high, wide = (
            min(images_at_once, last - unit), min(rows_at_once, rows - row), min(columns_at_once, columns - column)
        )  # fmt: skip
        unit += count
        slot_rows, slot_columns = slots(row_axis, high), slots(column_axis, wide)
        line, pixels = slot_columns * channels, high * wide
        here = (row, column, high, wide)
        for group in range(groups):
            fill_image(
                frame, here == before and count <= most, x, x, False, channels, groups * channels, group * channels,
                image, count, row, column, row_axis, column_axis, slot_rows, slot_columns,
            )  # fmt: skip
            before, most = here, count
            for k in range(count):
                at = k * pixels * panel
                if pooled[1]:
                    plane = pooled[0] * pooled[1]
                    unpool_panels(
                        turned, at, count * pixels, turned_pool, g, ((image + k) * groups + group) * m * plane, winners,
                        (image + k) * plane * groups * m + group * m, pooled, m, groups * m, panel, row, column, high,
                        wide,
                    )  # fmt: skip
                else:
                    of = ((image + k) * groups + group) * m * rows * columns + row * columns + column
                    turn_panels(
                        turned, at, count * pixels, g, of, gate, gated, m, panel, rows * columns, columns, high, wide
                    )
            to = (piece * groups + group) * (size + 1) * room
            add_products(
                first_block, end_block, block, frame, channels, line, count, slot_rows * line, high, wide, row_axis,
                column_axis, turned, m, panel, flat, to, room, start,
            )  # fmt: skip
            if with_bias:
                for first in range(0, m, panel):
                    add_rows(
                        flat, to + size * room + first, turned, first * count * pixels, panel, count * pixels,
                        min(panel, m - first),
                    )  # fmt: skip
        start = ACCUMULATE
    if start == ZERO:
        partial[piece] = 0  # no part adds to a piece without pixels


@njit(error_model="numpy")
def add_direct_pieces(part, parts, partial, dw, db, groups, channels, m, taps):
    """Channels part·C/parts … of dwᵀ, all pieces added, turned over into dw (groups·m, C·taps); the last part: db."""
    room, size = partial.shape[3], channels * taps
    first, end = part * channels // parts, (part + 1) * channels // parts
    flat = partial.reshape(-1)
    for group in range(groups):
        total = partial[0, group]
        for piece in range(1, partial.shape[0]):
            for tap in range(taps):
                for k in range(tap * channels + first, tap * channels + end):
                    for o in range(m):
                        total[k, o] += partial[piece, group, k, o]
            if part == parts - 1:
                for o in range(m):
                    total[size, o] += partial[piece, group, size, o]
        of, to = group * (size + 1) * room, group * m * size
        if taps == 1:
            transpose(dw, to + first, size, flat, of + first * room, room, end - first, m)
        else:
            for c in range(first, end):
                transpose(dw, to + c * taps, size, flat, of + c * room, channels * room, taps, m)
        if part == parts - 1:
            for o in range(m):
                db[group * m + o] = total[size, o]


_SIGNATURES = [
    f"void({', '.join(kinds)})"
    for real in ("float32", "float64")
    for kinds in [[
        "int64", "UniTuple(int64, 5)", "int64", f"{real}[:,:,:,::1]", f"{real}[::1]", f"{real}[::1]", f"{real}[::1]",
        "boolean", "uint8[::1]", "UniTuple(int64, 2)", f"{real}[::1]", f"{real}[::1]", "UniTuple(int64, 4)",
        "UniTuple(int64, 8)", "UniTuple(int64, 8)",
    ]]
]  # fmt: skip


@compiled(_SIGNATURES, parallel=True)
def correlate_direct_weight(
    threads, cut, parts, partial, x, g, gate, gated, winners, pooled, dw, db, sizes, row_axis, column_axis
):  # fmt: skip
    """Write dw and db from flat arrays x and g. Nothing is checked: ``conv2d`` does. The axes are of outputs.

    partial (pieces, groups, K + 1, room for m channels) is scratch memory; sizes = (n, groups, channels a group, m).
    `winners` and `pooled` as in ``correlate_direct``.
    """
    pieces = partial.shape[0]
    items = pieces * parts
    taps = row_axis[7] * column_axis[7]
    if threads == 1:  # a parallel loop wakes all threads, however short it is
        for item in range(items):
            direct_item(
                item, cut, pieces, parts, partial, x, g, gate, gated, winners, pooled, sizes, row_axis, column_axis
            )
        add_direct_pieces(0, 1, partial, dw, db, sizes[1], sizes[2], sizes[3], taps)
        return
    for thread in prange(threads):
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            direct_item(
                item, cut, pieces, parts, partial, x, g, gate, gated, winners, pooled, sizes, row_axis, column_axis
            )
    for thread in prange(threads):
        add_direct_pieces(thread, threads, partial, dw, db, sizes[1], sizes[2], sizes[3], taps)
