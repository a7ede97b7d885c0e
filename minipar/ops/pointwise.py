"""Functions of one number: exp, log and their like, and the activations."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .op import Elementwise, promoted
from .select import nothing, where


class _Float(Elementwise):
    integers_become_floats = True


class Exp(_Float):
    """y = eˣ"""

    saves_output = True

    def forward(self, x):
        with quiet():
            return namespace(x).exp(x)

    def vjp(self, g, y):
        return g * y


class Log(_Float):
    """y = ln x; −∞ at 0, NaN below."""

    saves = (0,)

    def forward(self, x):
        xp = namespace(x)
        with quiet():
            return xp.log(x)

    def vjp(self, g, x):
        return g / x


class Sqrt(_Float):
    """y = √x; its slope at 0 is infinite."""

    saves_output = True

    def forward(self, x):
        xp = namespace(x)
        with quiet():
            return xp.sqrt(x)

    def vjp(self, g, y):
        return g / (2.0 * y)


class Sin(_Float):
    """y = sin x"""

    saves = (0,)

    def forward(self, x):
        return namespace(x).sin(x)

    def vjp(self, g, x):
        return g * cos(x)


class Cos(_Float):
    """y = cos x"""

    saves = (0,)

    def forward(self, x):
        return namespace(x).cos(x)

    def vjp(self, g, x):
        return -g * sin(x)


class Tanh(_Float):
    """y = tanh x; y' = 1 − y²"""

    saves_output = True

    def forward(self, x):
        return namespace(x).tanh(x)

    def vjp(self, g, y):
        return g * (1.0 - y * y)


class Sigmoid(_Float):
    """y = 1 / (1 + e⁻ˣ), accurate also where it is tiny (an overflow of e⁻ˣ gives the right 0); y' = y (1 − y)"""

    saves_output = True

    def forward(self, x):
        with quiet():
            return 1.0 / (1.0 + namespace(x).exp(-x))

    def vjp(self, g, y):
        return g * y * (1.0 - y)


class Abs(Elementwise):
    """y = |x|; the gradient at 0 is 0."""

    saves = (0,)

    def forward(self, x):
        return abs(x)

    def vjp(self, g, x):
        return g * sign(x)


class Sign(Elementwise):
    """y = −1, 0 or 1, and 0 for NaN, as in PyTorch; its gradient is 0 everywhere."""

    def forward(self, x):
        return ((x > 0) ^ (x < 0)).astype(x.dtype) if x.dtype.kind == "b" else (x > 0) * x.dtype.type(1) - (x < 0)

    def vjp(self, g):
        return nothing(g)


class ReLU(Elementwise):
    """y = max(x, 0); the gradient at 0 is 0, and NaN passes through."""

    saves_output = True

    def forward(self, x):
        return namespace(x).maximum(x, x.dtype.type(0))

    def vjp(self, g, y):
        return where(y <= 0, 0.0, g)


class Clamp(Elementwise):
    """y = x held between two numbers; the gradient passes at the bounds themselves, and not at NaN, as in PyTorch."""

    __slots__ = ("low", "high")
    saves = (0,)

    def __init__(self, low, high):
        self.low, self.high = low, high

    def forward(self, x):
        return namespace(x).clip(x, self.low, self.high)

    def vjp(self, g, x):
        if self.low is None:
            inside = x <= self.high
        elif self.high is None:
            inside = x >= self.low
        else:
            inside = (x >= self.low) & (x <= self.high)
        return where(inside, g, 0.0)


def exp(x: Any) -> Any:
    """eˣ, element by element; integers give floats."""
    return Exp()(x)


def log(x: Any) -> Any:
    """The natural logarithm, element by element: −∞ at 0, NaN below."""
    return Log()(x)


def sqrt(x: Any) -> Any:
    """√x, element by element: NaN below 0."""
    return Sqrt()(x)


def sin(x: Any) -> Any:
    """sin x, x in radians."""
    return Sin()(x)


def cos(x: Any) -> Any:
    """cos x, x in radians."""
    return Cos()(x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return Tanh()(x)


def sigmoid(x: Any) -> Any:
    """The logistic function 1 / (1 + e⁻ˣ)."""
    return Sigmoid()(x)


def relu(x: Any) -> Any:
    """max(x, 0); its gradient at 0 is 0."""
    return ReLU()(x)


def abs_(x: Any) -> Any:
    """|x|; its gradient at 0 is 0."""
    return Abs()(x)


def sign(x: Any) -> Any:
    """−1, 0 or 1."""
    return Sign()(x)


def clamp(x: Any, min: float | None = None, max: float | None = None) -> Any:
    """x held between the numbers `min` and `max`; ValueError if both are None, TypeError for tensors as bounds."""
    bounds = [bound for bound in (min, max) if bound is not None]
    if not bounds:
        raise ValueError("clamp needs min, max or both")
    if not all(isinstance(bound, (int, float)) for bound in bounds):
        raise TypeError("clamp: min and max must be numbers; for tensors use maximum and minimum")
    return Clamp(min, max)(promoted((x, *bounds))[0])
