"""Integrals of sampled functions by the trapezoid rule, and matrices of powers."""

from __future__ import annotations

from typing import Any

from .join import stack
from .power import pow
from .reduce import sum
from .scan import cumsum, diff
from .shape import narrow, normal_dim, reshape
from .spelling import numpy_names


@numpy_names
def trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Σ (xₖ₊₁ − xₖ) (yₖ + yₖ₊₁) / 2 along `dim`; without `x` the samples lie `dx` (1) apart.

    `x` has one axis, or y's shape. TypeError for both x and dx, RuntimeError for an x that does not fit.

    >>> minipar.trapezoid(minipar.tensor([1.0, 2.0, 4.0])).item()
    4.5
    """
    return sum(_strips("trapezoid", y, x, dx, dim), dim)


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
    dim = normal_dim(dim, len(y.shape))
    if not len(y.shape):
        raise RuntimeError(f"{name}: y must have an axis, got a 0-d tensor")
    gaps = max(y.shape[dim] - 1, 0)
    heights = narrow(y, dim, 0, gaps) + narrow(y, dim, y.shape[dim] - gaps, gaps)
    if x is None:
        return heights * ((1.0 if dx is None else dx) / 2)
    along = 0 if len(x.shape) == 1 else dim - len(y.shape) + len(x.shape)
    if not 0 <= along < len(x.shape) or x.shape[along] != y.shape[dim]:
        raise RuntimeError(
            f"{name}: x of shape {tuple(x.shape)} must have the {y.shape[dim]} samples of dim {dim} of y "
            f"{tuple(y.shape)}"
        )
    widths = diff(x, dim=along)
    if len(x.shape) == 1:
        widths = reshape(widths, (-1, *[1] * (len(y.shape) - dim - 1)))
    return heights * widths / 2.0


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the numbers x (n,): (n, N), from the highest, xᴺ⁻¹, or if `increasing` from 1. N is n by default.

    RuntimeError unless x has one axis and N is not negative.

    >>> minipar.vander(minipar.tensor([2, 3]), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    if len(x.shape) != 1:
        raise RuntimeError(f"vander: x must have one axis, not shape {tuple(x.shape)}")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise RuntimeError(f"vander: N must be 0 or more, not {N}")
    if not columns:
        return narrow(reshape(x, (x.shape[0], 1)), 1, 0, 0)
    powers = [pow(x, k) for k in range(columns)]
    return stack(powers if increasing else powers[::-1], 1)
