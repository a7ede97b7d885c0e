"""Positions along x, y and z: of a thread in its block, and of a block in the grid."""

import itertools
from typing import NamedTuple


class Index3(NamedTuple):
    """A position in, or the extent of, a block or a grid."""

    x: int = 1
    y: int = 1
    z: int = 1


def positions(extent: Index3) -> list[Index3]:
    """All positions, in the order of their numbers: x runs fastest."""
    z, y, x = (range(size) for size in reversed(extent))
    return [Index3(i, j, k) for k, j, i in itertools.product(z, y, x)]


def position(number: int, extent: Index3) -> tuple[int, ...]:
    """(x,), (x, y) or (x, y, z): as many axes as the extent has."""
    x, rest = number % extent.x, number // extent.x
    axes = 3 if extent.z > 1 else 2 if extent.y > 1 else 1
    return (x, rest % extent.y, rest // extent.y)[:axes]
