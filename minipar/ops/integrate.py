"""Integrals and derivatives of sampled functions, and matrices of powers."""

from __future__ import annotations

from typing import Any

from ..backend import dtypes
from .accepts import rank
from .join import cat, stack
from .op import cast
from .power import pow
from .reduce import sum
from .scan import cumsum, diff
from .shape import narrow, normal_dim, normal_dims, reshape
from .spelling import numpy_names


@numpy_names
def trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Σ (xₖ₊₁ − xₖ) (yₖ + yₖ₊₁) / 2 along `dim`; without `x` the samples lie `dx` (1) apart.

    `x` has one axis, or y's shape. TypeError for both x and dx, RuntimeError for an x that does not fit.

    >>> minipar.trapezoid(minipar.tensor([1.0, 2.0, 4.0])).item()
    4.5
    """
    return sum(_strips("trapezoid", y, x, dx, dim), dim)


trapz = trapezoid


@numpy_names
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """The running sums of `trapezoid`: one entry less than y along `dim`.

    >>> minipar.cumulative_trapezoid(minipar.tensor([1.0, 2.0, 4.0])).tolist()
    [1.5, 4.5]
    """
    return cumsum(_strips("cumulative_trapezoid", y, x, dx, dim), dim)


def _strips(name: str, y: Any, x: Any, dx: float | None, dim: int) -> Any:
    """The area of each strip."""
    if x is not None and dx is not None:
        raise TypeError(f"{name}: x and dx are two ways to say how far apart the samples are; pass one")
    dim = normal_dim(dim, rank(y))
    if not len(y.shape):
        raise RuntimeError(f"{name}: y must have an axis, got a 0-d tensor")
    gaps = max(y.shape[dim] - 1, 0)
    heights = narrow(y, dim, 0, gaps) + narrow(y, dim, y.shape[dim] - gaps, gaps)
    if x is None:
        return heights * ((1.0 if dx is None else dx) / 2)
    along = 0 if rank(x) == 1 else dim - rank(y) + rank(x)
    if not 0 <= along < len(x.shape) or x.shape[along] != y.shape[dim]:
        raise RuntimeError(
            f"{name}: x of shape {tuple(x.shape)} must have the {y.shape[dim]} samples of dim {dim} of y "
            f"{tuple(y.shape)}"
        )
    widths = diff(x, dim=along)
    if len(x.shape) == 1:
        widths = reshape(widths, (-1, *[1] * (len(y.shape) - dim - 1)))
    return heights * widths / 2.0


@numpy_names
def gradient(input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple[Any, ...]:
    """Estimates of the derivatives along each axis of `dim` (all by default), one tensor for each: central differences.

    `spacing` says how far apart the samples lie: one number (1), or a list with a number, or the coordinates as a
    tensor of one axis, for each axis. At both ends stand one-sided differences of order `edge_order`, 1 or 2.
    RuntimeError for an axis of fewer than edge_order + 1 samples. B. Fornberg, "Generation of finite difference
    formulas on arbitrarily spaced grids", 1988.

    >>> minipar.gradient(minipar.tensor([0.0, 1.0, 4.0, 9.0]))
    (tensor([1., 2., 4., 5.]),)
    """
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: edge_order must be 1 or 2, not {edge_order}")
    dims = normal_dims(range(rank(input)) if dim is None else dim, rank(input), "dim")
    spacing = 1 if spacing is None else spacing
    gaps = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(dims)
    if len(gaps) != len(dims):
        raise RuntimeError(f"gradient: spacing must be a number, or a list of one for each of the axes {dims}")
    x = input if input.dtype.kind == "f" else cast(input, dtypes.get_default_dtype())
    return tuple([_derivative(x, axis, gap, edge_order) for axis, gap in zip(dims, gaps)])


def _derivative(x: Any, axis: int, gap: Any, edge_order: int) -> Any:
    n = x.shape[axis]
    if n <= edge_order:
        raise RuntimeError(f"gradient: dim {axis} must have {edge_order + 1} samples or more, got {tuple(x.shape)}")
    if hasattr(gap, "shape") and len(gap.shape):
        if tuple(gap.shape) != (n,):
            raise RuntimeError(f"gradient: spacing of dim {axis} must have shape ({n},), not {tuple(gap.shape)}")
        gap = reshape(diff(gap), (n - 1, *[1] * (len(x.shape) - axis - 1)))
    slopes = diff(x, dim=axis) / gap

    def part(of: Any, start: int, count: int = 1) -> Any:
        """Of the slopes, or of the gaps, which are one number where they are all the same."""
        if of is slopes:
            return narrow(slopes, axis, start, count)
        return narrow(gap, 0, start, count) if hasattr(gap, "shape") and len(gap.shape) else gap

    def end(at: int, beside: int) -> Any:
        if edge_order == 1:
            return part(slopes, at)
        bend = (part(slopes, at) - part(slopes, beside)) / (part(gap, at) + part(gap, beside))
        return part(slopes, at) + bend * part(gap, at)

    before, after = part(gap, 0, n - 2), part(gap, 1, n - 2)
    inner = (part(slopes, 0, n - 2) * after + part(slopes, 1, n - 2) * before) / (before + after)
    return cat([end(0, 1), inner, end(n - 2, n - 3)], axis)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the numbers x (n,): (n, N), from the highest, xᴺ⁻¹, or if `increasing` from 1. N is n by default.

    RuntimeError unless x has one axis and N is not negative.

    >>> minipar.vander(minipar.tensor([2, 3]), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    if rank(x) != 1:
        raise RuntimeError(f"vander: x must have one axis, not shape {tuple(x.shape)}")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise RuntimeError(f"vander: N must be 0 or more, not {N}")
    if not columns:
        return narrow(reshape(x, (x.shape[0], 1)), 1, 0, 0)
    powers = [pow(x, k) for k in range(columns)]
    return stack(powers if increasing else powers[::-1], 1)
