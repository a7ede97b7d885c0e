"""Adaptive pooling: as many windows along an axis as outputs are wanted, of sizes that follow from the input's."""

from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace

Array = Any
Shape = tuple[int, ...]


def adaptive_windows(size: int, output: int) -> tuple[np.ndarray, np.ndarray]:
    """(start, end) of each window, int64 (output,): ⌊i·size/output⌋ and ⌈(i + 1)·size/output⌉."""
    i = np.arange(output)
    return i * size // max(output, 1), -(-(i + 1) * size // max(output, 1))


def adaptive_avg_pool2d_forward(x: Array, output: tuple[int, int]) -> Array:
    """y (N, C, OH, OW), the mean of each window of x (N, C, H, W). A window is a rectangle: first along W, then H."""
    xp = array_namespace(x)
    for axis in (3, 2):
        start, end = adaptive_windows(x.shape[axis], output[axis - 2])
        means = xp.empty((*x.shape[:axis], len(start), *x.shape[axis + 1 :]), x.dtype)
        for i in range(len(start)):
            part = _along(axis, slice(start[i], end[i]))
            means[_along(axis, i)] = x[part].mean(axis, dtype=accumulator_dtype(x.dtype))
        x = means
    return x


def adaptive_avg_pool2d_backward(g: Array, x_shape: Shape) -> Array:
    """dx (N, C, H, W): each window's gradient, shared out evenly over its elements."""
    xp = array_namespace(g)
    for axis in (2, 3):
        start, end = adaptive_windows(x_shape[axis], g.shape[axis])
        dx = xp.zeros((*g.shape[:axis], x_shape[axis], *g.shape[axis + 1 :]), g.dtype)
        for i in range(len(start)):
            share = g[_along(axis, slice(i, i + 1))] / g.dtype.type(end[i] - start[i])
            dx[_along(axis, slice(start[i], end[i]))] += share
        g = dx
    return g


def adaptive_max_pool(x: Array, output: Shape) -> tuple[Array, Array]:
    """(y, winners), each (N, C, *output): each window's maximum, and its int64 flat place in the spatial axes of x.

    A window is a box, so its maximum is found axis by axis. The first of equal elements wins, and a NaN wins over every
    number (the last NaN, if there are more), as in max_pool2d_forward.
    """
    xp = array_namespace(x)
    spatial = x.shape[2:]
    places = xp.broadcast_to(xp.arange(int(np.prod(spatial))).reshape(spatial), x.shape)
    for axis in reversed(range(2, x.ndim)):
        start, end = adaptive_windows(x.shape[axis], output[axis - 2])
        best, winners = xp.take(x, xp.asarray(start), axis), xp.take(places, xp.asarray(start), axis)
        for tap in range(1, int((end - start).max(initial=1))):
            at = xp.asarray(np.minimum(start + tap, end - 1))
            candidate = xp.take(x, at, axis)
            better = (candidate > best) | (candidate != candidate)
            best = xp.where(better, candidate, best)
            winners = xp.where(better, xp.take(places, at, axis), winners)
        x, places = best, winners
    return x, places


def _along(axis: int, part: Any) -> tuple:
    return (slice(None),) * axis + (part,)
