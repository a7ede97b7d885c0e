"""The inner step of a register-tiled product: one column of A's tile times one row of B's, all in registers.

A thread makes thread_m x thread_n numbers, in groups of 4 x 4, so that it reads its share of a column and of a row from
shared memory by instructions of 16 bytes.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda

from ..intrinsics import load4
from .tile import Tile


def outer_product(tile: Tile) -> Callable[..., Any]:
    """``multiply(a_tile, b_tile, a_at, b_at, a_column, b_row, sums)``: adds the products of one k.

    ``a_at`` and ``b_at`` are where the thread's first row and column of this k lie in the tiles: of 64 bits where k are
    ``unrolled``, so that what is added to them becomes a part of the load instructions. ValueError for a tile whose
    threads do not make groups of 4 x 4.
    """
    thread_m, thread_n = tile.thread_m, tile.thread_n
    if thread_m % 4 or thread_n % 4:
        raise ValueError(f"a thread makes groups of 4 x 4, so {tile} must have multiples of 4")
    next_rows, next_columns = group_steps(tile)
    row_groups, column_groups = thread_m // 4, thread_n // 4

    @cuda.jit(device=True, forceinline=True)
    def multiply(a_tile, b_tile, a_at, b_at, a_column, b_row, sums):
        for g in range(row_groups):
            a, b, c, d = load4(a_tile, a_at + g * next_rows)
            a_column[4 * g], a_column[4 * g + 1], a_column[4 * g + 2], a_column[4 * g + 3] = a, b, c, d
        for g in range(column_groups):
            a, b, c, d = load4(b_tile, b_at + g * next_columns)
            b_row[4 * g], b_row[4 * g + 1], b_row[4 * g + 2], b_row[4 * g + 3] = a, b, c, d
        for i in range(thread_m):
            for j in range(thread_n):
                sums[i, j] += a_column[i] * b_row[j]

    return multiply


def unrolled(multiply: Callable[..., Any], steps: int, a_pitch: int, b_pitch: int) -> Callable[..., Any]:
    """``multiply`` for so many k, one behind the other: the compiler would not unroll a loop of this."""
    if steps == 1:
        return multiply
    a_on, b_on = steps // 2 * a_pitch, steps // 2 * b_pitch
    first, rest = (unrolled(multiply, count, a_pitch, b_pitch) for count in (steps // 2, steps - steps // 2))

    @cuda.jit(device=True, forceinline=True)
    def both(a_tile, b_tile, a_at, b_at, a_column, b_row, sums):
        first(a_tile, b_tile, a_at, b_at, a_column, b_row, sums)
        rest(a_tile, b_tile, a_at + a_on, b_at + b_on, a_column, b_row, sums)

    return both


def group_steps(tile: Tile) -> tuple[int, int]:
    """From one group of four rows of a thread to its next, and of four columns."""
    return 4 * (tile.m // tile.thread_m), 4 * (tile.n // tile.thread_n)
