"""Group norm of x (N, C, P), and its gradient: statistics run over a sample's group of channels and their P positions.

    x̂ = (x − mean) / √(variance + ε)      y = w x̂ + b      ∂x = (ĝ − mean ĝ − x̂ mean(ĝ x̂)) / σ  with ĝ = g w

With one channel a group it is instance norm. A group of a sample is one stretch of memory, done from end to end while
it lies in the cache. Where channels have NARROW positions or more, loops run along one channel, whose weight is then a
number; else along the group, beside its weights. Threads take whole groups.

The gradients of weight and bias are sums over samples. They are added up, in float64, over a number of pieces that the
shape alone decides, and the pieces in order: so the number of threads does not change their bits.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .exponentials import added_up
from .norm_arrays import backward_arrays, forward_arrays
from .over_rows import over_rows
from .row_sums import row_sums
from .signatures import real_signatures
from .threads import threads_for
from .vectors import at, keep, pointer

CHUNK = 2048  # elements of which sums are taken in x's dtype, before they are added to others in float64
NARROW = 16
PIECES = 16  # at least, where there are as many groups
SAMPLES = 128  # of a piece at most, for a narrow one adds them up in x's dtype
COST = 8  # of an element, in multiply-adds
ALONE = 100_000  # elements that one thread is done with before a second one has begun


def group_norm_forward(
    x: np.ndarray, groups: int, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong sizes."""
    samples = len(x)
    statistics = np.empty((2, samples, groups))
    x, weight, bias, y = forward_arrays(x, weight, bias)
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, samples * groups)
    if threads == 1:
        _forward(x, weight, bias, eps, y, statistics)
    else:
        _forward_of_threads(x, weight, bias, eps, y, statistics, threads)
    return y, statistics


