"""Functions that arrange elements, as methods: shapes, axes, parts, repeats, indices, triangles.

One line each, in the order of minipar/ops; a few take their sizes or axes one by one: `x.permute(1, 0)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tape
from ..backend import dtypes
from ..ops import axes, broadcast, overwrite, shape, strided, triangle
from ..ops import gather as picking
from ..ops import index_put as writing
from ..ops import repeat as repeating
from ..ops import scatter as scattering
from ..ops import split as splitting
from ..ops.accepts import tensor_shape
from .described import Described


def _spread(function: Callable[..., Any], named: str) -> Callable[..., Any]:
    """`function(x, (2, 3))` as a method that takes f(2, 3), f((2, 3)) and f(`named`=(2, 3))."""

    def method(self: Any, *given: Any, **kwargs: Any) -> Any:
        if named in kwargs and not given:
            given = (kwargs.pop(named),)
        if kwargs:
            raise TypeError(f"{function.__name__}: unexpected argument {next(iter(kwargs))!r}; it takes {named}")
        return function(self, given[0] if len(given) == 1 and not hasattr(given[0], "__index__") else given)

    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    return method


def _rearranged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method `name`: the tensor itself takes the shape of `function(x, …)`, which is a view. No number changes."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.mode.grad and self.tracked and self.node is None:
            raise RuntimeError(f"{name}: a leaf tensor that requires grad cannot be changed in place; use the function")
        before = self.detach()  # what the others that look at this memory were views of, or this tensor is one of
        before.tracked, before.node, before.index = self.tracked, self.node, self.index
        if (seen := getattr(self, "view_of", None)) is not None:
            before.view_of = seen
        for view in self.own_version().beside(self):
            if getattr(view, "view_of", (None,))[0] is self:
                view.view_of = (before, *view.view_of[1:])
        after = function(before, *args, **kwargs)
        if (shown := getattr(after, "view_of", None)) is not None:  # an empty tensor is nobody's view
            self.view_of = shown
        self.array, self.tracked, self.node, self.index = after.array, after.tracked, after.node, after.index
        self.bump(name)  # whoever saved this tensor saved its old shape
        return self

    method.__name__ = name
    method.__doc__ = f"x takes the shape of `{function.__name__}(x, …)`, in place; returns x."
    return method


class Arranged(Described):
    """The part of a Tensor that arranges its elements."""

    __slots__ = ()

    # ── shape ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    reshape = _spread(shape.reshape, "shape")
    view_as = shape.view_as
    reshape_as = shape.reshape_as
    ravel = shape.ravel
    flatten = shape.flatten
    unflatten = shape.unflatten
    squeeze = shape.squeeze
    unsqueeze = shape.unsqueeze
    expand = _spread(shape.expand, "size")
    broadcast_to = broadcast.broadcast_to
    sum_to_size = _spread(broadcast.sum_to_size, "size")

    def view(self, *given: Any, **named: Any) -> Any:
        """As reshape, but never a copy (RuntimeError where the strides do not allow it); or the bytes as another dtype.

        >>> minipar.arange(6).view(2, -1).shape
        (2, 3)
        """
        kind = named.get("dtype", given[0] if len(given) == 1 else None)
        if kind is None or isinstance(kind, (int, tuple, list)) or hasattr(kind, "__index__"):
            return _spread(shape.view, "size")(self, *given, **named)
        return self._as_dtype(kind)

    def _as_dtype(self, dtype: Any) -> Any:
        kind = dtypes.as_dtype(dtype)
        if self.tracked:
            raise NotImplementedError(
                "view: dtype of a tensor that requires a gradient is not supported; use to(dtype)"
            )
        if kind.itemsize != self.array.itemsize and (not self.ndim or self.stride(-1) != 1):
            raise RuntimeError(f"view: a dtype of another size ({kind.name}) needs a last axis without gaps")
        try:
            seen = tape.new_value(self.array.view(kind))
        except ValueError:
            raise RuntimeError(f"view: the {self.shape[-1]} entries of the last axis do not make {kind.name}") from None
        self.share_version(seen)
        return seen

    def expand_as(self, other: Any) -> Any:
        """`x.expand(other.shape)`

        >>> minipar.ones(1, 3).expand_as(minipar.ones(2, 3)).shape
        (2, 3)
        """
        return shape.expand(self, tensor_shape(other))

    # ── the order of axes ─────────────────────────────────────────────────────────────────────────────────────────────

    permute = _spread(shape.permute, "dims")
    transpose = shape.transpose
    swapaxes = axes.swapaxes
    swapdims = axes.swapdims
    movedim = axes.movedim
    moveaxis = axes.moveaxis
    t = axes.t
    adjoint = axes.adjoint

    @property
    def T(self) -> Any:
        """The axes in reverse.

        >>> minipar.tensor([[1, 2], [3, 4]]).T
        tensor([[1, 3],
                [2, 4]])
        """
        return shape.permute(self, range(self.ndim)[::-1])

    @property
    def H(self) -> Any:
        """The conjugate transpose of a matrix: of real numbers, the transpose. RuntimeError unless it has two axes.

        >>> minipar.tensor([[1, 2], [3, 4]]).H
        tensor([[1, 3],
                [2, 4]])
        """
        if self.ndim not in (0, 2):
            raise RuntimeError(f"H: the tensor must be a matrix, not of shape {self.shape}; use mH")
        return self.T

    @property
    def mT(self) -> Any:
        """The last two axes swapped. RuntimeError for fewer.

        >>> minipar.ones(5, 2, 3).mT.shape
        (5, 3, 2)
        """
        return axes.adjoint(self)

    mH = mT

    # ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    narrow = shape.narrow
    select = splitting.select
    split_with_sizes = splitting.split_with_sizes
    chunk = splitting.chunk
    tensor_split = splitting.tensor_split
    hsplit = splitting.hsplit
    vsplit = splitting.vsplit
    dsplit = splitting.dsplit
    unbind = splitting.unbind
    unsafe_split = splitting.split
    unsafe_split_with_sizes = splitting.split_with_sizes
    unsafe_chunk = splitting.chunk
    as_strided = strided.as_strided
    unfold = splitting.unfold

    def split(self, split_size: Any, dim: int = 0) -> tuple:
        """`minipar.split(x, split_size, dim)`

        >>> minipar.arange(5).split(2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
        """
        return splitting.split(self, split_size, dim)

    # ── repeats and turns ─────────────────────────────────────────────────────────────────────────────────────────────

    repeat = _spread(repeating.repeat, "repeats")
    tile = _spread(repeating.tile, "dims")
    repeat_interleave = repeating.repeat_interleave
    roll = repeating.roll
    flip = _spread(repeating.flip, "dims")
    fliplr = repeating.fliplr
    flipud = repeating.flipud
    rot90 = repeating.rot90

    # ── indices and masks ─────────────────────────────────────────────────────────────────────────────────────────────

    gather = picking.gather
    take_along_dim = picking.take_along_dim
    take = picking.take
    index_select = picking.index_select
    masked_select = picking.masked_select
    nonzero = picking.nonzero
    argwhere = picking.argwhere
    scatter = scattering.scatter
    scatter_add = scattering.scatter_add
    scatter_reduce = scattering.scatter_reduce
    index_add = writing.index_add
    index_copy = writing.index_copy
    index_fill = writing.index_fill
    masked_fill = writing.masked_fill
    masked_scatter = writing.masked_scatter
    index_put = writing.index_put
    index_reduce = overwrite.index_reduce
    put = overwrite.put
    select_scatter = overwrite.select_scatter
    slice_scatter = overwrite.slice_scatter
    diagonal_scatter = overwrite.diagonal_scatter

    # ── triangles and diagonals ───────────────────────────────────────────────────────────────────────────────────────

    tril = triangle.tril
    triu = triangle.triu
    diagonal = triangle.diagonal
    diag = triangle.diag
    diag_embed = triangle.diag_embed
    diagflat = triangle.diagflat

    # ── in place: another shape over the same memory ──────────────────────────────────────────────────────────────────

    squeeze_ = _rearranged("squeeze_", shape.squeeze)
    unsqueeze_ = _rearranged("unsqueeze_", shape.unsqueeze)
    transpose_ = _rearranged("transpose_", shape.transpose)
    swapaxes_ = _rearranged("swapaxes_", axes.swapaxes)
    swapdims_ = _rearranged("swapdims_", axes.swapdims)
    t_ = _rearranged("t_", axes.t)
