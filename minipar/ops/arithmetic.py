"""The four operations, powers, and the larger or smaller of two."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .op import Elementwise, promoted


class Add(Elementwise):
    """y = a + b"""

    def forward(self, a, b):
        return a + b

    def vjp(self, g):
        return g, g


class Sub(Elementwise):
    """y = a - b"""

    def forward(self, a, b):
        if a.dtype.kind == "b":
            raise TypeError("subtraction of bool tensors is not defined; use ^ or logical_not")
        return a - b

    def vjp(self, g):
        return g, -g if self.needs[1] else None


class Mul(Elementwise):
    """y = a b"""

    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def forward(self, a, b):
        return a * b

    def vjp(self, g, a, b):
        return g * b if self.needs[0] else None, g * a if self.needs[1] else None


class Div(Elementwise):
    """y = a / b"""

    saves = (0, 1)
    needed_for = MappingProxyType({0: 1})
    integers_become_floats = True

    def forward(self, a, b):
        with quiet():
            return a / b

    def vjp(self, g, a, b):
        return g / b if self.needs[0] else None, -g * (a / b) / b if self.needs[1] else None


class Neg(Elementwise):
    """y = -x"""

    def forward(self, x):
        return -x

    def vjp(self, g):
        return -g


class Pow(Elementwise):
    """y = aᵇ for two tensors. ∂y/∂b is 0 where a = 0 and b ≥ 0, as in PyTorch."""

    saves = (0, 1)

    def forward(self, a, b):
        xp = namespace(a)
        with quiet():
            return xp.power(a, b)

    def vjp(self, g, a, b):
        from .pointwise import log
        from .select import where

        da = where(b == 0, 0.0, g * (b * a ** (b - 1))) if self.needs[0] else None
        db = where((a == 0) & (b >= 0), 0.0, g * (a**b * log(a))) if self.needs[1] else None
        return da, db


class PowScalar(Elementwise):
    """y = xⁿ for a Python number n."""

    __slots__ = ("n",)
    saves = (0,)

    def __init__(self, n):
        self.n = n

    def name(self) -> str:
        return "Pow"

    def forward(self, x):
        if self.n == 2:  # np.power is several times slower than a product
            return x * x
        with quiet():
            return x**self.n

    def vjp(self, g, x):
        if self.n == 0:
            from .select import nothing

            return nothing(g)
        return g * self.n * (x if self.n == 2 else x ** (self.n - 1))


class Maximum(Elementwise):
    """y = max(a, b), NaN if either is. At a tie each gets half the gradient, as in PyTorch."""

    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).maximum(a, b)

    def vjp(self, g, a, b):
        return _shares(g, a == b, a < b, b < a)


class Minimum(Elementwise):
    """y = min(a, b), NaN if either is. At a tie each gets half the gradient, as in PyTorch."""

    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).minimum(a, b)

    def vjp(self, g, a, b):
        return _shares(g, a == b, b < a, a < b)


def _shares(g: Any, tie: Any, a_loses: Any, b_loses: Any) -> tuple[Any, Any]:
    """Half each at a tie, else all to the winner; where either is NaN nobody loses, and both get all."""
    from .select import where

    even = where(tie, g * 0.5, g)
    return where(a_loses, 0.0, even), where(b_loses, 0.0, even)


def add(a: Any, b: Any, *, alpha: float = 1) -> Any:
    """a + alpha·b, broadcast and promoted."""
    return Add()(a, b if alpha == 1 else mul(b, alpha))


def sub(a: Any, b: Any, *, alpha: float = 1) -> Any:
    """a − alpha·b, broadcast and promoted."""
    return Sub()(a, b if alpha == 1 else mul(b, alpha))


def mul(a: Any, b: Any) -> Any:
    """a·b, broadcast and promoted."""
    return Mul()(a, b)


def div(a: Any, b: Any) -> Any:
    """a / b, broadcast and promoted; integers give floats."""
    return Div()(a, b)


def neg(x: Any) -> Any:
    """−x"""
    return Neg()(x)


def pow(a: Any, b: Any) -> Any:
    """aᵇ, broadcast and promoted."""
    if isinstance(b, (int, float)) and not isinstance(b, bool):
        return PowScalar(b)(promoted((a, b))[0])
    return Pow()(a, b)


def maximum(a: Any, b: Any) -> Any:
    """The larger of a and b, element by element."""
    return Maximum()(a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of a and b, element by element."""
    return Minimum()(a, b)
