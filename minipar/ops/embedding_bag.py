"""Sums, means and maxima over bags of rows of a table, as compositions of simpler operations."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from .. import tape
from ..backend import device as Device
from ..backend import device_of, on_device
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .embedding import check_numbers, embedding, normal_padding, renormalize
from .extremum import max
from .index import PutItem, getitem
from .op import array_of
from .select import where
from .shape import reshape


@on_its_gpu
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """The sum, mean or max of each bag's rows of weight (rows, width): shape (bags, width); of an empty bag zeros.

    input: integers (bags, n), or all bags one after the other in one axis, of which `offsets` (bags,) says where each
    starts; with `include_last_offset` its last entry is the end of the last bag. `per_sample_weights`, like input and
    for mode "sum", multiply the rows. Row `padding_idx` is left out of its bags. `max_norm`, `norm_type` and
    `scale_grad_by_freq` as in `embedding`. ValueError for a wrong mode, rank or combination, RuntimeError for wrong
    offsets, IndexError for a number that is no row, NotImplementedError for `sparse`.

    >>> table = minipar.tensor([[1., 2.], [3., 4.], [5., 6.]])
    >>> F.embedding_bag(minipar.tensor([0, 1, 2]), table, minipar.tensor([0, 2]), mode="sum")
    tensor([[4., 6.],
            [5., 6.]])
    """
    _check(input, offsets, scale_grad_by_freq, mode, sparse, per_sample_weights)
    numbers = check_numbers("embedding_bag", input, weight)
    padding_idx = normal_padding("embedding_bag", padding_idx, weight.shape[0])
    if max_norm is not None:
        renormalize(weight, numbers, max_norm, norm_type)
    device = device_of(numbers)
    bounds = _bounds(input, offsets, include_last_offset)
    bags = len(bounds) - 1
    bag = np.repeat(np.arange(bags), np.diff(bounds))  # of each number, the bag that it lies in
    flat = reshape(input, (numbers.size,))[: bounds[-1]]
    factors = None if per_sample_weights is None else reshape(per_sample_weights, (numbers.size,))[: bounds[-1]]
    if padding_idx is not None:
        kept = flat.array != padding_idx
        bag = bag[on_device(kept, Device("cpu"))]
        flat = getitem(flat, kept)
        factors = None if factors is None else getitem(factors, kept)
    rows = embedding(flat, weight, scale_grad_by_freq=scale_grad_by_freq)
    if factors is not None:
        rows = rows * reshape(factors, (len(bag), 1))
    counts = np.bincount(bag, minlength=bags)
    if mode == "max" and len(bag):
        return _largest(rows, counts, device)
    total = PutItem(on_device(bag, device), (bags, weight.shape[1]))(rows)
    if mode == "mean":
        return total / on_device(np.maximum(counts, 1).astype(total.dtype)[:, None], device)
    return total


def _largest(rows: Any, counts: np.ndarray, device: Any) -> Any:
    """The largest of each bag's rows, column by column; the first of equal ones gets the gradient."""
    present = np.arange(counts.max()) < counts[:, None]
    block = PutItem(on_device(present, device), (*present.shape, rows.shape[1]))(rows)
    block = where(_tensor(present[..., None], device), block, -math.inf)
    return where(_tensor(counts[:, None] > 0, device), max(block, 1)[0], 0.0)


def _tensor(array: np.ndarray, device: Any) -> Any:
    return tape.new_value(on_device(array, device))


def _bounds(input: Any, offsets: Any, include_last_offset: bool) -> list[int]:
    """Where each bag starts, and the end of the last."""
    if len(input.shape) == 2:
        bags, length = input.shape
        return [i * length for i in range(bags + 1)]
    size = input.shape[0]
    bounds = [int(n) for n in array_of(offsets)]
    if not include_last_offset:
        bounds.append(size)
    elif not bounds:
        raise RuntimeError("embedding_bag: with include_last_offset, offsets must hold at least the end, got none")
    if len(bounds) > 1 and bounds[0] != 0:
        raise RuntimeError(f"embedding_bag: offsets[0] must be 0, got {bounds[0]}")
    if any(a > b for a, b in itertools.pairwise(bounds)) or bounds[-1] > size:
        raise RuntimeError(f"embedding_bag: offsets must ascend to at most the {size} numbers of input, got {bounds}")
    return bounds


def _check(
    input: Any, offsets: Any, scale_grad_by_freq: bool, mode: str, sparse: bool, per_sample_weights: Any
) -> None:
    name = "embedding_bag"
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{name}: mode must be 'sum', 'mean' or 'max', not {mode!r}")
    if sparse:
        raise NotImplementedError(f"{name}: sparse=True is not supported: gradients are dense here")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{name}: scale_grad_by_freq cannot be used with mode 'max'")
    ndim = rank(input)
    if ndim not in (1, 2):
        raise ValueError(f"{name}: input must have 1 or 2 dimensions, got shape {tuple(input.shape)}")
    if ndim == 2 and offsets is not None:
        raise ValueError(f"{name}: offsets must be None where input has 2 dimensions: each row is a bag")
    if ndim == 1 and (offsets is None or rank(offsets) != 1):
        raise ValueError(f"{name}: offsets must be a 1-dimensional tensor where input is, got {_described(offsets)}")
    if per_sample_weights is None:
        return
    if tensor_shape(per_sample_weights) != input.shape:
        raise ValueError(
            f"{name}: per_sample_weights must have input's shape {tuple(input.shape)}, "
            f"not {tuple(per_sample_weights.shape)}"
        )
    if mode != "sum":
        raise NotImplementedError(f"{name}: per_sample_weights are for mode 'sum', not {mode!r}")


def _described(offsets: Any) -> str:
    return "None" if offsets is None else f"shape {tuple(offsets.shape)}"
