"""Taking tensors apart: split, chunk, unbind, and the windows of unfold. All of these are views."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import index
from typing import Any

from ..backend import namespace
from .accepts import rank
from .index import GetItem, PutItem
from .join import cat, stack
from .op import array_of
from .shape import View, ints, narrow, normal_dim, reshape
from .spelling import numpy_names


class _Parts(View):
    """Base of what gives several views of one tensor, side by side; a part whose gradient is not wanted has none."""

    __slots__ = ("dim", "outputs", "shapes")

    shapes: list[tuple[int, ...]]

    def __call__(self, x: Any) -> Any:
        parts = super().__call__(x)
        return parts if isinstance(parts, tuple) else (parts,)

    def _complete(self, grads: Any) -> list[Any]:
        """One gradient a part, zeros for those that nobody used."""
        grads = grads if isinstance(grads, tuple) else (grads,)
        some = array_of(next(g for g in grads if g is not None))
        return [namespace(some).zeros(shape, some.dtype) if g is None else g for g, shape in zip(grads, self.shapes)]


class Split(_Parts):
    """Pieces of the given sizes along an axis, one after the other."""

    __slots__ = ("sizes",)

    def __init__(self, sizes, dim):
        self.sizes, self.dim, self.outputs = sizes, dim, len(sizes)

    def forward(self, x):
        ends = list(accumulate(self.sizes))
        lead = (slice(None),) * self.dim
        parts = tuple([x[(*lead, slice(end - size, end))] for size, end in zip(self.sizes, ends)])
        self.shapes = [part.shape for part in parts]
        return parts if len(parts) > 1 else parts[0]

    def vjp(self, grads):
        return cat(self._complete(grads), self.dim)


class Unbind(_Parts):
    """The slices along an axis, without it."""

    __slots__ = ()

    def __init__(self, dim, count):
        self.dim, self.outputs = dim, count

    def forward(self, x):
        lead = (slice(None),) * self.dim
        parts = tuple([x[(*lead, i, ...)] for i in range(self.outputs)])
        self.shapes = [part.shape for part in parts]
        return parts if len(parts) > 1 else parts[0]

    def vjp(self, grads):
        return stack(self._complete(grads), self.dim)


class Windows(View):
    """Every window of `size` entries along an axis, `step` apart, in an axis of their own at the end."""

    __slots__ = ("dim", "size", "step", "source")

    def __init__(self, dim, size, step):
        self.dim, self.size, self.step = dim, size, step

    def forward(self, x):
        self.source = x.shape
        count = (x.shape[self.dim] - self.size) // self.step + 1
        strides = list(x.strides)
        strides[self.dim] *= self.step
        shape = (*x.shape[: self.dim], count, *x.shape[self.dim + 1 :], self.size)
        return namespace(x).lib.stride_tricks.as_strided(x, shape, (*strides, x.strides[self.dim]))

    def vjp(self, g):
        xp = namespace(array_of(g))
        starts = xp.arange(g.shape[self.dim])[:, None] * self.step
        where = (slice(None),) * self.dim + (starts + xp.arange(self.size),)
        from .axes import movedim

        return PutItem(where, self.source)(movedim(g, -1, self.dim + 1))


# ── pieces one after the other ────────────────────────────────────────────────────────────────────────────────────────


def _axis(name: str, x: Any, dim: int) -> int:
    if not rank(x):
        raise RuntimeError(f"{name}: a 0-d tensor has no dim to be taken apart along")
    return normal_dim(dim, len(x.shape))


@numpy_names
def split(tensor: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple:
    """Pieces along axis `dim`, as a tuple of views: each of one size (the last may be smaller), or of the sizes listed.

    RuntimeError for sizes that are negative or, if listed, do not sum to that of the axis.

    >>> minipar.split(minipar.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    >>> minipar.split(minipar.arange(5), [1, 4])[1]
    tensor([1, 2, 3, 4])
    """
    if not hasattr(split_size_or_sections, "__index__"):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    dim = _axis("split", tensor, dim)
    size, length = index(split_size_or_sections), tensor.shape[dim]
    if size < 0 or (not size and length):
        raise RuntimeError(f"split: split_size must be positive, not {size}, for dim {dim} of size {length}")
    pieces = max(-(-length // size), 1) if size else 1
    return Split([min(size, length - i * size) for i in range(pieces)], dim)(tensor)


@numpy_names
def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple:
    """Pieces of the sizes listed along axis `dim`. RuntimeError unless they sum to the size of the axis.

    >>> minipar.split_with_sizes(minipar.arange(3), [1, 2])
    (tensor([0]), tensor([1, 2]))
    """
    dim = _axis("split", input, dim)
    sizes = ints(split_sizes, "split_sizes")
    if not sizes or min(sizes) < 0 or sum(sizes) != input.shape[dim]:
        raise RuntimeError(
            f"split: sizes {list(sizes)} must be 0 or more and sum to the {input.shape[dim]} of dim {dim} of shape "
            f"{tuple(input.shape)}"
        )
    return Split(list(sizes), dim)(input)


@numpy_names
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` pieces of one size ⌈n / chunks⌉ along axis `dim`; the last may be smaller.

    >>> [piece.numel() for piece in minipar.chunk(minipar.arange(10), 4)]
    [3, 3, 3, 1]
    """
    dim = _axis("chunk", input, dim)
    if chunks <= 0:
        raise RuntimeError(f"chunk: chunks must be greater than 0, not {chunks}")
    length = input.shape[dim]
    return split(input, -(-length // chunks), dim) if length else split_with_sizes(input, [0] * chunks, dim)


@numpy_names
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces along axis `dim`: that many of nearly equal size, or cut before each of the indices listed.

    >>> [piece.tolist() for piece in minipar.tensor_split(minipar.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    >>> [piece.tolist() for piece in minipar.tensor_split(minipar.arange(5), (1, 4))]
    [[0], [1, 2, 3], [4]]
    """
    dim = _axis("tensor_split", input, dim)
    length = input.shape[dim]
    given = indices_or_sections.tolist() if hasattr(indices_or_sections, "tolist") else indices_or_sections
    if not isinstance(given, (list, tuple)):
        sections = index(given)
        if sections <= 0:
            raise RuntimeError(f"tensor_split: the number of sections must be larger than 0, not {sections}")
        larger = length % sections
        return Split([length // sections + (i < larger) for i in range(sections)], dim)(input)
    cuts = [0, *[slice(None, i).indices(length)[1] for i in ints(given, "indices_or_sections")], length]
    if cuts == sorted(cuts):
        return Split([b - a for a, b in pairwise(cuts)], dim)(input)
    return tuple([narrow(input, dim, a, max(b - a, 0)) for a, b in pairwise(cuts)])


def hsplit(input: Any, indices_or_sections: Any) -> tuple:
    """`tensor_split` along axis 1, or 0 if there is only one; a number of sections must divide the axis.

    >>> minipar.hsplit(minipar.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    return _even_split("hsplit", input, indices_or_sections, 1 if rank(input) > 1 else 0, 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple:
    """`tensor_split` along axis 0 of a tensor of at least two axes; a number of sections must divide the axis.

    >>> minipar.vsplit(minipar.zeros(4, 2), 2)[0].shape
    (2, 2)
    """
    return _even_split("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Any, indices_or_sections: Any) -> tuple:
    """`tensor_split` along axis 2 of a tensor of at least three axes; a number of sections must divide the axis.

    >>> minipar.dsplit(minipar.zeros(1, 2, 4), 2)[0].shape
    (1, 2, 2)
    """
    return _even_split("dsplit", input, indices_or_sections, 2, 3)


def _even_split(name: str, x: Any, given: Any, dim: int, least: int) -> tuple:
    if rank(x) < least:
        raise RuntimeError(f"{name}: input must have at least {least} axes, not shape {tuple(x.shape)}")
    if isinstance(given, int) and (given <= 0 or x.shape[dim] % given):
        raise RuntimeError(f"{name}: {given} sections do not divide the {x.shape[dim]} of dim {dim} evenly")
    return tensor_split(x, given, dim)


@numpy_names
def unbind(input: Any, dim: int = 0) -> tuple:
    """The slices along axis `dim`, without it, as a tuple of views. IndexError for a 0-d tensor.

    >>> minipar.unbind(minipar.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    if not rank(input):
        raise IndexError("unbind: a 0-d tensor has no dim to be taken apart along")
    dim = normal_dim(dim, len(input.shape))
    return Unbind(dim, input.shape[dim])(input) if input.shape[dim] else ()


# ── one part ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@numpy_names
def select(input: Any, dim: int, index: int) -> Any:
    """The slice number `index` (negative: from the end) of axis `dim`, without the axis; a view.

    >>> minipar.select(minipar.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    if not rank(input):
        raise IndexError("select: a 0-d tensor has no dim to select from")
    dim = normal_dim(dim, len(input.shape))
    size = input.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"select: index must be in [{-size}, {size - 1}] for dim {dim}, not {index}")
    return GetItem((slice(None),) * dim + (int(index),))(input)


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Every window of `size` entries along axis `dimension`, `step` apart: a view, the windows' entries as last axis.

    RuntimeError for a window larger than the axis, or a step below 1. As a function of an image see `F.unfold`.

    >>> minipar.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    dim = normal_dim(dimension, len(input.shape), "dimension")
    length = input.shape[dim] if len(input.shape) else 1
    if not 0 <= size <= length:
        raise RuntimeError(f"unfold: size must be in [0, {length}] for dimension {dim}, not {size}")
    if step <= 0:
        raise RuntimeError(f"unfold: step must be greater than 0, not {step}")
    if not len(input.shape):
        return reshape(input, (1,)) if size else narrow(reshape(input, (1,)), 0, 0, 0)
    return Windows(dim, size, step)(input)
