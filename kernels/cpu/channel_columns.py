"""Channels of x (N, C, P) as columns of a matrix, P each, a row a sample; and their mean and variance.

Whatever is one number a channel is laid out column by column, and what is summed is summed column by column first: so
all loops run along whole rows, for P = 1 as for P = 784.

Mean and variance are gathered over pieces of rows, each about a shift near its mean, and merged in float64 (Chan, Golub
& LeVeque, The American Statistician 37, 1983): a mean that is large beside the deviation costs no digits.
"""

import numpy as np
from numba import njit

from .exponentials import added_up
from .over_rows import over_rows
from .vectors import at, pointer

COLUMNS = 1024  # that are walked together, at most: a few rows of them lie in the first-level cache
PIECE = 128  # rows of which sums are taken in x's dtype, before they are added to others in float64


@njit(error_model="numpy")
def moments_of_channels(x, first, last, means, variances, work):
    """Mean and variance of some channels, whose columns are first … last − 1."""
    samples, channels, plane = x.shape
    step, seen = channels * plane, 0
    means[:] = 0
    variances[:] = 0
    parts, of_squares = np.empty((2, len(means)))
    for start in range(first, last, COLUMNS):
        n = min(COLUMNS, last - start)
        width = n // len(means)
        shift, total, squares = pointer(work[0]), pointer(work[1]), pointer(work[2])
        for top in range(0, samples, PIECE):
            bottom, row = min(top + PIECE, samples), at(pointer(x), start)
            count = (bottom - top) * width
            now = seen + count
            _shift_of_piece(at(row, top * step), 8 * step, (bottom - top + 7) // 8, parts, work[0, :n])
            work[1:3, :n] = 0
            rest = bottom - (bottom - top) % 4
            sums = total, 0, squares, 0
            _deviate_four((bottom - top) // 4, n, *four(at(row, top * step), step), shift, 0, *sums, *sums)
            _deviate(bottom - rest, n, at(row, rest * step), step, shift, 0, *sums, *sums)
            gather(work[1, :n], parts)
            gather(work[2, :n], of_squares)
            for c in range(len(means)):
                off = parts[c] / count
                away = work[0, c * width] + off - means[c]
                means[c] += away * (count / now)
                variances[c] += max(of_squares[c] - parts[c] * off, 0.0) + away * away * (seen * (count / now))
            seen = now
    for c in range(len(means)):
        variances[c] /= seen


@njit(error_model="numpy")
def _shift_of_piece(row, step, rows, means, shift):
    """shift ← the mean of each channel over every eighth row: within 3 deviations of the piece's mean, whatever it is.

    (Where a k-th part of the numbers has its mean d away from that of all, the variance is d²/k at least.)
    """
    shift[:] = 0
    _add(rows, len(shift), row, step, pointer(shift), 0, pointer(shift), 0)
    gather(shift, means)
    count = rows * (len(shift) // len(means))
    for c in range(len(means)):
        mean = means[c] / count
        means[c] = mean if np.isfinite(mean) else 0.0
    spread(means, shift)


@njit(error_model="numpy")
def four(row, step):
    """Rows that are walked at once: what stands beside them is loaded and stored once for all. For `over_rows`: each
    with the distance to the next of its kind."""
    return row, 4 * step, at(row, step), 4 * step, at(row, 2 * step), 4 * step, at(row, 3 * step), 4 * step


@njit(error_model="numpy")
def spread(numbers, columns):
    """columns ← the number of each channel, once for each of its columns"""
    if len(numbers) == len(columns):
        for j in range(len(columns)):
            columns[j] = numbers[j]
        return
    width = len(columns) // len(numbers)
    for c in range(len(numbers)):
        columns[c * width : (c + 1) * width] = numbers[c]


@njit(error_model="numpy")
def gather(columns, numbers):
    """numbers ← the sum of each channel's columns"""
    if len(numbers) == len(columns):
        for j in range(len(columns)):
            numbers[j] = columns[j]
        return
    width = len(columns) // len(numbers)
    for c in range(len(numbers)):
        numbers[c] = added_up(columns[c * width : (c + 1) * width])


@over_rows
def _add(x, total):
    return x + total


def _deviated(x, shift, total, squares):
    deviation = x - shift
    return total + deviation, deviation.times_plus(deviation, squares)


_deviate = over_rows(_deviated)


@over_rows
def _deviate_four(a, b, c, d, shift, total, squares):
    for x in (a, b, c, d):
        total, squares = _deviated(x, shift, total, squares)
    return total, squares
