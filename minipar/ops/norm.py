"""Lengths and distances: norms of vectors and matrices, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..backend import dtypes
from .accepts import needs_float, rank
from .arithmetic import add
from .axes import moveaxis
from .broadcast import broadcast_tensors
from .decompose import svdvals
from .division import div
from .extremes import clamp_min
from .extremum import amax, amin
from .magnitude import abs_
from .op import cast, promoted
from .power import pow
from .reduce import Dims, converted, count_of, reduced_dims, sum
from .select import nothing, where
from .shape import normal_dim, normal_dims, unsqueeze
from .spelling import numpy_names
from .variance import Root

MatrixOrder = float | str


@numpy_names
def vector_norm(x: Any, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(Σ |x|ᵒʳᵈ)^(1/ord) over `dim`, as if the elements were one vector: `linalg.vector_norm`.

    ord = ∞ and −∞ are the largest and the smallest |x|, 0 counts what is not 0. At the zero vector the gradient is 0;
    equal largest share it. RuntimeError for integers, and for the norm of nothing where ord is negative or ∞.

    >>> minipar.norm(minipar.tensor([[3.0, 4.0], [0.0, 2.0]]), dim=1)
    tensor([5., 2.])
    """
    if isinstance(ord, (str, bool)) or not isinstance(ord, (int, float)):
        raise TypeError(f"vector_norm: ord must be a number, not {ord!r}")
    x = converted(x, dtype)
    needs_float("norm", x)
    if x.dtype == dtypes.float16:  # whose powers overflow soon
        return cast(vector_norm(cast(x, dtypes.float32), ord, dim, keepdim), dtypes.float16)
    dims = reduced_dims(dim, len(x.shape))
    if (ord < 0 or ord == math.inf) and not count_of(x, dims):
        raise RuntimeError(f"norm: the {ord} norm of nothing has no value: shape {tuple(x.shape)}, dim {dim}")
    if ord == 2:
        return Root()(sum(x * x, dims, keepdim))
    if ord == 0:
        return sum(cast(x != 0, x.dtype) + nothing(x), dims, keepdim)
    if ord == 1:
        return sum(abs_(x), dims, keepdim)
    if math.isinf(ord):
        return (amax if ord > 0 else amin)(abs_(x), dims, keepdim)
    return _power_norm(x, float(ord), dims, keepdim)


def _power_norm(x: Any, p: float, dims: tuple[int, ...], keepdim: bool) -> Any:
    """(Σ |x|ᵖ)^(1/p), with the elements that are 0 held out of the gradient, which would be 0·∞ there."""
    zero = x == 0
    powers = where(zero, 0.0 if p > 0 else math.inf, pow(abs_(where(zero, 1.0, x)), p))
    total = sum(powers, dims, keepdim)
    none = total == (0 if p > 0 else math.inf)
    return where(none, 0.0, pow(where(none, 1.0, total), 1.0 / p))


