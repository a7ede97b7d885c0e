"""Axes under other names and in other orders: swapaxes, movedim, t, adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .accepts import rank
from .shape import normal_dims, permute, transpose


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """`transpose` under NumPy's name.

    >>> minipar.swapaxes(minipar.zeros(2, 3, 4), 0, 2).shape
    (4, 3, 2)
    """
    return transpose(input, axis0, axis1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """`transpose` under another name.

    >>> minipar.swapdims(minipar.zeros(2, 3), 0, 1).shape
    (3, 2)
    """
    return transpose(input, dim0, dim1)


def t(input: Any) -> Any:
    """The transpose of a matrix; tensors of fewer axes as they are. RuntimeError for more than two axes.

    >>> minipar.t(minipar.zeros(2, 3)).shape
    (3, 2)
    """
    if rank(input) > 2:
        raise RuntimeError(f"t: input must have two axes or fewer, not shape {tuple(input.shape)}; use mT or permute")
    return permute(input, tuple(range(len(input.shape)))[::-1])


def adjoint(input: Any) -> Any:
    """The last two axes swapped: the conjugate transpose, of real numbers. RuntimeError for a single axis.

    >>> minipar.adjoint(minipar.zeros(5, 2, 3)).shape
    (5, 3, 2)
    """
    if not rank(input):
        return input
    if len(input.shape) < 2:
        raise RuntimeError(f"adjoint: input must be a matrix or a batch of them, not of shape {tuple(input.shape)}")
    return transpose(input, -2, -1)


def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """The axes `source` moved to the places `destination`; the others keep their order. `moveaxis` is another name.

    RuntimeError if the two differ in number, or name an axis twice.

    >>> minipar.movedim(minipar.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    ndim = rank(input)
    old, new = normal_dims(source, ndim, "source"), normal_dims(destination, ndim, "destination")
    if len(old) != len(new):
        raise RuntimeError(f"movedim: source and destination must be as many, got {source} and {destination}")
    order = [i for i in range(ndim) if i not in old]
    for place, axis in sorted(zip(new, old)):
        order.insert(place, axis)
    return permute(input, order[:ndim])


moveaxis = movedim
