"""Philox4x32-10 for compiled kernels: see ``kernels.reference.philox``. Many counters side by side, in vectors."""

import numpy as np
from numba import njit

from ..reference import philox as reference

_M0, _M1 = map(np.uint64, reference.MULTIPLIERS)
_W0, _W1 = map(np.uint32, reference.WEYL)
_32 = np.uint64(32)


@njit(error_model="numpy")
def draw_kept(key0, key1, low, high, block, sample, least, kept):
    """kept[4·b + i] = is word i of counter (block[b], sample[b], low, high), without its last 8 bits, at least `least`?

    All are uint32, but for kept, uint8, which has room for four times as many as there are counters.
    """
    for b in range(len(block)):
        # Ten rounds, spelled out: what LLVM turns into vectors has no loop inside.
        c0, c1, c2, c3, k0, k1 = _five_rounds(block[b], sample[b], low, high, key0, key1)
        c0, c1, c2, c3, k0, k1 = _five_rounds(c0, c1, c2, c3, k0, k1)
        to = np.uint64(4) * np.uint64(b)
        kept[to] = (c0 >> np.uint32(8)) >= least
        kept[to + np.uint64(1)] = (c1 >> np.uint32(8)) >= least
        kept[to + np.uint64(2)] = (c2 >> np.uint32(8)) >= least
        kept[to + np.uint64(3)] = (c3 >> np.uint32(8)) >= least


@njit(error_model="numpy")
def _five_rounds(c0, c1, c2, c3, k0, k1):
    c0, c1, c2, c3, k0, k1 = _round(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3, k0, k1 = _round(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3, k0, k1 = _round(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3, k0, k1 = _round(c0, c1, c2, c3, k0, k1)
    return _round(c0, c1, c2, c3, k0, k1)


@njit(error_model="numpy")
def _round(c0, c1, c2, c3, k0, k1):
    p0, p1 = np.uint64(c0) * _M0, np.uint64(c2) * _M1
    c0, c2 = np.uint32(p1 >> _32) ^ c1 ^ k0, np.uint32(p0 >> _32) ^ c3 ^ k1
    return c0, np.uint32(p1), c2, np.uint32(p0), np.uint32(k0 + _W0), np.uint32(k1 + _W1)
