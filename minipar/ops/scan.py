"""Scans: the sum, product, maximum, … of everything up to each element, along one axis.

What NumPy and CuPy have no accumulation for is found by doubling (Hillis & Steele, Data parallel algorithms, 1986):
after step k each element has combined the 2ᵏ elements that end in it, so log₂ n steps serve n elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import dtypes, namespace
from ..backend.dtypes import quiet
from .accepts import needs_float, rank
from .compare import ne
from .exponential import exp, log
from .extremum import Located, picked
from .index import take_along
from .join import cat
from .magnitude import abs_
from .op import Op
from .reduce import converted
from .select import where
from .shape import narrow, normal_dim, reshape
from .spelling import numpy_names


class Shift(Op):
    """yᵢ = xᵢ₊ₖ along an axis, and `fill` where there is no such x."""

    __slots__ = ("dim", "by", "fill")

    def __init__(self, dim: int, by: int, fill: float = 0.0) -> None:
        self.dim, self.by, self.fill = dim, by, fill

    def forward(self, x):
        y = namespace(x).full(x.shape, self.fill, x.dtype)
        room = max(x.shape[self.dim] - abs(self.by), 0)
        there, here = max(self.by, 0), max(-self.by, 0)
        y[_part(self.dim, here, room)] = x[_part(self.dim, there, room)]
        return y

    def vjp(self, g):
        return Shift(self.dim, -self.by)(g)


class CumSum(Op):
    """yₖ = Σ xᵢ over i ≤ k, or over i ≥ k in reverse."""

    __slots__ = ("dim", "reverse")

    def __init__(self, dim: int, reverse: bool = False) -> None:
        self.dim, self.reverse = dim, reverse

    def forward(self, x):
        xp = namespace(x)
        wide = dtypes.int64 if x.dtype.kind in "bui" else x.dtype
        return (
            xp.flip(xp.cumsum(xp.flip(x, self.dim), self.dim, wide), self.dim)
            if self.reverse
            else x.cumsum(self.dim, wide)
        )

    def vjp(self, g):
        return CumSum(self.dim, not self.reverse)(g)


class CumProd(Op):
    """yₖ = Π xᵢ over i ≤ k. ∂yₖ/∂xᵢ = (x₀ … xᵢ₋₁)(xᵢ₊₁ … xₖ): without a division, and so right beside zeros too."""

    __slots__ = ("dim",)
    saves = (0,)

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x):
        return x.cumprod(self.dim, dtypes.int64 if x.dtype.kind in "bui" else x.dtype)

    def vjp(self, g, x):
        return product_before(x, self.dim) * _weighted_products_after(g, x, self.dim)


def product_before(x: Any, dim: int) -> Any:
    """The product of all that stands before each element; 1 before the first."""
    return CumProd(dim)(Shift(dim, -1, 1.0)(x))


def _weighted_products_after(g: Any, x: Any, dim: int) -> Any:
    """sᵢ = Σ gₖ xᵢ₊₁ … xₖ over k ≥ i, that is sᵢ = gᵢ + xᵢ₊₁ sᵢ₊₁, by doubling."""
    factor, step = Shift(dim, 1)(x), 1
    while step < x.shape[dim]:
        g = g + factor * Shift(dim, step)(g)
        factor = factor * Shift(dim, step)(factor)
        step *= 2
    return g


class LogCumSumExp(Op):
    """yₖ = ln Σ eˣⁱ over i ≤ k (i ≥ k in reverse), each sum with its larger term taken out so that nothing overflows.

    ∂xᵢ = eˣⁱ Σ gₖ e^(−yₖ) over k ≥ i: the positive and the negative g apart, each as such a scan of ln |g| − y.
    """

    __slots__ = ("dim", "reverse")
    saves = (0,)
    saves_output = True

    def __init__(self, dim: int, reverse: bool = False) -> None:
        self.dim, self.reverse = dim, reverse

    def forward(self, x):
        xp = namespace(x)
        y, step = x.copy(), 1
        while step < x.shape[self.dim]:
            room = x.shape[self.dim] - step
            late, early = _part(self.dim, step, room), _part(self.dim, 0, room)
            into, other = (early, late) if self.reverse else (late, early)
            with quiet():
                y[into] = xp.logaddexp(y[into], y[other])
            step *= 2
        return y

    def vjp(self, g, x, y):
        lowest = float(np.finfo(np.dtype(x.dtype)).min)  # not −∞, of which a second derivative would make NaN
        size = log(abs_(where(g == 0, 1.0, g)))
        up, down = (
            exp(LogCumSumExp(self.dim, not self.reverse)(where(side, size - y, lowest)) + x) for side in (g > 0, g < 0)
        )
        return up - down


class CumArg(Op):
    """The index of the largest (or smallest) so far, the last of equal ones; of NaN, once there was one."""

    __slots__ = ("dim", "better")

    def __init__(self, dim: int, better: Callable[[Any, Any], Any]) -> None:
        self.dim, self.better = dim, better

    def forward(self, x):
        return last_best(x, self.dim, self.better)


def last_best(x: Any, dim: int, better: Callable[[Any, Any], Any]) -> Any:
    """For each place the index of the best so far: `better(new, old)` is also true of equals."""
    xp = namespace(x)
    shape = [1] * x.ndim
    shape[dim] = x.shape[dim]
    at = xp.broadcast_to(xp.arange(x.shape[dim]).reshape(shape), x.shape).copy()
    best, step = x.copy(), 1
    while step < x.shape[dim]:
        room = x.shape[dim] - step
        late, early = _part(dim, step, room), _part(dim, 0, room)
        old, new = best[early], best[late]
        keep = (new != new) | (better(new, old) & (old == old))
        at[late] = xp.where(keep, at[late], at[early])
        best[late] = xp.where(keep, new, old)
        step *= 2
    return at


def _part(dim: int, start: int, length: int) -> tuple[slice, ...]:
    return (*(slice(None),) * dim, slice(start, start + length))


def _scanned(op: Callable[[int], Op], x: Any, dim: int) -> Any:
    """op(axis) of x; a 0-d tensor counts as one of one element."""
    dim = normal_dim(dim, rank(x))
    return op(dim)(x) if len(x.shape) else reshape(op(0)(reshape(x, (1,))), ())


@numpy_names
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """yₖ = x₀ + … + xₖ along `dim`; bools and integers give int64. With `dtype`, input is converted first.

    >>> minipar.cumsum(minipar.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 3., 6.])
    """
    return converted(_scanned(CumSum, converted(input, dtype), dim), dtype)


@numpy_names
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """yₖ = x₀ ⋯ xₖ along `dim`, with the dtypes of `cumsum`. The gradient is exact beside zeros.

    >>> minipar.cumprod(minipar.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 2., 6.])
    """
    return converted(_scanned(CumProd, converted(input, dtype), dim), dtype)


@numpy_names
def logcumsumexp(input: Any, dim: int) -> Any:
    """yₖ = ln(eˣ⁰ + … + eˣᵏ) along `dim`, without overflow. RuntimeError for integers.

    >>> minipar.logcumsumexp(minipar.tensor([1000.0, 1000.0]), 0)
    tensor([1000.    , 1000.6932])
    """
    needs_float("logcumsumexp", input)
    return _scanned(LogCumSumExp, input, dim)


def _extreme(x: Any, dim: int, better: Callable[[Any, Any], Any]) -> Located:
    at = _scanned(lambda axis: CumArg(axis, better), x, dim)
    if not len(x.shape):
        return picked(x, at, 0, True)
    return Located(take_along(x, at, normal_dim(dim, len(x.shape))), at)


@numpy_names
def cummax(input: Any, dim: int) -> Located:
    """(values, indices) of the largest so far along `dim`: the last of equal ones, NaN once there was one.

    >>> minipar.cummax(minipar.tensor([1.0, 3.0, 2.0]), 0)
    Located(values=tensor([1., 3., 3.]), indices=tensor([0, 1, 1]))
    """
    return _extreme(input, dim, lambda new, old: new >= old)


@numpy_names
def cummin(input: Any, dim: int) -> Located:
    """(values, indices) of the smallest so far along `dim`, with the rules of `cummax`.

    >>> minipar.cummin(minipar.tensor([3.0, 1.0, 2.0]), 0)
    Located(values=tensor([3., 1., 1.]), indices=tensor([0, 1, 1]))
    """
    return _extreme(input, dim, lambda new, old: new <= old)


@numpy_names
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """xₖ₊₁ − xₖ along `dim`, n times over, after `prepend` and `append` are joined on; of bools xₖ₊₁ ≠ xₖ.

    RuntimeError for a 0-d tensor or a negative n.

    >>> minipar.diff(minipar.tensor([1, 3, 6]))
    tensor([2, 3])
    """
    if not rank(input):
        raise RuntimeError("diff: input must have an axis, got a 0-d tensor")
    if n < 0:
        raise RuntimeError(f"diff: n must be 0 or more, not {n}")
    dim = normal_dim(dim, len(input.shape))
    if not n:
        return input
    parts = [part for part in (prepend, input, append) if part is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        length = max(x.shape[dim] - 1, 0)
        late, early = narrow(x, dim, x.shape[dim] - length, length), narrow(x, dim, 0, length)
        x = ne(late, early) if x.dtype.kind == "b" else late - early
    return x
