"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .op import Elementwise
from .power import rsqrt


class _Float(Elementwise):
    __slots__ = ()
    integers_become_floats = True


class Sinh(_Float):
    """y = (eˣ - e⁻ˣ) / 2; y' = cosh x"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).sinh(x)

    def vjp(self, g, x):
        return g * cosh(x)


class Cosh(_Float):
    """y = (eˣ + e⁻ˣ) / 2; y' = sinh x"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).cosh(x)

    def vjp(self, g, x):
        return g * sinh(x)


class Tanh(_Float):
    """y = tanh x; y' = 1 - y²"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        return namespace(x).tanh(x)

    def vjp(self, g, y):
        return g * (1.0 - y * y)


class Asinh(_Float):
    """y = arsinh x; y' = 1 / √(x² + 1)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        return namespace(x).arcsinh(x)

    def vjp(self, g, x):
        return g * rsqrt(x * x + 1)


class Acosh(_Float):
    """y = arcosh x, NaN below 1; y' = 1 / √(x² - 1)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).arccosh(x)

    def vjp(self, g, x):
        return g * rsqrt(x * x - 1)


class Atanh(_Float):
    """y = artanh x, infinite at ±1 and NaN beyond; y' = 1 / (1 - x²)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).arctanh(x)

    def vjp(self, g, x):
        return g / (1 - x * x)


def sinh(input: Any) -> Any:
    """The hyperbolic sine; integers give floats.

    >>> minipar.sinh(minipar.tensor([1.0, -1.0]))
    tensor([ 1.1752, -1.1752])
    """
    return Sinh()(input)


def cosh(input: Any) -> Any:
    """The hyperbolic cosine; integers give floats.

    >>> minipar.cosh(minipar.tensor([1.0, -1.0]))
    tensor([1.5431, 1.5431])
    """
    return Cosh()(input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent; integers give floats.

    >>> minipar.tanh(minipar.tensor([1.0, -1.0]))
    tensor([ 0.7616, -0.7616])
    """
    return Tanh()(input)


def asinh(input: Any) -> Any:
    """The inverse hyperbolic sine; integers give floats.

    >>> minipar.asinh(minipar.tensor([1.0, -1.0]))
    tensor([ 0.8814, -0.8814])
    """
    return Asinh()(input)


def acosh(input: Any) -> Any:
    """The inverse hyperbolic cosine, NaN below 1; integers give floats.

    >>> minipar.acosh(minipar.tensor([1.5, 2.5]))
    tensor([0.9624, 1.5668])
    """
    return Acosh()(input)


def atanh(input: Any) -> Any:
    """The inverse hyperbolic tangent, infinite at ±1 and NaN beyond; integers give floats.

    >>> minipar.atanh(minipar.tensor([0.5, 1.0]))
    tensor([0.5493,    inf])
    """
    return Atanh()(input)
