"""Exponentials, logarithms, and the logistic function."""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.dispatch import kernel
from ..backend.dtypes import quiet
from .accepts import accepts
from .activation import Activation
from .op import Elementwise
from .select import where


class _Float(Elementwise):
    __slots__ = ()
    integers_become_floats = True


class Exp(_Float):
    """y = eˣ"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        return kernel("exponential", x)(x)

    def vjp(self, g, y):
        return g * y


class Exp2(_Float):
    """y = 2ˣ; y' = y ln 2"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return namespace(x).exp2(x)

    def vjp(self, g, y):
        return g * y * math.log(2)


class Expm1(_Float):
    """y = eˣ - 1, accurate near 0; y' = y + 1"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return namespace(x).expm1(x)

    def vjp(self, g, y):
        return g * (y + 1)


class Log(_Float):
    """y = ln x; -∞ at 0, NaN below."""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).log(x)

    def vjp(self, g, x):
        return g / x


class Log1p(_Float):
    """y = ln (1 + x), accurate near 0; y' = 1 / (1 + x)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).log1p(x)

    def vjp(self, g, x):
        return g / (x + 1)


class Log2(_Float):
    """y = log₂ x; y' = 1 / (x ln 2)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).log2(x)

    def vjp(self, g, x):
        return g / (x * math.log(2))


class Log10(_Float):
    """y = log₁₀ x; y' = 1 / (x ln 10)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).log10(x)

    def vjp(self, g, x):
        return g / (x * math.log(10))


class LogAddExp(Elementwise):
    """y = ln (eᵃ + eᵇ); each input's gradient is its share of the sum."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        accepts("logaddexp", "f", a)
        with quiet():
            return namespace(a).logaddexp(a, b)

    def vjp(self, g, a, b):
        return g * sigmoid(a - b) if self.needs[0] else None, g * sigmoid(b - a) if self.needs[1] else None


class LogAddExp2(Elementwise):
    """y = log₂ (2ᵃ + 2ᵇ); each input's gradient is its share of the sum."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        accepts("logaddexp2", "f", a)
        with quiet():
            return namespace(a).logaddexp2(a, b)

    def vjp(self, g, a, b):
        d = (a - b) * math.log(2)
        return g * sigmoid(d) if self.needs[0] else None, g * sigmoid(-d) if self.needs[1] else None


class XLogY(_Float):
    """y = a ln b, and 0 where a = 0 (NaN where b is)."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        xp = namespace(a)
        with quiet():
            return xp.where((a == 0) & (b == b), a.dtype.type(0), a * xp.log(b))

    def vjp(self, g, a, b):
        da = where((a == 0) & (b <= 0), 0.0, g * log(b)) if self.needs[0] else None
        return da, g * (a / b) if self.needs[1] else None


class Logit(_Float):
    """y = ln (x / (1 - x)), of x held between eps and 1 - eps (gradient 0 beyond) or without eps NaN beyond 0 and 1"""

    __slots__ = ("eps",)
    saves = (0,)

    def __init__(self, eps: float | None) -> None:
        self.eps = eps

    def forward(self, x):
        xp = namespace(x)
        if self.eps is not None:
            x = xp.clip(x, self.eps, 1 - self.eps)
        with quiet():
            return xp.log(x / (1 - x))

    def vjp(self, g, x):
        low, beyond = (0, math.nan) if self.eps is None else (self.eps, 0.0)
        return where((x < low) | (x > 1 - low), beyond, g / (x * (1 - x)))


class Sigmoid(Activation):
    """y = 1 / (1 + e⁻ˣ), accurate also where it is tiny; y' = y (1 - y)"""

    __slots__ = ()
    integers_become_floats = True
    saves_output = True
    forward_kernel, gradient_kernel = "logistic", "logistic_gradient"

    def recorded(self, g, y):
        return g * y * (1.0 - y)


def exp(input: Any) -> Any:
    """eˣ, element by element; integers give floats.

    >>> minipar.exp(minipar.tensor([0.5, 1.0]))
    tensor([1.6487, 2.7183])
    """
    return Exp()(input)


def exp2(input: Any) -> Any:
    """2ˣ, element by element; integers give floats.

    >>> minipar.exp2(minipar.tensor([0, 1, 3]))
    tensor([1., 2., 8.])
    """
    return Exp2()(input)


def expm1(input: Any) -> Any:
    """eˣ - 1, accurate also for x near 0; integers give floats.

    >>> minipar.expm1(minipar.tensor(1e-20, dtype=minipar.float64)).item()
    1e-20
    """
    return Expm1()(input)


def log(input: Any) -> Any:
    """The natural logarithm, element by element: -∞ at 0, NaN below; integers give floats.

    >>> minipar.log(minipar.tensor([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    return Log()(input)


def log1p(input: Any) -> Any:
    """ln (1 + x), accurate also for x near 0: -∞ at -1, NaN below; integers give floats.

    >>> minipar.log1p(minipar.tensor(1e-20, dtype=minipar.float64)).item()
    1e-20
    """
    return Log1p()(input)


def log2(input: Any) -> Any:
    """The logarithm to base 2: -∞ at 0, NaN below; integers give floats.

    >>> minipar.log2(minipar.tensor([1, 2, 1024]))
    tensor([ 0.,  1., 10.])
    """
    return Log2()(input)


def log10(input: Any) -> Any:
    """The logarithm to base 10: -∞ at 0, NaN below; integers give floats.

    >>> minipar.log10(minipar.tensor([1, 100]))
    tensor([0., 2.])
    """
    return Log10()(input)


def logaddexp(input: Any, other: Any) -> Any:
    """ln (eᵃ + eᵇ) without overflow, broadcast and promoted; floating point only.

    >>> minipar.logaddexp(minipar.tensor([1000.0]), minipar.tensor([1000.0])).item() - 1000  # doctest: +ELLIPSIS
    0.6931...
    """
    return LogAddExp()(input, other)


def logaddexp2(input: Any, other: Any) -> Any:
    """log₂ (2ᵃ + 2ᵇ) without overflow, broadcast and promoted; floating point only.

    >>> minipar.logaddexp2(minipar.tensor([1000.0]), minipar.tensor([1000.0]))
    tensor([1001.])
    """
    return LogAddExp2()(input, other)


def xlogy(input: Any, other: Any) -> Any:
    """a ln b, and 0 where a = 0 (NaN where b is): the term of an entropy. Either may be a number; integers give floats.

    >>> minipar.xlogy(minipar.tensor([0.0, 2.0]), minipar.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    return XLogY()(input, other)


def sigmoid(input: Any) -> Any:
    """The logistic function 1 / (1 + e⁻ˣ); integers give floats.

    >>> minipar.sigmoid(minipar.tensor([1.0, 2.0]))
    tensor([0.7311, 0.8808])
    """
    return Sigmoid()(input)


def logit(input: Any, eps: float | None = None) -> Any:
    """ln (x / (1 - x)), the inverse of `sigmoid`: ∓∞ at 0 and 1, NaN outside; integers give floats.

    With `eps`, x is first held between eps and 1 - eps.

    >>> minipar.logit(minipar.tensor([0.6, 0.75]))
    tensor([0.4055, 1.0986])
    """
    return Logit(eps)(input)
