"""The last step of every sum that many blocks share: they added up strips, and now the strips are, always in one order.

So no two blocks add to one number, and the bits are the same every time; atomic additions would not give that.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands

Array = Any


def sum_of_strips(strips: Array, *places: Array | None) -> list[Array]:
    """strips (strips, n, …) → the n sums over the first axis, n = 1 or 2: each in its place, or in a new array."""
    sums = launcher.launch(plan_sum_of_strips, strips, *places)
    for place, total in zip(places, sums):
        if place is not None and not place.flags.c_contiguous:
            place[...] = total.reshape(place.shape)
    return sums


def plan_sum_of_strips(strips: Array, *places: Array | None, threads: int = 256) -> Plan:
    """The launch that leaves the sums, in the places that are contiguous, and else in new arrays."""
    xp, (count, wanted, *shape) = array_namespace(strips), strips.shape
    given = {f"place {i}": place for i, place in enumerate(places) if place is not None}
    dtype = check_operands(strips=strips, **given)
    if len(places) != wanted:
        raise ValueError(f"strips of {wanted} sums need as many places, got {len(places)}")
    sums = [place if place is not None and place.flags.c_contiguous else xp.empty(shape, dtype) for place in places]
    flat = [total.reshape(-1) for total in (sums[0], sums[-1])]
    numbers = flat[0].size * wanted
    kernel = sum_of_strips_kernel(dtype, threads)
    return Plan(kernel, blocks_for(numbers, threads), (strips.reshape(-1), *flat, count, numbers, flat[0].size), sums)


@cache
def sum_of_strips_kernel(dtype: np.dtype, threads: int = 256) -> Kernel:
    """A thread adds up one number of all strips, the first strip first; the first ``W`` numbers are the first sum."""
    number = getattr(numba, dtype.name)

    def sum_of_strips(strips, first, second, count, numbers, W):
        i = int32(cuda.grid(1))
        if i < numbers:
            total = number(0)
            for strip in range(count):
                total += strips[int32(strip * numbers + i)]
            if i < W:
                first[i] = total
            else:
                second[int32(i - W)] = total

    return Kernel(sum_of_strips, dtype, pointers=3, threads=threads)
