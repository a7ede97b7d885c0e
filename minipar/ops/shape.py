"""The shape of a tensor: reshape, view, permute, expand, and what is said in terms of them. Elements are not changed.

A result that can look at its input's memory does (a view): a change of one in place is a change of the other, and the
two share one version counter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

from .. import tape
from ..backend import namespace
from ..tape import Value
from .accepts import rank, tensor_shape
from .op import Op, unbroadcast
from .spelling import numpy_names


class View(Op):
    """Base of operations whose results may look at their input's memory: they then share its version counter, and
    remember how they were made, for the day when either is changed in place (`inplace.py`)."""

    def __call__(self, x: Any, *others: Any) -> Any:
        result = super().__call__(x, *others)
        if isinstance(x, Value):
            for place, y in enumerate((result,) if self.outputs == 1 else result):
                if namespace(x.array).may_share_memory(x.array, y.array):
                    x.share_version(y)
                    if tape.mode.grad or not x.tracked:
                        y.view_of = x, self, place
        return result


class Reshape(View):
    """The same elements, in the same (row-major) order, in another shape."""

    __slots__ = ("shape", "source")

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        self.source = x.shape
        return x.reshape(self.shape)

    def vjp(self, g):
        return reshape(g, self.source)


class Permute(View):
    """Axis i of the result is axis dims[i] of the input."""

    __slots__ = ("dims",)

    def __init__(self, dims):
        self.dims = dims

    def forward(self, x):
        return x.transpose(self.dims)

    def vjp(self, g):
        inverse = [0] * len(self.dims)
        for i, dim in enumerate(self.dims):
            inverse[dim] = i
        return Permute(tuple(inverse))(g)


class Expand(View):
    """Axes of size 1 (and new leading ones) repeated without a copy; the gradient sums the repeats."""

    __slots__ = ("shape", "source")

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        self.source = x.shape
        if math.prod(self.shape) == math.prod(x.shape):  # nothing is repeated: an ordinary view, that can be written
            return x.reshape(self.shape)
        return namespace(x).broadcast_to(x, self.shape)

    def vjp(self, g):
        return unbroadcast(g, self.source)


class Copy(Op):
    """y = x in memory of its own, row-major."""

    def forward(self, x):
        return x.copy()

    def vjp(self, g):
        return g


# ── axes and sizes as arguments ───────────────────────────────────────────────────────────────────────────────────────


def normal_dim(dim: int, ndim: int, name: str = "dim") -> int:
    """A possibly negative axis as a number from 0; IndexError if there is no such axis (a 0-d tensor counts as 1-d)."""
    room = max(ndim, 1)
    if type(dim) is not int:
        try:
            dim = index(dim)
        except TypeError:
            raise TypeError(f"{name} must be an int, not {type(dim).__name__}") from None
    if not -room <= dim < room:
        raise IndexError(f"{name} must be in [{-room}, {room - 1}] for a tensor of {ndim} dimensions, not {dim}")
    return dim % room


def normal_dims(dims: int | Sequence[int], ndim: int, name: str = "dims") -> list[int]:
    """One axis or several, as numbers from 0. RuntimeError if one is named twice."""
    given: list[Any] = [dims] if hasattr(dims, "__index__") else list(dims)
    found = [normal_dim(dim, ndim, name) for dim in given]
    if len(set(found)) != len(found):
        raise RuntimeError(f"{name} must name each axis once, got {tuple(given)} for a tensor of {ndim} dimensions")
    return found


def ints(given: Any, name: str) -> tuple[int, ...]:
    """Sizes (or shifts, repeats, …) as a tuple of ints. TypeError for what is no sequence of ints."""
    try:
        return tuple([index(n) for n in given])
    except TypeError:
        raise TypeError(f"{name} must be a sequence of ints, not {given!r}") from None


# ── reshape and its relatives ─────────────────────────────────────────────────────────────────────────────────────────


def _completed(source: Sequence[int], shape: Sequence[int], name: str) -> tuple[int, ...]:
    """`shape` with its −1 worked out. RuntimeError where the elements of `source` do not fit."""
    shape = ints(shape, "shape")
    size = math.prod(source)
    if -1 not in shape:
        fits = math.prod(shape) == size and min(shape, default=0) >= 0
        full = shape
    else:
        if shape.count(-1) > 1:
            raise RuntimeError(f"{name}: only one size may be -1, got {shape}")
        known = math.prod([n for n in shape if n != -1])
        if not known and not size:
            raise RuntimeError(
                f"{name}: in shape {shape} any size would do for -1, as there are no elements; say which"
            )
        fits = known > 0 and not size % known and min(shape) >= -1
        full = tuple([size // known if n == -1 else n for n in shape]) if fits else shape
    if not fits:
        raise RuntimeError(f"{name}: shape {shape} does not fit {size} elements of shape {tuple(source)}")
    return full


def reshape(input: Any, shape: Sequence[int]) -> Any:
    """The same elements in another shape; one entry may be −1 and is worked out. A view where strides allow it.

    RuntimeError if the sizes do not agree.

    >>> minipar.reshape(minipar.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return Reshape(_completed(tensor_shape(input), shape, "reshape"))(input)


def view(input: Any, shape: Sequence[int]) -> Any:
    """As reshape, but never a copy: RuntimeError where the strides do not allow a view.

    >>> x = minipar.zeros(2, 3)
    >>> x.view(6)[0] = 1
    >>> x[0, 0].item()
    1.0
    """
    full = _completed(input.shape, shape, "view")
    if not _viewable(input.array, full):
        raise RuntimeError(
            f"view: shape {full} cannot look at the memory of a tensor of shape {tuple(input.shape)} and strides "
            f"{input.stride()}, as it would have to span axes that do not follow each other; use reshape"
        )
    return Reshape(full)(input)


def _viewable(array: Any, shape: Sequence[int]) -> bool:
    """Can an array be seen in another shape without a copy?

    Its axes fall into runs that follow each other in memory (stride of one = size · stride of the next); the new axes
    must fill each run exactly (PyTorch's computeStride).
    """
    if not array.size or array.flags.c_contiguous:
        return True
    runs = []
    run = 1
    axes = [(n, stride) for n, stride in zip(array.shape, array.strides) if n != 1]
    for (n, stride), (_, outer) in zip(axes[::-1], [*axes[::-1][1:], (0, None)]):
        run *= n
        if outer is None or outer != n * stride:
            runs.append(run)
            run = 1
    sizes = [n for n in shape if n != 1]
    for run in runs:
        while run > 1 and sizes and run % sizes[-1] == 0:
            run //= sizes.pop()
        if run != 1:
            return False
    return not sizes


def view_as(input: Any, other: Any) -> Any:
    """`input.view(other.shape)`

    >>> minipar.arange(4).view_as(minipar.zeros(2, 2)).shape
    (2, 2)
    """
    return view(input, tensor_shape(other))


def reshape_as(input: Any, other: Any) -> Any:
    """`input.reshape(other.shape)`

    >>> minipar.arange(4).reshape_as(minipar.zeros(2, 2)).shape
    (2, 2)
    """
    return reshape(input, tensor_shape(other))


def ravel(input: Any) -> Any:
    """All elements as one axis, row-major and without gaps; a view where the memory is so already.

    >>> minipar.ravel(minipar.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    flat = reshape(input, (-1,) if math.prod(tensor_shape(input)) else (0,))
    return flat.contiguous() if hasattr(flat, "contiguous") else flat


@numpy_names
def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Without the axes of size 1: all of them, or those named (which are left alone if they are longer).

    >>> minipar.squeeze(minipar.zeros(1, 3, 1)).shape, minipar.squeeze(minipar.zeros(1, 3, 1), 0).shape
    ((3,), (3, 1))
    """
    if dim is None:
        return Reshape(tuple([n for n in tensor_shape(input) if n != 1]))(input)
    dims = normal_dims(dim, rank(input), "dim")
    return Reshape(tuple([n for i, n in enumerate(input.shape) if n != 1 or i not in dims]))(input)


@numpy_names
def unsqueeze(input: Any, dim: int) -> Any:
    """With a new axis of size 1 before axis `dim` (negative: counted in the result).

    >>> minipar.unsqueeze(minipar.zeros(3), -1).shape
    (3, 1)
    """
    at = normal_dim(dim, rank(input) + 1)
    return Reshape((*input.shape[:at], 1, *input.shape[at:]))(input)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from `start_dim` to `end_dim` as one. RuntimeError if the first comes after the last.

    >>> minipar.flatten(minipar.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    shape = tensor_shape(input)
    ndim = len(shape)
    start, end = normal_dim(start_dim, ndim, "start_dim"), normal_dim(end_dim, ndim, "end_dim")
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if ndim and start == end:
        return input
    return Reshape((*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))(input)


@numpy_names
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Axis `dim` as several of `sizes`, of which one may be −1. RuntimeError if they do not multiply up to it.

    >>> minipar.unflatten(minipar.zeros(2, 12), 1, (3, -1)).shape
    (2, 3, 4)
    """
    dim = normal_dim(dim, rank(input))
    sizes = ints(sizes, "sizes")
    if not sizes:
        raise RuntimeError("unflatten: sizes must not be empty")
    if not len(input.shape):
        raise IndexError("unflatten: a 0-d tensor has no dim to be unflattened")
    return Reshape((*input.shape[:dim], *_completed(input.shape[dim : dim + 1], sizes, "unflatten: sizes"),
                    *input.shape[dim + 1 :]))(input)  # fmt: skip


# ── the order of axes ─────────────────────────────────────────────────────────────────────────────────────────────────


def permute(input: Any, dims: Sequence[int]) -> Any:
    """The axes in another order: axis i of the result is axis `dims[i]`. RuntimeError unless each is named once.

    >>> minipar.permute(minipar.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    ndim = rank(input)
    order = tuple([normal_dim(dim, ndim, "dims") for dim in ints(dims, "dims")])
    if len(order) != ndim or len(set(order)) != ndim:
        raise RuntimeError(f"permute: dims must name each of the {ndim} axes once, got {tuple(dims)}")
    return Permute(order)(input)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes swapped; a view. `swapaxes` and `swapdims` are other names of it.

    >>> minipar.transpose(minipar.tensor([[1, 2], [3, 4]]), 0, 1)
    tensor([[1, 3],
            [2, 4]])
    """
    order = list(range(rank(input)))
    a, b = normal_dim(dim0, len(order), "dim0"), normal_dim(dim1, len(order), "dim1")
    if order:
        order[a], order[b] = order[b], order[a]
    return Permute(tuple(order))(input)


# ── repeating without a copy ──────────────────────────────────────────────────────────────────────────────────────────


def expand(input: Any, size: Sequence[int]) -> Any:
    """Axes of size 1, and new leading ones, repeated to `size` without a copy; −1 keeps a size.

    RuntimeError where that cannot be. `Tensor.expand`; `broadcast_to` is the function of the module.

    >>> minipar.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    size = ints(size, "size")
    source = tensor_shape(input)
    lead = len(size) - len(source)
    full = [source[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(size)]
    if lead < 0 or any(n < 0 or (i >= lead and source[i - lead] not in (1, n)) for i, n in enumerate(full)):
        raise RuntimeError(f"expand: shape {tuple(source)} cannot be expanded to size {size}")
    return Expand(tuple(full))(input)


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` entries of axis `dim` from `start` (negative: from the end), a view.

    `start` may be a 0-d tensor of an integer. IndexError where it is outside the axis, RuntimeError where its end is.

    >>> minipar.narrow(minipar.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    from .index import GetItem

    ndim = rank(input)
    if hasattr(start, "dtype") and (start.shape or start.dtype.kind not in "iu"):
        raise RuntimeError("narrow: start must be a whole number or a 0-d tensor of one")
    dim, start, length = normal_dim(dim, ndim), index(start), index(length)
    size = input.shape[dim] if ndim else 0
    if not -size <= start <= size:
        raise IndexError(f"narrow: start must be in [{-size}, {size}] for dim {dim}, not {start}")
    first = start + size if start < 0 else start
    if not (ndim and 0 <= length <= size - first):
        raise RuntimeError(f"narrow: start {start}, length {length} do not fit dim {dim} of shape {tuple(input.shape)}")
    return GetItem((slice(None),) * dim + (slice(first, first + length),))(input)
