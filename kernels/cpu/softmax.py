"""Softmax and its logarithm along the last axis, and their gradients; along another axis the reference serves."""

import numpy as np
from numba import njit, prange

from ..reference import softmax as reference
from .approximate import exp, log
from .compile import compiled
from .exponentials import added_up, exponentials_of_rows, multiply
from .signatures import real_signatures
from .threads import threads_for

COST = 8  # of an element, in multiply-adds
ALONE = 50_000  # elements that one thread is done with before a second one has begun


def softmax(x: np.ndarray, dim: int) -> np.ndarray:
    """See the reference. TypeError unless x is float32 or float64."""
    return _of_rows(x, False) if x.ndim and dim in (-1, x.ndim - 1) else reference.softmax(x, dim)


def log_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    """See the reference. TypeError unless x is float32 or float64."""
    return _of_rows(x, True) if x.ndim and dim in (-1, x.ndim - 1) else reference.log_softmax(x, dim)


def softmax_gradient(g: np.ndarray, y: np.ndarray, dim: int) -> np.ndarray:
    """See the reference. TypeError unless both are float32 or both float64."""
    if y.ndim and dim in (-1, y.ndim - 1):
        return _gradient_of_rows(g, y, False)
    return reference.softmax_gradient(g, y, dim)


def log_softmax_gradient(g: np.ndarray, y: np.ndarray, dim: int) -> np.ndarray:
    """See the reference. TypeError unless both are float32 or both float64."""
    if y.ndim and dim in (-1, y.ndim - 1):
        return _gradient_of_rows(g, y, True)
    return reference.log_softmax_gradient(g, y, dim)


def _of_rows(x: np.ndarray, logarithm: bool) -> np.ndarray:
    y = np.empty(x.shape, x.dtype)
    if y.size:
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        threads = 1 if y.size < ALONE else threads_for(COST * y.size, len(rows))
        if threads == 1:
            _forward(rows, logarithm, y.reshape(rows.shape))
        else:
            _forward_of_threads(rows, logarithm, y.reshape(rows.shape), threads)
    return y


def _gradient_of_rows(g: np.ndarray, y: np.ndarray, logarithm: bool) -> np.ndarray:
    dx = np.empty(y.shape, y.dtype)
    if dx.size:
        rows = np.ascontiguousarray(y).reshape(-1, y.shape[-1])
        g = np.ascontiguousarray(g).reshape(-1, g.shape[-1])
        threads = 1 if dx.size < ALONE else threads_for(COST * dx.size, len(rows))
        if threads == 1:
            _gradient(g, rows, logarithm, dx.reshape(rows.shape))
        else:
            _gradient_of_threads(g, rows, logarithm, dx.reshape(rows.shape), threads)
    return dx


@compiled(real_signatures("in2 boolean out2"))
def _forward(x, logarithm, y):
    _check(x, y, y)
    _forward_rows(x, logarithm, y, np.empty((2, len(x)), x.dtype), 0, len(x))


@compiled(real_signatures("in2 boolean out2 int64"), parallel=True)
def _forward_of_threads(x, logarithm, y, threads):
    _check(x, y, y)
    n = len(x)
    scratch = np.empty((2, n), x.dtype)
    for thread in prange(threads):
        _forward_rows(x, logarithm, y, scratch, thread * n // threads, (thread + 1) * n // threads)


@compiled(real_signatures("in2 in2 boolean out2"))
def _gradient(g, y, logarithm, dx):
    _check(g, y, dx)
    _gradient_rows(g, y, logarithm, dx, 0, len(y))


@compiled(real_signatures("in2 in2 boolean out2 int64"), parallel=True)
def _gradient_of_threads(g, y, logarithm, dx, threads):
    _check(g, y, dx)
    n = len(y)
    for thread in prange(threads):
        _gradient_rows(g, y, logarithm, dx, thread * n // threads, (thread + 1) * n // threads)


@njit(error_model="numpy")
def _check(a, b, c):
    if a.shape != b.shape or a.shape != c.shape:
        raise ValueError("softmax: the arrays must have one shape")


@njit(error_model="numpy")
def _forward_rows(x, logarithm, y, scratch, first, last):
    tops, sums = scratch[0], scratch[1]
    exponentials_of_rows(x, y, tops, sums, first, last)
    for i in range(first, last):
        if logarithm:
            _shifted(x[i], tops[i], log(sums[i]), y[i])
        else:
            multiply(y[i], 1 / sums[i])


@njit(error_model="numpy")
def _shifted(row, top, more, to):
    for j in range(len(row)):
        to[j] = (row[j] - top) - more


@njit(error_model="numpy")
def _gradient_rows(g, y, logarithm, dx, first, last):
    for i in range(first, last):
        of_g, row, to = g[i], y[i], dx[i]
        if logarithm:
            total = added_up(of_g)
            for j in range(len(row)):
                to[j] = of_g[j] - exp(row[j]) * total
        else:
            total = _dot(of_g, row)
            for j in range(len(row)):
                to[j] = row[j] * (of_g[j] - total)


# "reassoc": the terms may be added in any order, so a vector register at a time.
@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):
    total = a.dtype.type(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total
