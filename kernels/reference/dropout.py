"""Dropout: what is kept is drawn from a ticket, and applied.

A ticket names a draw: float64 (5,) of 32-bit words, the two of the key, the two of the draw's number, and the number of
the first sample. The array x is seen as (outer, samples, inner, repeats): each of a sample's outer · inner elements is
drawn for itself and stands for `repeats` numbers (those of a channel, say).
"""

from math import ceil
from typing import Any

import numpy as np

from .namespace import array_namespace
from .philox import words

Array = Any
Sizes = tuple[int, int, int, int]


def dropout_forward(
    x: Array, ticket: np.ndarray, sizes: Sizes, p: float, scale: float, shifts: tuple[float, float] = (0.0, 0.0)
) -> tuple[Array, Array]:
    """(y, kept): y = x · noise, where noise is `scale` with probability 1 − p, else 0; kept, uint8, says where.

    shifts = (shift of what is kept, of what is dropped) is added unless both are 0. An element is kept if the upper 24
    bits of its word, as a fraction, are at least p as a float32.
    """
    xp = array_namespace(x)
    outer, samples, inner, repeats = sizes
    key0, key1, low, high, first = map(int, ticket)
    drawn = words((key0, key1), low | high << 32, range(first, first + samples), outer * inner)
    kept = (drawn >> np.uint32(8) >= least_kept(p)).reshape(samples, outer, inner).swapaxes(0, 1)
    kept = xp.asarray(np.ascontiguousarray(kept).reshape(-1).view(np.uint8))
    y = dropout_backward(x, kept, scale)
    if any(shifts):
        number = x.dtype.type
        shift = xp.where(kept.astype(bool), number(shifts[0]), number(shifts[1]))
        y += xp.repeat(shift, repeats).reshape(x.shape)
    return y, kept


def dropout_backward(g: Array, kept: Array, scale: float) -> Array:
    """g · noise; each element of `kept` speaks for as many numbers of g, in a row, as there are to one."""
    noise = kept.astype(g.dtype) * g.dtype.type(scale)
    return (g.reshape(kept.size, -1) * noise[:, None]).reshape(g.shape)


def least_kept(p: float) -> int:
    """The least 24-bit number that, as a fraction, is at least p as a float32."""
    return ceil(float(np.float32(p)) * 2**24)
