"""The arrays of a program: their values, how they lie in memory, and when two are the same to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DTYPES = (*"dfi?bhlqBHILQegFDG", ">f4", ">i8", ">c16")
SHAPES = ((3,), (), (0,), (1,), (5, 4), (2, 3, 4), (0, 3), (17, 1), (1000,), (257, 3))
MIDDLING = ((9_001,), (97, 130))  # enough to be worth reading where it lies
LARGE = (70_001,)  # more than a chunk or a ring buffer holds
LAYOUTS = ("plain", "transposed", "strided", "reversed")
AROUND = 77  # what lies before, between and after the elements of an array

Shape = tuple[int, ...]


def values(seed: int, rank: int, shape: Shape, dtype: str) -> np.ndarray:
    """What `rank` puts in: the order of a float sum matters, and products of eight stay normal numbers.

    One in fifty floats is NaN, infinite or -0.0. There is no +0.0: which of two zeros is the larger is not defined.
    """
    draw = np.random.default_rng((seed, rank))
    kind = np.dtype(dtype).kind
    if kind == "b":
        return draw.integers(0, 2, shape).astype(dtype)
    if kind in "iu":
        return draw.integers(0, 100, shape).astype(dtype)
    real = draw.uniform(0.5, 3, shape) * draw.choice([-1.0, 1.0], shape)
    if kind == "c":
        return np.asarray(real + 1j * draw.uniform(0.5, 3, shape), dtype=dtype)
    special = draw.choice([np.nan, np.inf, -np.inf, -0.0], shape)
    return np.asarray(np.where(draw.random(shape) < 0.02, special, real), dtype=dtype)


class Placed:
    """An array of `shape` somewhere in a 1-d room, with its elements in the order of `layout`.

    The room is `room_length(shape)` elements, of registered memory or of this rank's own.
    """

    def __init__(self, shape: Shape, dtype: str, layout: str, room: np.ndarray | None = None) -> None:
        self.room = np.empty(room_length(shape), dtype) if room is None else room
        self.room.fill(AROUND)
        self._place = shape, layout
        self.array = self._view(self.room)

    def _view(self, room: np.ndarray) -> np.ndarray:
        shape, layout = self._place
        length = math.prod(shape)
        if layout == "plain":
            view = room[1 : 1 + length].reshape(shape)
        elif layout == "transposed":
            view = room[2 : 2 + length].reshape(shape[::-1]).T
        elif layout == "strided":
            view = room[: 2 * length : 2].reshape(shape)
        else:
            view = room[:length][::-1].reshape(shape)
        assert np.may_share_memory(view, room) or not length
        return view

    def surroundings_untouched(self) -> bool:
        around = self.room.copy()
        self._view(around)[...] = AROUND
        return bool((around == np.full_like(around, AROUND)).all())


def room_length(shape: Shape) -> int:
    return 2 * math.prod(shape) + 3


def same_bits(left: Any, right: Any) -> bool:
    """Equal dtype, shape and bytes; any two NaNs are the same, and so are the unused bytes of long doubles."""
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    if left.dtype.kind not in "fc":
        return left.tobytes() == right.tobytes()
    parts = ((left.real, right.real), (left.imag, right.imag))
    return all(np.array_equal(a, b, equal_nan=True) and np.array_equal(_minus(a), _minus(b)) for a, b in parts)


def _minus(real: np.ndarray) -> np.ndarray:
    return np.signbit(real) & ~np.isnan(real)
