"""Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A draw is a pure function of a key and a counter, so there is no hidden state that two workers could have advanced
differently: element e of sample s of draw d has the counter (e // 4, s, d), wherever and by whomever it is computed. A
worker that holds rows 32..63 of a batch draws exactly rows 32..63 of what one process would have drawn; its rank never
enters. The key is a hash of the seed and of the names given (a module's path, a step).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox(counter: Sequence[Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four random 32-bit words (as uint64 arrays) for each counter of four 32-bit words (uint64 arrays or scalars)."""
    c0, c1, c2, c3 = counter
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = np.uint64((int(k0) + int(_WEYL[0])) & 0xFFFFFFFF), np.uint64((int(k1) + int(_WEYL[1])) & 0xFFFFFFFF)
    return c0, c1, c2, c3


def key_of(seed: int, *names: object) -> tuple[int, int]:
    """The two key words of a seed and any names: a hash, so that streams of different names are unrelated."""
    from hashlib import blake2b  # takes longer to import than this whole package

    digest = blake2b(repr((int(seed), *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def words(key: tuple[int, int], draw: int, rows: range, width: int) -> np.ndarray:
    """Random uint32 of shape (len(rows), width): row s holds the words of *global* sample `rows[s]` of this draw."""
    blocks = -(-width // 4)
    if not len(rows) or not blocks:
        return np.empty((len(rows), width), np.uint32)
    sample = np.arange(rows.start, rows.stop, rows.step, dtype=np.uint64)[:, None]
    block = np.arange(blocks, dtype=np.uint64)[None, :]
    zero = np.zeros_like(sample)
    parts = philox(
        (block + zero, (sample & _LOW) + block * np.uint64(0), np.uint64(draw) + zero * block, sample >> _32), key
    )
    return np.stack(parts, -1).astype(np.uint32).reshape(len(rows), blocks * 4)[:, :width]


def _unit(bits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Uniform numbers of [0, 1) with all the bits that a `dtype` number of that range can hold evenly spaced."""
    if dtype == np.float64:  # 53 bits from two words
        high, low = bits[..., 0::2].astype(np.uint64) >> np.uint64(5), bits[..., 1::2].astype(np.uint64) >> np.uint64(6)
        return (high * np.uint64(1 << 26) + low) * np.float64(2.0**-53)
    return ((bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).astype(dtype)


def _drawn_shape(shape: Sequence[int], rows: range | None) -> tuple[int, ...]:
    return tuple(shape) if rows is None else (len(rows), *shape[1:])


class Generator:
    """A seed and the number of draws made: all the state there is.

    `shape[0]` counts samples and the rest elements of a sample; `rows` says which global samples to draw.
    """

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
            raise TypeError(f"seed must be an int, not {type(seed).__name__}")
        self.seed = int(seed)
        self.draws = 0
        return self

    def initial_seed(self) -> int:
        return self.seed

    def get_state(self) -> tuple[int, int]:
        return self.seed, self.draws

    def set_state(self, state: tuple[int, int]) -> None:
        self.seed, self.draws = state

    def _words(self, shape: Sequence[int], per_element: int, rows: range | None) -> np.ndarray:
        rows = range(shape[0] if shape else 1) if rows is None else rows
        width = math.prod(shape[1:])
        self.draws += 1
        return words(key_of(self.seed), self.draws - 1, rows, width * per_element)

    def uniform(self, shape: Sequence[int], dtype: np.dtype, rows: range | None = None) -> np.ndarray:
        """Uniform on [0, 1)."""
        bits = self._words(shape, 2 if dtype == np.float64 else 1, rows)
        return _unit(bits, dtype).reshape(_drawn_shape(shape, rows))

    def normal(self, shape: Sequence[int], dtype: np.dtype, rows: range | None = None) -> np.ndarray:
        """Standard normal, by the Box–Muller transform in float64, then rounded."""
        bits = self._words(shape, 4, rows)
        pairs = _unit(bits, np.dtype(np.float64))
        radius = np.sqrt(-2.0 * np.log1p(-pairs[..., 0::2]))
        drawn = radius * np.cos(2.0 * np.pi * pairs[..., 1::2])
        return drawn.astype(dtype).reshape(_drawn_shape(shape, rows))

    def integers(self, low: int, high: int, shape: Sequence[int]) -> np.ndarray:
        """int64 of [low, high): 64 random bits modulo the range (the bias is below 2⁻³² for ranges below 2³²)."""
        bits = self._words(shape, 2, None).astype(np.uint64)
        wide = (bits[..., 0::2] << _32) | bits[..., 1::2]
        return (wide % np.uint64(high - low)).astype(np.int64).reshape(tuple(shape)) + low

    def permutation(self, n: int) -> np.ndarray:
        """A random order of range(n): the order of n random 64-bit keys."""
        bits = self._words((n, 1), 2, None).astype(np.uint64)
        return np.argsort((bits[:, 0] << _32) | bits[:, 1], kind="stable")


class _Default(threading.local):
    def __init__(self) -> None:
        self.generator = Generator(0)


_default = _Default()


def default_generator() -> Generator:
    """This thread's generator: what `rand`, `nn.init` and shuffling draw from unless told otherwise."""
    return _default.generator


def manual_seed(seed: int) -> Generator:
    """Seed this thread's generator and forget the draws made so far. Returns it."""
    return _default.generator.manual_seed(seed)


def initial_seed() -> int:
    return _default.generator.seed
