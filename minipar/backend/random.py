"""Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A draw is a pure function of a key and a counter, so there is no hidden state that two workers could have advanced
differently: element e of sample s of draw d has the counter (e // 4, s, d), wherever and by whomever it is computed. A
worker that holds rows 32..63 of a batch draws exactly rows 32..63 of what one process would have drawn; its rank never
enters. The key is a hash of the seed and of the names given (a module's path, a step).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from ..kernels.reference.philox import words
from .dtypes import is_floating

_32 = np.uint64(32)
_FLOAT_BITS = {"e": 11, "f": 24}  # random bits that a number of [0, 1) can hold evenly spaced, by NumPy's dtype.char


@lru_cache(maxsize=1024, typed=True)
def key_of(seed: int, *names: str | int) -> tuple[int, int]:
    """The two key words of a seed and any names: a hash, so that streams of different names are unrelated."""
    from hashlib import blake2b  # takes longer to import than this whole package

    parts = (index(seed), *[str(name) if isinstance(name, str) else index(name) for name in names])
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def _unit(bits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Uniform numbers of [0, 1), evenly spaced as finely as `dtype` can: nothing is rounded, so 1 is never reached."""
    if dtype == np.float64:  # 53 bits from two words
        high, low = bits[..., 0::2].astype(np.uint64) >> np.uint64(5), bits[..., 1::2].astype(np.uint64) >> np.uint64(6)
        return (high * np.uint64(1 << 26) + low) * np.float64(2.0**-53)
    kept = _FLOAT_BITS[dtype.char]
    return (bits >> np.uint32(32 - kept)).astype(dtype) * dtype.type(2.0**-kept)


class Generator:
    """A seed, the names of a stream and the number of draws made: all the state there is.

    Draws take `shape`, of which `shape[0]` counts samples and the rest the elements of a sample; `rows` (a range within
    `range(shape[0])`, all by default) says which global samples to draw: the result is those rows of the whole draw.

    >>> generator = minipar.Generator().manual_seed(1)
    >>> x = minipar.rand(2, generator=generator)
    >>> bool((minipar.rand(2, generator=generator.manual_seed(1)) == x).all())
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        if str(device) != "cpu":
            raise NotImplementedError(f"Generator: device={str(device)!r} is not supported, numbers are drawn on 'cpu'")
        self._names: tuple[str | int, ...] = ()
        self.manual_seed(0)

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from `seed`: an int of [-2⁶³, 2⁶⁴), of which a negative one means 2⁶⁴ + seed. Returns self."""
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
            raise TypeError(f"seed must be an int, not {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed must lie in [-2**63, 2**64), not {seed}")
        self.set_state((int(seed) % 2**64, 0))
        return self

    def seed(self) -> int:
        """Start anew from a seed that the operating system draws, and return it."""
        from secrets import randbits

        return self.manual_seed(randbits(64)).initial_seed()

    def initial_seed(self) -> int:
        return self._seed

    def get_state(self) -> tuple[int, int]:
        """(seed, draws made): what `set_state` takes (PyTorch has a tensor here)."""
        return self._seed, self._draws

    def set_state(self, state: tuple[int, int]) -> None:
        """Go to the state that `get_state` returned, also to that of another generator."""
        try:
            seed, draws = map(index, state)
        except (TypeError, ValueError):
            raise TypeError(f"state must be what get_state returned, (seed, draws made), not {state!r}") from None
        if not (0 <= seed < 2**64 and 0 <= draws < 2**64):
            raise ValueError(f"state must hold two numbers of [0, 2**64), not {state!r}")
        self._seed, self._draws = seed, draws

    def stream(self, *names: str | int) -> Generator:
        """A generator of its own for these names, a function of the seed and the names alone: not of the draws made."""
        other = Generator()
        other._names = (*self._names, *names)
        key_of(self._seed, *other._names)  # raises if a name is none
        return other.manual_seed(self._seed)

    def _words(self, shape: Sequence[int], per_element: int, rows: range | None) -> np.ndarray:
        samples = range(shape[0] if shape else 1)
        if rows is None:
            rows = samples
        elif len(rows) and not (shape and rows[0] in samples and rows[-1] in samples):
            raise ValueError(f"rows must lie within the {len(samples)} samples of shape {tuple(shape)}, not {rows}")
        self._draws += 1
        key = key_of(self._seed, *self._names)
        return words(key, self._draws - 1, rows, math.prod(shape[1:]) * per_element)

    def _ticket(self, first_row: int = 0) -> np.ndarray:
        """The right to one draw, for a kernel that draws itself: float64 (5,) of 32-bit words.

        The two of the key, the two of the draw's number, and the number of the first sample.
        """
        draw = self._draws
        self._draws = draw + 1
        key0, key1 = key_of(self._seed, *self._names)
        return np.array([key0, key1, draw & 0xFFFFFFFF, draw >> 32, first_row], np.float64)

    def uniform(self, shape: Sequence[int], dtype: np.dtype, rows: range | None = None) -> np.ndarray:
        """Uniform on [0, 1), of a floating-point dtype."""
        _check_floating(dtype)
        bits = self._words(shape, 2 if dtype == np.float64 else 1, rows)
        return _unit(bits, dtype).reshape(_drawn_shape(shape, rows))

    def normal(self, shape: Sequence[int], dtype: np.dtype, rows: range | None = None) -> np.ndarray:
        """Standard normal, by the Box–Muller transform in float64, then rounded to a floating-point dtype."""
        _check_floating(dtype)
        pairs = _unit(self._words(shape, 4, rows), np.dtype(np.float64))
        radius = np.sqrt(-2.0 * np.log1p(-pairs[..., 0::2]))
        drawn = radius * np.cos(2.0 * np.pi * pairs[..., 1::2])
        return drawn.astype(dtype).reshape(_drawn_shape(shape, rows))

    def integers(self, low: int, high: int, shape: Sequence[int], rows: range | None = None) -> np.ndarray:
        """int64 of [low, high): 64 random bits modulo the range (the bias is below 2⁻³² for ranges below 2³²)."""
        if not -(2**63) <= low < high < 2**63:
            raise ValueError(f"integers needs int64 bounds with low < high, got low={low}, high={high}")
        offset = _joined(self._words(shape, 2, rows)) % np.uint64(high - low)
        drawn = offset.astype(np.int64) + np.int64(low)  # wraps, rightly, where high - low does not fit in int64
        return drawn.reshape(_drawn_shape(shape, rows))

    def permutation(self, n: int) -> np.ndarray:
        """A random order of range(n), int64: the order of n random 64-bit keys."""
        if n < 0:
            raise ValueError(f"permutation needs a length of 0 or more, got {n}")
        return np.argsort(_joined(self._words((1, n), 2, None)[0]), kind="stable")