def group_norm_backward(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    statistics: np.ndarray,
    eps: float,
    dweight: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> np.ndarray:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong sizes."""
    g, x, weight, dx, dweight, dbias = backward_arrays(g, x, weight, dweight, dbias)
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, PIECES)
    if threads == 1:
        _backward(g, x, weight, statistics, eps, dx, dweight, dbias)
    else:
        _backward_of_threads(g, x, weight, statistics, eps, dx, dweight, dbias, threads)
    return dx


@compiled(real_signatures("in3 in1A in1A float64 out3 float64[:,:,::1]"))
def _forward(x, weight, bias, eps, y, statistics):
    _check(x, y, statistics, weight, bias)
    _forward_groups(x, weight, bias, eps, y, statistics, 0, statistics[0].size)


@compiled(real_signatures("in3 in1A in1A float64 out3 float64[:,:,::1] int64"), parallel=True)
def _forward_of_threads(x, weight, bias, eps, y, statistics, threads):
    _check(x, y, statistics, weight, bias)
    groups = statistics[0].size
    for thread in prange(threads):
        first, last = thread * groups // threads, (thread + 1) * groups // threads
        _forward_groups(x, weight, bias, eps, y, statistics, first, last)


@compiled(real_signatures("in3 in3 in1A float64[:,:,::1] float64 out3 out1A out1A"))
def _backward(g, x, weight, statistics, eps, dx, dweight, dbias):
    _check(x, g, statistics, weight, dweight)
    _check(x, dx, statistics, weight, dbias)
    sums = np.zeros((_pieces(statistics), 2, x.shape[1]))
    _backward_pieces(g, x, weight, statistics, eps, dx, sums, 0, len(sums))
    _add_pieces(sums, dweight, dbias)


@compiled(real_signatures("in3 in3 in1A float64[:,:,::1] float64 out3 out1A out1A int64"), parallel=True)
def _backward_of_threads(g, x, weight, statistics, eps, dx, dweight, dbias, threads):
    _check(x, g, statistics, weight, dweight)
    _check(x, dx, statistics, weight, dbias)
    sums = np.zeros((_pieces(statistics), 2, x.shape[1]))
    for thread in prange(threads):
        first, last = thread * len(sums) // threads, (thread + 1) * len(sums) // threads
        _backward_pieces(g, x, weight, statistics, eps, dx, sums, first, last)
    _add_pieces(sums, dweight, dbias)


@njit(error_model="numpy")
def _check(x, like, statistics, weight, bias):
    samples, channels, _ = x.shape
    groups = statistics.shape[2]
    if like.shape != x.shape or statistics.shape != (2, samples, groups) or groups < 1 or channels % groups:
        raise ValueError("the arrays' shapes do not fit to groups of x (N, C, P)")
    if len(weight) != channels or len(bias) != channels:
        raise ValueError("x (N, C, P) needs weight and bias (C,)")


@njit(error_model="numpy")
def _pieces(statistics):
    _, samples, groups = statistics.shape
    return min(max(PIECES, (samples + SAMPLES - 1) // SAMPLES), samples * groups)


@njit(error_model="numpy")
def _forward_groups(x, weight, bias, eps, y, statistics, first, last):
    """y and statistics of groups first … last − 1, counted through all samples."""
    real = x.dtype.type
    groups, size, plane = _sizes(x, statistics)
    n = size * plane
    weights, biases = _columns(weight, plane), _columns(bias, plane)
    for k in range(first, last):
        row, to, start = at(pointer(x), k * n), at(pointer(y), k * n), k % groups * size
        mean, variance = _moments(row, n, real(0))
        statistics[0, k // groups, k % groups] = mean
        statistics[1, k // groups, k % groups] = variance
        near, inverse = real(mean), 1 / np.sqrt(variance + eps)
        if plane < NARROW:
            beside = at(pointer(weights), start * plane), 0, at(pointer(biases), start * plane), 0
            _scale_beside(1, n, row, 0, *beside, near, mean - near, inverse, to, 0)
            continue
        for c in range(size):
            factor = weight[start + c] * inverse
            shift = bias[start + c] - (mean - near) * factor
            _scale(1, plane, at(row, c * plane), 0, near, factor, shift, at(to, c * plane), 0)
    keep(weights)
    keep(biases)


@njit(error_model="numpy")
def _backward_pieces(g, x, weight, statistics, eps, dx, sums, first, last):
    """What belongs to pieces first … last − 1 of dx; sums[k] ← what piece k adds to dweight and dbias."""
    channels, plane, number = x.shape[1], x.shape[2], statistics[0].size
    weights = _columns(weight, plane)
    columns = np.empty((2, channels * plane if plane < NARROW else 0), x.dtype)
    for k in range(first, last):
        start, end = k * number // len(sums), (k + 1) * number // len(sums)
        if plane < NARROW:
            columns[:] = 0
            _pull_narrow(g, x, weights, statistics, eps, dx, columns, start, end)
            for c in range(channels):
                sums[k, 0, c] = added_up(columns[0, c * plane : (c + 1) * plane])
                sums[k, 1, c] = added_up(columns[1, c * plane : (c + 1) * plane])
        else:
            _pull_wide(g, x, weight, statistics, eps, dx, sums[k], start, end)


@njit(error_model="numpy")
def _pull_wide(g, x, weight, statistics, eps, dx, sums, first, last):
    """dx of groups first … last − 1, channel by channel; sums += what they add to dweight and dbias."""
    real = x.dtype.type
    groups, size, plane = _sizes(x, statistics)
    n = size * plane
    for k in range(first, last):
        of_g, row, to = at(pointer(g), k * n), at(pointer(x), k * n), at(pointer(dx), k * n)
        mean, variance = statistics[0, k // groups, k % groups], statistics[1, k // groups, k % groups]
        near, inverse, start = real(mean), 1 / np.sqrt(variance + eps), k % groups * size
        level = along = 0.0
        for c in range(size):
            total, product = _products_of_plane(at(of_g, c * plane), at(row, c * plane), plane, near)
            product = (product - total * (mean - near)) * inverse
            sums[0, start + c] += product
            sums[1, start + c] += total
            level += weight[start + c] * total
            along += weight[start + c] * product
        slope = -along / n * inverse * inverse
        shift = -level / n * inverse - slope * (mean - near)
        for c in range(size):
            rows, factor = (at(of_g, c * plane), 0, at(row, c * plane), 0), weight[start + c] * inverse
            _pull(1, plane, *rows, near, factor, slope, shift, at(to, c * plane), 0)


@njit(error_model="numpy")
def _pull_narrow(g, x, weights, statistics, eps, dx, sums, first, last):
    """dx of groups first … last − 1; sums += what they add to the gradients of weight and bias, column by column."""
    real = x.dtype.type
    groups, size, plane = _sizes(x, statistics)
    n = size * plane
    for k in range(first, last):
        of_g, row, to = at(pointer(g), k * n), at(pointer(x), k * n), at(pointer(dx), k * n)
        mean, variance = statistics[0, k // groups, k % groups], statistics[1, k // groups, k % groups]
        near, inverse, start = real(mean), 1 / np.sqrt(variance + eps), k % groups * n
        far, weight = mean - near, at(pointer(weights), start)
        level = along = 0.0
        for i in range(0, n, CHUNK):
            count = min(CHUNK, n - i)
            total, product = _products_beside(count, at(of_g, i), at(row, i), at(weight, i), near, far)
            level += total
            along += product
        slope, shift = -along / n * inverse * inverse * inverse, -level / n * inverse
        _pull_beside(1, n, of_g, 0, row, 0, weight, 0, near, far, inverse, slope, shift, to, 0)
        both = at(pointer(sums), start), 0, at(pointer(sums[1]), start), 0
        _accumulate(1, n, of_g, 0, row, 0, near, far, inverse, *both, *both)


@njit(error_model="numpy")
def _add_pieces(sums, dweight, dbias):
    for c in range(len(dweight)):
        of_weight = of_bias = 0.0
        for k in range(len(sums)):
            of_weight += sums[k, 0, c]
            of_bias += sums[k, 1, c]
        dweight[c] = of_weight
        dbias[c] = of_bias


@njit(error_model="numpy")
def _sizes(x, statistics):
    """Groups of a sample, channels of a group, positions of a channel."""
    groups = statistics.shape[2]
    return groups, x.shape[1] // groups, x.shape[2]


@njit(error_model="numpy")
def _columns(numbers, plane):
    """The number of each channel, once for each of its positions, where these are few."""
    columns = np.empty(len(numbers) * plane if plane < NARROW else 0, numbers.dtype)
    for c in range(len(columns) // max(plane, 1)):
        columns[c * plane : (c + 1) * plane] = numbers[c]
    return columns


@njit(error_model="numpy")
def _moments(row, n, zero):
    """Mean and variance of n numbers, in float64: of chunks, merged (Chan, Golub & LeVeque, 1983).

    A chunk's deviations are taken from its first number: from any that is not far off, they tell the variance to nearly
    all digits. Where it turns out to be more than 1.7 deviations off, they are taken once more, from the mean.
    """
    mean = squares = 0.0
    for start in range(0, n, CHUNK):
        chunk, count = at(row, start), min(CHUNK, n - start)
        shift = chunk[0] if np.isfinite(chunk[0]) else zero
        total, of_squares = _deviations(count, chunk, shift)
        off = total / count
        if of_squares > 4 * (of_squares - total * off):
            shift = type(zero)(shift + off)
            total, of_squares = _deviations(count, chunk, shift)
            off = total / count
        of_squares = max(of_squares - total * off, 0.0)
        if start == 0:
            mean, squares = shift + off, of_squares
        else:
            step, share = shift + off - mean, count / (start + count)
            mean += step * share
            squares += of_squares + step * step * (start * share)
    return mean, squares / n


@njit(error_model="numpy")
def _products_of_plane(g, row, n, near):
    """(Σ g, Σ g (x − near))"""
    total = product = 0.0
    for start in range(0, n, CHUNK):
        some, others = _products(min(CHUNK, n - start), at(g, start), at(row, start), near)
        total += some
        product += others
    return total, product


# ── formulas, where the mean is near, or near + far: one number of x's dtype may be too coarse for it ────────────────


@row_sums
def _deviations(x, shift):
    deviation = x - shift
    return deviation, deviation * deviation


@row_sums
def _products(g, x, near):
    return g, g * (x - near)


@row_sums
def _products_beside(g, x, weight, near, far):
    scaled = g * weight
    return scaled, scaled * (x - near - far)


@over_rows
def _scale(x, near, factor, shift):
    return (x - near).times_plus(factor, shift)


@over_rows
def _scale_beside(x, weight, bias, near, far, inverse):
    return ((x - near - far) * inverse).times_plus(weight, bias)


@over_rows
def _pull(g, x, near, factor, slope, shift):
    return g.times_plus(factor, (x - near).times_plus(slope, shift))


@over_rows
def _pull_beside(g, x, weight, near, far, inverse, slope, shift):
    own = (x - near - far).times_plus(slope, shift)
    return (g * weight).times_plus(inverse, own)


@over_rows
def _accumulate(g, x, near, far, inverse, product, total):
    standardized = (x - near - far) * inverse
    return g.times_plus(standardized, product), total + g
