"""Reductions: sums, means, products, and questions about all elements.

`dim` is an axis, several, or None for all; `keepdim` keeps reduced axes with size 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..backend import dtypes, namespace
from ..backend.dtypes import quiet
from .accepts import needs_float, rank, tensor_dtype, tensor_shape
from .division import div
from .op import Op, cast
from .select import where
from .shape import expand, normal_dim, normal_dims, reshape
from .spelling import numpy_names

Dims = int | Sequence[int] | None


def reduced_dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """The reduced axes as sorted numbers from 0 (none named: all); RuntimeError if one is named twice."""
    if dim is None or (not hasattr(dim, "__index__") and not len(dim)):
        return tuple(range(ndim))
    dims = normal_dims(dim, ndim, "dim")
    return tuple(sorted(dims)) if ndim else ()


def converted(x: Any, dtype: Any) -> Any:
    """x in `dtype`, or as it is where that is None."""
    return x if dtype is None else cast(x, dtypes.as_dtype(dtype))


class Reduction(Op):
    """Base of operations that make one number of each line (or plane, …) along `dims`."""

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


class Sum(Reduction):
    """y = Σ x; every element gets the gradient of its sum."""

    __slots__ = ()

    def forward(self, x):
        self.source = x.shape
        return added_up(x, self.dims, self.keepdim)

    def vjp(self, g):
        return expand(self.kept(g), self.source)


class Mean(Reduction):
    """y = Σ x / n"""

    __slots__ = ()

    def forward(self, x):
        self.source = x.shape
        with quiet():
            return (added_up(x, self.dims, self.keepdim, narrow=False) / self.count()).astype(x.dtype, copy=False)

    def vjp(self, g):
        return expand(self.kept(g) * (1.0 / max(self.count(), 1)), self.source)

    def count(self) -> int:
        return math.prod(self.source[d] for d in self.dims)


class Prod(Op):
    """y = Π x along one axis. ∂y/∂xᵢ is the product of the others: of all before it times all after it, no division,
    so that it is right beside zeros too."""

    __slots__ = ("dim", "keepdim")
    saves = (0,)

    def __init__(self, dim: int, keepdim: bool) -> None:
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x):
        half = x.dtype == dtypes.float16
        wide = dtypes.int64 if x.dtype.kind in "bui" else dtypes.float32 if half else x.dtype
        return x.prod(self.dim, wide, keepdims=self.keepdim).astype(x.dtype if half else wide, copy=False)

    def vjp(self, g, x):
        from .repeat import flip
        from .scan import product_before

        g = g if self.keepdim else reshape(g, [*x.shape[: self.dim], 1, *x.shape[self.dim + 1 :]])
        return g * (product_before(x, self.dim) * flip(product_before(flip(x, self.dim), self.dim), self.dim))


class LogSumExp(Reduction):
    """y = ln Σ eˣ, with the maximum taken out first so that nothing overflows; ∂y/∂x = softmax(x)."""

    __slots__ = ()
    saves = (0,)
    saves_output = True

    def forward(self, x):
        self.source = x.shape
        xp = namespace(x)
        kept = tuple([1 if i in self.dims else n for i, n in enumerate(x.shape)])
        top = x.max(self.dims, keepdims=True) if x.size else xp.zeros(kept, x.dtype)
        top = xp.where(xp.isfinite(top), top, x.dtype.type(0))
        with quiet():
            y = xp.log(xp.exp(x - top).sum(self.dims, keepdims=True)) + top
        return y if self.keepdim else y.reshape([n for i, n in enumerate(x.shape) if i not in self.dims])

    def vjp(self, g, x, y):
        from .exponential import exp

        return self.kept(g) * exp(x - self.kept(y))


class Truth(Op):
    """Whether all (or any) elements are not 0: bool, or uint8 of uint8, as in PyTorch."""

    __slots__ = ("question", "dims", "keepdim")

    def __init__(self, question: str, dims: tuple[int, ...], keepdim: bool) -> None:
        self.question, self.dims, self.keepdim = question, dims, keepdim

    def forward(self, x):
        found = getattr(x, self.question)(self.dims, keepdims=self.keepdim)
        return found.astype(x.dtype) if x.dtype == dtypes.uint8 else found


@numpy_names
def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ input over `dim`, 0 over nothing; bools and integers are summed as int64. With `dtype`, input is converted
    first.

    >>> minipar.sum(minipar.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    x = converted(input, dtype)
    return converted(Sum(reduced_dims(dim, rank(x)), keepdim)(x), dtype)


@numpy_names
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ input / n over `dim`, NaN where n = 0. With `dtype`, input is converted first. RuntimeError for integers.

    >>> minipar.mean(minipar.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1, keepdim=True)
    tensor([[1.5],
            [3.5]])
    """
    x = converted(input, dtype)
    needs_float("mean", x)
    return Mean(reduced_dims(dim, len(x.shape)), keepdim)(x)


