"""Correlation of images with weights, as implicit GEMM: the forward convolution, and its gradient by the input.

For every block of images or rows (see ``conv_plan.Cut``): its frame is filled, then for every panel of pixels the rows
of im2col are packed into a buffer that stays in the first- or second-level cache, and the register tile runs over all
output channels: y[rows of channels, pixels of the panel] = weights · panel. Threads work on different images, rows or
output channels, and every sum runs in one order, whatever their number: so the bits do not depend on it.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .conv_frame import fill_frame, find_pieces, find_stretches, gather, tap_places
from .conv_turn import transpose
from .conv_vectors import copy_to_every_other, gated_copy, sum_taps
from .tile import ACCUMULATE, FLAT, ROW_BIAS, SINGLE, TALL, tile

DEPTH = 320  # rows of im2col packed at a time, about: a panel of 32 pixels fills 40 KiB, a first-level cache

_tall, _flat, _single = (tile(None, *shape) for shape in (TALL, FLAT, SINGLE))


@njit(error_model="numpy")
def pack_weights(part, parts, to, w, groups, m, channels, strides, row_taps, column_taps, window, block):
    """Blocks of `block` output channels side by side: to[(group·m + block's first)·K + k·rows in it + row].

    w[group·strides[0] + row·strides[1] + c·strides[2] + i·window[1] + j] is the weight of tap (i, j).
    """
    taps = row_taps.size * column_taps.size
    whole = taps == window[0] * window[1]  # then the taps lie side by side, and a block is a transpose
    run = channels * taps if whole and strides[2] == taps else taps
    blocks = -(-m // block)
    first, end = part * blocks // parts * block, min(m, (part + 1) * blocks // parts * block)
    for group in range(groups):
        for c in range(0, channels, run // taps):  # outermost, so that w is read as it lies
            for start in range(first, end, block):
                height = min(block, m - start)
                k = (group * m + start) * channels * taps + c * taps * height
                base = group * strides[0] + start * strides[1] + c * strides[2]
                if whole:
                    transpose(to, k, height, w, base, strides[1], height, run)
                    continue
                for i in row_taps:
                    for j in column_taps:
                        for row in range(height):
                            to[k + row] = w[base + row * strides[1] + i * window[1] + j]
                        k += height


@njit(error_model="numpy")
def multiply(vectors, a, ao, a_row, a_k, b, width, size, c, co, c_row, m, n, start, bias, bias_o, relu):
    """The tile of so many vectors, over a panel of B."""
    if vectors == TALL.vectors:
        _tall(a, ao, a_row, a_k, 0, b, 0, width, 0, 1, size, c, co, c_row, m, n, start, bias, bias_o, relu)
    elif vectors == FLAT.vectors:
        _flat(a, ao, a_row, a_k, 0, b, 0, width, 0, 1, size, c, co, c_row, m, n, start, bias, bias_o, relu)
    else:
        _single(a, ao, a_row, a_k, 0, b, 0, width, 0, 1, size, c, co, c_row, m, n, start, bias, bias_o, relu)


@njit(error_model="numpy")
def multiply_panel(
    shape, of, base, places, taps, pieces, starts, n, buffer, a, ao, packed, rows, m,
    c, co, c_row, bias, bias_o, start, relu,
):  # fmt: skip
    """c[co + (row − rows[0])·c_row + pixel] of n pixels, for rows rows[0] … rows[1] − 1 of the m output channels."""
    vectors, block, width = shape
    lanes = width // vectors
    depth = max(1, DEPTH // taps) * taps
    for k in range(0, places.size, depth):
        deep = min(depth, places.size - k)
        gather(buffer, width, of, base, pieces, starts, -(-n // lanes), lanes, places, k, deep)
        for row in range(rows[0], rows[1], block):
            height = min(block, m - row)
            a_row, a_k = (1, height) if packed else (places.size, 1)
            multiply(
                vectors, a, ao + row * places.size + k * a_k, a_row, a_k, buffer, width, deep,
                c, co + (row - rows[0]) * c_row, c_row, height, n, ACCUMULATE if k else start, bias, bias_o + row,
                relu and k + deep == places.size,
            )  # fmt: skip


@njit(error_model="numpy")
def scatter(buffer, width, rows, y, yo, channel_size, stretches, count, column_size):
    """Rows of pixels to their places: stretch by stretch, `column_size` apart in y."""
    for s in range(count):
        of, to, length = stretches[0, s], yo + stretches[1, s], stretches[2, s]
        for _ in range(rows):
            if column_size == 1:
                gated_copy(y, to, buffer, of, buffer, 0, False, length)
            elif column_size == 2:
                copy_to_every_other(y, to, buffer, of, length)
            else:
                for j in range(length):
                    y[to + j * column_size] = buffer[of + j]
            of += width
            to += channel_size


@njit(error_model="numpy")
def depthwise(
    of, base, places, images, rows, columns, image_size, row_size, a, ao, y, yo, y_image, y_row, y_column, buffer,
    start, relu,
):  # fmt: skip
    """One channel's pixels, each a sum of shifted numbers of the frame.

    Short rows are summed as one long row with what lies between them in the frame, which is left out afterwards.
    """
    together = rows if columns < 32 else 1
    for image in range(images):
        for row in range(0, rows, together):
            at, to = base + image * image_size + row * row_size, yo + image * y_image + row * y_row
            if y_column == 1 and together == 1:
                sum_taps(y, to, start, a, ao, of, at, places, 0, places.size, columns, relu)
                continue
            n = (together - 1) * row_size + columns
            sum_taps(buffer, 0, start, a, ao, of, at, places, 0, places.size, n, relu)
            for i in range(together):
                if y_column == 1:
                    gated_copy(y, to + i * y_row, buffer, i * row_size, buffer, 0, False, columns)
                elif y_column == 2:
                    copy_to_every_other(y, to + i * y_row, buffer, i * row_size, columns)
                else:
                    for j in range(columns):
                        y[to + i * y_row + j * y_column] = buffer[i * row_size + j]


@njit(error_model="numpy")
def correlate_part(
    thread, threads, shape, cut, x, gate, gated, framed, a, packed, bias, start, relu, y, sizes, out, step,
    row_phases, column_phases, row_places, column_places,
):  # fmt: skip
    """One thread's share: some of the blocks of pixels, some of the output channels."""
    images, groups, channels, height, width, m, rows, columns = sizes
    first_row, row_spacing, row_room, first_column, column_spacing, column_room = out
    vectors, block, panel_width = shape
    images_at_once, rows_at_once, columns_at_once, row_parts = cut
    part, blocks = thread % row_parts, -(-m // block)
    mine = part * blocks // row_parts * block, min(m, (part + 1) * blocks // row_parts * block)
    taps = row_places.shape[1] * column_places.shape[1]
    reach_rows, reach_columns = row_places[1].max(), column_places[1].max()

    frame_size = row_phases.size * (rows_at_once + reach_rows) * column_phases.size * (columns_at_once + reach_columns)
    frame = np.empty(images_at_once * channels * frame_size if framed else 1, x.dtype)
    places = np.empty(channels * taps, np.int64)
    buffer = np.empty(min(channels, max(1, DEPTH // taps)) * taps * panel_width, x.dtype)
    corner = np.empty((mine[1] - mine[0]) * panel_width, x.dtype)
    widest = max(width, column_phases.size * (columns_at_once + reach_columns))
    line = np.empty(rows_at_once * widest if channels == m == 1 else 0, x.dtype)
    stretches, outlets = np.empty((3, panel_width), np.int64), np.empty((3, panel_width), np.int64)
    pieces, starts, lanes = (
        np.empty((3, panel_width), np.int64),
        np.empty(vectors + 1, np.int64),
        panel_width // vectors,
    )

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
        slot_rows, slot_columns = high + reach_rows, wide + reach_columns
        row_size = column_phases.size * slot_columns if framed else width
        plane = row_phases.size * slot_rows * row_size if framed else height * width
        image_size = (channels if framed else groups * channels) * plane
        tap_places(places, channels, row_places, column_places, plane, slot_rows, row_size, slot_columns)
        pixels = high * wide
        # Where the block's rows follow one another in y, an image's pixels are one stretch.
        stretch = pixels if wide == column_room and row_spacing * column_spacing == 1 else wide
        for group in range(groups):
            base = 0
            if framed:
                here = (row, column, high, wide)
                fill_frame(
                    frame, here == before and count <= most, x, gate, gated, channels, groups * channels,
                    group * channels, image, count, height, width,
                    row, column, step[0], step[1], row_phases, column_phases, slot_rows, slot_columns,
                )  # fmt: skip
                before, most = here, count
            else:
                base = (image * groups + group) * channels * plane
                base += (row + row_phases[0]) * width + column + column_phases[0]
            yo = (image * groups * m + group * m + mine[0]) * channel_size
            yo += (first_row + row * row_spacing) * column_room + first_column + column * column_spacing
            if channels == m == 1:  # a channel with a kernel of its own: nothing to multiply but its taps
                depthwise(
                    frame if framed else x, base, places, count, high, wide, image_size, row_size, a, group * taps,
                    y, yo, groups * channel_size, row_spacing * column_room, column_spacing, line,
                    bias[group] if start == ROW_BIAS else x.dtype.type(0), relu,
                )  # fmt: skip
                continue
            for pixel in range(0, count * pixels, panel_width):
                n = min(panel_width, count * pixels - pixel)
                inlets = find_stretches(stretches, pixel, n, pixels, wide, image_size, row_size, 1)
                find_pieces(pieces, starts, stretches, inlets, lanes, n)
                exits = find_stretches(
                    outlets, pixel, n, pixels, stretch, groups * m * channel_size, row_spacing * column_room,
                    column_spacing,
                )  # fmt: skip
                direct = exits == 1 and column_spacing == 1
                multiply_panel(
                    shape, frame if framed else x, base, places, taps, pieces, starts, n, buffer,
                    a, group * m * places.size, packed, mine, m, y if direct else corner,
                    yo + outlets[1, 0] if direct else 0, channel_size if direct else panel_width, bias, group * m,
                    start, relu,
                )  # fmt: skip
                if not direct:
                    rows_done = mine[1] - mine[0]
                    scatter(corner, panel_width, rows_done, y, yo, channel_size, outlets, exits, column_spacing)


_SIGNATURES = [
    f"void({', '.join(kinds)})"
    for real in ("float32", "float64")
    for kinds in [[
        "int64", "UniTuple(int64, 3)", "UniTuple(int64, 4)", f"{real}[::1]", f"{real}[::1]", "boolean", "boolean",
        f"{real}[::1]", "UniTuple(int64, 3)", "boolean", f"{real}[::1]", "int64", "boolean", f"{real}[::1]",
        "UniTuple(int64, 8)", "UniTuple(int64, 6)", "UniTuple(int64, 2)", "UniTuple(int64, 2)",
        "int64[::1]", "int64[::1]", "int64[:,::1]", "int64[:,::1]", "int64[::1]", "int64[::1]",
    ]]
]  # fmt: skip


@compiled(_SIGNATURES, parallel=True)
def correlate(
    threads, shape, cut, x, gate, gated, framed, w, strides, packed, bias, start, relu, y, sizes, out, step,
    window, row_phases, column_phases, row_places, column_places, row_taps, column_taps,
):  # fmt: skip
    """Write y[n, g·m + o, …] = start + Σ x·w for all pixels of two `Axis`. Nothing is checked: ``conv2d`` does.

    Flat arrays x, y, w (its strides and window as in pack_weights) and bias; shape = (vectors of the tile, rows of a
    block, width of a panel); `framed`: not if x is read where it lies (step 1, no edge), for which sizes = (n, groups,
    channels a group, height, width, m, rows, columns). out = (first, spacing, room) of the rows, then of the columns.
    """
    a = np.empty(sizes[1] * sizes[5] * sizes[2] * row_taps.size * column_taps.size if packed else 0, x.dtype)
    if threads == 1:  # a parallel loop wakes all threads, however short it is
        if packed:
            pack_weights(0, 1, a, w, sizes[1], sizes[5], sizes[2], strides, row_taps, column_taps, window, shape[1])
        correlate_part(
            0, 1, shape, cut, x, gate, gated, framed, a if packed else w, packed, bias, start, relu, y, sizes, out,
            step, row_phases, column_phases, row_places, column_places,
        )  # fmt: skip
        return
    if packed:
        for part in prange(threads):
            pack_weights(
                part, threads, a, w, sizes[1], sizes[5], sizes[2], strides, row_taps, column_taps, window,
                shape[1],
            )  # fmt: skip
    for thread in prange(threads):
        correlate_part(
            thread, threads, shape, cut, x, gate, gated, framed, a if packed else w, packed, bias, start, relu, y,
            sizes, out, step, row_phases, column_phases, row_places, column_places,
        )  # fmt: skip
