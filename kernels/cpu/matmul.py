"""The matrix product of arrays of any number of axes: NumPy's matmul on the library's own tiles.

Two matrices are one product; threads share its rows or columns. Stacks of matrices are many, as they lie (a stack of
one is used for all), and threads share the stack.
"""

from math import prod

import numpy as np
from numba import njit, prange
from numpy import empty

from .compile import compiled
from .gemm import ALONE, product, share
from .signatures import real_signatures
from .threads import threads_for
from .tile import ZERO
from .vectors import pointer


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """See the reference. ValueError for shapes that do not fit, TypeError unless both are float32 or both float64."""
    if a.ndim == 2 and b.ndim == 2:
        c = empty((len(a), b.shape[1]), a.dtype)
        work = len(a) * b.size
        threads = 1 if work < ALONE else threads_for(work, max(c.shape))
        if threads == 1:
            _matrices(a, b, c)
        else:
            _matrices_of_threads(a, b, c, threads)
        return c
    return _of_stacks(a, b)


def _of_stacks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Vectors become a row or a column, leading axes are broadcast and told apart by two axes."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul: a and b must have 1 axis or more")
    if a.ndim == 1:
        return np.squeeze(matmul(a[np.newaxis], b), -1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        return np.squeeze(matmul(a, b[:, np.newaxis]), -1)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, n = a.shape[-2], b.shape[-1]
    c = empty((*lead, m, n), a.dtype)
    outer, inner = prod(lead[:-1]), lead[-1]
    stack_c = c.reshape(outer, inner, m, n)
    stack_a, stack_b = _stack(a, lead), _stack(b, lead)
    work = c.size * a.shape[-1]
    threads = 1 if work < ALONE else threads_for(work, max(outer * inner, m, n))
    if threads == 1:
        _stacks(stack_a, stack_b, stack_c)
    else:
        _stacks_of_threads(stack_a, stack_b, stack_c, threads)
    return c


def _stack(x: np.ndarray, lead: tuple[int, ...]) -> np.ndarray:
    """x (…, rows, columns) as (outer, inner, rows, columns), in place where its axes allow it."""
    if x.ndim < 5 and len(lead) < 3:
        return x.reshape((1,) * (4 - x.ndim) + x.shape)
    whole = np.broadcast_to(x, lead + x.shape[-2:])
    return whole.reshape(prod(lead[:-1]), lead[-1], *x.shape[-2:])


@compiled(real_signatures("in2A in2A out2"))
def _matrices(a, b, c):
    _check(a.shape[0], a.shape[1], b.shape[0], b.shape[1], c.shape[0], c.shape[1])
    _share(a, b, c, 0, 1)


@compiled(real_signatures("in2A in2A out2 int64"), parallel=True)
def _matrices_of_threads(a, b, c, threads):
    _check(a.shape[0], a.shape[1], b.shape[0], b.shape[1], c.shape[0], c.shape[1])
    for thread in prange(threads):
        _share(a, b, c, thread, threads)


@njit(error_model="numpy")
def _check(m, size_a, size_b, n, rows, columns):
    if size_a != size_b or rows != m or columns != n:
        raise ValueError("matmul: the last axis of a must match the second-to-last axis of b")


@njit(error_model="numpy")
def _share(a, b, c, thread, threads):
    item = a.itemsize
    m, size = a.shape
    n = b.shape[1]
    product(
        pointer(a), a.strides[0] // item, a.strides[1] // item, pointer(b), b.strides[0] // item, b.strides[1] // item,
        m, n, size, pointer(c), n, ZERO, pointer(c), False, thread, threads,
    )  # fmt: skip


@compiled(real_signatures("in4A in4A out4"))
def _stacks(a, b, c):
    _check_stacks(a, b, c)
    _stack_share(a, b, c, 0, 1)


@compiled(real_signatures("in4A in4A out4 int64"), parallel=True)
def _stacks_of_threads(a, b, c, threads):
    _check_stacks(a, b, c)
    for thread in prange(threads):
        _stack_share(a, b, c, thread, threads)


@njit(error_model="numpy")
def _check_stacks(a, b, c):
    _check(a.shape[2], a.shape[3], b.shape[2], b.shape[3], c.shape[2], c.shape[3])
    for axis in range(2):
        if a.shape[axis] not in (1, c.shape[axis]) or b.shape[axis] not in (1, c.shape[axis]):
            raise ValueError("matmul: the leading axes of a and b cannot be broadcast")


@njit(error_model="numpy")
def _stack_share(a, b, c, thread, threads):
    """A share of the stack; where there are fewer matrices than threads, a share of each matrix."""
    outer, inner = c.shape[0], c.shape[1]
    count = outer * inner
    if count < threads:
        for i in range(outer):
            for j in range(inner):
                _share(a[i % a.shape[0], j % a.shape[1]], b[i % b.shape[0], j % b.shape[1]], c[i, j], thread, threads)
    else:
        first, mine = share(count, 1, thread, threads)
        for k in range(first, first + mine):
            i, j = k // inner, k % inner
            _share(a[i % a.shape[0], j % a.shape[1]], b[i % b.shape[0], j % b.shape[1]], c[i, j], 0, 1)
