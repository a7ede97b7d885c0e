"""Sorting, and the largest, smallest, k-th along one axis. Order is stable; NaN counts as the largest."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from .accepts import rank
from .extremum import Located, picked
from .index import take_along
from .op import Op
from .reduce import empty_error
from .shape import narrow, normal_dim, reshape
from .spelling import numpy_names


class ArgSort(Op):
    """The indices that sort along an axis, equals in the order in which they stand; no gradient."""

    __slots__ = ("dim", "descending")

    def __init__(self, dim: int, descending: bool) -> None:
        self.dim, self.descending = dim, descending

    def forward(self, x):
        xp = namespace(x)
        if not x.ndim:
            return xp.zeros((), "int64")
        if not self.descending:
            return xp.argsort(x, axis=self.dim, kind="stable")
        backwards = xp.argsort(xp.flip(x, self.dim), axis=self.dim, kind="stable")
        return x.shape[self.dim] - 1 - xp.flip(backwards, self.dim)


def order(x: Any, dim: int, descending: bool = False) -> Any:
    """The sorting indices; `dim` is a number from 0."""
    return ArgSort(dim, descending)(x)


@numpy_names
def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Located:
    """(values, indices) in order along `dim`; NaN counts as the largest. The order is stable with either `stable`.

    >>> minipar.sort(minipar.tensor([3.0, 1.0, 2.0]), descending=True)
    Located(values=tensor([3., 2., 1.]), indices=tensor([0, 2, 1]))
    """
    dim = normal_dim(dim, rank(input))
    at = order(input, dim, descending)
    return Located(take_along(input, at, dim), at) if len(input.shape) else picked(input, at, dim, True)


@numpy_names
def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """The int64 indices that sort along `dim`; see `sort`.

    >>> minipar.argsort(minipar.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    return order(input, normal_dim(dim, rank(input)), descending)


def msort(input: Any) -> Any:
    """Sorted along the first axis.

    >>> minipar.msort(minipar.tensor([[3, 1], [2, 4]]))
    tensor([[2, 1],
            [3, 4]])
    """
    return sort(input, 0).values


@numpy_names
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Located:
    """(values, indices) of the k largest (or smallest) along `dim`, in order with either `sorted`.

    RuntimeError unless 0 <= k <= the size of the axis.

    >>> minipar.topk(minipar.tensor([3.0, 1.0, 2.0]), 2)
    Located(values=tensor([3., 2.]), indices=tensor([0, 2]))
    """
    dim = normal_dim(dim, rank(input))
    size = input.shape[dim] if len(input.shape) else 1
    if not 0 <= k <= size:
        raise RuntimeError(f"topk: k must be in [0, {size}], the size of dim {dim}, not {k}")
    if not len(input.shape):
        values, at = topk(reshape(input, (1,)), k)
        return Located(reshape(values, ()), reshape(at, ())) if k else Located(values, at)
    at = narrow(order(input, dim, largest), dim, 0, k)
    return Located(take_along(input, at, dim), at)


@numpy_names
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Located:
    """(values, indices) of the k-th smallest along `dim`, counted from 1.

    RuntimeError unless 1 <= k <= the size of the axis, IndexError where that is 0.

    >>> minipar.kthvalue(minipar.tensor([3.0, 1.0, 2.0]), 2)
    Located(values=tensor(2.), indices=tensor(2))
    """
    dim = normal_dim(dim, rank(input))
    empty_error("kthvalue", input, dim)
    size = input.shape[dim] if len(input.shape) else 1
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue: k must be in [1, {size}], the size of dim {dim}, not {k}")
    at = order(input, dim)
    return picked(input, narrow(at, dim, k - 1, 1) if len(input.shape) else at, dim, keepdim)
