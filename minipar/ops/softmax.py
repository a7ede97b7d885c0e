"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import as_dtype
from .op import Op, cast
from .pointwise import exp
from .reduce import sum
from .shape import normal_dim


class Softmax(Op):
    """y = eˣ / Σ eˣ along an axis, the maximum taken out first; ∂x = y (g − Σ g y)"""

    __slots__ = ("dim",)
    saves_output = True

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        if not x.ndim or not x.size:
            return namespace(x).ones_like(x)
        y = namespace(x).exp(x - x.max(self.dim, keepdims=True))
        y /= y.sum(self.dim, keepdims=True)
        return y

    def vjp(self, g, y):
        return y * (g - sum(g * y, self.dim, True))


class LogSoftmax(Softmax):
    """y = x − ln Σ eˣ along an axis; ∂x = g − eʸ Σ g"""

    __slots__ = ()

    def forward(self, x):
        if not x.ndim or not x.size:
            return namespace(x).zeros_like(x)
        xp = namespace(x)
        y = x - x.max(self.dim, keepdims=True)
        y -= xp.log(xp.exp(y).sum(self.dim, keepdims=True))
        return y

    def vjp(self, g, y):
        return g - exp(y) * sum(g, self.dim, True)


def softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    """eˣ / Σ eˣ along `dim`. RuntimeError for integers (convert first, or pass dtype)."""
    return Softmax(_checked(x, dim, dtype))(x if dtype is None else cast(x, as_dtype(dtype)))


def log_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    """ln softmax along `dim`, without overflow."""
    return LogSoftmax(_checked(x, dim, dtype))(x if dtype is None else cast(x, as_dtype(dtype)))


def _checked(x: Any, dim: int, dtype: Any) -> int:
    if dtype is None and x.dtype.kind != "f":
        raise RuntimeError(f"softmax needs a floating-point tensor, not {x.dtype.name}; pass dtype=")
    return normal_dim(dim, len(x.shape))
