"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import as_dtype
from .op import Op, cast
from .exponential import exp
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


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """eˣ / Σ eˣ along `dim`. RuntimeError for integers (convert first, or pass dtype), IndexError for a wrong axis.

    >>> minipar.softmax(minipar.tensor([[0.0, 0.0], [1.0, 3.0]]), dim=1)
    tensor([[0.5   , 0.5   ],
            [0.1192, 0.8808]])
    """
    return Softmax(_checked("softmax", input, dim, dtype))(input if dtype is None else cast(input, as_dtype(dtype)))


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """x − ln Σ eˣ along `dim`, without overflow: ln softmax. RuntimeError for integers, IndexError for a wrong axis.

    >>> minipar.log_softmax(minipar.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    dims = _checked("log_softmax", input, dim, dtype)
    return LogSoftmax(dims)(input if dtype is None else cast(input, as_dtype(dtype)))


def _checked(name: str, x: Any, dim: int, dtype: Any) -> int:
    if dtype is None and x.dtype.kind != "f":
        raise RuntimeError(f"{name} needs a floating-point tensor, not {x.dtype.name}; pass dtype=")
    return normal_dim(dim, len(x.shape))
