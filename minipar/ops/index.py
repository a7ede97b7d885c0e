"""Indexing, basic and advanced, as NumPy and PyTorch define it; repeated indices add their gradients."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..tape import Value
from .op import Op
from .shape import View


def plain(index: Any) -> Any:
    """An index with its tensors as arrays and its lists as arrays."""
    if isinstance(index, tuple):
        return tuple([plain(i) for i in index])
    if isinstance(index, Value):
        return index.array
    if isinstance(index, list):
        import numpy as np

        found = np.asarray(index)
        return found.astype(np.int64) if not found.size else found
    return index


def is_basic(index: Any) -> bool:
    """Only ints, slices, None and …: every element is picked at most once, and the result is a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, slice) or type(i) is int for i in parts)


class GetItem(View):
    """y = x[index]; the gradient is put back where each element came from."""

    __slots__ = ("index", "source")

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        self.source = x.shape
        return x[self.index]

    def vjp(self, g):
        return PutItem(self.index, self.source)(g)


class PutItem(Op):
    """y = zeros with x added at `index` (repeats add up): the transpose of GetItem."""

    __slots__ = ("index", "shape")

    def __init__(self, index, shape):
        self.index, self.shape = index, shape

    def forward(self, x):
        y = namespace(x).zeros(self.shape, x.dtype)
        if is_basic(self.index):
            y[self.index] = x
        else:
            add_at(y, self.index, x)
        return y

    def vjp(self, g):
        return getitem(g, self.index)


class SetItem(Op):
    """y = x with `value` written at `index`; what was overwritten gets no gradient.

    With repeated indices the last one written stays, as in NumPy, but each copy gets its gradient, as in PyTorch.
    """

    __slots__ = ("index", "value_shape")

    def __init__(self, index):
        self.index = index

    def forward(self, x, value):
        self.value_shape = value.shape
        y = x.copy()
        y[self.index] = value
        return y

    def vjp(self, g):
        from .op import unbroadcast

        kept = SetItem(self.index)(g, namespace(getattr(g, "array", g)).zeros((), g.dtype)) if self.needs[0] else None
        picked = getitem(g, self.index)
        if len(self.value_shape) > len(picked.shape):  # NumPy drops leading axes of size 1 from the value
            from .shape import reshape

            picked = reshape(picked, (1,) * (len(self.value_shape) - len(picked.shape)) + tuple(picked.shape))
        return kept, unbroadcast(picked, self.value_shape)


class TakeAlong(Op):
    """y = x picked along one axis by an index of the same rank."""

    __slots__ = ("where", "dim", "source")

    def __init__(self, where, dim):
        self.where, self.dim = where, dim

    def forward(self, x):
        self.source = x.shape
        return namespace(x).take_along_axis(x, self.where, self.dim)

    def vjp(self, g):
        xp = namespace(self.where)
        index = list(xp.ogrid[tuple(slice(n) for n in self.where.shape)])
        index[self.dim] = self.where
        return PutItem(tuple(index), self.source)(g)


def add_at(y: Any, index: Any, x: Any) -> None:
    """y[index] += x, where an index that occurs twice adds twice."""
    xp = namespace(y)
    if xp.__name__ == "numpy":
        xp.add.at(y, index, x)
    else:
        import cupyx

        cupyx.scatter_add(y, index, x)


def getitem(x: Any, index: Any) -> Any:
    """x[index]"""
    return GetItem(plain(index))(x)


def take_along(x: Any, where: Any, dim: int) -> Any:
    """y[i, j] = x[where[i, j], j] for dim 0, and so on."""
    return TakeAlong(getattr(where, "array", where), dim)(x)
