"""Constant tensors, and those that take their shape from another. Shapes may be given as f(2, 3) or f((2, 3)).

All take `dtype`, `device` and `requires_grad`; see `factory.py` for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import dtypes
from ..tensor import Tensor
from .factory import factory, float_default, like, number, shape_of, sized

_ON_CPU = np.empty(())  # the factory moves what it makes


@factory
@sized
def zeros(size: Sequence[int], *, dtype: Any = None) -> Any:
    """Zeros of shape `size`, of the default dtype unless `dtype` is given.

    >>> minipar.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return np.zeros(size, float_default(dtype))


@factory
@sized
def ones(size: Sequence[int], *, dtype: Any = None) -> Any:
    """Ones of shape `size`, of the default dtype unless `dtype` is given.

    >>> minipar.ones(2, dtype=minipar.int64)
    tensor([1, 1])
    """
    return np.ones(size, float_default(dtype))


@factory
@sized
def empty(size: Sequence[int], *, dtype: Any = None) -> Any:
    """Uninitialised memory of shape `size`.

    >>> minipar.empty(2, 3).shape
    (2, 3)
    """
    return np.empty(size, float_default(dtype))


@factory
def full(size: Sequence[int], fill_value: Any, *, dtype: Any = None) -> Any:
    """`fill_value`, a number, everywhere; its type gives the dtype unless `dtype` is given.

    >>> minipar.full((2,), 7)
    tensor([7, 7])
    """
    value = number(fill_value, "fill_value")
    kind = dtypes.scalar_dtype(value) if dtype is None else dtypes.as_dtype(dtype)
    return np.full(shape_of(size), dtypes.scalar_like(value, _ON_CPU, kind))


@factory
def scalar_tensor(s: Any, *, dtype: Any = None) -> Any:
    """A 0-d tensor of a number, of the default dtype unless `dtype` is given.

    >>> minipar.scalar_tensor(3)
    tensor(3.)
    """
    return dtypes.scalar_like(number(s, "s"), _ON_CPU, float_default(dtype))


@factory
def eye(n: int, m: int | None = None, *, dtype: Any = None) -> Any:
    """The n×m matrix with ones on its diagonal (m = n by default).

    >>> minipar.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    rows, columns = shape_of((n, n if m is None else m))
    return np.eye(rows, columns, dtype=float_default(dtype))


@factory
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None) -> Any:
    """The places of the lower triangle of a row×col matrix, row by row: (2, count), int64 unless `dtype` is given.

    >>> minipar.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _places(np.tril_indices, row, col, offset, dtype)


@factory
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None) -> Any:
    """The places of the upper triangle of a row×col matrix, row by row: (2, count), int64 unless `dtype` is given.

    >>> minipar.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _places(np.triu_indices, row, col, offset, dtype)


def _places(triangle: Any, row: int, col: int, offset: int, dtype: Any) -> Any:
    rows, columns = shape_of((row, col))
    return np.stack(triangle(rows, offset, columns)).astype(dtypes.int64 if dtype is None else dtypes.as_dtype(dtype))


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """Zeros of the shape, dtype and device of `input`, unless others are given.

    >>> minipar.zeros_like(minipar.tensor([1, 2]))
    tensor([0, 0])
    """
    return like(zeros, input, dtype=dtype, device=device, options=options)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """Ones of the shape, dtype and device of `input`, unless others are given.

    >>> minipar.ones_like(minipar.tensor([1, 2]))
    tensor([1, 1])
    """
    return like(ones, input, dtype=dtype, device=device, options=options)


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """Uninitialised memory of the shape, dtype and device of `input`, unless others are given.

    >>> minipar.empty_like(minipar.zeros(2)).shape
    (2,)
    """
    return like(empty, input, dtype=dtype, device=device, options=options)


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """`fill_value` everywhere, in the shape, dtype and device of `input`, unless others are given.

    >>> minipar.full_like(minipar.zeros(2), 5)
    tensor([5., 5.])
    """
    return like(full, input, fill_value, dtype=dtype, device=device, options=options)
