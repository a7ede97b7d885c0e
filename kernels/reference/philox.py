"""Philox4x32-10: random words as a function of a key and a counter (Salmon et al., SC 2011). NumPy, on the CPU alone.

Element e of sample s of draw d has the counter (e // 4, s, d), wherever and by whomever it is computed: of the four
words that a counter gives, it has number e % 4.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

_MULTIPLIERS = tuple(map(np.uint64, MULTIPLIERS))
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_CHUNK = 1 << 13  # counters at a time: ten rounds over arrays that stay in the cache


def philox(counter: Sequence[Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four random 32-bit words (as uint64 arrays) for each counter of four 32-bit words (uint64 arrays or scalars)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _32) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def words(key: tuple[int, int], draw: int, rows: range, width: int) -> np.ndarray:
    """Random uint32 of shape (len(rows), width): row s holds the words of *global* sample `rows[s]` of this draw.

    Of the counter's four words the first numbers the blocks of four words in a row, the second the row, and the last
    two the draw. ValueError for a row that does not fit in its word.
    """
    if len(rows) and not (0 <= rows[0] < 2**32 and 0 <= rows[-1] < 2**32):
        raise ValueError(f"rows must lie in [0, 2**32), not {rows}")
    blocks = -(-width // 4)
    drawn = np.empty((len(rows) * blocks, 4), np.uint32)
    low, high = np.uint64(draw & 0xFFFFFFFF), np.uint64(draw >> 32)
    for start in range(0, len(drawn), _CHUNK):
        part = drawn[start : start + _CHUNK]
        row, block = np.divmod(np.arange(start, start + len(part)), blocks)
        sample = rows.start + row * rows.step
        for word, column in zip(philox((block.astype(np.uint64), sample.astype(np.uint64), low, high), key), part.T):
            column[:] = word
    return drawn.reshape(len(rows), blocks * 4)[:, :width]
