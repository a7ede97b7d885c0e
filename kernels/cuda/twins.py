"""What each intrinsic does, in Python over NumPy numbers: run in its place where there is no GPU.

A twin of one lane takes that lane's arguments. A twin of a warp takes those of all 32 lanes, in order, and returns the
lanes' results: the lanes of a matrix product hold its operands together.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Four = tuple[Any, Any, Any, Any]


def load4(array: Any, index: int) -> Four:
    return array.load_vector(index, 4)


def store4(array: Any, index: int, *numbers: Any) -> None:
    array.store_vector(index, numbers)


def load4_by_one(array: Any, index: int) -> Four:
    return array[index], array[index + 1], array[index + 2], array[index + 3]


def store4_by_one(array: Any, index: int, *numbers: Any) -> None:
    for i, number in enumerate(numbers):
        array[index + i] = number


def load_pairs(array: Any, index: int) -> Four:
    numbers = array.load_vector(index, 8)
    return tuple(pack_f16(numbers[i], numbers[i + 1]) for i in range(0, 8, 2))  # type: ignore[return-value]


# Under Numba's own simulator, whose arrays know nothing of vectors.
ALONE = {"load4": load4_by_one, "store4": store4_by_one}


def to_tf32(x: Any) -> np.float32:
    """Half of the last kept bit is added, then the lower 13 of the 23 bits of mantissa go."""
    if not np.isfinite(x):
        return np.float32(x)
    bits = np.float32(x).view(np.uint32)
    return np.uint32((int(bits) + 0x1000) & 0xFFFFE000).view(np.float32)


def pack_bf16(low: Any, high: Any) -> int:
    return _bf16(high) << 16 | _bf16(low)


def _bf16(x: Any) -> int:
    """The upper 16 bits of a float32, rounded to nearest, ties to even."""
    x = np.float32(x)
    if np.isnan(x):
        return 0x7FFF
    bits = int(x.view(np.uint32))
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def pack_f16(low: Any, high: Any) -> int:
    return int(np.float16(high).view(np.uint16)) << 16 | int(np.float16(low).view(np.uint16))


def mma_tf32(lanes: Sequence[tuple]) -> list[Four]:
    a, b = np.empty((16, 8), np.float32), np.empty((8, 8), np.float32)
    for lane, (a0, a1, a2, a3, b0, b1, *_) in enumerate(lanes):
        g, t = divmod(lane, 4)
        a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4] = a0, a1, a2, a3
        b[t, g], b[t + 4, g] = b0, b1
    return _product(_read_as_tf32(a), _read_as_tf32(b), lanes)


def _read_as_tf32(x: np.ndarray) -> np.ndarray:
    """The tensor core ignores the lower 13 bits."""
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def mma_bf16(lanes: Sequence[tuple]) -> list[Four]:
    return _product_of_pairs(lanes, lambda halves: (halves.astype(np.uint32) << np.uint32(16)).view(np.float32))


def mma_f16(lanes: Sequence[tuple]) -> list[Four]:
    return _product_of_pairs(lanes, lambda halves: halves.view(np.float16))


def _product_of_pairs(lanes: Sequence[tuple], read: Callable[[np.ndarray], np.ndarray]) -> list[Four]:
    """Operands are pairs of 16 bits, whose numbers ``read`` makes of uint16."""
    a, b = np.empty((16, 8), np.uint32), np.empty((8, 8), np.uint32)  # a pair of neighbours along k is one number
    for lane, (a0, a1, a2, a3, b0, b1, *_) in enumerate(lanes):
        g, t = divmod(lane, 4)
        a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4] = a0, a1, a2, a3
        b[t, g], b[t + 4, g] = b0, b1
    return _product(read(_unpacked(a)), read(_unpacked(b.T)).T, lanes)


def _unpacked(pairs: np.ndarray) -> np.ndarray:
    """(m, k/2) pairs -> (m, k) uint16, the lower half of each first."""
    both = np.stack([pairs & np.uint32(0xFFFF), pairs >> np.uint32(16)], axis=-1)
    return both.astype(np.uint16).reshape(len(pairs), -1)


def _product(a: np.ndarray, b: np.ndarray, lanes: Sequence[tuple]) -> list[Four]:
    """The lanes' four numbers of a b + c; products are exact and sums here in float64, rounded once."""
    c = np.empty((16, 8))
    for lane, (*_, c0, c1, c2, c3) in enumerate(lanes):
        g, t = divmod(lane, 4)
        c[g, 2 * t], c[g, 2 * t + 1], c[g + 8, 2 * t], c[g + 8, 2 * t + 1] = c0, c1, c2, c3
    d = (a.astype(np.float64) @ b.astype(np.float64) + c).astype(np.float32)
    places = [divmod(lane, 4) for lane in range(len(lanes))]
    return [(d[g, 2 * t], d[g, 2 * t + 1], d[g + 8, 2 * t], d[g + 8, 2 * t + 1]) for g, t in places]
