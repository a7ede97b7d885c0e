"""Powers and roots."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import dtypes, namespace
from ..backend.dtypes import quiet
from .arithmetic import mul
from .op import Elementwise, cast, promoted
from .select import nothing, where


class _Float(Elementwise):
    __slots__ = ()
    integers_become_floats = True


class Pow(Elementwise):
    """y = aᵇ for two tensors. ∂y/∂b is 0 where a = 0 and b ≥ 0, as in PyTorch."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        if a.dtype.kind == "b":
            raise NotImplementedError("pow is not defined for two bool tensors; convert one first: x.long()")
        xp = namespace(a)
        with quiet():
            return xp.power(a, b) if a.dtype.kind != "i" else _integer_power(xp, a, b)

    def vjp(self, g, a, b):
        from .exponential import log

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
            if self.n == 0.5:  # unlike C's power, NaN at -∞, as PyTorch's
                return namespace(x).sqrt(x)
            return x * x * x if self.n == 3 else x**self.n

    def vjp(self, g, x):
        if self.n == 0:
            return nothing(g)
        return g * self.n * (x if self.n == 2 else x ** (self.n - 1))


class Sqrt(_Float):
    """y = √x; its slope at 0 is infinite."""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return namespace(x).sqrt(x)

    def vjp(self, g, y):
        return g / (2.0 * y)


class RSqrt(_Float):
    """y = 1/√x; y' = -y³/2"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return 1 / namespace(x).sqrt(x)

    def vjp(self, g, y):
        return g * -0.5 * (y * y * y)


class Reciprocal(_Float):
    """y = 1/x; y' = -y²"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return 1 / x

    def vjp(self, g, y):
        return -g * (y * y)


def pow(input: Any, exponent: Any) -> Any:
    """input to the power of exponent, broadcast and promoted; either may be a Python number.

    Integers stay integers. RuntimeError for integers to a negative number; as a tensor, negative exponents are taken
    and give what is left of the fraction (0 for 2⁻¹), as in PyTorch.

    >>> minipar.pow(minipar.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    >>> minipar.pow(2, minipar.tensor([1, 2, 3]))
    tensor([2, 4, 8])
    """
    if not isinstance(exponent, (int, float)) or isinstance(exponent, bool):
        return Pow()(input, exponent)
    base = promoted((input, exponent))[0]
    if base.dtype.kind in "iu":
        _check_integer_exponent(base.dtype, exponent)
    return PowScalar(exponent)(base)


def float_power(input: Any, exponent: Any) -> Any:
    """`pow` in float64, whatever the operands' dtypes.

    >>> minipar.float_power(minipar.tensor([2, 4]), -1).tolist()
    [0.5, 0.25]
    """
    as_double = [cast(x, dtypes.float64) if hasattr(x, "dtype") else float(x) for x in (input, exponent)]
    return pow(*as_double)


def square(input: Any) -> Any:
    """input².

    >>> minipar.square(minipar.tensor([-1, 3]))
    tensor([1, 9])
    """
    return pow(input, 2)


def sqrt(input: Any) -> Any:
    """√input, element by element: NaN below 0; integers give floats.

    >>> minipar.sqrt(minipar.tensor([4, 9]))
    tensor([2., 3.])
    """
    return Sqrt()(input)


def rsqrt(input: Any) -> Any:
    """1/√input: infinite at 0, NaN below; integers give floats.

    >>> minipar.rsqrt(minipar.tensor([0.25, 4.0])).tolist()
    [2.0, 0.5]
    """
    return RSqrt()(input)


def reciprocal(input: Any) -> Any:
    """1/input; integers give floats.

    >>> minipar.reciprocal(minipar.tensor([-2, 4])).tolist()
    [-0.5, 0.25]
    """
    return Reciprocal()(input)


def ldexp(input: Any, other: Any) -> Any:
    """input·2^other, broadcast and promoted; integers give floats.

    >>> minipar.ldexp(minipar.tensor([3.0, 1.0]), minipar.tensor([2, -1])).tolist()
    [12.0, 0.5]
    """
    return mul(input, pow(2.0, other))


def _integer_power(xp: Any, a: Any, b: Any) -> Any:
    """aᵇ of signed integers, where a negative exponent leaves 1 of 1, ±1 of -1, and 0 of anything else."""
    unit = xp.where(a == 1, a, xp.where(a == -1, xp.where(b % 2 == 0, 1, -1), 0)).astype(a.dtype)
    return xp.where(b < 0, unit, xp.power(a, xp.maximum(b, 0)))


def _check_integer_exponent(dtype: Any, n: float) -> None:
    if n < 0:
        raise RuntimeError(f"integers cannot be raised to the negative power {n}; convert the base first: x.float()")
    if n > np.iinfo(dtype).max:
        raise RuntimeError(f"exponent {n} is out of the range of {dtype.name}; convert the base first: x.long()")
