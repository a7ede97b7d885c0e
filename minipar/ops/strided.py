"""Any strided look at a tensor's memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

from ..backend import namespace
from .index import PutItem, getitem
from .op import array_of
from .shape import View, ints, ravel, reshape


class AsStrided(View):
    """Elements `stride` apart, from the one that lies `start` places behind the input's first."""

    __slots__ = ("size", "stride", "start", "layout", "source")

    def __init__(self, size, stride, start, layout):
        self.size, self.stride, self.start, self.layout = size, stride, start, layout

    def forward(self, x):
        self.source = x.shape
        if _strides(x) != self.layout:  # the numbers of the elements, in an order of their own (ops/inplace.py)
            return x.reshape(-1)[self._numbers(namespace(x))]
        memory, first = _memory(x)
        strides = [n * x.itemsize for n in self.stride]
        return namespace(x).lib.stride_tricks.as_strided(memory[first + self.start :], self.size, strides)

    def _numbers(self, xp: Any) -> Any:
        """Which of the input's elements, counted row by row, each of the output's is; −1 for none of them."""
        here = _positions(xp, self.source, self.layout)
        there = self.start + _positions(xp, self.size, self.stride)
        ends = [0, *_ends(self.source, self.layout)]
        ends += [self.start + end for end in _ends(self.size, self.stride)]
        low, high = min(ends), max(ends)
        numbers = xp.full(high - low + 1, -1)
        numbers[here.reshape(-1) - low] = xp.arange(here.size)
        return numbers[there - low]

    def vjp(self, g):
        numbers = self._numbers(namespace(array_of(g))).reshape(-1)
        known = numbers >= 0
        size = math.prod(self.source)
        return reshape(PutItem((numbers[known],), (size,))(getitem(ravel(g), known)), self.source)


def as_strided(input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:
    """A view of input's memory: element (i, j, …) lies stride[0]·i + stride[1]·j + … places from its first.

    The first is input's own, or number `storage_offset` of the whole memory that input looks at. Places that are not
    input's get no gradient; those that occur twice add theirs. RuntimeError for what lies outside the memory, or a
    negative stride.

    >>> minipar.as_strided(minipar.arange(5), (2, 3), (1, 1))  # windows
    tensor([[0, 1, 2],
            [1, 2, 3]])
    """
    sizes, strides = ints(size, "size"), ints(stride, "stride")
    memory, first = _memory(input.array)
    start = first if storage_offset is None else index(storage_offset)
    if len(sizes) != len(strides) or min(sizes, default=0) < 0 or min(strides, default=0) < 0 or start < 0:
        raise RuntimeError(
            f"as_strided: size and stride must be equally long and not negative, nor storage_offset, got {sizes}, "
            f"{strides} and {start}"
        )
    end = start + sum((n - 1) * step for n, step in zip(sizes, strides))
    if math.prod(sizes) and end >= len(memory):
        raise RuntimeError(
            f"as_strided: size {sizes}, stride {strides} and storage_offset {start} reach element {end} of a memory "
            f"of {len(memory)}"
        )
    return AsStrided(sizes, strides, start - first, _strides(input.array))(input)


def _strides(x: Any) -> tuple[int, ...]:
    """Counted in elements."""
    return tuple([n // x.itemsize for n in x.strides])


def _memory(x: Any) -> tuple[Any, int]:
    """(the whole memory that x looks at, as one axis; the place of x's first element in it)."""
    owner = x
    while isinstance(owner.base, type(x)):
        owner = owner.base
    flat = owner.reshape(-1, order="A").view(x.dtype)
    return flat, (_address(x) - _address(flat)) // x.itemsize


def _address(x: Any) -> int:
    return x.data.ptr if hasattr(x.data, "ptr") else x.ctypes.data


def _positions(xp: Any, size: Sequence[int], stride: Sequence[int]) -> Any:
    """Where each element lies, counted from the first."""
    found = xp.zeros((), int)
    for n, step in zip(size, stride):
        found = found[..., None] + step * xp.arange(n)
    return found


def _ends(size: Sequence[int], stride: Sequence[int]) -> tuple[int, int]:
    """Where the lowest and the highest element lie, counted from the first."""
    ways = [(n - 1) * step for n, step in zip(size, stride) if n]
    return sum(way for way in ways if way < 0), sum(way for way in ways if way > 0)
