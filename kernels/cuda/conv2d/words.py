"""What of a tile is one word in shared memory: a float32, as it is or rounded to TF32, or two float16 side by side."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, float32, types, uint32
from numba.types import float16

from ..intrinsics import pack_f16, to_tf32


class Words(NamedTuple):
    """``numbers`` of type ``number`` make a ``word``: ``make(held, i)`` makes the i-th of those held in registers."""

    dtype: np.dtype
    numbers: int
    number: types.Type
    word: types.Type
    make: Callable[..., Any]


@cache
def words(multiplied: str) -> Words:
    """For numbers that are multiplied as "float32", "tf32" or "fp16"."""

    @cuda.jit(device=True, forceinline=True)
    def whole(held, i):
        return held[i]

    @cuda.jit(device=True, forceinline=True)
    def rounded(held, i):
        return to_tf32(held[i])

    @cuda.jit(device=True, forceinline=True)
    def paired(held, i):
        return pack_f16(held[2 * i], held[2 * i + 1])

    return {
        "float32": Words(np.dtype(np.float32), 1, float32, float32, whole),
        "tf32": Words(np.dtype(np.float32), 1, float32, float32, rounded),
        "fp16": Words(np.dtype(np.float16), 2, float16, uint32, paired),
    }[multiplied]
