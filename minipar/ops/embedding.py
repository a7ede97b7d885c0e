"""Rows of a table, picked by number."""

from __future__ import annotations

from typing import Any

from .index import GetItem, PutItem
from .op import array_of
from .shape import reshape


class Embedding(GetItem):
    """indices (…), weight (rows, width) → (…, width). A row's gradient is the sum over its uses; padding gets none."""

    __slots__ = ("padding",)

    def __init__(self, indices, padding):
        super().__init__(indices)
        self.padding = padding

    def vjp(self, g, *_):
        if self.padding is not None:
            g = g * (self.index != self.padding)[..., None]
        return PutItem(self.index, self.source)(g)


def embedding(indices: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Rows `indices` (any shape, integers) of weight (rows, width): shape indices.shape + (width,).

    Row `padding_idx` gets no gradient. IndexError for an index outside [0, rows), TypeError unless they are integers.
    """
    numbers = array_of(indices)
    rows = weight.shape[0]
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices must be integers, not {numbers.dtype.name}")
    if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= rows):
        raise IndexError(f"embedding: indices must be in [0, {rows}), got {int(numbers.min())} to {int(numbers.max())}")
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(f"padding_idx must be in [{-rows}, {rows}), got {padding_idx}")
        padding_idx %= rows
    if not numbers.shape:  # one row: the same as the only one of a list
        return reshape(Embedding(reshape(indices, (1,)), padding_idx)(weight), tuple(weight.shape[1:]))
    return Embedding(indices, padding_idx)(weight)
