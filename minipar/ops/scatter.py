"""Writing elements to places given by a tensor of indices: scatter and its reductions.

For a `src` of three axes and dim 0 the element src[i, j, k] goes to y[index[i, j, k], j, k].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dtypes import scalar_like
from ..tape import Value
from .accepts import tensor_dtype
from .division import div
from .gather import check_along, check_integers, check_tensor, one_axis
from .index import AddAlong, PutAlong, SetItem, along, getitem, take_along
from .op import Op, array_of, cast, check_devices, zero_of
from .select import where
from .shape import expand, reshape
from .spelling import numpy_names

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


@numpy_names
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """`input` with the elements of `src` (or the number `value`) written along axis `dim` at `index`.

    `src` has input's dtype and at least the shape of `index`. Where an index occurs twice the last one written stays,
    but each gets its gradient, as in PyTorch. `reduce` ("add", "multiply") combines instead of replacing.

    >>> minipar.zeros(3).scatter(0, minipar.tensor([2, 0]), minipar.tensor([5.0, 6.0]))
    tensor([6., 0., 5.])
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: give either src, a tensor, or value, a number")
    check_integers("scatter", index)
    given = src if value is None else value
    if value is not None or not isinstance(given, Value):  # scatter(dim, index, 5) is a value too
        given = _everywhere(input, index, given)
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError(f"scatter: reduce must be None, 'add' or 'multiply', not {reduce!r}")
    if reduce == "add":
        return scatter_add(input, dim, index, given)
    if reduce == "multiply":
        return scatter_reduce(input, dim, index, given, "prod")
    dim = _checked("scatter", input, dim, index, given)
    if not array_of(index).size:
        return input.clone()
    flat = SetItem(along(one_axis(index), dim))(one_axis(input), _part(given, index))
    return reshape(flat, input.shape)


@numpy_names
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """`input` with the elements of `src` added along axis `dim` at `index`; repeated indices add up.

    >>> minipar.zeros(3).scatter_add(0, minipar.tensor([2, 0, 2]), minipar.tensor([5.0, 6.0, 7.0]))
    tensor([ 6.,  0., 12.])
    """
    dim = _checked("scatter_add", input, dim, index, src)
    if not array_of(index).size:
        return input.clone()
    return reshape(AddAlong(one_axis(index), dim)(one_axis(input), _part(src, index)), input.shape)


@numpy_names
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """`input` with, at each place that `index` names, the "sum", "prod", "mean", "amax" or "amin" of what goes there.

    The element of `input` itself counts too unless `include_self` is False. A mean of integers is rounded down.

    >>> index = minipar.tensor([0, 0, 1])
    >>> minipar.ones(3).scatter_reduce(0, index, minipar.tensor([2.0, 3.0, -4.0]), "amax")
    tensor([3., 1., 1.])
    """
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"scatter_reduce: reduce must be one of {', '.join(_REDUCTIONS)}, not {reduce!r}")
    dim = _checked("scatter_reduce", input, dim, index, src)
    if not array_of(index).size:
        return input.clone()
    x, places, part = one_axis(input), one_axis(index), _part(src, index)
    if reduce in ("sum", "mean"):
        found = _summed(x, dim, places, part, include_self, reduce == "mean")
    else:
        found = ScatterCombine(dim, reduce, include_self)(x, places, part)
    return reshape(found, input.shape)


@on_its_gpu
def _summed(x: Any, dim: int, index: Any, part: Any, include_self: bool, mean: bool) -> Any:
    where_to = along(index, dim)
    base = x if include_self else SetItem(where_to)(x, zero_of(x))
    total = base + PutAlong(index, dim, tuple(x.shape))(part)
    if not mean:
        return total
    xp = namespace(array_of(x))
    count = xp.ones(x.shape, "int64") if include_self else SetItem(where_to)(xp.ones(x.shape, "int64"), xp.asarray(0))
    count = count + PutAlong(index, dim, tuple(x.shape))(xp.ones(part.shape, "int64"))
    return div(total, tape.new_value(count.astype(x.dtype)), rounding_mode="floor" if x.dtype.kind != "f" else None)


