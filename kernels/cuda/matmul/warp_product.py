"""The inner step of a product on tensor cores: a warp multiplies its parts of two tiles that lie in shared memory.

``mma.sync`` computes D = A B + C of 16 x 8 x 8 numbers (TF32: float32 with 10 bits of mantissa instead of 23) or
16 x 8 x 16 (bfloat16: 7 bits; float16: 10 bits, and a narrow range), sums in float32. Every lane of the warp holds a
few numbers of each matrix in its registers, in a pattern that the hardware prescribes (``intrinsics``): a word of 32
bits holds one number in TF32, two of 16 bits, neighbours along k. By words, the pattern is the same for all.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, uint64

from ..intrinsics import INLINED, mma_bf16, mma_f16, mma_tf32
from ..plan import WARP


class WarpTile(NamedTuple):
    """The tile of C of a block, ``m`` x ``n``; the depth ``k`` of one step; and the tile of C of one warp."""

    m: int
    n: int
    k: int
    warp_m: int
    warp_n: int

    @property
    def threads(self) -> int:
        """The threads of a block. ValueError unless warps share the tile of C evenly, in matrices of 16 x 8."""
        if self.m % self.warp_m or self.n % self.warp_n or self.warp_m % 16 or self.warp_n % 8:
            raise ValueError(f"{self} does not divide evenly among warps, and these into matrices of 16 x 8")
        return self.m // self.warp_m * (self.n // self.warp_n) * WARP


ARRAYS = {"tf32": np.float32, "bf16": np.float32, "fp16": np.float16}
BITS = {"tf32": 10, "bf16": 7, "fp16": 10}  # of the mantissa
NUMBERS = {"tf32": 1, "bf16": 2, "fp16": 2}  # of a word
MMA = {"tf32": mma_tf32, "bf16": mma_bf16, "fp16": mma_f16}

# The 32 lanes read words at eight neighbouring places of four lines of a tile. With this padding behind each line, the
# lines begin 8 banks apart, and the words are in 32 banks.
PADDING = 8
WORDS = 8  # along k, that one instruction takes


@cuda.jit(device=True, **INLINED)
def turn(line):
    """With what the places of a line are combined (exclusive or) where tiles are ``turned``.

    Who fills tiles along k stores neighbouring words into neighbouring lines, and these begin in four banks only. Every
    four lines are turned by two places more within their groups of eight: two words of 16 lines are then in 32 banks.
    The lanes that read have four lines that are turned alike, and stay in 32 banks.
    """
    return line // 4 % 4 * 2


def warp_product(tile: WarpTile, multiplied: str, turned: bool = False) -> Callable[..., Any]:
    """``multiply(a_tile, b_tile, a_at, b_at, a, b, sums)``: adds the products of a warp's parts of two tiles.

    These lie as (k, m + PADDING) and (k, n + PADDING) words. With g = lane // 4 and t = lane % 4, ``a_at`` is the place
    of line t, g places behind the warp's first row, and ``b_at`` likewise, as uint64. ``a`` and ``b`` are registers for
    the operands of one depth; ``sums[i, j, r]`` is in row 16 i + r // 2 * 8 + g of the warp's part of C, and in column
    8 j + 2 t + r % 2. ValueError for a tile with part of a depth.
    """
    depth = tile.k // NUMBERS[multiplied]
    if tile.k % (WORDS * NUMBERS[multiplied]):
        raise ValueError(f"{tile} must have a multiple of {WORDS * NUMBERS[multiplied]} for k")
    a_pitch, b_pitch = tile.m + PADDING, tile.n + PADDING
    rows, columns = tile.warp_m // 16, tile.warp_n // 8  # matrices of a warp
    mma = MMA[multiplied]

    @cuda.jit(device=True, forceinline=True)
    def multiply(a_tile, b_tile, a_at, b_at, a, b, sums):
        for k in range(0, depth, WORDS):
            # Of 64 bits and unsigned, so that what is added becomes a part of the load, and none can be negative.
            for i in range(rows):
                for r in range(4):
                    start = a_at ^ uint64(turn(k + r // 2 * 4) if turned else 0)
                    a[i, r] = a_tile[start + uint64(k * a_pitch + 16 * i + r % 2 * 8 + r // 2 * 4 * a_pitch)]
            for j in range(columns):
                for r in range(2):
                    start = b_at ^ uint64(turn(k + r * 4) if turned else 0)
                    b[j, r] = b_tile[start + uint64(k * b_pitch + 8 * j + r * 4 * b_pitch)]
            for i in range(rows):
                for j in range(columns):
                    a0, a1, a2, a3 = a[i, 0], a[i, 1], a[i, 2], a[i, 3]
                    s0, s1, s2, s3 = sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3]
                    s0, s1, s2, s3 = mma(a0, a1, a2, a3, b[j, 0], b[j, 1], s0, s1, s2, s3)
                    sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3] = s0, s1, s2, s3

    return multiply
