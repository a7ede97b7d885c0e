"""The winners of max-pooling over windows that are given one by one, as adaptive pooling needs."""

from typing import Any

import numpy as np

from .namespace import array_namespace

Array = Any


def adaptive_max_winners(x: Array, windows: list[tuple[np.ndarray, np.ndarray]]) -> Array:
    """int64 (N, C, *output): the flat place in the spatial axes of x (N, C, *spatial) of each window's maximum.

    ``windows`` holds (start, end) of each output for each spatial axis. A window is a box, so its maximum is found axis
    by axis. The first of equal elements wins, and a NaN wins over every number (the last NaN, if there are more), as in
    max_pool2d_forward.
    """
    xp = array_namespace(x)
    spatial = x.shape[2:]
    places = xp.broadcast_to(xp.arange(int(np.prod(spatial))).reshape(spatial), x.shape)
    for axis in reversed(range(2, x.ndim)):
        start, end = windows[axis - 2]
        best, winners = xp.take(x, xp.asarray(start), axis), xp.take(places, xp.asarray(start), axis)
        for tap in range(1, int((end - start).max(initial=1))):
            at = xp.asarray(np.minimum(start + tap, end - 1))
            candidate = xp.take(x, at, axis)
            better = (candidate > best) | (candidate != candidate)
            best = xp.where(better, candidate, best)
            winners = xp.where(better, xp.take(places, at, axis), winners)
        x, places = best, winners
    return places
