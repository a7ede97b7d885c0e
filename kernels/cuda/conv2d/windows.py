"""How the threads of a block bring a tile of the windows' matrix into shared memory, by way of their registers.

In two steps, as the tiles of matrices in ``matmul.fetching``. A thread brings inputs of one pixel only, so that the
pixel's place in the image is worked out once; neighbouring threads have neighbouring pixels, which mostly lie side by
side in the image, and fetch them together.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, int32, uint32

from .words import words


def window_mover(
    pixels: int, depth: int, threads: int, padding: int = 0, multiplied: str = "float32"
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(fetch, store): how ``depth`` lines of some ``pixels`` come into shared memory.

    There they lie as (depth / numbers of a word, pixels + padding) ``words``: a pair of float16 are neighbours along k.
    Inputs outside of the image are zeros. ValueError unless the threads of a block share the tile in whole columns.

    ``fetch(source, table, entry, row, column, base, H, W, held, thread)`` reads what this thread is to bring of the
    lines that the table's entries from ``entry`` on describe, for its pixel, whose window begins in (row, column) of an
    image of H x W, at ``base``; ``store(tile, start, held, thread)`` puts it to its places in shared memory.
    """
    _, numbers, number, _, make_word = words(multiplied)
    lines = threads // pixels  # of words, that the block fetches at once
    if not lines or threads % pixels or depth % (lines * numbers):
        raise ValueError(f"{threads} threads do not share {depth} x {pixels} inputs evenly, each those of one pixel")
    fetches = depth // numbers // lines
    pitch = pixels + padding

    @cuda.jit(device=True, forceinline=True)
    def fetch(source, table, entry, row, column, base, H, W, held, thread):
        first = entry + thread // pixels * numbers  # a 64-bit sum: what is added becomes a part of the load instruction
        for i in range(fetches):
            for u in range(numbers):
                place = table[first + i * lines * numbers + u]
                h = uint32(row + int32(place >> 48))  # a negative row is a very large number:
                v = uint32(column + int32(place >> 32 & 0xFFFF))
                inside = (h < uint32(H)) & (v < uint32(W))  # one comparison for both ends
                value = source[uint32(base + int32(uint32(place))) if inside else uint32(0)]
                held[i * numbers + u] = value if inside else number(0)

    @cuda.jit(device=True, forceinline=True)
    def store(tile, start, held, thread):
        for i in range(fetches):
            tile[uint32(start + (thread // pixels + i * lines) * pitch + thread % pixels)] = make_word(held, i)

    return fetch, store