def _check_floating(dtype: np.dtype) -> None:
    if not is_floating(dtype):
        raise TypeError(f"random real numbers need a floating-point dtype, not {dtype.name}")


def _drawn_shape(shape: Sequence[int], rows: range | None) -> tuple[int, ...]:
    return tuple(shape) if rows is None else (len(rows), *shape[1:])


def _joined(bits: np.ndarray) -> np.ndarray:
    """uint64 from pairs of neighbouring 32-bit words."""
    return (bits[..., 0::2].astype(np.uint64) << _32) | bits[..., 1::2]


class _Default(threading.local):
    def __init__(self) -> None:
        self.generator = Generator()


_default = _Default()


def default_generator() -> Generator:
    """This thread's generator: what `rand`, `nn.init` and shuffling draw from unless told otherwise."""
    return _default.generator


def chosen(generator: Generator | None) -> Generator:
    """The generator given or, without one, this thread's."""
    return default_generator() if generator is None else generator


def set_default_generator(generator: Generator) -> None:
    """Make `generator` this thread's."""
    _default.generator = generator


@contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """Inside, `generator` is this thread's."""
    before = default_generator()
    set_default_generator(generator)
    try:
        yield
    finally:
        set_default_generator(before)


def manual_seed(seed: int) -> Generator:
    """Seed this thread's generator and forget the draws made so far. Returns it.

    >>> generator, x = minipar.manual_seed(3), minipar.rand(2)
    >>> generator, y = minipar.manual_seed(3), minipar.rand(2)
    >>> minipar.equal(x, y)
    True
    """
    return _default.generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of this thread's generator.

    >>> minipar.manual_seed(5).initial_seed(), minipar.initial_seed()
    (5, 5)
    """
    return _default.generator.initial_seed()


class _Held(threading.local):
    """What this thread holds of what one process would hold."""

    samples: tuple[int, int, int] | None = None
    parts: tuple[PartOfElements, ...] = ()


_held = _Held()


class sharded_samples:
    """Inside, this thread holds samples start … start + count − 1 of a batch of `total`, and draws for those."""

    __slots__ = ("_before", "_samples")

    def __init__(self, start: int, count: int, total: int) -> None:
        if not 0 <= start <= start + count <= total:
            raise ValueError(f"a shard must lie within its batch: start={start}, count={count}, total={total}")
        self._samples = start, count, total

    def __enter__(self) -> None:
        self._before, _held.samples = _held.samples, self._samples

    def __exit__(self, *_: object) -> None:
        _held.samples = self._before


def holds_part_of_a_batch() -> bool:
    """Whether this thread is inside `sharded_samples` with fewer samples than the batch has."""
    return _held.samples is not None and _held.samples[1] < _held.samples[2]


def held_samples() -> tuple[int, int, int] | None:
    """(start, count, total) inside `sharded_samples`, else None."""
    return _held.samples


class PartOfElements:
    """Elements start … of `total` along axis `dim` (counted from the end) of what one process would hold."""

    __slots__ = ("dim", "start", "total")

    def __init__(self, dim: int, start: int, total: int) -> None:
        self.dim, self.start, self.total = dim, start, total

    def whole(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the whole, from that of the part."""
        sizes = list(shape)
        if len(sizes) < -self.dim or self.start + sizes[self.dim] > self.total:
            raise RuntimeError(
                f"shape {tuple(shape)} cannot be the part from {self.start} on of {self.total} along axis {self.dim}"
            )
        sizes[self.dim] = self.total
        return tuple(sizes)


