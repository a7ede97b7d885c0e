"""A tensor with a part of it replaced: a slice, a diagonal, entries of an axis, places counted row by row."""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .gather import check_integers, check_range, check_select, check_tensor, one_axis
from .index import PutItem, SetItem
from .op import array_of, cast
from .scatter import scatter_reduce
from .shape import expand, normal_dim, ravel, reshape
from .spelling import numpy_names
from .triangle import diagonal as diagonal_of

_REDUCTIONS = ("prod", "mean", "amax", "amin")


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """`input` with entry `index` of axis `dim` replaced by `src`, which has input's shape without that axis.

    >>> minipar.zeros(2, 2).select_scatter(minipar.tensor([1.0, 2.0]), 1, 0)
    tensor([[1., 0.],
            [2., 0.]])
    """
    dim = normal_dim(dim, rank(input))
    size = input.shape[dim] if len(input.shape) else 0
    if not -size <= index < size:
        raise IndexError(f"select_scatter: index {index} is out of range for dim {dim} of shape {tuple(input.shape)}")
    at = (*[slice(None)] * dim, index)
    return _replaced("select_scatter", input, src, at, (*input.shape[:dim], *input.shape[dim + 1 :]))


def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """`input` with the entries start, start + step, … < end of axis `dim` replaced by `src`, which has their shape.

    >>> minipar.zeros(5).slice_scatter(minipar.ones(2), 0, 1, 5, 2)
    tensor([0., 1., 0., 1., 0.])
    """
    dim = normal_dim(dim, rank(input))
    if step < 1:
        raise RuntimeError(f"slice_scatter: step must be positive, not {step}")
    part = slice(start, end, step)
    count = len(range(*part.indices(input.shape[dim])))
    shape = (*input.shape[:dim], count, *input.shape[dim + 1 :])
    return _replaced("slice_scatter", input, src, (*[slice(None)] * dim, part), shape)


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """`input` with the diagonal that `minipar.diagonal` would look at replaced by `src`, which has its shape.

    >>> minipar.zeros(2, 2).diagonal_scatter(minipar.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    places = diagonal_of(_places(input), offset, dim1, dim2)
    flat = _replaced("diagonal_scatter", ravel(input), src, (places,), places.shape)
    return reshape(flat, input.shape)


@on_its_gpu
def _places(input: Any) -> Any:
    """The elements' numbers, row by row, in input's shape."""
    array = array_of(input)
    return namespace(array).arange(array.size).reshape(array.shape)


def _replaced(name: str, input: Any, src: Any, at: tuple, shape: tuple[int, ...]) -> Any:
    check_tensor(src, "src")
    if tuple(src.shape) != tuple(shape):
        raise RuntimeError(
            f"{name}: src must have the shape of what it replaces, {tuple(shape)}, not {tuple(src.shape)}"
        )
    return SetItem(at)(input, cast(src, input.dtype))


@numpy_names
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """`input` with, at each entry `index` of axis `dim`, the "prod", "mean", "amax" or "amin" of source's there.

    `source` has input's shape, but in `dim` the length of `index`; input's own entries count too if `include_self`.

    >>> x, index = minipar.tensor([1.0, 5.0]), minipar.tensor([0, 0, 1])
    >>> x.index_reduce(0, index, minipar.tensor([2.0, 3.0, 4.0]), "prod")
    tensor([ 6., 20.])
    """
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"index_reduce: reduce must be one of {', '.join(_REDUCTIONS)}, not {reduce!r}")
    dim = check_select("index_reduce", input, dim, index)
    check_tensor(source, "source")
    entries = one_axis(index)
    expected = (*input.shape[:dim], *entries.shape, *input.shape[dim + 1 :])
    if tuple(one_axis(source).shape) != expected:
        raise RuntimeError(
            f"index_reduce: source must have shape {expected}, input's with the length of index in dim {dim}, not "
            f"{tuple(source.shape)}"
        )
    everywhere = expand(reshape(entries, (-1, *[1] * (len(expected) - dim - 1))), expected)
    return cast(scatter_reduce(input, dim, everywhere, source, reduce, include_self=include_self), input.dtype)


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """`input` with the elements of `source` at the places `index`, counted row by row (negative: from the end).

    Written, or added if `accumulate` (repeats add up then). RuntimeError unless `source` has as many elements as
    `index` and input's dtype.

    >>> minipar.put(minipar.zeros(2, 2), minipar.tensor([1, -1]), minipar.tensor([5.0, 6.0]))
    tensor([[0., 5.],
            [0., 6.]])
    """
    check_integers("put", index)
    check_tensor(source, "source")
    size = math.prod(tensor_shape(input))
    if source.dtype != input.dtype or math.prod(source.shape) != math.prod(index.shape):
        raise RuntimeError(
            f"put: source must have input's dtype {input.dtype.name} and an element for each of the "
            f"{math.prod(index.shape)} of index, not {source.dtype.name} of shape {tuple(source.shape)}"
        )
    check_range("put", index, size, f"an input of {size} elements", IndexError, -size)
    flat, at, written = ravel(input), (ravel(index),), ravel(source)
    changed = flat + PutItem(at, (size,))(written) if accumulate else SetItem(at)(flat, written)
    return reshape(changed, input.shape)