@numpy_names
def matrix_norm(
    input: Any, ord: MatrixOrder = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The norm of each matrix in the axes `dim`: `linalg.matrix_norm`.

    "fro" is √Σ a², 1 and −1 the largest and smallest column sum of |a|, ∞ and −∞ of the row sums, 2 and −2 the largest
    and smallest singular value, "nuc" the sum of them all.

    >>> minipar.linalg.matrix_norm(minipar.tensor([[1.0, -2.0], [3.0, 4.0]]), 1)
    tensor(6.)
    """
    input = converted(input, dtype)
    needs_float("norm", input)
    if isinstance(dim, int) or len(dim) != 2:
        raise RuntimeError(f"matrix_norm: dim must name two axes, not {dim}")
    row, column = normal_dims(dim, len(input.shape), "dim")
    if len(input.shape) < 2 or row == column:
        raise RuntimeError(
            f"matrix_norm: dim {tuple(dim)} must name two axes of a tensor of shape {tuple(input.shape)}"
        )
    if ord == "fro":
        return vector_norm(input, 2, (row, column), keepdim)
    if ord in ("nuc", 2, -2):
        s = svdvals(moveaxis(input, (row, column), (-2, -1)))
        empty = ord == 2 and not s.shape[-1]
        y = sum(s, -1) if ord == "nuc" or empty else amax(s, -1) if ord == 2 else amin(s, -1)
        for axis in sorted((row, column)) if keepdim else ():
            y = unsqueeze(y, axis)
        return y
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}")
    added, kept = (row, column) if ord in (1, -1) else (column, row)
    if float(ord) > 0 and not input.shape[kept]:
        return sum(input, (row, column), keepdim)
    sums = sum(abs_(input), added, True)
    y = (amax if float(ord) > 0 else amin)(sums, kept, True)
    return y if keepdim else sum(y, (row, column))


@numpy_names
def linalg_norm(
    input: Any, ord: MatrixOrder | None = None, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """`linalg.norm`: without `ord` the length of all elements; else a vector's norm (one axis), or a matrix's (two).

    >>> minipar.linalg.norm(minipar.tensor([3.0, 4.0]))
    tensor(5.)
    """
    axes = rank(input) if dim is None else 1 if isinstance(dim, int) else len(dim)
    if ord is None or (axes == 1 and not isinstance(ord, str)):
        return vector_norm(input, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    if axes != 2:
        raise RuntimeError(
            f"norm: ord={ord!r} is for {'matrices' if axes == 1 else 'vectors and matrices'}, got {axes} axes"
        )
    return matrix_norm(input, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)  # type: ignore[arg-type]


@numpy_names
def norm(
    input: Any,
    p: MatrixOrder | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    out: None = None,
    dtype: Any = None,
) -> Any:
    """(Σ |x|ᵖ)^(1/p) over `dim`, all elements as one vector; "fro" is p = 2. See `linalg.vector_norm` for the orders.

    p = "nuc" is the sum of a matrix's singular values. NotImplementedError for `out`; RuntimeError for integers.

    >>> minipar.norm(minipar.tensor([3.0, -4.0]))
    tensor(5.)
    >>> minipar.norm(minipar.tensor([3.0, -4.0]), p=float("inf"))
    tensor(4.)
    """
    if out is not None:
        raise NotImplementedError("norm: out is not supported; assign the result")
    if p == "nuc":
        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)  # type: ignore[arg-type]
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', not {p!r}")
    order = 2 if p is None or isinstance(p, str) else p
    return vector_norm(input, order, dim, keepdim, dtype=dtype)


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of input − other, broadcast: one number.

    >>> minipar.dist(minipar.tensor([1.0, 2.0]), minipar.tensor([4.0, 6.0]))
    tensor(5.)
    """
    return vector_norm(input - other, p)


def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """Each slice along `dim` whose p-norm is above `maxnorm` scaled down to it; the others as they are.

    RuntimeError for p ≤ 0, a negative maxnorm or fewer than two axes.

    >>> minipar.renorm(minipar.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0)
    tensor([[0.6, 0.8],
            [0.3, 0.4]])
    """
    if p <= 0 or maxnorm < 0 or rank(input) < 2:
        raise RuntimeError(
            f"renorm: p must be > 0, maxnorm >= 0 and input have two axes or more, got p={p}, maxnorm={maxnorm} and "
            f"shape {tuple(input.shape)}"
        )
    dim = normal_dim(dim, len(input.shape))
    lengths = vector_norm(input, p, [i for i in range(len(input.shape)) if i != dim], True)
    return input * where(lengths > maxnorm, maxnorm / (lengths + 1e-7), 1.0)


def normalize(input: Any, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12, out: None = None) -> Any:
    """x / max(‖x‖ₚ, eps) along `dim`. NotImplementedError for `out`.

    >>> F.normalize(minipar.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    if out is not None:
        raise NotImplementedError("normalize: out is not supported; assign the result")
    return div(input, clamp_min(vector_norm(input, p, dim, True), eps))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x₁·x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)) along `dim`, after broadcasting.

    >>> minipar.cosine_similarity(minipar.tensor([[3.0, 4.0]]), minipar.tensor([[4.0, 3.0]]))
    tensor([0.96])
    """
    a, b = broadcast_tensors(*promoted((x1, x2)))
    needs_float("cosine_similarity", a)
    a, b = (div(x, clamp_min(vector_norm(x, 2, dim, True), eps)) for x in (a, b))
    return sum(a * b, dim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x₁ − x₂ + eps‖ₚ along the last axis, after broadcasting.

    >>> F.pairwise_distance(minipar.tensor([[1.0, 2.0]]), minipar.tensor([[4.0, 6.0]]))
    tensor([5.])
    """
    return vector_norm(add(x1 - x2, eps), p, -1, keepdim)