class ScatterCombine(Op):
    """prod, amax or amin of x and of the elements of src that go to the same place (x's own only if `include_self`).

    The gradient of an extreme is shared by all that are equal to it. The rules are PyTorch's, among them that without
    `include_self` x's share of a tie goes to nobody.
    """

    __slots__ = ("dim", "reduce", "include_self")
    saves = (0, 1, 2)
    saves_output = True

    def __init__(self, dim, reduce, include_self):
        self.dim, self.reduce, self.include_self = dim, reduce, include_self

    def forward(self, x, index, src):
        y = x.copy()
        places = along(index, self.dim)
        if not self.include_self:
            y[places] = _neutral(self.reduce, x.dtype)
        if namespace(x) is np:
            getattr(np, _UFUNCS[self.reduce]).at(y, places, src)
        else:
            self._by_slices(y, places, src)
        return y

    def _by_slices(self, y, places, src):
        """For CuPy, whose ufuncs have no `at` for products nor for all dtypes: within a slice no place occurs twice."""
        combine = getattr(namespace(y), _UFUNCS[self.reduce])
        for i in range(src.shape[self.dim]):
            part = (slice(None),) * self.dim + (slice(i, i + 1),)
            at = tuple([p[part] if axis == self.dim else p for axis, p in enumerate(places)])
            y[at] = combine(y[at], src[part])

    def vjp(self, g, x, index, src, y):
        index = array_of(index)
        if self.reduce == "prod":
            dx, dsrc = self._of_product(g, x, index, src, y)
        else:
            dx, dsrc = self._of_extreme(g, x, index, src, y)
        if not self.include_self:
            dx = SetItem(along(index, self.dim))(dx, zero_of(dx))
        return dx, None, dsrc

    def _of_extreme(self, g, x, index, src, y):
        own = cast(x == y, g.dtype)
        theirs = cast(src == take_along(y, index, self.dim), g.dtype)
        share = g / (own + PutAlong(index, self.dim, tuple(x.shape))(theirs))
        return share * own, take_along(share, index, self.dim) * theirs

    def _of_product(self, g, x, index, src, y):
        """y / src, but where src is the only zero of its place the product of the others."""
        filled = where(x == 0, 1.0, x)
        dx = g * self.again(filled, index, src) / filled
        zero = src == 0
        zeros = PutAlong(index, self.dim, tuple(x.shape))(cast(zero, g.dtype))
        alone = zero & (take_along(zeros, index, self.dim) == 1)
        others = self.again(x, index, where(alone, 1.0, src))
        plain = take_along(g * y, index, self.dim) / where(zero, 1.0, src)
        return dx, where(alone, take_along(g * others, index, self.dim), plain)


_UFUNCS = {"prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _neutral(reduce: str, dtype: Any) -> Any:
    """What changes no product, maximum or minimum."""
    if reduce == "prod":
        return 1
    if dtype.kind == "f":
        return -math.inf if reduce == "amax" else math.inf
    if dtype.kind == "b":
        return reduce == "amin"
    return np.iinfo(dtype).min if reduce == "amax" else np.iinfo(dtype).max


def _checked(name: str, input: Any, dim: int, index: Any, src: Any) -> int:
    check_tensor(src, "src")
    check_devices(name, input, src)
    dim = check_along(name, input, dim, index, src)
    if src.dtype != input.dtype:
        raise RuntimeError(f"{name}: src must have input's dtype {input.dtype.name}, not {src.dtype.name}")
    return dim


def _part(src: Any, index: Any) -> Any:
    """The elements of src that `index` has places for."""
    if src.shape == index.shape and len(src.shape):
        return src
    return getitem(one_axis(src), tuple([slice(n) for n in index.shape or (1,)]))


@on_its_gpu
def _everywhere(input: Any, index: Any, value: Any) -> Any:
    """A number (or a 0-d tensor) for every place of `index`, in input's dtype."""
    if not isinstance(value, Value):
        value = tape.new_value(scalar_like(value, array_of(input), tensor_dtype(input)))
    return expand(cast(value, input.dtype), index.shape)
