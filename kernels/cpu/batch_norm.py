"""Batch norm of x (N, C, P), and its gradient: the statistics of each channel run over the samples and its P positions.

    x̂ = (x − mean) / √(variance + ε)      y = w x̂ + b      ∂x = w (g − mean g − x̂ mean(g x̂)) / σ

A block of channels is done from end to end while it lies in the second-level cache, column by column (see
``channel_columns``). Threads take whole blocks, and so do not change a bit.

Where the mean is large beside the deviation, one number of x's dtype is too coarse for it: what it lacks is made up for
in the shift of y and ∂x. So it costs no digits but those that x itself lacks.
"""

import numpy as np
from numba import njit, prange

from .channel_columns import COLUMNS, PIECE, four, gather, moments_of_channels, spread
from .compile import compiled
from .norm_arrays import backward_arrays, forward_arrays
from .over_rows import over_rows
from .signatures import real_signatures
from .threads import threads_for
from .vectors import at, pointer

BLOCK = 64 * 1024  # elements that a block has, about
FEW = 64  # columns are too short rows: then a block has more channels
COST = 8  # of an element, in multiply-adds
ALONE = 100_000  # elements that one thread is done with before a second one has begun

Running = tuple[np.ndarray, np.ndarray]


def batch_norm_forward(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float, running: Running | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong sizes."""
    channels = x.shape[1]
    statistics = np.empty((2, channels))
    x, weight, bias, y = forward_arrays(x, weight, bias)
    if running is not None:
        _take(*running, statistics)
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, channels)
    if threads == 1:
        _forward(x, weight, bias, eps, running is None, y, statistics)
    else:
        _forward_of_threads(x, weight, bias, eps, running is None, y, statistics, threads)
    return y, statistics


def batch_norm_backward(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    statistics: np.ndarray,
    eps: float,
    of_batch: bool,
    dweight: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> np.ndarray:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong sizes."""
    g, x, weight, dx, dweight, dbias = backward_arrays(g, x, weight, dweight, dbias)
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, x.shape[1])
    if threads == 1:
        _backward(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias)
    else:
        _backward_of_threads(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias, threads)
    return dx


@compiled(real_signatures("in1A in1A float64[:,::1]"))
def _take(mean, variance, statistics):
    if mean.shape != statistics[0].shape or variance.shape != mean.shape:
        raise ValueError("x (N, C, P) needs running statistics (C,)")
    for c in range(len(mean)):
        statistics[0, c] = mean[c]
        statistics[1, c] = variance[c]


@compiled(real_signatures("in3 in1A in1A float64 boolean out3 float64[:,::1]"))
def _forward(x, weight, bias, eps, of_batch, y, statistics):
    _check(x, y, statistics, weight, bias)
    work, step = np.empty((3, COLUMNS), x.dtype), _channels_of_block(x)
    for first in range(0, x.shape[1], step):
        _forward_block(x, weight, bias, eps, of_batch, y, statistics, work, first, min(first + step, x.shape[1]))


