"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import needs_float
from .exponential import exp
from .op import Op
from .reduce import converted, sum
from .shape import normal_dim


class Softmax(Op):
    """y = eˣ / Σ eˣ along an axis, the maximum taken out first; ∂x = y (g − Σ g y)"""

    __slots__ = ("dim",)
    saves_output = True

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        return kernel("softmax", x)(x, self.dim)

    def vjp(self, g, y):
        if not isinstance(y, Value):
            return kernel("softmax_gradient", y)(g, y, self.dim)
        return y * (g - sum(g * y, self.dim, True))


class LogSoftmax(Softmax):
    """y = x − ln Σ eˣ along an axis; ∂x = g − eʸ Σ g"""

    __slots__ = ()

    def forward(self, x):
        return kernel("log_softmax", x)(x, self.dim)

    def vjp(self, g, y):
        if not isinstance(y, Value):
            return kernel("log_softmax_gradient", y)(g, y, self.dim)
        return g - exp(y) * sum(g, self.dim, True)


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """eˣ / Σ eˣ along `dim`, without overflow. With `dtype`, input is converted first; RuntimeError for integers else.

    >>> minipar.softmax(minipar.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return _along(Softmax, "softmax", input, dim, dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """ln softmax along `dim`, without overflow, with the arguments of `softmax`.

    >>> minipar.log_softmax(minipar.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return _along(LogSoftmax, "log_softmax", input, dim, dtype)


def _along(op: Callable[[int], Op], name: str, input: Any, dim: int, dtype: Any) -> Any:
    x = converted(input, dtype)
    needs_float(name, x)
    return op(normal_dim(dim, len(x.shape)))(x)
