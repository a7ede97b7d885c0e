"""The arrays that batch norm and group norm work on: contiguous ones, new ones for what is wanted, and something in the
place of a weight or bias that is absent: ones and zeros, made once and not to be written to.
"""

from functools import lru_cache

import numpy as np

Array = np.ndarray


def forward_arrays(x: Array, weight: Array | None, bias: Array | None) -> tuple[Array, Array, Array, Array]:
    """(x, weight, bias, y) for x (N, C, P) and weight, bias (C,), y like x."""
    channels, dtype = x.shape[1], x.dtype
    weight = _ones(channels, dtype.char) if weight is None else weight
    bias = _zeros(channels, dtype.char) if bias is None else bias
    return _contiguous(x), weight, bias, np.empty(x.shape, dtype)


def backward_arrays(
    g: Array, x: Array, weight: Array | None, dweight: Array | None, dbias: Array | None
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """(g, x, weight, dx, dweight, dbias) for g and x (N, C, P), weight and its gradients (C,), dx like x."""
    channels, dtype = x.shape[1], x.dtype
    weight = _ones(channels, dtype.char) if weight is None else weight
    dweight = np.empty(channels, dtype) if dweight is None else dweight
    dbias = np.empty(channels, dtype) if dbias is None else dbias
    return _contiguous(g), _contiguous(x), weight, np.empty(x.shape, dtype), dweight, dbias


def _contiguous(x: Array) -> Array:
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


@lru_cache(256)
def _ones(size: int, dtype: str) -> Array:
    return np.broadcast_to(np.ones((), dtype), size)


@lru_cache(256)
def _zeros(size: int, dtype: str) -> Array:
    return np.broadcast_to(np.zeros((), dtype), size)
