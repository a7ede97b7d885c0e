"""The mean of every window of a plane, and its transpose, compiled: what average pooling of every kind is made of.

A window is a rectangle: some rows times some columns. A table, int64 (3, outputs), holds each window's start, its end,
and what its sum is divided by, along one axis; the divisor of a window is the product of its two.

Windows that are alike and evenly spaced along the row are summed side by side in vector registers (``window_vectors``).
The others are summed one by one, but from the sum of their rows. Threads work on different planes.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from .compile import compiled
from .exponentials import added_up
from .signatures import real_signatures
from .window_vectors import sum_row

ALONE = 50_000  # elements that one thread is done with before a second one has begun


class Windows(NamedTuple):
    """A table, and the part of it whose windows are alike and evenly spaced."""

    table: np.ndarray
    even: tuple[int, int, int, int]  # the first of them, their end, width and step


def windows(start: np.ndarray, end: np.ndarray, divisor: np.ndarray) -> Windows:
    """For ascending starts and ends."""
    table = np.ascontiguousarray(np.stack([start, end, divisor]), np.int64)
    table.flags.writeable = False
    return Windows(table, even_part(table))


def even_part(table: np.ndarray) -> tuple[int, int, int, int]:
    """The longest run of windows of one width and divisor whose starts are a step apart: (first, end, width, step)."""
    best, first = (0, 0, 1, 1), 0
    start, end, divisor = table.tolist()
    for i in range(1, len(start) + 1):
        step = start[first + 1] - start[first] if i > first + 1 else 1
        goes_on = (
            i < len(start)
            and (end[i] - start[i], divisor[i]) == (end[first] - start[first], divisor[first])
            and start[i] - start[i - 1] == (step if i > first + 1 else max(1, start[i] - start[i - 1]))
        )
        if not goes_on:
            if i - first > best[1] - best[0]:
                best = first, i, end[first] - start[first], step
            first = i
    return best


_ARRAYS = "in1 out1 UniTuple(int64,3) ids2 ids2 UniTuple(int64,4)"


@compiled(real_signatures(_ARRAYS))
def means(x, y, size, rows, columns, even):
    """y (P, OH, OW) of x (P, H, W), size (P, H, W), both flat."""
    _check(x, y, size, rows, columns, even)
    _mean_planes(0, size[0], x, y, size, rows, columns, even)


@compiled(real_signatures(_ARRAYS + " int64"), parallel=True)
def means_of_threads(x, y, size, rows, columns, even, threads):
    _check(x, y, size, rows, columns, even)
    for thread in prange(threads):
        first, end = thread * size[0] // threads, (thread + 1) * size[0] // threads
        _mean_planes(first, end, x, y, size, rows, columns, even)


@compiled(real_signatures(_ARRAYS))
def spread(g, dx, size, rows, columns, even):
    """dx (P, H, W) of g (P, OH, OW), both flat: each window's g over its divisor, added to all it covers."""
    _check(dx, g, size, rows, columns, even)
    _spread_planes(0, size[0], g, dx, size, rows, columns, even)


@compiled(real_signatures(_ARRAYS + " int64"), parallel=True)
def spread_of_threads(g, dx, size, rows, columns, even, threads):
    _check(dx, g, size, rows, columns, even)
    for thread in prange(threads):
        first, end = thread * size[0] // threads, (thread + 1) * size[0] // threads
        _spread_planes(first, end, g, dx, size, rows, columns, even)


@njit(error_model="numpy")
def _check(whole, of_windows, size, rows, columns, even):
    planes, height, width = size
    if len(whole) != planes * height * width or len(of_windows) != planes * rows.shape[1] * columns.shape[1]:
        raise ValueError("the arrays' sizes do not fit to the windows")
    _check_table(rows, height)
    _check_table(columns, width)
    first, end, taps, step = even
    if first < end:
        fits = first >= 0 and end <= columns.shape[1] and taps > 0 and step > 0
        if not fits or columns[0, first] + (end - first - 1) * step + taps > width:
            raise ValueError("the evenly spaced windows lie outside")


@njit(error_model="numpy")
def _check_table(table, size):
    if table.shape[0] != 3:
        raise ValueError("a table of windows has three rows")
    for i in range(table.shape[1]):
        if not 0 <= table[0, i] < table[1, i] <= size:
            raise ValueError("a window lies outside")


@njit(error_model="numpy")
def _mean_planes(first_plane, end_plane, x, y, size, rows, columns, even):
    _, height, width = size
    high, wide = rows.shape[1], columns.shape[1]
    real = x.dtype.type
    first, end, taps, step = even
    summed = np.empty(width, x.dtype)  # a window's rows, added up
    for plane in range(first_plane, end_plane):
        of = plane * height * width
        for i in range(high):
            start, count = of + rows[0, i] * width, rows[1, i] - rows[0, i]
            to = (plane * high + i) * wide
            if wide == 1 and taps == width:  # the rows of a window lie in a row
                y[to] = added_up(x[start : start + count * width]) / real(rows[2, i] * columns[2, 0])
                continue
            if first < end and step <= 2:
                begin = start + columns[0, first]
                divisor = real(rows[2, i] * columns[2, first])
                sum_row(x, begin, count, width, taps, step, divisor, y, to + first, end - first, False)
            if first > 0 or end < wide or step > 2:
                sum_row(x, start, count, width, 1, 1, real(1), summed, 0, width, False)
                for j in range(wide):
                    if j < first or j >= end or step > 2:
                        total = real(0)
                        for w in range(columns[0, j], columns[1, j]):
                            total += summed[w]
                        y[to + j] = total / real(rows[2, i] * columns[2, j])


@njit(error_model="numpy")
def _spread_planes(first_plane, end_plane, g, dx, size, rows, columns, even):
    _, height, width = size
    high, wide = rows.shape[1], columns.shape[1]
    real = g.dtype.type
    first, end, taps, step = even
    row = np.empty(width, g.dtype)
    # The shares of the evenly spaced windows where these begin, with zeros between them and before and behind: each
    # number of the row is the sum of a window of `taps` of these.
    spaced = np.zeros((end - first) * step + 2 * taps, g.dtype)
    left = columns[0, first] if first < end else 0
    reach = (end - first - 1) * step + taps if first < end else 0
    for plane in range(first_plane, end_plane):
        of = plane * height * width
        done = of  # what lies before has been written, what lies behind has not
        for i in range(high):
            here = (plane * high + i) * wide
            start, stop = of + rows[0, i] * width, of + rows[1, i] * width
            if done < start:
                dx[done:start] = 0
            if wide == 1 and taps == width and done <= start:
                dx[start:stop] = g[here] / real(rows[2, i] * columns[2, 0])
                done = stop
                continue
            if reach < width:
                row[:] = 0
            for j in range(first, end):
                spaced[taps - 1 + (j - first) * step] = g[here + j] / real(rows[2, i] * columns[2, j])
            sum_row(spaced, 0, 1, 0, taps, 1, real(1), row, left, reach, False)
            for edge in ((0, first), (end, wide)):
                for j in range(edge[0], edge[1]):
                    share = g[here + j] / real(rows[2, i] * columns[2, j])
                    for w in range(columns[0, j], columns[1, j]):
                        row[w] += share
            for at in range(start, stop, width):
                sum_row(row, 0, 1, 0, 1, 1, real(1), dx, at, width, at < done)
            done = max(done, stop)
        dx[done : of + height * width] = 0
