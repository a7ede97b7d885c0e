"""Images turned over: channels side by side, as the direct convolution reads and writes them.

In a *channels-last frame* the piece of an image that a block of outputs reads lies pixel by pixel, a pixel's channels
side by side, with zeros where it hangs over the edge. There the taps of one kernel row, window columns × channels, are
neighbours for every output, and outputs are a fixed distance apart whatever the stride: so the register tile reads its
numbers where they lie, and no row of im2col is ever packed.
"""

from numba import njit

from .conv_turn import transpose, turn
from .conv_vectors import copy_to_every_other, gated_copy
from .pool_vectors import chosen


@njit(error_model="numpy")
def slots(axis, count):
    """How much of one axis (see ``conv_plan.Line``) `count` neighbouring outputs read."""
    _, _, _, _, _, hop, delta, taps = axis
    return (count - 1) * hop + (taps - 1) * delta + 1


@njit(error_model="numpy")
def fill_image(
    frame, clean, x, gate, gated, channels, all_channels, first_channel, first_image, images, row, column, row_axis,
    column_axis, slot_rows, slot_columns,
):  # fmt: skip
    """Channels first_channel … + channels of x (images, all_channels, height, width), a flat array, as a frame

    frame[((image·slot_rows + i)·slot_columns + j)·channels + c] that serves outputs from (row, column) on. What hangs
    over the edge is 0: if `clean`, it is so from an earlier call for the same piece of other images.
    """
    height, _, start, step, read, _, _, _ = row_axis
    top = start + row * step
    width, _, start, step, _, _, _, _ = column_axis
    left = start + column * step
    if not clean:
        for k in range(images * slot_rows * slot_columns * channels):
            frame[k] = 0
    # The inputs top + i·read and left + j that lie in the image.
    above, below = max(0, -(top // read)), min(slot_rows, (height - 1 - top) // read + 1)
    before, wide = max(0, -left), min(slot_columns, width - left) - max(0, -left)
    if wide <= 0:
        return
    for image in range(images):
        of = ((first_image + image) * all_channels + first_channel) * height * width + left + before
        to = (image * slot_rows * slot_columns + before) * channels
        for i in range(above, below):
            row_of, row_to = of + (top + i * read) * width, to + i * slot_columns * channels
            if channels == 1:
                gated_copy(frame, row_to, x, row_of, gate, row_of, gated, wide)
            else:
                turn(frame, row_to, channels, x, row_of, height * width, gate, row_of, gated, channels, wide)


@njit(error_model="numpy")
def unpool_pixels(to, t, step, g, g_step, winners, w, w_step, pooled_columns, first_row, row, left, columns, n):
    """Row `row` of the gradient of a convolution behind which stand a ReLU and a max-pooling of 2 × 2.

    to[t + j·step + c] for columns left + j, j < columns, and c < n channels: the number of the gradient g, pooled rows
    from `first_row` on, if the window's winner is this pixel. What is in no window is 0.
    """
    pooled_row = row // 2
    for j in range(columns):
        column = (left + j) // 2
        at = (pooled_row * pooled_columns + column) * w_step
        if column < pooled_columns:
            of = ((pooled_row - first_row) * pooled_columns + column) * g_step
            chosen(to, t + j * step, g, of, winners, w + at, row % 2 * 2 + (left + j) % 2, n)
        else:
            for c in range(n):
                to[t + j * step + c] = 0


@njit(error_model="numpy")
def fill_pooled(
    frame, clean, turned, g, winners, pooled, channels, all_channels, first_channel, first_image, images, row, column,
    row_axis, column_axis, slot_rows, slot_columns,
):  # fmt: skip
    """As ``fill_image`` of the gradient that `unpool_pixels` describes, from g (images, all_channels, *pooled).

    winners (images, *pooled, all_channels) are from ``pool_pixels``; `turned` has room for g of one image's channels.
    """
    height, _, start, step, _, _, _, _ = row_axis
    top = start + row * step
    width, _, start, step, _, _, _, _ = column_axis
    left = start + column * step
    pooled_rows, pooled_columns = pooled
    if not clean:
        for k in range(images * slot_rows * slot_columns * channels):
            frame[k] = 0
    above, below = max(0, -top), min(slot_rows, min(height, 2 * pooled_rows) - top)
    before, wide = max(0, -left), min(slot_columns, width - left) - max(0, -left)
    if wide <= 0 or below <= above:
        return
    first, end = (top + above) // 2, (top + below - 1) // 2 + 1
    plane = pooled_rows * pooled_columns
    for image in range(images):
        of = ((first_image + image) * all_channels + first_channel) * plane + first * pooled_columns
        turn(turned, 0, channels, g, of, plane, g, 0, False, channels, (end - first) * pooled_columns)
        to = (image * slot_rows * slot_columns + before) * channels
        for i in range(above, below):
            unpool_pixels(
                frame, to + i * slot_columns * channels, channels, turned, channels, winners,
                (first_image + image) * plane * all_channels + first_channel, all_channels, pooled_columns, first,
                top + i, left + before, wide, channels,
            )  # fmt: skip


@njit(error_model="numpy")
def write_pixels(y, to, channel_size, row_size, column_size, pixels, width, rows, columns, channels, line):
    """y[to + c·channel_size + i·row_size + j·column_size] = pixels[(i·columns + j)·width + c].

    `line` has room for a row of all channels, unless column_size is 1.
    """
    if column_size == 1:
        if row_size == columns:
            rows, columns = 1, rows * columns
        for i in range(rows):
            transpose(y, to + i * row_size, channel_size, pixels, i * columns * width, width, columns, channels)
        return
    for i in range(rows):
        transpose(line, 0, columns, pixels, i * columns * width, width, columns, channels)
        for c in range(channels):
            place, of = to + c * channel_size + i * row_size, c * columns
            if column_size == 2:
                copy_to_every_other(y, place, line, of, columns)
            else:
                for j in range(columns):
                    y[place + j * column_size] = line[of + j]