@compiled(real_signatures("in3 in1A in1A float64 boolean out3 float64[:,::1] int64"), parallel=True)
def _forward_of_threads(x, weight, bias, eps, of_batch, y, statistics, threads):
    _check(x, y, statistics, weight, bias)
    channels, step = x.shape[1], _channels_of_block(x)
    blocks = (channels + step - 1) // step
    for thread in prange(threads):
        work = np.empty((3, COLUMNS), x.dtype)
        for k in range(thread * blocks // threads, (thread + 1) * blocks // threads):
            last = min((k + 1) * step, channels)
            _forward_block(x, weight, bias, eps, of_batch, y, statistics, work, k * step, last)


@compiled(real_signatures("in3 in3 in1A float64[:,::1] float64 boolean out3 out1A out1A"))
def _backward(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias):
    _check(x, g, statistics, weight, dweight)
    _check(x, dx, statistics, weight, dbias)
    work, step = np.empty((5, COLUMNS), x.dtype), _channels_of_block(x)
    for first in range(0, x.shape[1], step):
        last = min(first + step, x.shape[1])
        _backward_block(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias, work, first, last)


@compiled(real_signatures("in3 in3 in1A float64[:,::1] float64 boolean out3 out1A out1A int64"), parallel=True)
def _backward_of_threads(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias, threads):
    _check(x, g, statistics, weight, dweight)
    _check(x, dx, statistics, weight, dbias)
    channels, step = x.shape[1], _channels_of_block(x)
    blocks = (channels + step - 1) // step
    for thread in prange(threads):
        work = np.empty((5, COLUMNS), x.dtype)
        for k in range(thread * blocks // threads, (thread + 1) * blocks // threads):
            last = min((k + 1) * step, channels)
            _backward_block(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias, work, k * step, last)


@njit(error_model="numpy")
def _check(x, like, statistics, weight, bias):
    channels = x.shape[1]
    if like.shape != x.shape or statistics.shape != (2, channels):
        raise ValueError("the arrays' shapes do not fit to x (N, C, P)")
    if len(weight) != channels or len(bias) != channels:
        raise ValueError("x (N, C, P) needs weight and bias (C,)")


@njit(error_model="numpy")
def _channels_of_block(x):
    """More than one only if all their columns are walked together."""
    samples, channels, plane = x.shape
    if not samples * plane:
        return max(channels, 1)
    fit = min(BLOCK // (samples * plane), COLUMNS // plane)
    return max(fit, min((FEW + plane - 1) // plane, channels))


@njit(error_model="numpy")
def _forward_block(x, weight, bias, eps, of_batch, y, statistics, work, first, last):
    """y and statistics of channels first … last − 1."""
    samples, channels, plane = x.shape
    means, variances = statistics[0, first:last], statistics[1, first:last]
    if of_batch:
        moments_of_channels(x, first * plane, last * plane, means, variances, work)
    near, factors, shifts = np.empty((3, last - first), x.dtype)
    for c in range(last - first):
        near[c] = means[c]
        factor = weight[first + c] / np.sqrt(variances[c] + eps)
        factors[c] = factor
        shifts[c] = bias[first + c] - (means[c] - near[c]) * factor
    for start in range(first * plane, last * plane, COLUMNS):
        n = min(COLUMNS, last * plane - start)
        spread(near, work[0, :n])
        spread(factors, work[1, :n])
        spread(shifts, work[2, :n])
        beside = pointer(work[0]), 0, pointer(work[1]), 0, pointer(work[2]), 0
        row, to, step = at(pointer(x), start), at(pointer(y), start), channels * plane
        _scale_four(samples // 4, n, *four(row, step), *beside, *four(to, step))
        rest = (samples - samples % 4) * step
        _scale(samples % 4, n, at(row, rest), step, *beside, at(to, rest), step)


@njit(error_model="numpy")
def _backward_block(g, x, weight, statistics, eps, of_batch, dx, dweight, dbias, work, first, last):
    """What belongs to channels first … last − 1 of dx, dweight and dbias."""
    samples, channels, plane = x.shape
    share, step = 1 / (samples * plane), channels * plane
    near, factors, slopes, shifts = np.empty((4, last - first), x.dtype)
    near[:] = statistics[0, first:last]
    totals, along = np.zeros((2, last - first))
    _sums_of_block(g, x, first * plane, last * plane, near, totals, along, work)
    for c in range(last - first):
        far = statistics[0, first + c] - near[c]
        inverse = 1 / np.sqrt(statistics[1, first + c] + eps)
        of_weight = (along[c] - far * totals[c]) * inverse
        dbias[first + c] = totals[c]
        dweight[first + c] = of_weight
        factor = weight[first + c] * inverse
        factors[c] = factor
        slope = -factor * inverse * of_weight * share
        slopes[c] = slope
        shifts[c] = -factor * totals[c] * share - slope * far
    for start in range(first * plane, last * plane, COLUMNS):
        n = min(COLUMNS, last * plane - start)
        spread(near, work[0, :n])
        spread(factors, work[1, :n])
        spread(slopes, work[2, :n])
        spread(shifts, work[3, :n])
        mean, scale, slope, shift = pointer(work[0]), pointer(work[1]), pointer(work[2]), pointer(work[3])
        of_g, row, to = at(pointer(g), start), at(pointer(x), start), at(pointer(dx), start)
        if of_batch:
            _pull(samples, n, of_g, step, row, step, mean, 0, scale, 0, slope, 0, shift, 0, to, step)
        else:
            _multiply(samples, n, of_g, step, scale, 0, to, step)


@njit(error_model="numpy")
def _sums_of_block(g, x, first, last, near, totals, along, work):
    """totals += Σ g and along += Σ g (x − near), for some channels, whose columns are first … last − 1."""
    samples, channels, plane = x.shape
    step = channels * plane
    part, of_product = np.empty((2, len(near)))
    for start in range(first, last, COLUMNS):
        n = min(COLUMNS, last - start)
        spread(near, work[0, :n])
        mean, sums = pointer(work[0]), (pointer(work[1]), 0, pointer(work[2]), 0)
        for top in range(0, samples, PIECE):
            bottom = min(top + PIECE, samples)
            of_g, row = at(pointer(g), top * step + start), at(pointer(x), top * step + start)
            work[1:3, :n] = 0
            count = bottom - top
            _correlate_four(count // 4, n, *four(of_g, step), *four(row, step), mean, 0, *sums, *sums)
            rest = (count - count % 4) * step
            _correlate(count % 4, n, at(of_g, rest), step, at(row, rest), step, mean, 0, *sums, *sums)
            gather(work[1, :n], part)
            gather(work[2, :n], of_product)
            for c in range(len(near)):
                totals[c] += part[c]
                along[c] += of_product[c]


def _correlated(g, x, mean, total, product):
    return total + g, g.times_plus(x - mean, product)


def _scaled(x, mean, scale, shift):
    return (x - mean).times_plus(scale, shift)


_correlate, _scale = over_rows(_correlated), over_rows(_scaled)


@over_rows
def _correlate_four(g0, g1, g2, g3, x0, x1, x2, x3, mean, total, product):
    for g, x in ((g0, x0), (g1, x1), (g2, x2), (g3, x3)):
        total, product = _correlated(g, x, mean, total, product)
    return total, product


@over_rows
def _scale_four(a, b, c, d, mean, scale, shift):
    return tuple([_scaled(x, mean, scale, shift) for x in (a, b, c, d)])


@over_rows
def _pull(g, x, mean, scale, slope, shift):
    return g.times_plus(scale, (x - mean).times_plus(slope, shift))


@over_rows
def _multiply(g, scale):
    return g * scale
