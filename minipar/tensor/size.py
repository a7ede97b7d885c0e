"""The shape of a tensor: a tuple that knows how many elements it makes."""

from __future__ import annotations

import math
from typing import Any


class Size(tuple):
    """The sizes of a tensor's axes: a tuple of ints, as `x.shape` and `x.size()` return it.

    >>> minipar.ones(2, 3).shape
    (2, 3)
    >>> minipar.Size([2, 3]).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if type(index) is slice else found

    def __add__(self, other: Any) -> Any:
        return Size(tuple.__add__(self, other))

    def __mul__(self, times: Any) -> Any:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__
