"""Repeating and turning: repeat, tile, roll, flip, rot90. These copy."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import needs_tensors, rank
from .index import getitem
from .op import Op, array_of
from .shape import expand, ints, normal_dim, normal_dims, ravel, reshape, transpose, unsqueeze
from .spelling import numpy_names


class Roll(Op):
    """Entries moved along axes (all as one if `dims` is None), around the end."""

    __slots__ = ("shifts", "dims")

    def __init__(self, shifts, dims):
        self.shifts, self.dims = shifts, dims

    def forward(self, x):
        return namespace(x).roll(x, self.shifts, self.dims)

    def vjp(self, g):
        return Roll(tuple([-n for n in self.shifts]) if self.dims else -self.shifts, self.dims)(g)


class Flip(Op):
    """Axes in reverse."""

    __slots__ = ("dims",)

    def __init__(self, dims):
        self.dims = dims

    def forward(self, x):
        return namespace(x).flip(x, self.dims).copy()

    def vjp(self, g):
        return Flip(self.dims)(g)


def repeat(input: Any, repeats: Sequence[int]) -> Any:
    """Copies side by side: `repeats[i]` along axis i, where `repeats` may name new leading axes. `Tensor.repeat`.

    RuntimeError for fewer repeats than axes, or negative ones.

    >>> minipar.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    repeats = ints(repeats, "repeats")
    if len(repeats) < len(input.shape):
        raise RuntimeError(
            f"repeat: repeats must name each axis of shape {tuple(input.shape)}, got {repeats}; or use tile"
        )
    if min(repeats, default=0) < 0:
        raise RuntimeError(f"repeat: repeats must be 0 or more, got {repeats}")
    sizes = (1,) * (len(repeats) - len(input.shape)) + tuple(input.shape)
    apart = reshape(input, [n for size in sizes for n in (1, size)])
    many = expand(apart, [n for pair in zip(repeats, sizes) for n in pair])
    return _own(input, reshape(many, [count * size for count, size in zip(repeats, sizes)]))


def _own(input: Any, repeated: Any) -> Any:
    """Repeated once, a view is left: a copy, then, as in PyTorch."""
    return repeated.clone() if repeated.array.size == input.array.size else repeated


def tile(input: Any, dims: Sequence[int]) -> Any:
    """Copies side by side: as `repeat`, but `dims` may name fewer axes than there are: the last ones.

    >>> minipar.tile(minipar.tensor([[1], [2]]), (2,))
    tensor([[1, 1],
            [2, 2]])
    """
    dims = ints(dims, "dims")
    return repeat(input, (1,) * (rank(input) - len(dims)) + dims)


@numpy_names
@on_its_gpu
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each entry of axis `dim` (of all elements if None) repeated, the copies next to each other.

    `repeats` is a number, or an integer tensor with one number an entry. `repeat_interleave(repeats)` gives the numbers
    of the entries: 0 `repeats[0]` times, then 1, … `output_size` is what the repeats sum to, if known.

    >>> minipar.repeat_interleave(minipar.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    >>> minipar.repeat_interleave(minipar.tensor([1, 0, 2]))
    tensor([0, 2, 2])
    """
    needs_tensors(input)
    if repeats is None:
        return repeat_interleave(input.new_tensor(range(len(input))), input, output_size=output_size)
    if dim is None:
        input, dim = ravel(input), 0
    if not rank(input):
        input = reshape(input, (1,))
    dim = normal_dim(dim, len(input.shape))
    length = input.shape[dim]
    counts = array_of(repeats) if hasattr(repeats, "shape") else np.asarray(index(repeats))
    if counts.dtype.kind not in "iu":
        raise RuntimeError(f"repeat_interleave: repeats must be integers, not {counts.dtype.name}")
    if counts.ndim > 1 or (counts.size != 1 and counts.size != length):
        raise RuntimeError(
            f"repeat_interleave: repeats must be a number or {length} of them, one an entry of dim {dim}, not of shape "
            f"{counts.shape}"
        )
    if counts.size and counts.min() < 0:
        raise RuntimeError(f"repeat_interleave: repeats must be 0 or more, got {int(counts.min())}")
    total = int(counts.sum()) * (length if counts.size == 1 != length else 1)
    if output_size is not None and output_size != total:
        raise RuntimeError(f"repeat_interleave: output_size is {output_size}, but the repeats sum to {total}")
    if counts.size == 1:
        count = int(counts.reshape(()))
        apart = unsqueeze(input, dim + 1)
        many = expand(apart, (*input.shape[: dim + 1], count, *input.shape[dim + 1 :]))
        return _own(input, reshape(many, (*input.shape[:dim], length * count, *input.shape[dim + 1 :])))
    xp = namespace(counts)
    entries = np.repeat(np.arange(length), counts.tolist() if xp is not np else counts)
    return getitem(input, (slice(None),) * dim + (xp.asarray(entries),))


def roll(input: Any, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Any:
    """Entries moved by `shifts` along the axes `dims`, around the end; without `dims`, along all elements as one.

    >>> minipar.roll(minipar.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    many = ints([shifts] if hasattr(shifts, "__index__") else shifts, "shifts")
    if dims is None or dims == ():
        if len(many) != 1:
            raise RuntimeError(f"roll: shifts must be one number if dims is not given, got {many}")
        return Roll(many[0], None)(input)
    axes: list[Any] = [dims] if hasattr(dims, "__index__") else list(dims)
    if len(axes) != len(many):
        raise RuntimeError(f"roll: shifts and dims must be as many, got {shifts} and {dims}")
    if not len(input.shape):
        raise IndexError("roll: a 0-d tensor has no dim to be rolled along")
    return Roll(many, tuple([normal_dim(d, len(input.shape), "dims") for d in axes]))(input)


def flip(input: Any, dims: int | Sequence[int]) -> Any:
    """The axes `dims` in reverse. RuntimeError if one is named twice.

    >>> minipar.flip(minipar.tensor([[1, 2], [3, 4]]), (1,))
    tensor([[2, 1],
            [4, 3]])
    """
    dims = normal_dims(dims, rank(input))
    return Flip(tuple(dims) if len(input.shape) else ())(input)


def fliplr(input: Any) -> Any:
    """Columns in reverse: `flip` of axis 1. RuntimeError for fewer than two axes.

    >>> minipar.fliplr(minipar.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    if rank(input) < 2:
        raise RuntimeError(f"fliplr: input must have at least two axes, not shape {tuple(input.shape)}")
    return flip(input, 1)


def flipud(input: Any) -> Any:
    """Rows in reverse: `flip` of axis 0. RuntimeError for a 0-d tensor.

    >>> minipar.flipud(minipar.tensor([1, 2, 3]))
    tensor([3, 2, 1])
    """
    if not rank(input):
        raise RuntimeError("flipud: input must have at least one axis, not be 0-d")
    return flip(input, 0)


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """A quarter turn in the plane of two axes, `k` times, from the first towards the second (backwards for k < 0).

    >>> minipar.rot90(minipar.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    if len(dims) != 2 or rank(input) < 2:
        raise RuntimeError(f"rot90: dims must name two axes of shape {tuple(input.shape)}, got {tuple(dims)}")
    a, b = normal_dims(dims, len(input.shape))
    if k % 4 == 2:
        return flip(input, (a, b))
    if k % 4 == 0:
        return flip(input, ())
    return transpose(flip(input, b), a, b) if k % 4 == 1 else flip(transpose(input, a, b), b)
