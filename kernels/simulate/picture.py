"""Which threads touched which elements of an array, as lines of text."""

import math
from collections.abc import Mapping, Set

from .extent import Index3, position

Touched = Mapping[int, Set[tuple[int, int]]]
COLUMNS, PAGE = 16, 100  # elements of a line, and characters, unless more are asked for


def draw(
    touched: Touched, shape: tuple[int, ...], grid: Index3, block: Index3, width: int, rows: int, columns: int | None
) -> list[str]:
    """A line of cells for each line of the array; ``touched``: flat index of an element -> (block, thread)s."""
    size, line = math.prod(shape), width if len(shape) == 1 else shape[-1]
    starts = range(0, size, line)
    shown = min(line, columns or COLUMNS)
    cells = [
        [_cell(touched.get(i, set()), grid, block) for i in range(start, min(start + shown, size))]
        for start in starts[:rows]
    ]
    longest = max(len(cell) for row in cells for cell in row)
    if columns is None:
        shown = min(shown, max(1, PAGE // (longest + 1)))
    more = " …" if line > shown else ""
    lines = [" ".join(cell.rjust(longest) for cell in row[:shown]) + more for row in cells]
    return lines + ["…"] * (len(starts) > rows)


def _cell(threads: Set[tuple[int, int]], grid: Index3, block: Index3) -> str:
    if len(threads) != 1:
        return f"×{len(threads)}" if threads else "·"
    ((block_number, thread),) = threads
    place = _named(position(thread, block))
    return place if math.prod(grid) == 1 else f"{_named(position(block_number, grid))}:{place}"


def _named(place: tuple[int, ...]) -> str:
    return ",".join(map(str, place))
