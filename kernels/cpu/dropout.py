"""Dropout and its gradient in one pass each, compiled: same bits as ``kernels.reference.dropout``.

What is kept is drawn a piece at a time, for as many elements as stay in the first cache, applied to them at once, and
remembered as one byte an element. A draw is a function of its place alone (``philox``), so threads may start anywhere.
"""

from functools import lru_cache

import numpy as np
from numba import njit, prange

from ..reference import dropout as reference
from .compile import check_real, compiled
from .philox import draw_kept
from .signatures import real_signatures
from .threads import threads_for

Sizes = tuple[int, int, int, int]

BLOCKS = 256  # of four elements: a piece
COST = 8  # of drawing for an element, in multiply-adds
ALONE = 30_000  # elements that one thread is done with before a second one has begun

least_kept = lru_cache(maxsize=64)(reference.least_kept)


def dropout_forward(
    x: np.ndarray, ticket: np.ndarray, sizes: Sizes, p: float, scale: float, shifts: tuple[float, float] = (0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    """(y, kept) for x in float32 or float64; see the reference.

    TypeError for another dtype, ValueError where sizes do not fit to x or a sample has no 32-bit number.
    """
    check_real("x", x)
    y = np.empty(x.shape, x.dtype)
    kept = np.empty(sizes[0] * sizes[1] * sizes[2], np.uint8)
    threads = 1 if x.size < ALONE else threads_for(COST * x.size, sizes[1] * sizes[2] // 4)
    if threads == 1:
        _forward(x.ravel(), ticket, sizes, least_kept(p), scale, shifts, y.ravel(), kept)
    else:
        _forward_of_threads(x.ravel(), ticket, sizes, least_kept(p), scale, shifts, y.ravel(), kept, threads)
    return y, kept


def dropout_backward(g: np.ndarray, kept: np.ndarray, scale: float) -> np.ndarray:
    """dx for g in float32 or float64; see the reference. TypeError for another dtype, ValueError for wrong sizes."""
    check_real("g", g)
    dx = np.empty(g.shape, g.dtype)
    threads = 1 if g.size < 4 * ALONE else threads_for(g.size, kept.size)
    if threads == 1:
        _backward(g.ravel(), kept, scale, dx.ravel())
    else:
        _backward_of_threads(g.ravel(), kept, scale, dx.ravel(), threads)
    return dx


_FORWARD = (
    "in1 Array(float64,1,'C',readonly=True) UniTuple(int64,4) int64 float64 UniTuple(float64,2) out1 Array(uint8,1,'C')"
)
_BACKWARD = "in1 Array(uint8,1,'C',readonly=True) float64 out1"


@compiled(real_signatures(_FORWARD))
def _forward(x, ticket, sizes, least, scale, shifts, y, kept):
    _forward_part(x, ticket, sizes, least, scale, shifts, y, kept, 0, _checked_blocks(x, ticket, sizes, y, kept))


@compiled(real_signatures(_FORWARD + " int64"), parallel=True)
def _forward_of_threads(x, ticket, sizes, least, scale, shifts, y, kept, threads):
    blocks = _checked_blocks(x, ticket, sizes, y, kept)
    for thread in prange(threads):
        first, end = thread * blocks // threads, (thread + 1) * blocks // threads
        _forward_part(x, ticket, sizes, least, scale, shifts, y, kept, first, end)


@compiled(real_signatures(_BACKWARD))
def _backward(g, kept, scale, dx):
    _check(g, kept, dx)
    _scale(g, kept, scale, dx, 0, len(kept))


@compiled(real_signatures(_BACKWARD + " int64"), parallel=True)
def _backward_of_threads(g, kept, scale, dx, threads):
    _check(g, kept, dx)
    for thread in prange(threads):
        _scale(g, kept, scale, dx, thread * len(kept) // threads, (thread + 1) * len(kept) // threads)


@njit(error_model="numpy")
def _check(g, kept, dx):
    if len(dx) != len(g) or (len(g) and (len(kept) == 0 or len(g) % len(kept))):
        raise ValueError("the arrays' sizes do not fit")


@njit(error_model="numpy")
def _checked_blocks(x, ticket, sizes, y, kept):
    """How many blocks of four elements all samples have."""
    outer, samples, inner, repeats = sizes
    fits = len(x) == outer * samples * inner * repeats and len(kept) == outer * samples * inner
    if min(outer, samples, inner, repeats) < 0 or not fits or len(y) != len(x) or len(ticket) != 5:
        raise ValueError("the arrays' sizes do not fit")
    if not (ticket[4] >= 0 and ticket[4] + samples <= 2.0**32):
        raise ValueError("the numbers of samples must lie in [0, 2**32)")
    return samples * ((outer * inner + 3) // 4)


@njit(error_model="numpy")
def _forward_part(x, ticket, sizes, least, scale, shifts, y, kept, first, end):
    """Blocks first … end − 1 of all samples'."""
    outer, samples, inner, _ = sizes
    width = outer * inner
    blocks = (width + 3) // 4
    key0, key1, low, high = np.uint32(ticket[0]), np.uint32(ticket[1]), np.uint32(ticket[2]), np.uint32(ticket[3])
    number, sample = np.empty(BLOCKS, np.uint32), np.empty(BLOCKS, np.uint32)
    drawn = np.empty(4 * BLOCKS, np.uint8)
    for start in range(first, end, BLOCKS):
        count = min(BLOCKS, end - start)
        row, block = start // blocks, start % blocks
        for b in range(count):
            number[b] = block
            sample[b] = np.int64(ticket[4]) + row
            block += 1
            if block == blocks:
                row, block = row + 1, 0
        draw_kept(key0, key1, low, high, number[:count], sample[:count], np.uint32(least), drawn)
        done = 0
        while done < count:  # a stretch of one sample, and of one outer part, at a time
            row, block = (start + done) // blocks, (start + done) % blocks
            here = min(count - done, blocks - block)
            e, last = 4 * block, min(4 * (block + here), width)
            of = 4 * done
            while e < last:
                n = min(last - e, inner - e % inner)
                to = (e // inner * samples + row) * inner + e % inner
                kept[to : to + n] = drawn[of : of + n]
                _scale(x, kept, scale, y, to, to + n)
                if shifts[0] != 0 or shifts[1] != 0:
                    _shift(kept, shifts, y, to, to + n)
                e, of = e + n, of + n
            done += here


@njit(error_model="numpy")
def _scale(x, kept, scale, y, first, end):
    """y = x · noise for the numbers that kept[first:end] speak for."""
    if first == end:
        return
    zero, factor = x.dtype.type(0), x.dtype.type(scale)
    repeats = len(x) // len(kept)
    if repeats == 1:
        of, to, bits = x[first:end], y[first:end], kept[first:end]
        for j in range(len(bits)):
            to[j] = of[j] * (factor if bits[j] else zero)
        return
    for k in range(first, end):
        of, to = x[k * repeats : (k + 1) * repeats], y[k * repeats : (k + 1) * repeats]
        noise = factor if kept[k] else zero
        for j in range(repeats):
            to[j] = of[j] * noise


@njit(error_model="numpy")
def _shift(kept, shifts, y, first, end):
    repeats = len(y) // len(kept)
    of_kept, of_dropped = y.dtype.type(shifts[0]), y.dtype.type(shifts[1])
    for k in range(first, end):
        to = y[k * repeats : (k + 1) * repeats]
        shift = of_kept if kept[k] else of_dropped
        for j in range(repeats):
            to[j] += shift