@contextmanager
def part_of_elements(dim: int, start: int, total: int, also: tuple[PartOfElements, ...] = ()) -> Iterator[None]:
    """Inside, dropout gets elements start … of `total` along axis `dim`, and draws as if it had them all.

    For layers of which each rank holds some features, channels, heads or rows. `dim` is negative, counted from the end.
    What was said outside counts no more, but for what is named again: `also`, parts along other axes (`held_parts()`).
    """
    if dim >= 0:
        raise ValueError(f"dim must be negative (counted from the last axis), not {dim}")
    if not 0 <= start <= total:
        raise ValueError(f"a part must begin within its whole: start={start}, total={total}")
    before = _held.parts
    _held.parts = (*also, PartOfElements(dim, start, total))
    try:
        yield
    finally:
        _held.parts = before


def held_parts() -> tuple[PartOfElements, ...]:
    """What the innermost `part_of_elements` around this call says, one part an axis; empty outside."""
    return _held.parts


def uniform_for_samples(shape: Sequence[int], batch_dim: int | None = 0) -> np.ndarray:
    """float32 of [0, 1), drawn by this thread's generator, of which axis `batch_dim` counts samples.

    Under `sharded_samples` these are the rows of this shard of what one process would draw for the whole batch; an axis
    that holds k rows a sample (heads, say) has k·total of them. `batch_dim` None: not of samples, the same on every
    shard. RuntimeError where the axis does not hold this shard's samples.
    """
    whole, rows = list(shape), None
    if batch_dim is not None and shape:
        whole.insert(0, whole.pop(batch_dim))
        if _held.samples is not None:
            whole[0], rows = _rows_of_shard(shape, batch_dim, *_held.samples)
    drawn = default_generator().uniform(whole, np.dtype(np.float32), rows)
    return drawn if batch_dim is None or not shape else np.moveaxis(drawn, 0, batch_dim)


def ticket_for_samples(shape: Sequence[int], batch_dim: int | None = 0) -> np.ndarray:
    """A ticket (`Generator._ticket`) for what `uniform_for_samples` would draw next of this shape."""
    rows = range(0)
    if batch_dim is not None and shape and _held.samples is not None:
        rows = _rows_of_shard(shape, batch_dim, *_held.samples)[1]
    return default_generator()._ticket(rows.start)


def _rows_of_shard(shape: Sequence[int], batch_dim: int, start: int, count: int, total: int) -> tuple[int, range]:
    """(rows of the whole batch, which of them are this shard's)."""
    each, rest = divmod(shape[batch_dim], count) if count else (0, shape[batch_dim])
    if rest:
        raise RuntimeError(
            f"axis {batch_dim} of shape {tuple(shape)} must hold the {count} samples of this shard, for which "
            "random numbers are drawn: pass batch_dim= the axis that does, or batch_dim=None where it is the same "
            "on every rank"
        )
    return each * total, range(each * start, each * (start + count))
