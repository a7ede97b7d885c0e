"""Writing by indices along one axis (index_add, index_copy, index_fill), by several (index_put), or by masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dtypes import scalar_like
from .accepts import needs_tensors, tensor_dtype
from .broadcast import broadcast_shapes
from .gather import check_mask, check_select, check_tensor, one_axis
from .index import PutItem, SetItem, check_index, getitem
from .op import array_of, cast
from .select import where
from .shape import expand, ravel, reshape
from .spelling import numpy_names


@numpy_names
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """`input` with the entries of `source` times `alpha` added to the entries `index` of axis `dim`; repeats add up.

    >>> minipar.zeros(3).index_add(0, minipar.tensor([2, 2]), minipar.tensor([1.0, 5.0]))
    tensor([0., 0., 6.])
    """
    dim = _checked("index_add", input, dim, index, source)
    at, source = _at(dim, index), _shaped(input, source)
    added = PutItem(at, tuple(one_axis(input).shape))(source if alpha == 1 else cast(source * alpha, input.dtype))
    return input + reshape(added, input.shape)


@numpy_names
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """`input` with the entries `index` of axis `dim` replaced by those of `source`.

    >>> minipar.zeros(3).index_copy(0, minipar.tensor([2, 0]), minipar.tensor([1.0, 5.0]))
    tensor([5., 0., 1.])
    """
    dim = _checked("index_copy", input, dim, index, source)
    return reshape(SetItem(_at(dim, index))(one_axis(input), _shaped(input, source)), input.shape)


@numpy_names
@on_its_gpu
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """`input` with the number (or 0-d tensor) `value` in the entries `index` of axis `dim`.

    >>> minipar.zeros(3).index_fill(0, minipar.tensor([0, 2]), 7)
    tensor([7., 0., 7.])
    """
    dim = check_select("index_fill", input, dim, index)
    check_index("index_fill", index, input)
    chosen = namespace(array_of(input)).zeros(one_axis(input).shape[dim], bool)
    chosen[array_of(one_axis(index))] = True
    mask = chosen.reshape(-1, *(1,) * (len(input.shape) - dim - 1)) if len(input.shape) else chosen.reshape(())
    return where(mask, _number("index_fill", input, value), input)


@on_its_gpu
def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """`input` with `values` at `input[indices]`: written, or added if `accumulate` (repeats add up then).

    `indices` is a tuple of integer or bool tensors (None for a whole axis); `values` is broadcast to what they pick.

    >>> rows, columns = minipar.tensor([0, 0]), minipar.tensor([1, 1])
    >>> minipar.zeros(1, 2).index_put((rows, columns), minipar.tensor([2.0, 3.0]), accumulate=True)
    tensor([[0., 5.]])
    """
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"index_put: indices must be a tuple of tensors, not {type(indices).__name__}")
    at = tuple([slice(None) if i is None else i for i in indices])
    check_tensor(values, "values")
    if values.dtype != tensor_dtype(input):
        raise RuntimeError(f"index_put: values must have input's dtype {input.dtype.name}, not {values.dtype.name}")
    check_index("index_put", at, input)
    if not accumulate:
        return SetItem(at)(input, values)
    return input + PutItem(at, tuple(input.shape))(expand(values, array_of(input)[PutItem(at, ()).index].shape))


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`input` with the number (or 0-d tensor) `value` where `mask` (bool, broadcast with it) is true.

    >>> x = minipar.tensor([1.0, -2.0])
    >>> x.masked_fill(x < 0, 0.0)
    tensor([1., 0.])
    """
    needs_tensors(input)
    check_mask("masked_fill", mask)
    return where(mask, _number("masked_fill", input, value), input)


@on_its_gpu
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """`input` with the elements of `source`, one after the other, where `mask` is true. Row-major order.

    RuntimeError if `source` has fewer elements than the mask has places, or another dtype.

    >>> minipar.zeros(3).masked_scatter(minipar.tensor([True, False, True]), minipar.tensor([1.0, 2.0, 3.0]))
    tensor([1., 0., 2.])
    """
    check_mask("masked_scatter", mask)
    if tensor_dtype(source) != tensor_dtype(input):
        raise RuntimeError(
            f"masked_scatter: source must have input's dtype {input.dtype.name}, not {source.dtype.name}"
        )
    shape = broadcast_shapes(input.shape, mask.shape)
    input, mask = input if input.shape == shape else expand(input, shape), expand(mask, shape)
    places = int(array_of(mask).sum())
    if math.prod(source.shape) < places:
        raise RuntimeError(
            f"masked_scatter: source has {math.prod(source.shape)} elements for the {places} places of mask"
        )
    written = SetItem(one_axis(mask))(one_axis(input), getitem(ravel(source), slice(places)))
    return reshape(written, shape)


def _at(dim: int, index: Any) -> tuple:
    return (slice(None),) * dim + (one_axis(index),)


def _checked(name: str, input: Any, dim: int, index: Any, source: Any) -> int:
    dim = check_select(name, input, dim, index)
    check_tensor(source, "source")
    if source.dtype != input.dtype:
        raise RuntimeError(f"{name}: source must have input's dtype {input.dtype.name}, not {source.dtype.name}")
    expected = tuple(input.shape[:dim]) + tuple(one_axis(index).shape) + tuple(input.shape[dim + 1 :])
    scalar = not len(source.shape) and math.prod(expected) == 1
    if tuple(source.shape) != expected and not scalar:
        raise RuntimeError(
            f"{name}: source must have shape {expected}, input's with the length of index in dim {dim}, not "
            f"{tuple(source.shape)}"
        )
    return dim


def _shaped(input: Any, source: Any) -> Any:
    """A 0-d source beside an input with axes: one of each."""
    return source if len(source.shape) else reshape(source, (1,) * max(len(input.shape), 1))


def _number(name: str, input: Any, value: Any) -> Any:
    """A number or 0-d tensor in input's dtype. RuntimeError for one that has more axes."""
    if not hasattr(value, "array"):
        return tape.new_value(scalar_like(value, array_of(input), input.dtype))
    if len(value.shape):
        raise RuntimeError(f"{name}: value must be a number or a 0-d tensor, not of shape {tuple(value.shape)}")
    return cast(value, input.dtype)
