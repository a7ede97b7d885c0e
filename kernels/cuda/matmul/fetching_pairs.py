"""As ``fetching``, for tensor cores that multiply 16-bit numbers: they come in pairs, two neighbours along k in a word.

The pairs are made on the way into shared memory, so that the lanes of a warp read there what the tensor core takes,
each pair by one load. Where lines run along k, neighbours in memory are a pair; where they run across it, two lines are
read, and a pair has one number of each.
"""

import numpy as np
from numba import cuda, float32, int32, uint32
from numba.types import float16

from ..intrinsics import load4, load_pairs, pack_bf16, pack_f16, store4
from .fetching import Mover


def pair_mover(
    dtype: np.dtype, side: int, depth: int, threads: int, k_along_lines: bool, vector: bool, padding: int
) -> Mover:
    """How a tile of ``side`` rows of A (or columns of B) and ``depth`` k comes into shared memory as pairs.

    There it lies as (depth / 2, side + padding) words of two float16, or two float32 rounded to bfloat16. With
    ``vector``, global memory is read by 16 bytes. ValueError unless the threads share the tile evenly.
    """
    halves = dtype == np.float16
    width = (8 if halves else 4) if vector else (2 if k_along_lines else 1)  # places that a thread takes of a line
    reads = 1 if vector and k_along_lines else 2  # a pair is within what it reads, or on two lines
    parts = 4 if vector else 1  # registers that one read fills
    words = width // 2 if k_along_lines else width
    groups = (depth if k_along_lines else side) // width  # of a line, or of two
    pitch = side + padding
    fetches = side * depth // (threads * words * 2)
    if fetches * threads * words * 2 != side * depth:
        raise ValueError(f"{threads} threads do not fetch {side} x {depth} numbers by {2 * words} evenly")
    register = (uint32 if vector else float16) if halves else float32
    load = load_pairs if halves else load4
    pack = pack_f16 if halves else pack_bf16
    of_one_fetch = reads * parts

    @cuda.jit(device=True, forceinline=True)
    def read_four(memory, at):
        return load(memory, at)

    @cuda.jit(device=True, forceinline=True)
    def read_one(memory, at):
        return memory[at], register(0), register(0), register(0)

    read = read_four if vector else read_one

    @cuda.jit(device=True, forceinline=True)
    def fetch(memory, start, line, first, end, first_k, K, held, thread):
        for i in range(fetches):
            group = int32(thread + i * threads)
            crossing = int32(group // groups)
            along = int32((group - crossing * groups) * width)
            place = int32(first + (crossing if k_along_lines else along))
            for u in range(reads):
                k = int32(first_k + u + (along if k_along_lines else 2 * crossing))
                at = int32(start + (place * line + k if k_along_lines else k * line + place))
                a = b = c = d = register(0)
                if place < end and k < K:
                    a, b, c, d = read(memory, at)
                to = int32(i * of_one_fetch + u * parts)
                held[to] = a
                if vector:
                    held[to + 1], held[to + 2], held[to + 3] = b, c, d

    @cuda.jit(device=True, forceinline=True)
    def packed_along(held, first, u):
        return pack(held[first + 2 * u], held[first + 2 * u + 1])

    @cuda.jit(device=True, forceinline=True)
    def packed_across(held, first, u):
        return pack(held[first + u], held[first + parts + u])

    @cuda.jit(device=True, forceinline=True)
    def whole(held, first, u):
        return held[first + u]

    @cuda.jit(device=True, forceinline=True)
    def joined(held, first, u):
        """The u-th of eight numbers of one line, and below it of the next: both lie in pairs along their lines."""
        x, y = held[first + u // 2], held[first + parts + u // 2]
        if u % 2:
            return uint32(x >> uint32(16) | y & uint32(0xFFFF0000))
        return uint32(x & uint32(0xFFFF) | y << uint32(16))

    if halves and vector:
        pair = whole if k_along_lines else joined
    else:
        pair = packed_along if k_along_lines else packed_across

    @cuda.jit(device=True, forceinline=True)
    def store(tile, start, held, thread):
        for i in range(fetches):
            group = int32(thread + i * threads)
            crossing = int32(group // groups)
            along = int32((group - crossing * groups) * width)
            first = int32(i * of_one_fetch)
            if k_along_lines:
                for u in range(words):
                    tile[int32(start + (along // 2 + u) * pitch + crossing)] = pair(held, first, u)
            elif vector:
                for u in range(0, words, 4):
                    a, b = pair(held, first, u), pair(held, first, u + 1)
                    c, d = pair(held, first, u + 2), pair(held, first, u + 3)
                    store4(tile, int32(start + crossing * pitch + along + u), a, b, c, d)
            else:
                tile[int32(start + crossing * pitch + along)] = pair(held, first, 0)

    return Mover(fetch, store, fetches * of_one_fetch, register)
