"""How the threads of a block bring a tile of A or B from global memory into shared memory, by way of their registers.

In two steps, so that something else can be done between them: the reads of the next tile are on their way while the
last one is multiplied.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda, float32, int32, types

from ..intrinsics import load4, store4, to_tf32


class Mover(NamedTuple):
    """Two device functions; what is on its way between them is in ``held`` registers, of the type ``register``.

    ``fetch(memory, start, line, first, end, first_k, K, held, thread)`` reads what this thread is to bring of the tile
    that begins at ``first`` (of ``end`` rows or columns) and ``first_k`` (of K) into its registers, ``held``;
    ``store(tile, start, held, thread)`` puts that to its places in shared memory, from ``start`` on.
    """

    fetch: Callable[..., Any]
    store: Callable[..., Any]
    held: int
    register: types.Type


def mover(
    side: int, depth: int, threads: int, k_along_lines: bool, width: int, padding: int = 0, in_tf32: bool = False
) -> Mover:
    """How a tile of ``side`` rows of A (or columns of B) and ``depth`` k comes into shared memory.

    There it lies as (depth, side + padding); in global memory lines run along k, or across it. Neighbouring threads
    fetch neighbouring groups of ``width`` numbers of a line. Where a tile ends outside of the matrix, it has zeros.
    With ``in_tf32``, numbers are rounded to TF32 on the way. ValueError unless the threads share the tile evenly.
    """
    pitch = side + padding
    fetches = side * depth // (threads * width)
    groups = (depth if k_along_lines else side) // width  # of a line
    if fetches * threads * width != side * depth:
        raise ValueError(f"{threads} threads do not fetch {side} x {depth} numbers by {width} evenly")

    @cuda.jit(device=True, forceinline=True)
    def fetch(memory, start, line, first, end, first_k, K, held, thread):
        for i in range(fetches):
            group = int32(thread + i * threads)
            crossing = int32(group // groups)
            along = int32((group - crossing * groups) * width)
            place = int32(first + (crossing if k_along_lines else along))
            k = int32(first_k + (along if k_along_lines else crossing))
            at = int32(start + (place * line + k if k_along_lines else k * line + place))
            a = b = c = d = float32(0)
            if place < end and k < K:
                if width == 4:
                    a, b, c, d = load4(memory, at)
                else:
                    a = memory[at]
            held[i * width] = a
            if width == 4:
                held[i * 4 + 1], held[i * 4 + 2], held[i * 4 + 3] = b, c, d

    @cuda.jit(device=True, forceinline=True)
    def store(tile, start, held, thread):
        for i in range(fetches):
            group = int32(thread + i * threads)
            crossing = int32(group // groups)
            along = int32((group - crossing * groups) * width)
            if in_tf32:
                for u in range(width):
                    held[i * width + u] = to_tf32(held[i * width + u])
            if k_along_lines:
                for u in range(width):
                    tile[int32(start + (along + u) * pitch + crossing)] = held[i * width + u]
            elif width == 4:
                at = int32(start + crossing * pitch + along)
                store4(tile, at, held[i * 4], held[i * 4 + 1], held[i * 4 + 2], held[i * 4 + 3])
            else:
                tile[int32(start + crossing * pitch + along)] = held[i]

    return Mover(fetch, store, fetches * width, float32)
