"""Resampling along one axis: every output is a weighted sum of a few inputs, as in interpolation and adaptive means.

That is a sparse matrix, given entry by entry: output ``to[k]`` takes ``weight[k]`` of input ``of[k]``. Its transpose,
which is the gradient, is the same with ``to`` and ``of`` exchanged.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace

Array = Any


def resample(x: Array, axis: int, to: np.ndarray, of: np.ndarray, weight: np.ndarray, size: int) -> Array:
    """y, as x but ``size`` long along ``axis``: y[to[k]] is the sum of weight[k] x[of[k]]; float16 adds in float32."""
    xp = array_namespace(x)
    dtype = accumulator_dtype(x.dtype)
    y = xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), dtype)
    column = (-1,) + (1,) * (x.ndim - axis - 1)
    for entries in _rounds(to):
        part = xp.take(x, xp.asarray(of[entries]), axis) * xp.asarray(weight[entries].astype(dtype)).reshape(column)
        y[(slice(None),) * axis + (xp.asarray(to[entries]),)] += part
    return y.astype(x.dtype, copy=False)


def _rounds(to: np.ndarray) -> Iterator[np.ndarray]:
    """The entries in rounds, of which none meets an output twice: the first of every output, the second of each, …"""
    order = np.argsort(to, kind="stable")
    turn = np.arange(len(to)) - np.searchsorted(to[order], to[order])
    return (order[turn == t] for t in range(turn.max(initial=-1) + 1))
