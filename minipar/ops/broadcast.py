"""Bringing tensors to one shape: broadcast_to and its relatives, and the grids made with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .index import getitem
from .join import stack
from .op import array_of, broadcast_error, check_devices, unbroadcast
from .shape import expand, ints, ravel, reshape


def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """Axes of size 1, and new leading ones, repeated to `size` without a copy: `input.expand(size)`.

    >>> minipar.broadcast_to(minipar.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, size)


def sum_to_size(input: Any, size: Sequence[int]) -> Any:
    """The sum over the axes that `size` lacks or has at 1: what broadcasting from `size` would have repeated.

    RuntimeError where `size` cannot be broadcast to input's shape.

    >>> minipar.ones(2, 3).sum_to_size(3).tolist()
    [2.0, 2.0, 2.0]
    """
    shape = ints(size, "size")
    lead = len(input.shape) - len(shape)
    if lead < 0 or any(n not in (1, input.shape[lead + i]) for i, n in enumerate(shape)):
        raise RuntimeError(f"sum_to_size: size {shape} cannot be broadcast to input's shape {tuple(input.shape)}")
    return unbroadcast(input, shape)


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these shapes have together (an int is a shape of one axis). RuntimeError if none.

    >>> minipar.broadcast_shapes((3, 1), (2,), 1)
    (3, 2)
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(broadcast_error("broadcast_shapes", shapes)) from None  # type: ignore[arg-type]


def broadcast_tensors(*tensors: Any) -> tuple:
    """The tensors expanded to the one shape that they broadcast to. RuntimeError if there is none.

    >>> a, b = minipar.broadcast_tensors(minipar.zeros(3, 1), minipar.zeros(2))
    >>> a.shape, b.shape
    ((3, 2), (3, 2))
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    try:
        shape = np.broadcast_shapes(*[tensor_shape(t) for t in tensors])
    except ValueError:
        raise RuntimeError(broadcast_error("broadcast_tensors", [tuple(t.shape) for t in tensors])) from None
    return tuple([expand(t, shape) for t in tensors])


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """For axes of n, m, … numbers the coordinates of the n×m×… grid, a view each: gridᵢ[a, b, …] = tensorsᵢ[a, b, …ᵢ].

    With `indexing="xy"` the first two axes of the grids are swapped, as for pictures.

    >>> rows, columns = minipar.meshgrid(minipar.tensor([1, 2]), minipar.tensor([3, 4, 5]), indexing="ij")
    >>> rows
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if not tensors:
        raise ValueError("meshgrid: tensors must not be empty")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', not {indexing!r}")
    for i, t in enumerate(tensors):
        if rank(t) > 1:
            raise RuntimeError(f"meshgrid: tensors must have one axis or none, but tensors[{i}] has shape {t.shape}")
        if t.dtype != tensors[0].dtype:
            raise RuntimeError(f"meshgrid: tensors must have one dtype, got {tensors[0].dtype.name} and {t.dtype.name}")
    check_devices("meshgrid", *tensors)
    axes = list(range(len(tensors)))  # the axis of the grids along which each tensor runs
    if indexing == "xy" and len(tensors) > 1:
        axes[:2] = [1, 0]
    columns = [
        reshape(t, [math.prod(t.shape) if axis == i else 1 for i in range(len(axes))]) for t, axis in zip(tensors, axes)
    ]
    return broadcast_tensors(*columns)


def cartesian_prod(*tensors: Any) -> Any:
    """All tuples of one number of each tensor, a row each, the last running fastest. A single tensor stays as it is.

    >>> minipar.cartesian_prod(minipar.tensor([1, 2]), minipar.tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    if len(tensors) == 1:
        return tensors[0]
    return stack([ravel(grid) for grid in meshgrid(*tensors)], 1)


@on_its_gpu
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of `r` entries of a tensor of one axis, in the order of their positions, a row each.

    >>> minipar.combinations(minipar.tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    if rank(input) != 1:
        raise RuntimeError(f"combinations: input must have one axis, not shape {tuple(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: r must be 0 or more, not {r}")
    if r == 0:
        return input[:0]
    xp = namespace(array_of(input))
    places = xp.indices((input.shape[0],) * r).reshape(r, -1).T
    ordered = places[:, :-1] <= places[:, 1:] if with_replacement else places[:, :-1] < places[:, 1:]
    return getitem(input, places[ordered.all(1)])
