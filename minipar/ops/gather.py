"""Picking elements by tensors of indices or by masks: gather, take, index_select, masked_select, nonzero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..tape import Value
from .accepts import looks_only, no_tensor, rank, tensor_shape
from .index import getitem, take_along
from .op import array_of
from .select import where
from .shape import expand, normal_dim, ravel, reshape
from .spelling import numpy_names


def check_tensor(x: Any, argument: str) -> None:
    """TypeError unless `x` is a tensor."""
    if not isinstance(x, Value):
        raise no_tensor(x, argument)


def check_integers(name: str, index: Any) -> None:
    """TypeError unless `index` is a tensor, RuntimeError unless of int64 or int32."""
    check_tensor(index, "index")
    if index.array.size and index.array.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"{name}: index must be int64 or int32, not {index.array.dtype.name}")


@looks_only
def check_range(
    name: str, index: Any, size: int, what: str, error: type[Exception] = RuntimeError, least: int = 0
) -> None:
    """`error` if an index on the CPU lies outside [least, size) (on a GPU it is not looked at: that would wait)."""
    array = array_of(index)
    if namespace(array) is not np or not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < least or high >= size:
        wrong = low if low < least else high
        raise error(f"{name}: index {wrong} is out of range for {what}, must be in [{least}, {size - 1}]")


def check_along(name: str, input: Any, dim: int, index: Any, src: Any = None) -> int:
    """The axis as a number from 0, after checking an index that runs along it. RuntimeError for what does not fit."""
    check_integers(name, index)
    dim = normal_dim(dim, rank(input))
    shape = tuple(index.shape)
    for what, x in (("input", input), ("src", src)):
        if x is None or not math.prod(shape):
            continue
        bound = tuple(x.shape) or (1,)
        here = shape or (1,)
        fits = len(bound) == len(here) and all(
            n <= most or (i == dim and what == "input") for i, (n, most) in enumerate(zip(here, bound))
        )
        if not fits:
            beside = f" except in dim {dim}" if what == "input" else ""
            raise RuntimeError(
                f"{name}: index of shape {shape} must have as many axes as {what} of shape {tuple(x.shape)} and not be "
                f"larger{beside}"
            )
    size = input.shape[dim] if len(input.shape) else 1
    check_range(name, index, size, f"dim {dim} of size {size}")
    return dim


def one_axis(x: Any) -> Any:
    """A 0-d tensor with one axis; others as they are."""
    return x if len(x.shape) else reshape(x, (1,))


@numpy_names
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """y[i, j] = x[index[i, j], j] for dim 0, x[i, index[i, j]] for dim 1, and so on: y has the shape of `index`.

    `index` (int64 or int32) has as many axes as `input` and, beside `dim`, at most its sizes. RuntimeError otherwise,
    and for an index outside the axis (negative ones too).

    >>> minipar.gather(minipar.tensor([[1, 2], [3, 4]]), 1, minipar.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    if sparse_grad:
        raise NotImplementedError("gather: sparse_grad=True is not supported, gradients are dense")
    dim = check_along("gather", input, dim, index)
    if not math.prod(index.shape):
        return reshape(ravel(input)[:0], index.shape)
    return reshape(take_along(one_axis(input), one_axis(index), dim), index.shape)


@numpy_names
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """As `gather`, after broadcasting input and indices beside `dim`; without `dim`, of all elements in a row.

    Negative indices count from the end here.

    >>> x = minipar.tensor([[30, 10, 20]])
    >>> minipar.take_along_dim(x, minipar.tensor([[1, 2, 0]]), 1)
    tensor([[10, 20, 30]])
    """
    check_integers("take_along_dim", indices)
    if dim is None:
        return take_along_dim(ravel(input), ravel(indices), 0)
    if rank(input) != rank(indices):
        raise RuntimeError(
            f"take_along_dim: indices of shape {tuple(indices.shape)} must have as many axes as input of shape "
            f"{tuple(input.shape)}"
        )
    dim = normal_dim(dim, len(input.shape))
    pairs = list(zip(input.shape, indices.shape))
    common = [m if n == 1 else n for n, m in pairs]
    check_range("take_along_dim", indices, pairs[dim][0], f"dim {dim} of size {pairs[dim][0]}", least=-pairs[dim][0])
    before, after = common[:dim], common[dim + 1 :]
    picked = expand(indices, (*before, pairs[dim][1], *after))
    return take_along(expand(input, (*before, pairs[dim][0], *after)), picked, dim)


def take(input: Any, index: Any) -> Any:
    """The elements numbered `index` in row-major order (negative: from the end), in the shape of `index`.

    >>> minipar.take(minipar.tensor([[1, 2], [3, 4]]), minipar.tensor([0, -1]))
    tensor([1, 4])
    """
    check_integers("take", index)
    size = math.prod(tensor_shape(input))
    check_range("take", index, size, f"{size} elements", IndexError, -size)
    return (
        getitem(ravel(input), (index,)) if len(index.shape) else reshape(getitem(ravel(input), (one_axis(index),)), ())
    )


@numpy_names
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The entries `index` (one axis, or 0-d) of axis `dim`, in that order. IndexError for an index outside the axis.

    >>> minipar.index_select(minipar.tensor([[1, 2, 3]]), 1, minipar.tensor([2, 0]))
    tensor([[3, 1]])
    """
    dim = check_select("index_select", input, dim, index)
    if not len(input.shape):
        return reshape(getitem(one_axis(input), (one_axis(index),)), ())
    return getitem(input, (slice(None),) * dim + (one_axis(index),))


def check_select(name: str, input: Any, dim: int, index: Any) -> int:
    """The axis as a number from 0, after checking an index of one axis (or none) into it."""
    check_integers(name, index)
    if len(index.shape) > 1:
        raise IndexError(f"{name}: index must have one axis or none, not shape {tuple(index.shape)}")
    dim = normal_dim(dim, rank(input))
    size = input.shape[dim] if len(input.shape) else 1
    check_range(name, index, size, f"dim {dim} of size {size}", IndexError)
    return dim


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where `mask` (bool, broadcast with `input`) is true, in row-major order, as one axis.

    >>> x = minipar.tensor([[1, 2], [3, 4]])
    >>> minipar.masked_select(x, x > 2)
    tensor([3, 4])
    """
    from .broadcast import broadcast_tensors

    check_mask("masked_select", mask)
    input, mask = broadcast_tensors(input, mask)
    return getitem(one_axis(input), one_axis(mask))


def check_mask(name: str, mask: Any) -> None:
    """RuntimeError unless `mask` is a bool tensor."""
    check_tensor(mask, "mask")
    if mask.array.dtype.kind != "b":
        raise RuntimeError(f"{name}: mask must be a bool tensor, not {mask.array.dtype.name}")


@on_its_gpu
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The places of the elements that are not zero: int64 (count, axes), or a tuple of one tensor an axis.

    >>> minipar.nonzero(minipar.tensor([[0, 1], [2, 0]]))
    tensor([[0, 1],
            [1, 0]])
    >>> minipar.nonzero(minipar.tensor([0, 5, 6]), as_tuple=True)
    (tensor([1, 2]),)
    """
    if as_tuple:
        return where(input)
    array = array_of(input)
    xp = namespace(array)
    if not array.ndim:
        return tape.new_value(xp.zeros((int(array != 0), 0), "int64"))
    return tape.new_value(xp.stack(xp.nonzero(array), 1))


def argwhere(input: Any) -> Any:
    """`nonzero(input)`: a row for each element that is not zero.

    >>> minipar.argwhere(minipar.tensor([0, 5, 6])).tolist()
    [[1], [2]]
    """
    return nonzero(input)
