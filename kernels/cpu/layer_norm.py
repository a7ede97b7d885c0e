"""Layer norm and RMS norm of rows, with weight and bias, and their gradient: each row is read while it is in the cache.

    x̂ = (x − mean) / √(variance + ε)      y = w x̂ + b      ∂x = (ĝ − mean ĝ − x̂ mean(ĝ x̂)) / σ  with ĝ = g w

The gradients of weight and bias are sums over the rows. They are added up over pieces of PIECE rows, and the pieces in
order, so that the number of threads, each of which takes some pieces, does not change their bits.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .exponentials import added_up
from .signatures import real_signatures
from .threads import threads_for

PIECE = 32  # rows
COST = 4  # of an element, in multiply-adds
ALONE = 50_000  # elements that one thread is done with before a second one has begun


def layer_norm_forward(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float, centred: bool
) -> tuple[np.ndarray, np.ndarray]:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong sizes."""
    y, statistics = np.empty(x.shape, x.dtype), np.empty((2, len(x)), x.dtype)
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    weight = np.ones(x.shape[1], x.dtype) if weight is None else weight.ravel()
    bias = np.zeros(x.shape[1], x.dtype) if bias is None else bias.ravel()
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, len(x))
    if threads == 1:
        _forward(x, weight, bias, eps, centred, y, statistics)
    else:
        _forward_of_threads(x, weight, bias, eps, centred, y, statistics, threads)
    return y, statistics


def layer_norm_backward(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    statistics: np.ndarray,
    centred: bool,
    dweight: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> np.ndarray:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong sizes."""
    dx = np.empty(x.shape, x.dtype)
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    if not g.flags.c_contiguous:
        g = np.ascontiguousarray(g)
    weight = np.ones(x.shape[1], x.dtype) if weight is None else weight.ravel()
    dweight = np.empty(x.shape[1], x.dtype) if dweight is None else dweight.reshape(-1)
    dbias = np.empty(x.shape[1], x.dtype) if dbias is None else dbias.reshape(-1)
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, -(-len(x) // PIECE))
    if threads == 1:
        _backward(g, x, weight, statistics, centred, dx, dweight, dbias)
    else:
        _backward_of_threads(g, x, weight, statistics, centred, dx, dweight, dbias, threads)
    return dx


@compiled(real_signatures("in2 in1 in1 float64 boolean out2 out2"))
def _forward(x, weight, bias, eps, centred, y, statistics):
    _check(x, y, statistics, weight, bias)
    _forward_rows(x, weight, bias, eps, centred, y, statistics, 0, len(x))


@compiled(real_signatures("in2 in1 in1 float64 boolean out2 out2 int64"), parallel=True)
def _forward_of_threads(x, weight, bias, eps, centred, y, statistics, threads):
    _check(x, y, statistics, weight, bias)
    n = len(x)
    for thread in prange(threads):
        first, last = thread * n // threads, (thread + 1) * n // threads
        _forward_rows(x, weight, bias, eps, centred, y, statistics, first, last)


@compiled(real_signatures("in2 in2 in1 in2 boolean out2 out1 out1"))
def _backward(g, x, weight, statistics, centred, dx, dweight, dbias):
    _check(x, g, statistics, weight, dweight)
    _check(x, dx, statistics, weight, dbias)
    pieces = (len(x) + PIECE - 1) // PIECE
    width = x.shape[1]
    of_piece = np.empty((2, width), x.dtype)
    dweight[:] = 0
    dbias[:] = 0
    for k in range(pieces):
        _backward_piece(g, x, weight, statistics, centred, dx, of_piece[0], of_piece[1], k)
        _accumulate(of_piece[0], dweight)
        _accumulate(of_piece[1], dbias)


@compiled(real_signatures("in2 in2 in1 in2 boolean out2 out1 out1 int64"), parallel=True)
def _backward_of_threads(g, x, weight, statistics, centred, dx, dweight, dbias, threads):
    _check(x, g, statistics, weight, dweight)
    _check(x, dx, statistics, weight, dbias)
    pieces = (len(x) + PIECE - 1) // PIECE
    sums = np.empty((pieces, 2, x.shape[1]), x.dtype)
    for thread in prange(threads):
        for k in range(thread * pieces // threads, (thread + 1) * pieces // threads):
            _backward_piece(g, x, weight, statistics, centred, dx, sums[k, 0], sums[k, 1], k)
    dweight[:] = 0
    dbias[:] = 0
    for k in range(pieces):
        _accumulate(sums[k, 0], dweight)
        _accumulate(sums[k, 1], dbias)


@njit(error_model="numpy")
def _check(x, like, statistics, weight, bias):
    rows, width = x.shape
    if like.shape != x.shape or statistics.shape != (2, rows):
        raise ValueError("the arrays' shapes do not fit to rows of x (R, W)")
    if len(weight) != width or len(bias) != width:
        raise ValueError("rows of x (R, W) need weight and bias (W,)")


@njit(error_model="numpy", fastmath={"contract"})
def _forward_rows(x, weight, bias, eps, centred, y, statistics, first, last):
    real = x.dtype.type
    width = x.shape[1]
    share = real(1 / width)
    for i in range(first, last):
        row, to = x[i], y[i]
        mean = added_up(row) * share if centred else real(0)
        inverse = real(1) / np.sqrt(_squares(row, mean) * share + real(eps))
        statistics[0, i] = mean
        statistics[1, i] = inverse
        for j in range(width):
            to[j] = (row[j] - mean) * inverse * weight[j] + bias[j]


@njit(error_model="numpy", fastmath={"contract"})
def _backward_piece(g, x, weight, statistics, centred, dx, dweight, dbias, piece):
    """Rows PIECE·piece … of dx, and what they add to the gradients of weight and bias."""
    real = x.dtype.type
    width = x.shape[1]
    share = real(1 / width)
    dweight[:] = 0
    dbias[:] = 0
    for i in range(piece * PIECE, min((piece + 1) * PIECE, len(x))):
        of_g, row, to = g[i], x[i], dx[i]
        mean, inverse = statistics[0, i], statistics[1, i]
        level, along = _moments(of_g, row, weight, mean)
        level = level * share if centred else real(0)
        along *= inverse * inverse * share
        for j in range(width):
            to[j] = (of_g[j] * weight[j] - level - (row[j] - mean) * along) * inverse
        for j in range(width):
            dbias[j] += of_g[j]
            dweight[j] += of_g[j] * ((row[j] - mean) * inverse)


# "reassoc": the terms may be added in any order, so a vector register at a time.
@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _squares(row, mean):
    total = row.dtype.type(0)
    for j in range(len(row)):
        total += (row[j] - mean) * (row[j] - mean)
    return total


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _moments(g, row, weight, mean):
    """(Σ g w, Σ g w (x − mean))"""
    total = along = row.dtype.type(0)
    for j in range(len(row)):
        scaled = g[j] * weight[j]
        total += scaled
        along += scaled * (row[j] - mean)
    return total, along


@njit(error_model="numpy")
def _accumulate(of_piece, total):
    for j in range(len(total)):
        total[j] += of_piece[j]
