"""Which threads touched which elements of an array, as lines of text."""

import math
from collections.abc import Mapping, Set

from .device import Index3

Touched = Mapping[int, Set[tuple[int, int]]]


def draw(
    touched: Touched, shape: tuple[int, ...], grid: Index3, block: Index3, width: int, rows: int, columns: int
) -> list[str]:
    """A line of cells for each line of the array; ``touched``: flat index of an element -> (block, thread)s."""
    size, line = math.prod(shape), width if len(shape) == 1 else shape[-1]
    starts = range(0, size, line)
    cells = [
        [_cell(touched.get(i, set()), grid, block) for i in range(start, min(start + min(line, columns), size))]
        for start in starts[:rows]
    ]
    longest = max(len(cell) for row in cells for cell in row)
    more = " …" if line > columns else ""
    lines = [" ".join(cell.rjust(longest) for cell in row) + more for row in cells]
    return lines + ["…"] * (len(starts) > rows)


def _cell(threads: Set[tuple[int, int]], grid: Index3, block: Index3) -> str:
    if len(threads) != 1:
        return f"×{len(threads)}" if threads else "·"
    ((block_number, thread),) = threads
    place = _position(thread, block)
    return place if math.prod(grid) == 1 else f"{_position(block_number, grid)}:{place}"


def _position(number: int, extent: Index3) -> str:
    """x, or x,y or x,y,z if the extent has so many axes."""
    x, rest = number % extent.x, number // extent.x
    position = (x, rest % extent.y, rest // extent.y)
    axes = 3 if extent.z > 1 else 2 if extent.y > 1 else 1
    return ",".join(map(str, position[:axes]))
