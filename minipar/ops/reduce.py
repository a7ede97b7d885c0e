"""Reductions: sum, mean, var, max, min and what is made of them.

`dim` is an axis, several, or None for all; `keepdim` keeps reduced axes with size 1.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import tape
from ..backend import dtypes, namespace
from ..backend.dtypes import quiet
from .division import div
from .extremes import maximum, minimum
from .index import take_along
from .op import Op, cast
from .shape import Copy, expand, normal_dim, reshape
from .spelling import numpy_names

Dims = int | Sequence[int] | None


def reduced_dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """The reduced axes as sorted numbers from 0 (none named: all); RuntimeError if one is named twice."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return tuple(range(ndim))
    dims = [normal_dim(d, ndim) for d in ([dim] if isinstance(dim, int) else dim)]
    if len(set(dims)) < len(dims):
        raise RuntimeError(f"dim names an axis twice: {dim}")
    return tuple(sorted(dims)) if ndim else ()


class _Reduce(Op):
    __slots__ = ("dims", "keepdim", "source")

    source: tuple[int, ...]  # the shape before

    def __init__(self, dims: tuple[int, ...], keepdim: bool) -> None:
        self.dims, self.keepdim = dims, keepdim

    def kept(self, g: Any) -> Any:
        """A gradient (or result) with its reduced axes back, of size 1."""
        if self.keepdim or not self.dims:
            return g
        return reshape(g, [1 if i in self.dims else n for i, n in enumerate(self.source)])


def added_up(x: Any, dims: tuple[int, ...], keepdim: bool, narrow: bool = True) -> Any:
    """Σ of an array: integers in int64, float16 in float32 (and rounded back once, if `narrow`)."""
    half = x.dtype == dtypes.float16
    wide = dtypes.int64 if x.dtype.kind in "bui" else dtypes.float32 if half else x.dtype
    total = x.sum(dims, wide, keepdims=keepdim)
    return total.astype(x.dtype) if half and narrow else total


class Sum(_Reduce):
    """y = Σ x; every element gets the gradient of its sum."""

    def forward(self, x):
        self.source = x.shape
        return added_up(x, self.dims, self.keepdim)

    def vjp(self, g):
        return expand(self.kept(g), self.source)


class Mean(_Reduce):
    """y = Σ x / n"""

    def forward(self, x):
        self.source = x.shape
        with quiet():
            return (added_up(x, self.dims, self.keepdim, narrow=False) / self.count()).astype(x.dtype, copy=False)

    def vjp(self, g):
        return expand(self.kept(g) * (1.0 / builtins.max(self.count(), 1)), self.source)

    def count(self) -> int:
        return math.prod(self.source[d] for d in self.dims)


class AMax(_Reduce):
    """y = max x, NaN if there is one. Equal maxima share the gradient evenly, as in PyTorch."""

    saves = (0,)
    saves_output = True

    def forward(self, x):
        self.source = x.shape
        return x.max(self.dims, keepdims=self.keepdim)

    def vjp(self, g, x, y):
        ties = x == self.kept(y)
        return self.kept(g) / cast(sum(ties, self.dims, True), g.dtype) * ties


class AMin(AMax):
    """y = min x, with the rules of AMax."""

    def forward(self, x):
        self.source = x.shape
        return x.min(self.dims, keepdims=self.keepdim)


class LogSumExp(_Reduce):
    """y = ln Σ eˣ, with the maximum taken out first so that nothing overflows; ∂y/∂x = softmax(x)."""

    saves = (0,)
    saves_output = True

    def forward(self, x):
        self.source = x.shape
        xp = namespace(x)
        top = x.max(self.dims, keepdims=True) if x.size else x.dtype.type(0)
        top = xp.where(xp.isfinite(top), top, x.dtype.type(0))
        with quiet():
            y = xp.log(xp.exp(x - top).sum(self.dims, keepdims=True)) + top
        return y if self.keepdim else y.reshape([n for i, n in enumerate(x.shape) if i not in self.dims])

    def vjp(self, g, x, y):
        from .exponential import exp

        return self.kept(g) * exp(x - self.kept(y))


def _empty_error(name: str, x: Any, dims: tuple[int, ...]) -> None:
    if math.prod(x.shape[d] for d in dims) == 0:
        raise IndexError(f"{name} of an empty axis has no value: shape {tuple(x.shape)}, dim {dims}")


