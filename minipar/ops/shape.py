"""Operations that move elements without changing them: reshape, permute, expand, cat, stack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import tape
from ..backend import namespace
from ..tape import Value
from .op import Op


class View(Op):
    """Base of operations whose result may look at its input's memory: the two then share one version counter, and the
    result remembers how it was made, for the day when either is changed in place (`inplace.py`)."""

    def __call__(self, x: Any) -> Any:
        y = super().__call__(x)
        if isinstance(x, Value) and namespace(x.array).may_share_memory(x.array, y.array):
            x.share_version(y)
            if tape.mode.grad or not x.tracked:
                y.view_of = x, self
        return y


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
        return permute(g, inverse)


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
        from .op import unbroadcast

        return unbroadcast(g, self.source)


class Copy(Op):
    """y = x in memory of its own, row-major."""

    def forward(self, x):
        return x.copy()

    def vjp(self, g):
        return g


class Cat(Op):
    """The operands one after the other along an axis."""

    __slots__ = ("dim", "sizes")

    def __init__(self, dim):
        self.dim = dim

    def forward(self, *parts):
        self.sizes = [part.shape[self.dim] for part in parts]
        return namespace(parts[0]).concatenate(parts, self.dim)

    def vjp(self, g):
        pieces, start = [], 0
        for size in self.sizes:
            pieces.append(narrow(g, self.dim, start, size))
            start += size
        return tuple(pieces)


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """`x` in another shape; one entry may be −1 and is worked out. RuntimeError if the sizes do not agree."""
    shape = tuple(shape)
    size = math.prod(x.shape)
    if shape.count(-1) > 1:
        raise RuntimeError(f"reshape: only one size may be -1, got {shape}")
    known = math.prod(n for n in shape if n != -1)
    if any(n < -1 for n in shape) or (known != size if -1 not in shape else not known or size % known):
        raise RuntimeError(f"reshape: shape {shape} does not fit {size} elements of shape {tuple(x.shape)}")
    return Reshape(shape)(x)


def normal_dim(dim: int, ndim: int, name: str = "dim") -> int:
    """A possibly negative axis as a number from 0; IndexError if there is no such axis (a 0-d tensor counts as 1-d)."""
    room = max(ndim, 1)
    if not isinstance(dim, int):
        raise TypeError(f"{name} must be an int, not {type(dim).__name__}")
    if not -room <= dim < room:
        raise IndexError(f"{name} must be in [{-room}, {room - 1}] for a tensor of {ndim} dimensions, not {dim}")
    return dim % room


def permute(x: Any, dims: Sequence[int]) -> Any:
    """The axes in another order; ValueError unless `dims` names each exactly once."""
    order = tuple([normal_dim(dim, len(x.shape), "dims") for dim in dims]) if len(x.shape) else ()
    if sorted(order) != list(range(len(x.shape))):
        raise ValueError(f"permute: dims must name each of the {len(x.shape)} axes once, got {tuple(dims)}")
    return Permute(order)(x)


def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Two axes swapped."""
    order = list(range(len(x.shape)))
    a, b = normal_dim(dim0, len(order), "dim0"), normal_dim(dim1, len(order), "dim1")
    if order:
        order[a], order[b] = order[b], order[a]
    return Permute(tuple(order))(x)


def expand(x: Any, shape: Sequence[int]) -> Any:
    """Axes of size 1 repeated to `shape` without a copy; −1 keeps a size. RuntimeError where that cannot be."""
    lead = len(shape) - len(x.shape)
    full = [x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape)]
    if lead < 0 or any(n < 0 or (i >= lead and x.shape[i - lead] not in (1, n)) for i, n in enumerate(full)):
        raise RuntimeError(f"expand: shape {tuple(x.shape)} cannot be expanded to {tuple(shape)}")
    return Expand(tuple(full))(x)


def squeeze(x: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Without the axes of size 1: all of them, or those named."""
    if dim is None:
        return reshape(x, [n for n in x.shape if n != 1])
    dims = {normal_dim(d, len(x.shape)) for d in ([dim] if isinstance(dim, int) else dim)}
    return reshape(x, [n for i, n in enumerate(x.shape) if n != 1 or i not in dims])


def unsqueeze(x: Any, dim: int) -> Any:
    """With a new axis of size 1 before axis `dim`."""
    at = normal_dim(dim, len(x.shape) + 1)
    return reshape(x, [*x.shape[:at], 1, *x.shape[at:]])


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from `start_dim` to `end_dim` as one."""
    start, end = normal_dim(start_dim, len(x.shape), "start_dim"), normal_dim(end_dim, len(x.shape), "end_dim")
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return reshape(x, [*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]])


def narrow(x: Any, dim: int, start: int, length: int) -> Any:
    """`length` entries of axis `dim` from `start` (negative: from the end). RuntimeError outside the axis."""
    from .index import getitem

    dim = normal_dim(dim, len(x.shape))
    size = x.shape[dim] if len(x.shape) else 0
    first = start + size if start < 0 else start
    if not (len(x.shape) and 0 <= first <= size and 0 <= length <= size - first):
        raise RuntimeError(f"narrow: start {start}, length {length} do not fit axis {dim} of shape {tuple(x.shape)}")
    return getitem(x, (slice(None),) * dim + (slice(first, first + length),))


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors joined along an existing axis, promoted to one dtype. ValueError if there are none."""
    from .op import promoted

    tensors = list(tensors)
    if not tensors:
        raise ValueError("cat: expected at least one tensor, got an empty list")
    dim = normal_dim(dim, len(tensors[0].shape))
    for t in tensors:
        if len(t.shape) == 0:
            raise RuntimeError("cat: 0-d tensors have no axis to be joined along; use stack")
        if [n for i, n in enumerate(t.shape) if i != dim] != [n for i, n in enumerate(tensors[0].shape) if i != dim]:
            raise RuntimeError(
                f"cat: sizes must agree except in dim {dim}, got shapes {[tuple(t.shape) for t in tensors]}"
            )
    return Cat(dim)(*promoted(tensors))


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors, all of one shape, joined along a new axis."""
    tensors = list(tensors)
    if any(t.shape != tensors[0].shape for t in tensors):
        raise RuntimeError(f"stack: shapes must be equal, got {[tuple(t.shape) for t in tensors]}")
    return cat(
        [unsqueeze(t, dim) for t in tensors], dim if dim >= 0 or not tensors else dim + len(tensors[0].shape) + 1
    )
