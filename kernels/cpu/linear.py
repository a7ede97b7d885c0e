"""y = x Wᵀ + b with an optional ReLU, and all its gradients: one call of machine code each way.

Bias and ReLU are done where the product's tiles leave the registers. Shapes and values are the reference's; sums run
in another order.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from numba import carray, njit, prange
from numpy import empty

from .compile import compiled
from .gemm import ALONE, product, share
from .signatures import real_signatures
from .threads import threads_for
from .tile import COLUMN_BIAS, ZERO
from .vectors import at, one, pointer

_NO_VECTOR = {char: np.empty(0, char) for char in "fd"}
_NO_MATRIX = {char: np.empty((0, 0), char) for char in "fd"}


def linear_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, relu: bool = False) -> np.ndarray:
    """See the reference. ValueError for shapes that do not fit, TypeError unless all are float32 or all float64."""
    if x.ndim != 2:
        return linear_forward(_rows(x), weight, bias, relu).reshape(*x.shape[:-1], len(weight))
    if bias is None:
        bias = _NO_VECTOR[x.dtype.char]
    y = empty((len(x), len(weight)), x.dtype)
    work = x.size * len(weight)
    threads = 1 if work < ALONE else threads_for(work, max(y.shape))
    try:
        if threads == 1:
            _forward(x, weight, bias, relu, y)
        else:
            _forward_of_threads(x, weight, bias, relu, y, threads)
    except TypeError:
        if bias.flags.c_contiguous:
            raise
        return linear_forward(x, weight, bias.copy(), relu)
    return y


def linear_backward(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray | None = None,
    needs: Sequence[bool] = (True, True, True),
    out: Sequence[np.ndarray | None] = (None, None, None),
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """See the reference. ValueError for shapes that do not fit, TypeError unless all are float32 or all float64."""
    if x.ndim != 2:
        y = None if y is None else _rows(y)
        dx, dw, db = linear_backward(_rows(g), _rows(x), weight, y, needs, out)
        return None if dx is None else dx.reshape(x.shape), dw, db
    real = x.dtype
    wants_x, wants_weight, wants_bias = needs
    none = _NO_MATRIX[real.char]
    dx = empty(x.shape, real) if wants_x else none
    dw = none if not wants_weight else empty(weight.shape, real) if out[1] is None else out[1]
    db = _NO_VECTOR[real.char] if not wants_bias else empty(len(weight), real) if out[2] is None else out[2]
    relu = y is not None
    work = x.size * len(weight)
    threads = 1 if work < ALONE else threads_for(work, max(weight.shape))
    try:
        if threads == 1:
            _backward(g, x, weight, y if relu else none, dx, dw, db, wants_x, wants_weight, wants_bias, relu)
        else:
            _backward_of_threads(
                g, x, weight, y if relu else none, dx, dw, db, wants_x, wants_weight, wants_bias, relu, threads
            )
    except TypeError:
        if dw.flags.c_contiguous and db.flags.c_contiguous:
            raise
        found = linear_backward(g, x, weight, y, needs)  # gradients are computed in whole rows, and copied elsewhere
        for place, gradient in zip((dw, db), found[1:]):
            if gradient is not None:
                place[...] = gradient
        dx = found[0]
    return dx if wants_x else None, dw if wants_weight else None, db if wants_bias else None


def _rows(x: np.ndarray) -> np.ndarray:
    """x (…, n) as a matrix; without copying where the leading axes allow it."""
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])


@compiled(real_signatures("in2A in2A in1 boolean out2"))
def _forward(x, weight, bias, relu, y):
    _check(x, weight, bias, y)
    _forward_share(x, weight, bias, relu, y, 0, 1)


@compiled(real_signatures("in2A in2A in1 boolean out2 int64"), parallel=True)
def _forward_of_threads(x, weight, bias, relu, y, threads):
    _check(x, weight, bias, y)
    for thread in prange(threads):
        _forward_share(x, weight, bias, relu, y, thread, threads)


@njit(error_model="numpy")
def _check(x, weight, bias, y):
    m, size = x.shape
    n = weight.shape[0]
    if weight.shape[1] != size or y.shape[0] != m or y.shape[1] != n or (len(bias) != n and len(bias) != 0):
        raise ValueError("linear: x (…, in), weight (out, in), bias (out,) and y (…, out) do not fit")


@njit(error_model="numpy")
def _forward_share(x, weight, bias, relu, y, thread, threads):
    item = x.itemsize
    m, size = x.shape
    n = weight.shape[0]
    product(
        pointer(x), x.strides[0] // item, x.strides[1] // item,
        pointer(weight), weight.strides[1] // item, weight.strides[0] // item, m, n, size,
        pointer(y), n, COLUMN_BIAS if len(bias) else ZERO, pointer(bias), relu, thread, threads,
    )  # fmt: skip


_GRADIENTS = "in2A in2A in2A in2A out2 out2 out1 boolean boolean boolean boolean"


@compiled(real_signatures(_GRADIENTS))
def _backward(g, x, weight, y, dx, dw, db, wants_x, wants_weight, wants_bias, relu):
    _check_gradients(g, x, weight, y, dx, dw, db, wants_x, wants_weight, wants_bias, relu)
    if relu:
        passed = np.empty(g.shape, g.dtype)
        _pass(g, y, passed, 0, len(g))
        _gradient_share(passed, x, weight, dx, dw, db, wants_x, wants_weight, wants_bias, 0, 1)
    else:
        _gradient_share(g, x, weight, dx, dw, db, wants_x, wants_weight, wants_bias, 0, 1)


@compiled(real_signatures(_GRADIENTS + " int64"), parallel=True)
def _backward_of_threads(g, x, weight, y, dx, dw, db, wants_x, wants_weight, wants_bias, relu, threads):
    _check_gradients(g, x, weight, y, dx, dw, db, wants_x, wants_weight, wants_bias, relu)
    if relu:
        passed = np.empty(g.shape, g.dtype)
        for thread in prange(threads):
            first, count = share(len(g), 1, thread, threads)
            _pass(g, y, passed, first, first + count)
        for thread in prange(threads):
            _gradient_share(passed, x, weight, dx, dw, db, wants_x, wants_weight, wants_bias, thread, threads)
    else:
        for thread in prange(threads):
            _gradient_share(g, x, weight, dx, dw, db, wants_x, wants_weight, wants_bias, thread, threads)


@njit(error_model="numpy")
def _check_gradients(g, x, weight, y, dx, dw, db, wants_x, wants_weight, wants_bias, relu):
    m, size = x.shape
    n = weight.shape[0]
    if g.shape != (m, n) or weight.shape[1] != size or (relu and y.shape != (m, n)):
        raise ValueError("linear: x (…, in), weight (out, in), y (…, out) and the gradient (…, out) do not fit")
    if (
        (wants_x and dx.shape != x.shape)
        or (wants_weight and dw.shape != weight.shape)
        or (wants_bias and len(db) != n)
    ):
        raise ValueError("linear: the arrays for the gradients must have the shapes of what they are gradients of")


@njit(error_model="numpy")
def _pass(g, y, passed, first, end):
    """The gradient before the ReLU, of some rows: it passes where the output is above 0 (or NaN)."""
    n = g.shape[1]
    row, item = n * g.itemsize, g.itemsize
    if g.strides == (row, item) and y.strides == (row, item):  # then rows are one long vector
        count = ((end - first) * n,)
        _pass_vector(
            carray(at(pointer(g), first * n), count),
            carray(at(pointer(y), first * n), count),
            carray(at(pointer(passed), first * n), count),
        )
    else:
        for i in range(first, end):
            for j in range(n):
                passed[i, j] = 0 if y[i, j] <= 0 else g[i, j]


@njit(error_model="numpy")
def _pass_vector(g, y, passed):
    for i in range(len(g)):
        passed[i] = 0 if y[i] <= 0 else g[i]


@njit(error_model="numpy")
def _gradient_share(g, x, weight, dx, dw, db, wants_x, wants_weight, wants_bias, thread, threads):
    item = g.itemsize
    m, size = x.shape
    n = weight.shape[0]
    g_row, g_column = g.strides[0] // item, g.strides[1] // item
    x_row, x_column = x.strides[0] // item, x.strides[1] // item
    if wants_x:
        product(
            pointer(g), g_row, g_column, pointer(weight), weight.strides[0] // item, weight.strides[1] // item,
            m, size, n, pointer(dx), size, ZERO, pointer(dx), False, thread, threads,
        )  # fmt: skip
    if wants_weight:
        product(
            pointer(g), g_column, g_row, pointer(x), x_row, x_column,
            n, size, m, pointer(dw), size, ZERO, pointer(dw), False, thread, threads,
        )  # fmt: skip
    if wants_bias:  # a row of ones times g; and a single one will do, for a stride may be 0
        product(
            one(pointer(g)), 0, 0, pointer(g), g_row, g_column,
            1, n, m, pointer(db), n, ZERO, pointer(db), False, thread, threads,
        )  # fmt: skip