@numpy_names
def sum(x: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ x over `dim`; bools and integers are summed as int64. With `dtype`, x is converted first."""
    x = x if dtype is None else cast(x, dtypes.as_dtype(dtype))
    return Sum(reduced_dims(dim, len(x.shape)), keepdim)(x)


@numpy_names
def mean(x: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ x / n over `dim` (NaN where n = 0). With `dtype`, x is converted first. RuntimeError for integers."""
    x = x if dtype is None else cast(x, dtypes.as_dtype(dtype))
    if x.dtype.kind != "f":
        raise RuntimeError(f"mean needs a floating-point tensor, not {x.dtype.name}; convert it first: x.float()")
    return Mean(reduced_dims(dim, len(x.shape)), keepdim)(x)


@numpy_names
def var(
    x: Any, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """Σ (x − mean)² / (n − correction) over `dim`; the correction is 1, or 0 with `unbiased=False`."""
    correction = float(unbiased) if correction is None else correction
    dims = reduced_dims(dim, len(x.shape))
    count = math.prod(x.shape[d] for d in dims)
    centred = x - mean(x, dims, True)
    squares = sum(centred * centred, dims, keepdim)
    return div(squares, float(builtins.max(count - correction, 0)))


@numpy_names
def std(
    x: Any, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """√var"""
    from .power import sqrt

    return sqrt(var(x, dim, unbiased, keepdim, correction=correction))


@numpy_names
def all(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether all elements over `dim` are not 0: a bool tensor without a gradient."""
    return tape.new_value(x.array.all(reduced_dims(dim, len(x.shape)), keepdims=keepdim))


@numpy_names
def any(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether any element over `dim` is not 0: a bool tensor without a gradient."""
    return tape.new_value(x.array.any(reduced_dims(dim, len(x.shape)), keepdims=keepdim))


@numpy_names
def amax(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The maximum over `dim`; equal maxima share the gradient. IndexError for an empty axis."""
    dims = reduced_dims(dim, len(x.shape))
    _empty_error("amax", x, dims)
    return AMax(dims, keepdim)(x)


@numpy_names
def amin(x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The minimum over `dim`; equal minima share the gradient. IndexError for an empty axis."""
    dims = reduced_dims(dim, len(x.shape))
    _empty_error("amin", x, dims)
    return AMin(dims, keepdim)(x)


@numpy_names
def logsumexp(x: Any, dim: Dims, keepdim: bool = False) -> Any:
    """ln Σ eˣ over `dim`, without overflow."""
    return LogSumExp(reduced_dims(dim, len(x.shape)), keepdim)(x)


@numpy_names
def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first maximum along `dim`, or of the flattened tensor. IndexError for an empty axis."""
    return arg("argmax", x, dim, keepdim)


@numpy_names
def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first minimum along `dim`, or of the flattened tensor. IndexError for an empty axis."""
    return arg("argmin", x, dim, keepdim)


class Extremum(NamedTuple):
    """What max(dim) and min(dim) return."""

    values: Any
    indices: Any


@numpy_names
def max(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The maximum of all elements (ties share the gradient); with `dim` an int, (values, indices) along it;
    with `dim` a tensor, the larger of the two, element by element."""
    if dim is None:
        return amax(x)
    if isinstance(dim, tape.Value):
        return maximum(x, dim)
    return Extremum(*extremum("argmax", x, dim, keepdim))


@numpy_names
def min(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The minimum, with the rules of `max`."""
    if dim is None:
        return amin(x)
    if isinstance(dim, tape.Value):
        return minimum(x, dim)
    return Extremum(*extremum("argmin", x, dim, keepdim))


def arg(which: str, x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first maximum ("argmax") or minimum ("argmin") along `dim`, or of the flattened tensor."""
    _empty_error(which, x, reduced_dims(dim, len(x.shape)))
    return Arg(which, dim, keepdim)(x)


class Arg(Op):
    """An index has no gradient."""

    __slots__ = ("which", "dim", "keepdim")

    def __init__(self, which: str, dim: int | None, keepdim: bool) -> None:
        self.which, self.dim, self.keepdim = which, dim, keepdim

    def forward(self, x):
        if self.dim is None:
            found = getattr(x, self.which)()
            return found.reshape((1,) * x.ndim) if self.keepdim else found
        dim = normal_dim(self.dim, x.ndim)
        found = getattr(x, self.which)(dim if x.ndim else None)
        return namespace(x).expand_dims(found, dim) if self.keepdim and x.ndim else found


def extremum(which: str, x: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    """(values, indices) of the "argmax" or "argmin" along one axis: the gradient goes to that one element."""
    dim = normal_dim(dim, len(x.shape))
    if not x.shape:
        return Copy()(x), arg(which, x)
    where = arg(which, x, dim, True)
    values = take_along(x, where, dim)
    if keepdim:
        return values, where
    rest = [n for i, n in enumerate(x.shape) if i != dim]
    return reshape(values, rest), reshape(where, rest)
