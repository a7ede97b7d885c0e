"""What reads the image: the frame around a piece of it, and panels of pixels packed from the frame.

A *frame* holds the piece of an image that a block of outputs reads, zeros where it hangs over the edge, with the inputs
that lie a stride apart side by side (see ``conv_plan.Axis``). In a frame the tap (c, i, j) of any output is as far from
that output's place as the same tap of any other: ``tap_places``. So the rows of "im2col" are copies of stretches of the
frame, and a *panel* of it, some pixels wide, is packed where it is used: the whole matrix never exists.
"""

from numba import njit

from .conv_vectors import copy_every_other, gated_copy, gather_vectors


@njit(error_model="numpy")
def tap_places(places, channels, row_places, column_places, channel_size, slot_rows, row_size, slot_columns):
    """Fill places[(c·kh + i)·kw + j]: how far tap (c, i, j) lies from an output's place in the frame."""
    k = 0
    for c in range(channels):
        for i in range(row_places.shape[1]):
            row = row_places[0, i] * slot_rows + row_places[1, i]
            for j in range(column_places.shape[1]):
                column = column_places[0, j] * slot_columns + column_places[1, j]
                places[k] = c * channel_size + row * row_size + column
                k += 1


@njit(error_model="numpy")
def find_stretches(stretches, start, n, image_pixels, columns, image_size, row_size, column_size):
    """Cut pixels start … start + n − 1 of a block where its rows end; returns the number of pieces.

    The block is any number of images of `image_pixels` pixels in rows of `columns`. stretches[:, s] of piece s: its
    place in the panel, its place in an array with these distances between images, rows and columns, and its length.
    """
    count, done = 0, 0
    while done < n:
        image, inside = divmod(start + done, image_pixels)
        row, column = divmod(inside, columns)
        length = min(columns - column, n - done)
        stretches[0, count] = done
        stretches[1, count] = image * image_size + row * row_size + column * column_size
        stretches[2, count] = length
        done += length
        count += 1
    return count


@njit(error_model="numpy")
def find_pieces(pieces, starts, stretches, count, lanes, n):
    """Cut stretches of n pixels at vectors of `lanes`: vector v is made of pieces starts[v] … starts[v + 1] − 1.

    For pieces[:, p] see ``gather_vectors``. Returns the number of vectors.
    """
    vectors, p, s = -(-n // lanes), 0, 0
    for v in range(vectors):
        starts[v] = p
        while s < count:
            first, end = stretches[0, s] - v * lanes, stretches[0, s] + stretches[2, s] - v * lanes
            pieces[0, p] = stretches[1, s] - first
            pieces[1, p] = max(0, first)
            pieces[2, p] = min(lanes, end)
            p += 1
            if end > lanes:
                break
            s += 1
            if end == lanes:
                break
    starts[vectors] = p
    return vectors


@njit(error_model="numpy")
def gather(to, step, of, base, pieces, starts, vectors, lanes, places, first, count):
    """`count` rows of im2col, from row `first` on, for pixels in pieces: to[k·step + pixel]."""
    for v in range(vectors):
        gather_vectors(
            to, v * lanes, step, of, base, pieces, starts[v], starts[v + 1] - starts[v], places, first, count
        )


@njit(error_model="numpy")
def fill_frame(
    frame, clean, x, gate, gated, channels, all_channels, first_channel, first_image, images, height, width,
    row, column, row_step, column_step, row_phases, column_phases, slot_rows, slot_columns,
):  # fmt: skip
    """Channels first_channel … + channels of x (images, all_channels, height, width), a flat array, as a frame.

    It serves outputs from (row, column) on, and holds slot_rows × slot_columns numbers for each pair of phases. What
    hangs over the edge is 0: if `clean`, it is so from an earlier call for the same piece of other images.
    """
    row_size = column_phases.size * slot_columns
    plane = row_phases.size * slot_rows * row_size
    if not clean:
        for k in range(images * channels * plane):
            frame[k] = 0
    for phase in range(column_phases.size):
        start = column * column_step + column_phases[phase]
        # The inputs start + j·step that lie in the image: before ≤ j < end.
        before = max(0, -(start // column_step))
        end = min(slot_columns, (width - 1 - start) // column_step + 1)
        for slot in range(row_phases.size):
            top = row * row_step + row_phases[slot]
            above = max(0, -(top // row_step))
            below = min(slot_rows, (height - 1 - top) // row_step + 1)
            for image in range(images):
                of = ((first_image + image) * all_channels + first_channel) * height * width
                of += (top + above * row_step) * width + start + before * column_step
                to = image * channels * plane + (slot * slot_rows + above) * row_size + phase * slot_columns + before
                for c in range(channels):
                    _fill_plane(
                        frame, to + c * plane, row_size, x, of + c * height * width, row_step * width, column_step,
                        gate, gated, below - above, end - before,
                    )  # fmt: skip


@njit(error_model="numpy")
def _fill_plane(frame, to, row_size, x, of, row_step, column_step, gate, gated, rows, columns):
    for _ in range(rows):
        if column_step == 1:
            gated_copy(frame, to, x, of, gate, of, gated, columns)
        elif column_step == 2:
            copy_every_other(frame, to, x, of, gate, of, gated, columns)
        else:
            for j in range(columns):
                at = of + j * column_step
                frame[to + j] = 0 if gated and gate[at] <= 0 else x[at]
        to += row_size
        of += row_step
