"""Element numbers as indices along each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .gather import check_tensor
from .op import array_of
from .shape import ints


@on_its_gpu
def unravel_index(indices: Any, shape: int | Sequence[int]) -> tuple:
    """The numbers of elements, counted row by row in `shape`, as a tuple of indices: one tensor for each axis.

    ValueError for a number that `shape` does not have (negative: from the end), TypeError for other than integers.

    >>> minipar.unravel_index(minipar.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    check_tensor(indices, "indices")
    numbers = array_of(indices)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"unravel_index: indices must be integers, not {numbers.dtype.name}")
    sizes = ints(shape, "shape") if not isinstance(shape, int) else (shape,)
    count = math.prod(sizes)
    if min(sizes, default=0) < 0:
        raise ValueError(f"unravel_index: shape must not have negative sizes, got {sizes}")
    if numbers.size and not (-count <= int(numbers.min()) and int(numbers.max()) < count):
        raise ValueError(f"unravel_index: indices must be below the {count} elements of shape {sizes}")
    numbers = namespace(numbers).asarray(numbers, "int64") % max(count, 1)
    found = []
    for size in reversed(sizes):
        found.append(tape.new_value(numbers % max(size, 1)))
        numbers = numbers // max(size, 1)
    return tuple(reversed(found))