def _without_nan(x: Any) -> Any:
    return where(x != x, 0.0, x) if tensor_dtype(x).kind == "f" else x


@numpy_names
def nansum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """`sum` with NaN counted as 0; a NaN gets no gradient.

    >>> minipar.nansum(minipar.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


@numpy_names
def nanmean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean of what is not NaN over `dim`; NaN if all is. RuntimeError for integers.

    >>> minipar.nanmean(minipar.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5)
    """
    needs_float("nanmean", input)
    count = sum(input == input, dim, keepdim)
    return div(nansum(input, dim, keepdim, dtype=dtype), count)


@numpy_names
def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Π input along one axis or over all elements, 1 of nothing; bools and integers are multiplied as int64.

    The gradient is exact beside zeros, also the gradient of the gradient. TypeError for several axes.

    >>> x = minipar.tensor([2.0, 0.0, 4.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 8., 0.])
    """
    x = converted(input, dtype)
    if dim is None:
        y = Prod(0, False)(reshape(x, (-1,) if math.prod(tensor_shape(x)) else (0,)))
        return converted(reshape(y, [1] * len(x.shape)) if keepdim else y, dtype)
    if not isinstance(dim, int):
        raise TypeError(f"prod: dim must be one int or None, not {dim!r}")
    dim = normal_dim(dim, len(x.shape))
    return converted(Prod(dim, keepdim)(x) if len(x.shape) else Prod(0, False)(reshape(x, (1,))), dtype)


@numpy_names
def all(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether all elements over `dim` are not 0: bool (uint8 of uint8), without a gradient; `dim=()` reduces nothing.

    >>> minipar.all(minipar.tensor([[True, False], [True, True]]), dim=0)
    tensor([ True, False])
    """
    return Truth("all", _asked_dims(input, dim), keepdim)(input)


@numpy_names
def any(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether any element over `dim` is not 0: bool (uint8 of uint8), without a gradient; `dim=()` reduces nothing.

    >>> minipar.any(minipar.tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """
    return Truth("any", _asked_dims(input, dim), keepdim)(input)


def _asked_dims(x: Any, dim: Dims) -> tuple[int, ...]:
    nothing_named = dim is not None and not isinstance(dim, int) and not len(dim)
    return () if nothing_named else reduced_dims(dim, rank(x))


@numpy_names
def count_nonzero(input: Any, dim: Dims = None) -> Any:
    """How many elements over `dim` are not 0 (NaN is not 0): int64.

    >>> minipar.count_nonzero(minipar.tensor([[0, 2], [3, 4]]), dim=0)
    tensor([1, 2])
    """
    return sum(input != 0, dim)


@numpy_names
def logsumexp(input: Any, dim: int | Sequence[int], keepdim: bool = False) -> Any:
    """ln Σ eˣ over `dim`, without overflow; −∞ of nothing. Integers give the default dtype.

    >>> minipar.logsumexp(minipar.tensor([1000.0, 1000.0]), dim=0)
    tensor(1000.6932)
    """
    if dim is None:
        raise TypeError("logsumexp: dim must be an int or several, not None")
    x = input if tensor_dtype(input).kind == "f" else cast(input, dtypes.get_default_dtype())
    return LogSumExp(reduced_dims(dim, len(x.shape)), keepdim)(x)


def count_of(x: Any, dims: tuple[int, ...]) -> int:
    """How many elements each result over `dims` is made of."""
    return math.prod(x.shape[d] for d in dims)


def empty_error(name: str, x: Any, dim: Dims) -> None:
    """IndexError for an empty axis, RuntimeError for all of an empty tensor: what has no identity has no value."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        if not math.prod(tensor_shape(x)):
            raise RuntimeError(
                f"{name} of an empty tensor has no value: shape {tuple(x.shape)}; pass a dim of size > 0"
            )
    elif not count_of(x, reduced_dims(dim, rank(x))):
        raise IndexError(f"{name} of an empty axis has no value: shape {tuple(x.shape)}, dim {dim}")
