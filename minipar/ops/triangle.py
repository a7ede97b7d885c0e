"""Triangles and diagonals of matrices, and of batches of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dtypes import scalar_like
from .accepts import rank
from .op import Op, array_of, zero_of
from .select import where
from .shape import View, normal_dim, ravel


class Diagonal(View):
    """The diagonal of two axes, as the last axis."""

    __slots__ = ("offset", "dim1", "dim2", "source")

    def __init__(self, offset, dim1, dim2):
        self.offset, self.dim1, self.dim2 = offset, dim1, dim2

    def forward(self, x):
        self.source = x.shape
        return _diagonal(x, self.offset, self.dim1, self.dim2)

    def vjp(self, g):
        return PutDiagonal(self.offset, self.dim1, self.dim2, self.source)(g)


class PutDiagonal(Op):
    """Zeros with x on the diagonal of two axes: the transpose of Diagonal."""

    __slots__ = ("offset", "dim1", "dim2", "shape")

    def __init__(self, offset, dim1, dim2, shape):
        self.offset, self.dim1, self.dim2, self.shape = offset, dim1, dim2, shape

    def forward(self, x):
        y = namespace(x).zeros(self.shape, x.dtype)
        _diagonal(y, self.offset, self.dim1, self.dim2)[...] = x
        return y

    def vjp(self, g):
        return Diagonal(self.offset, self.dim1, self.dim2)(g)


def _diagonal(array: Any, offset: int, dim1: int, dim2: int) -> Any:
    found = array.diagonal(offset, dim1, dim2)
    if namespace(array) is np and array.flags.writeable:
        found.flags.writeable = True  # NumPy gives a diagonal that cannot be written
    return found


@on_its_gpu
def _planes(name: str, x: Any, diagonal: int) -> Any:
    if rank(x) < 2:
        raise RuntimeError(f"{name}: input must have at least two axes, not shape {tuple(x.shape)}")
    if not hasattr(diagonal, "__index__"):
        raise TypeError(f"{name}: diagonal must be an int, not {type(diagonal).__name__}")
    return namespace(array_of(x)).tri(x.shape[-2], x.shape[-1], diagonal - (name == "triu"), dtype=bool)


def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle: zero above the diagonal (of the last two axes) number `diagonal`, 0 being the main one.

    >>> minipar.tril(minipar.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return where(_planes("tril", input, diagonal), input, zero_of(input))


def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle: zero below the diagonal (of the last two axes) number `diagonal`, 0 being the main one.

    >>> minipar.triu(minipar.ones(2, 2), 1)
    tensor([[0., 1.],
            [0., 0.]])
    """
    return where(_planes("triu", input, diagonal), zero_of(input), input)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two axes, as the last axis, in a view; `offset` counts from the main one, upwards.

    >>> minipar.diagonal(minipar.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    first, second = normal_dim(dim1, rank(input), "dim1"), normal_dim(dim2, rank(input), "dim2")
    if len(input.shape) < 2:
        raise IndexError(f"diagonal: input must have at least two axes, not shape {tuple(input.shape)}")
    if first == second:
        raise RuntimeError(f"diagonal: dim1 and dim2 must be different axes, got {dim1} and {dim2}")
    return Diagonal(offset, first, second)(input)


def linalg_diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """`diagonal` of matrices: of the last two axes, unless told.

    >>> minipar.linalg.diagonal(minipar.eye(2).expand(3, 2, 2)).shape
    (3, 2)
    """
    return diagonal(A, offset, dim1, dim2)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Square matrices with the last axis of `input` on the diagonal number `offset` of the new axes dim1 and dim2.

    >>> minipar.diag_embed(minipar.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if not rank(input):
        raise RuntimeError("diag_embed: input must have at least one axis, not be 0-d")
    ndim = len(input.shape) + 1
    first, second = normal_dim(dim1, ndim, "dim1"), normal_dim(dim2, ndim, "dim2")
    if first == second:
        raise RuntimeError(f"diag_embed: dim1 and dim2 must be different axes, got {dim1} and {dim2}")
    shape = list(input.shape[:-1])
    for axis in sorted((first, second)):
        shape.insert(axis, input.shape[-1] + abs(offset))
    if first > second:
        first, second, offset = second, first, -offset
    return PutDiagonal(offset, first, second, tuple(shape))(input)


def diag(input: Any, diagonal: int = 0) -> Any:
    """The square matrix with one axis of numbers on its diagonal, or a copy of the diagonal of a matrix.

    >>> minipar.diag(minipar.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    >>> minipar.diag(minipar.tensor([[1, 2], [3, 4]]), 1)
    tensor([2])
    """
    if rank(input) == 1:
        return diag_embed(input, diagonal)
    if len(input.shape) == 2:
        return Diagonal(diagonal, 0, 1)(input).clone()
    raise RuntimeError(f"diag: input must have one axis or two, not shape {tuple(input.shape)}")


def diagflat(input: Any, offset: int = 0) -> Any:
    """The square matrix with all elements of `input` on its diagonal number `offset`.

    >>> minipar.diagflat(minipar.tensor([[1, 2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    if not hasattr(offset, "__index__"):
        raise TypeError(f"diagflat: offset must be an int, not {type(offset).__name__}")
    return diag_embed(ravel(input), offset)


@on_its_gpu
def fill_diagonal(input: Any, fill_value: Any, wrap: bool = False) -> Any:
    """A number on the main diagonal; of more than two axes, all equal, on the elements [i, i, …, i].

    A matrix with more rows than columns gets further diagonals below, one row apart, if `wrap`: `fill_diagonal_`.

    >>> minipar.zeros(2, 2).fill_diagonal_(5.0)
    tensor([[5., 0.],
            [0., 5.]])
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"fill_diagonal_: the tensor must have at least two axes, not shape {shape}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"fill_diagonal_: all axes must be of one size where there are more than two, got {shape}")
    xp = namespace(array_of(input))
    places = xp.indices(shape)
    if len(shape) == 2:
        rows = places[0] % (shape[1] + 1) if wrap else places[0]
        chosen = rows == places[1]
    else:
        chosen = (places == places[0]).all(0)
    return where(chosen, scalar_like(fill_value, array_of(input), input.dtype), input)
