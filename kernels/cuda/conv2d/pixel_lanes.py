"""How a block fetches for the gradient by the weight, whose products run along the pixels: a thread for each pixel.

Neighbouring threads, the *lanes*, have neighbouring pixels, of which each fetches some lines: channels of g, and taps
of x. From tile to tile a lane's pixel moves on by the same step, which is counted like the wheels of an odometer:
columns carry into rows, and rows into images, without a division.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, int32, uint32

from ..intrinsics import INLINED
from .words import words


@cuda.jit(device=True, **INLINED)
def moved_on(n, p, q, step_n, step_p, step_q, P, Q):
    """The image, row and column that lie so many images, rows and columns further."""
    q = int32(q + step_q)
    carry = q >= Q
    q = int32(q - Q if carry else q)
    p = int32(p + step_p + (1 if carry else 0))
    carry = p >= P
    p = int32(p - P if carry else p)
    return int32(n + step_n + (1 if carry else 0)), p, q


def lane_mover(lines: int, held_g: int, held_x: int, multiplied: str) -> tuple[Callable[..., Any], ...]:
    """(fetch_g, fetch_x, store): how a lane brings ``held_g`` lines of g and ``held_x`` of x, ``lines`` apart.

    ``fetch_g(g, base, line_g, first_m, M, inside, held, u)`` and ``fetch_x(x, taps, line, row, column, base, H, W,
    held, u)`` read the u-th number of each word; ``store(tile, start, turned_by, line, held, count)`` makes ``words``
    and puts them into the lane's line of the tile, which begins at ``start``, its places turned (``warp_product``).
    """
    _, numbers, number, _, make_word = words(multiplied)

    @cuda.jit(device=True, forceinline=True)
    def fetch_g(g, base, line_g, first_m, M, inside, held, u):
        for i in range(held_g):
            m = int32(first_m + i * lines)
            present = inside & (m < M)
            value = g[uint32(base + m * line_g) if present else uint32(0)]
            held[i * numbers + u] = value if present else number(0)

    @cuda.jit(device=True, forceinline=True)
    def fetch_x(x, taps, line, row, column, base, H, W, held, u):
        for i in range(held_x):
            place = taps[uint32(line + i * lines)]
            h = uint32(row + int32(place >> 48))
            v = uint32(column + int32(place >> 32 & 0xFFFF))
            inside = (h < uint32(H)) & (v < uint32(W))
            value = x[uint32(base + int32(uint32(place))) if inside else uint32(0)]
            held[i * numbers + u] = value if inside else number(0)

    @cuda.jit(device=True, forceinline=True)
    def store(tile, start, turned_by, line, held, count):
        for i in range(count):
            tile[uint32(start + (int32(line + i * lines) ^ turned_by))] = make_word(held, i)

    return fetch_g, fetch_x, store
