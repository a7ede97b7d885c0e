"""The maximum of every box of a volume, compiled: max-pooling of volumes, and adaptive max-pooling of every kind.

A box is a range of each axis (of which dilation takes every second or third number). Its layers and rows are first
reduced to one row, number by number along the row, which vector registers do well; then the row is searched window by
window. What comes first in the volume wins among equals, and the last NaN before all: so the search along the row
compares places too. Threads work on different volumes. Same bits as ``kernels.reference``.
"""

import numpy as np
from numba import njit, prange

from ..reference.adaptive_pool import adaptive_windows
from ..reference.pool2d import first_tap_inside
from ..reference.shapes import pool_output_size
from .compile import check_real, compiled
from .signatures import real_signatures
from .threads import threads_for

Shape = tuple[int, ...]
Triple = tuple[int, int, int]


def max_pool3d_forward(
    x: np.ndarray, kernel: Triple, stride: Triple, padding: Triple, dilation: Triple, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(y, winners) for x (N, C, D, H, W) in float32 or float64; see the reference. TypeError for another dtype."""
    tables = []
    for axis, size in enumerate(x.shape[2:]):
        geometry = stride[axis], padding[axis], dilation[axis]
        output = pool_output_size(size, kernel[axis], *geometry, ceil_mode)
        start = first_tap_inside(size, output, *geometry)
        end = np.arange(output) * stride[axis] - padding[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        tables.append(np.stack([start, np.minimum(end, size)]))
    return _maxima_of(x, tables, dilation)


def adaptive_max_pool(x: np.ndarray, output: Shape) -> tuple[np.ndarray, np.ndarray]:
    """(y, winners) for x (N, C, *spatial), of 1, 2 or 3 spatial axes, in float32 or float64; see the reference.

    TypeError for another dtype.
    """
    spatial = (1,) * (5 - x.ndim) + x.shape[2:]
    wanted = (1,) * (3 - len(output)) + tuple(output)
    tables = [np.stack(adaptive_windows(size, n)) for size, n in zip(spatial, wanted)]
    y, winners = _maxima_of(x.reshape(*x.shape[:2], *spatial), tables, (1, 1, 1))
    shape = (*x.shape[:2], *output)
    return y.reshape(shape), winners.reshape(shape)


def _maxima_of(x: np.ndarray, tables: list[np.ndarray], steps: Triple) -> tuple[np.ndarray, np.ndarray]:
    """For tables, int64 (2, outputs), of each window's start and end along an axis."""
    check_real("x", x)
    n, channels, depth, height, width = x.shape
    y = np.empty((n, channels, *[table.shape[1] for table in tables]), x.dtype)
    winners = np.empty(y.shape, np.int64)
    size = n * channels, depth, height, width
    threads = threads_for(2 * x.size, size[0])
    _maxima(threads, x.ravel(), y.ravel(), winners.ravel(), size, *tables, steps)
    return y, winners


@compiled(
    real_signatures("int64 in1 out1 Array(int64,1,'C') UniTuple(int64,4) ids2 ids2 ids2 UniTuple(int64,3)"),
    parallel=True,
)
def _maxima(threads, x, y, winners, size, layers, rows, columns, steps):
    outputs = layers.shape[1] * rows.shape[1] * columns.shape[1]
    if len(x) != size[0] * size[1] * size[2] * size[3] or len(y) != size[0] * outputs or len(winners) != len(y):
        raise ValueError("the arrays' sizes do not fit to the boxes")
    _check_table(layers, size[1])
    _check_table(rows, size[2])
    _check_table(columns, size[3])
    if threads == 1:
        _maxima_of_volumes(0, size[0], x, y, winners, size, layers, rows, columns, steps)
        return
    for thread in prange(threads):
        first, end = thread * size[0] // threads, (thread + 1) * size[0] // threads
        _maxima_of_volumes(first, end, x, y, winners, size, layers, rows, columns, steps)


@njit(error_model="numpy")
def _check_table(table, size):
    if table.shape[0] != 2:
        raise ValueError("a table of windows has two rows")
    for i in range(table.shape[1]):
        if not 0 <= table[0, i] < table[1, i] <= size:
            raise ValueError("a window lies outside")


@njit(error_model="numpy")
def _maxima_of_volumes(first, end, x, y, winners, size, layers, rows, columns, steps):
    _, depth, height, width = size
    best, place = np.empty(width, x.dtype), np.empty(width, np.int64)
    k = first * layers.shape[1] * rows.shape[1] * columns.shape[1]
    for volume in range(first, end):
        of = volume * depth * height * width
        for a in range(layers.shape[1]):
            for b in range(rows.shape[1]):
                start = (layers[0, a] * height + rows[0, b]) * width
                best[:] = x[of + start : of + start + width]
                for w in range(width):
                    place[w] = start + w
                for d in range(layers[0, a], layers[1, a], steps[0]):
                    for h in range(rows[0, b], rows[1, b], steps[1]):
                        start = (d * height + h) * width
                        _take_larger(best, place, x[of + start : of + start + width], start)
                for c in range(columns.shape[1]):
                    y[k], winners[k] = _search(best, place, columns[0, c], columns[1, c], steps[2])
                    k += 1


@njit(error_model="numpy")
def _take_larger(best, place, row, start):
    """Number by number: the larger, or the NaN, and the place where it stands."""
    for w in range(len(best)):
        value = row[w]
        better = (value > best[w]) | (value != value)
        place[w] = start + w if better else place[w]
        best[w] = value if better else best[w]


@njit(error_model="numpy")
def _search(best, place, start, end, step):
    """(the maximum, its place): of equal numbers the first place, of NaN the last."""
    value, winner = best[start], place[start]
    for w in range(start + step, end, step):
        other, there = best[w], place[w]
        if other != other:
            better = value == value or there > winner
        else:
            better = other > value or (other == value and there < winner)
        value, winner = (other, there) if better else (value, winner)
    return value, winner
