"""The squared error, summed or averaged, and its gradient, each in one pass: no array of differences is kept.

Blocks of fixed size are added up in the arrays' dtype, and the blocks' sums in float64, in order: so a long sum is
accurate, and the number of threads, each of which takes some blocks, does not change its bits.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .signatures import real_signatures
from .threads import threads_for

BLOCK = 1024
ALONE = 200_000  # elements that one thread is done with before a second one has begun


def squared_error_loss(x: np.ndarray, t: np.ndarray, mean: bool) -> np.ndarray:
    """See the reference. ValueError for different sizes, TypeError unless both are float32 or both float64."""
    loss = np.empty((), x.dtype)
    flat = x.ravel()
    threads = 1 if len(flat) < ALONE else threads_for(len(flat), len(flat) // BLOCK)
    if threads == 1:
        _loss(flat, t.ravel(), mean, loss)
    else:
        _loss_of_threads(flat, t.ravel(), mean, loss, threads)
    return loss


def squared_error_gradient(g: np.ndarray, x: np.ndarray, t: np.ndarray, mean: bool) -> np.ndarray:
    """See the reference. ValueError for different sizes, TypeError unless all are float32 or all float64."""
    dx = np.empty(x.shape, x.dtype)
    flat = x.ravel()
    threads = 1 if len(flat) < ALONE else threads_for(len(flat), len(flat) // BLOCK)
    if threads == 1:
        _gradient(g.reshape(-1), flat, t.ravel(), mean, dx.ravel())
    else:
        _gradient_of_threads(g.reshape(-1), flat, t.ravel(), mean, dx.ravel(), threads)
    return dx


# Each twice: what may start threads takes 0.3 us longer, also where it starts none.


@compiled(real_signatures("in1 in1 boolean out0"))
def _loss(x, t, mean, loss):
    _check_sizes(x, t, x)
    total = 0.0
    for start in range(0, len(x), BLOCK):
        total += _block_sum(x[start : start + BLOCK], t[start : start + BLOCK])
    loss[()] = total / len(x) if mean else total


@compiled(real_signatures("in1 in1 boolean out0 int64"), parallel=True)
def _loss_of_threads(x, t, mean, loss, threads):
    _check_sizes(x, t, x)
    blocks = (len(x) + BLOCK - 1) // BLOCK
    sums = np.empty(blocks, np.float64)
    for thread in prange(threads):
        for k in range(thread * blocks // threads, (thread + 1) * blocks // threads):
            sums[k] = _block_sum(x[k * BLOCK : (k + 1) * BLOCK], t[k * BLOCK : (k + 1) * BLOCK])
    total = 0.0
    for k in range(blocks):
        total += sums[k]
    loss[()] = total / len(x) if mean else total


@compiled(real_signatures("in1A in1 in1 boolean out1"))
def _gradient(g, x, t, mean, dx):
    _check_sizes(x, t, dx)
    _scaled_difference(x, t, _factor(g, x, mean), dx)


@compiled(real_signatures("in1A in1 in1 boolean out1 int64"), parallel=True)
def _gradient_of_threads(g, x, t, mean, dx, threads):
    _check_sizes(x, t, dx)
    n, factor = len(x), _factor(g, x, mean)
    for thread in prange(threads):
        a, b = thread * n // threads, (thread + 1) * n // threads
        _scaled_difference(x[a:b], t[a:b], factor, dx[a:b])


@njit(error_model="numpy")
def _check_sizes(x, t, dx):
    if len(t) != len(x) or len(dx) != len(x):
        raise ValueError("x and t must have one size")


@njit(error_model="numpy")
def _factor(g, x, mean):
    return x.dtype.type(2.0 * g[0] / len(x) if mean else 2.0 * g[0])


# "reassoc": the terms may be added in any order, so a vector register at a time.
@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _block_sum(x, t):
    total = x.dtype.type(0)
    for i in range(len(x)):
        difference = x[i] - t[i]
        total += difference * difference
    return total


@njit(error_model="numpy")
def _scaled_difference(x, t, factor, dx):
    for i in range(len(x)):
        dx[i] = factor * (x[i] - t[i])
