"""Scaled dot-product attention and its gradients, head by head: a head's scores stay in the cache between the products.

    W = softmax(Q Kᵀ · scale + bias)      Y = (W ∘ noise) V
    ∂V = (W ∘ noise)ᵀ G      ∂S = W ∘ (∂W − Σ ∂W ∘ W), ∂W = G Vᵀ ∘ noise      ∂Q = ∂S K · scale      ∂K = ∂Sᵀ Q · scale

Heads may lie anywhere, for instance beside each other in the rows of one projection: only the last axis of what is
written must be contiguous. Threads take whole heads, so their number does not change the result.
"""

import numpy as np
from numba import njit, prange

from .compile import compiled
from .exponentials import added_up, exponentials, largest, multiply
from .gemm import product
from .signatures import real_signatures
from .threads import threads_for
from .tile import ZERO
from .vectors import keep, pointer

BLOCK = (
    64 * 1024
)  # scores that are computed, exponentiated and multiplied at a time: they stay in the second-level cache
ALONE = 200_000  # multiply-adds that one thread is done with before a second one has begun
_NONE = {char: np.empty((0, 0, 0, 0), char) for char in "fd"}


def attention_forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    bias: np.ndarray | None,
    noise: np.ndarray | None,
    causal: bool,
    scale: float,
    out: np.ndarray,
) -> np.ndarray:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong shapes."""
    none = _NONE[q.dtype.char]
    n, h, length, width = q.shape
    weights = np.empty((n, h, length, k.shape[2]), q.dtype)
    _check_rows(out)
    work = weights.size * (width + v.shape[3] + 8)
    given = (q, k, v, none if bias is None else bias, none if noise is None else noise, causal, scale, out, weights)
    threads = 1 if work < ALONE else threads_for(work, n * h)
    if threads == 1:
        _forward(*given)
    else:
        _forward_of_threads(*given, threads)
    return weights


def attention_gradient(
    g: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    weights: np.ndarray,
    noise: np.ndarray | None,
    scale: float,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    wants_scores: bool = False,
) -> np.ndarray | None:
    """See the reference. TypeError unless all are float32 or all float64, ValueError for wrong shapes."""
    none = _NONE[q.dtype.char]
    n, h, _, width = q.shape
    dscores = np.empty(weights.shape, q.dtype) if wants_scores else none
    for gradient in (dq, dk, dv):
        _check_rows(gradient)
    work = 2 * weights.size * (width + v.shape[3] + 4)
    given = (g, q, k, v, weights, none if noise is None else noise, scale, dq, dk, dv, dscores)
    threads = 1 if work < ALONE else threads_for(work, n * h)
    if threads == 1:
        _gradient(*given)
    else:
        _gradient_of_threads(*given, threads)
    return dscores if wants_scores else None


def _check_rows(out: np.ndarray) -> None:
    if out.strides[3] != out.itemsize and out.size:
        raise ValueError(f"attention: the last axis of what is written must be contiguous, got strides {out.strides}")


_FORWARD = "in4A in4A in4A in4A in4A boolean float64 out4A out4"


@compiled(real_signatures(_FORWARD))
def _forward(q, k, v, bias, noise, causal, scale, y, weights):
    _check(q, k, v, y, weights, bias, noise)
    _forward_heads(q, k, v, bias, noise, causal, scale, y, weights, 0, q.shape[0] * q.shape[1])


@compiled(real_signatures(_FORWARD + " int64"), parallel=True)
def _forward_of_threads(q, k, v, bias, noise, causal, scale, y, weights, threads):
    _check(q, k, v, y, weights, bias, noise)
    heads = q.shape[0] * q.shape[1]
    for thread in prange(threads):
        first, last = thread * heads // threads, (thread + 1) * heads // threads
        _forward_heads(q, k, v, bias, noise, causal, scale, y, weights, first, last)


_GRADIENT = "in4A in4A in4A in4A in4 in4A float64 out4A out4A out4A out4"


@compiled(real_signatures(_GRADIENT))
def _gradient(g, q, k, v, weights, noise, scale, dq, dk, dv, dscores):
    _check(q, k, v, g, weights, noise, dscores)
    _check(dq, dk, dv, g, weights, noise, dscores)
    _gradient_heads(g, q, k, v, weights, noise, scale, dq, dk, dv, dscores, 0, q.shape[0] * q.shape[1])


@compiled(real_signatures(_GRADIENT + " int64"), parallel=True)
def _gradient_of_threads(g, q, k, v, weights, noise, scale, dq, dk, dv, dscores, threads):
    _check(q, k, v, g, weights, noise, dscores)
    _check(dq, dk, dv, g, weights, noise, dscores)
    heads = q.shape[0] * q.shape[1]
    for thread in prange(threads):
        first, last = thread * heads // threads, (thread + 1) * heads // threads
        _gradient_heads(g, q, k, v, weights, noise, scale, dq, dk, dv, dscores, first, last)


@njit(error_model="numpy")
def _check(q, k, v, y, weights, like_weights, also_like_weights):
    n, h, length, width = q.shape
    keys, depth = v.shape[2], v.shape[3]
    fits = k.shape == (n, h, keys, width) and v.shape[0] == n and v.shape[1] == h
    if not fits or y.shape != (n, h, length, depth) or weights.shape != (n, h, length, keys):
        raise ValueError("attention needs q (N, H, L, E), k (N, H, S, E), v (N, H, S, D) and y (N, H, L, D)")
    for i in range(4):
        if (like_weights.size and like_weights.shape[i] != weights.shape[i]) or (
            also_like_weights.size and also_like_weights.shape[i] != weights.shape[i]
        ):
            raise ValueError("attention needs bias and noise of the scores' shape (N, H, L, S)")


@njit(error_model="numpy")
def _strides(matrix):
    return matrix.strides[0] // matrix.itemsize, matrix.strides[1] // matrix.itemsize


@njit(error_model="numpy")
def _forward_heads(q, k, v, bias, noise, causal, scale, y, weights, first, last):
    heads, length = q.shape[1], q.shape[2]
    keys = k.shape[2]
    rows = max(1, BLOCK // max(keys, 1))
    dropped = np.empty((min(rows, length) if noise.size else 0, keys), q.dtype)
    for unit in range(first, last):
        n, h = unit // heads, unit % heads
        for start in range(0, length, rows):
            end = min(start + rows, length)
            w = weights[n, h, start:end]
            _multiply(q[n, h, start:end], k[n, h].T, w)
            for i in range(end - start):
                _scale(w[i], q.dtype.type(scale))
                if bias.size:
                    _add(bias[n, h, start + i], w[i])
                if causal:
                    w[i, min(start + i + 1, keys) :] = -np.inf
            _softmax(w)
            if noise.size:
                for i in range(end - start):
                    _product(w[i], noise[n, h, start + i], dropped[i])
                _multiply(dropped[: end - start], v[n, h], y[n, h, start:end])
            else:
                _multiply(w, v[n, h], y[n, h, start:end])


@njit(error_model="numpy")
def _softmax(w):
    """In place, of each row; a row of nothing but −inf becomes 0."""
    lowest = w.dtype.type(-np.inf)
    for i in range(len(w)):
        row = w[i]
        top = largest(row)
        if top != lowest:
            for j in range(len(row)):
                row[j] -= top
    exponentials(w.reshape(-1))
    for i in range(len(w)):
        total = added_up(w[i])
        if total != 0:
            multiply(w[i], 1 / total)


@njit(error_model="numpy")
def _gradient_heads(g, q, k, v, weights, noise, scale, dq, dk, dv, dscores, first, last):
    heads = q.shape[1]
    length, keys = weights.shape[2:]
    scratch = np.empty((0 if dscores.size else length, keys), q.dtype)
    dropped = np.empty((length if noise.size else 0, keys), q.dtype)
    factor = q.dtype.type(scale)
    for unit in range(first, last):
        n, h = unit // heads, unit % heads
        w = weights[n, h]
        ds = dscores[n, h] if dscores.size else scratch
        _multiply(g[n, h], v[n, h].T, ds)
        if noise.size:
            for i in range(length):
                _product(w[i], noise[n, h, i], dropped[i])
                _product(ds[i], noise[n, h, i], ds[i])
            _multiply(dropped.T, g[n, h], dv[n, h])
        else:
            _multiply(w.T, g[n, h], dv[n, h])
        for i in range(length):
            _of_scores(ds[i], w[i])
        _multiply(ds, k[n, h], dq[n, h])
        _multiply(ds.T, q[n, h], dk[n, h])
        for i in range(length):
            _scale(dq[n, h, i], factor)
        for i in range(keys):
            _scale(dk[n, h, i], factor)


@njit(error_model="numpy")
def _multiply(a, b, c):
    """c = a b, matrices of any strides but for the last of c, which is contiguous."""
    a_row, a_k = _strides(a)
    b_k, b_column = _strides(b)
    m, n = c.shape
    to = pointer(c)
    product(
        pointer(a), a_row, a_k, pointer(b), b_k, b_column, m, n, a.shape[1], to, _strides(c)[0], ZERO, to, False, 0, 1
    )
    keep(a)
    keep(b)
    keep(c)


@njit(error_model="numpy")
def _scale(row, factor):
    for j in range(len(row)):
        row[j] *= factor


@njit(error_model="numpy")
def _add(what, row):
    for j in range(len(row)):
        row[j] += what[j]


@njit(error_model="numpy")
def _product(a, b, to):
    for j in range(len(to)):
        to[j] = a[j] * b[j]


@njit(error_model="numpy")
def _of_scores(d, w):
    """d ← w (d − Σ d w)"""
    along = _dot(d, w)
    for j in range(len(d)):
        d[j] = (d[j] - along) * w[j]


# "reassoc": the terms may be added in any order, so a vector register at a time.
@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):
    total = a.dtype.type(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total
