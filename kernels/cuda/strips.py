"""The last step of sums of columns: they were added up strip by strip, and now the strips are, always in one order."""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from .plan import Kernel, Plan, blocks_for, check_operands

Array = Any


def plan_sum_of_strips(strips: Array, dweight: Array | None, dbias: Array | None) -> Plan:
    """The launch that adds up strips (strips, 2, W) → the gradients of weight and bias (W,), in their places."""
    xp, (count, _, width) = array_namespace(strips), strips.shape
    dtype = check_operands(
        strips=strips, **{n: v for n, v in (("dweight", dweight), ("dbias", dbias)) if v is not None}
    )
    sums = [
        xp.empty(width, dtype) if place is None or not place.flags.c_contiguous else place.reshape(-1)
        for place in (dweight, dbias)
    ]
    kernel = sum_of_strips_kernel(dtype)
    return Plan(kernel, blocks_for(width, kernel.threads), (strips.reshape(-1), *sums, count, width), sums)


def put_sums(sums: list[Array], dweight: Array | None, dbias: Array | None) -> None:
    """Copy what could not be written to its place because that is not contiguous."""
    for place, total in zip((dweight, dbias), sums):
        if place is not None and not place.flags.c_contiguous:
            place[...] = total.reshape(place.shape)


@cache
def sum_of_strips_kernel(dtype: np.dtype) -> Kernel:
    """Strips added up, a thread for each column."""
    number = getattr(numba, dtype.name)

    def sum_of_strips(strips, dweight, dbias, count, W):
        c = int32(cuda.grid(1))
        if c < W:
            of_weight = number(0)
            of_bias = number(0)
            for strip in range(count):
                of_weight += strips[int32(2 * strip * W + c)]
                of_bias += strips[int32((2 * strip + 1) * W + c)]
            dweight[c] = of_weight
            dbias[c] = of_bias

    return Kernel(sum_of_strips, dtype, pointers=3, threads=256)
