"""Trigonometric functions and their inverses; angles in radians."""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .accepts import accepts, needs_tensors
from .op import Elementwise
from .power import rsqrt
from .select import where


class _Float(Elementwise):
    __slots__ = ()
    integers_become_floats = True


class Sin(_Float):
    """y = sin x"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).sin(x)

    def vjp(self, g, x):
        return g * cos(x)


class Cos(_Float):
    """y = cos x"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).cos(x)

    def vjp(self, g, x):
        return -g * sin(x)


class Tan(_Float):
    """y = tan x; y' = 1 + y²"""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return namespace(x).tan(x)

    def vjp(self, g, y):
        return g * (y * y + 1)


class Asin(_Float):
    """y = arcsin x, NaN beyond ±1; y' = 1 / √(1 - x²)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).arcsin(x)

    def vjp(self, g, x):
        return g * rsqrt(1 - x * x)


class Acos(_Float):
    """y = arccos x, NaN beyond ±1; y' = -1 / √(1 - x²)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).arccos(x)

    def vjp(self, g, x):
        return g * -rsqrt(1 - x * x)


class Atan(_Float):
    """y = arctan x; y' = 1 / (x² + 1)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        return namespace(x).arctan(x)

    def vjp(self, g, x):
        return g / (x * x + 1)


class Atan2(_Float):
    """y = the angle of the point (b, a) from the axis of b, in [-π, π]."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).arctan2(a, b)

    def vjp(self, g, a, b):
        square = a * a + b * b
        at_origin = square == 0
        return (
            where(at_origin, 0.0, g * (b / square)) if self.needs[0] else None,
            where(at_origin, 0.0, g * (-a / square)) if self.needs[1] else None,
        )


class Hypot(Elementwise):
    """y = √(a² + b²) without overflow on the way"""

    __slots__ = ()
    saves = (0, 1)
    saves_output = True

    def forward(self, a, b):
        accepts("hypot", "f", a)
        with quiet():
            return namespace(a).hypot(a, b)

    def vjp(self, g, a, b, y):
        return g * (a / y) if self.needs[0] else None, g * (b / y) if self.needs[1] else None


class Sinc(_Float):
    """y = sin(πx) / (πx), and 1 at 0; y' = (πx cos πx - sin πx) / (πx²)"""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        with quiet():
            return namespace(x).sinc(x)

    def vjp(self, g, x):
        angle = x * math.pi
        square = angle * x
        return where(square == 0, 0.0, g * ((angle * cos(angle) - sin(angle)) / square))


def sin(input: Any) -> Any:
    """The sine; integers give floats.

    >>> minipar.sin(minipar.tensor([0.5, -1.0]))
    tensor([ 0.4794, -0.8415])
    """
    return Sin()(input)


def cos(input: Any) -> Any:
    """The cosine; integers give floats.

    >>> minipar.cos(minipar.tensor([0.5, -1.0]))
    tensor([0.8776, 0.5403])
    """
    return Cos()(input)


def tan(input: Any) -> Any:
    """The tangent; integers give floats.

    >>> minipar.tan(minipar.tensor([0.5, -1.0]))
    tensor([ 0.5463, -1.5574])
    """
    return Tan()(input)


def asin(input: Any) -> Any:
    """The inverse sine in [-π/2, π/2], NaN beyond ±1; integers give floats.

    >>> minipar.asin(minipar.tensor([0.5, -1.0]))
    tensor([ 0.5236, -1.5708])
    """
    return Asin()(input)


def acos(input: Any) -> Any:
    """The inverse cosine in [0, π], NaN beyond ±1; integers give floats.

    >>> minipar.acos(minipar.tensor([0.5, -1.0]))
    tensor([1.0472, 3.1416])
    """
    return Acos()(input)


def atan(input: Any) -> Any:
    """The inverse tangent in [-π/2, π/2]; integers give floats.

    >>> minipar.atan(minipar.tensor([0.5, -1.0]))
    tensor([ 0.4636, -0.7854])
    """
    return Atan()(input)


def atan2(input: Any, other: Any) -> Any:
    """The angle of the point (x, y) = (other, input) in [-π, π], broadcast and promoted; integers give floats.

    Its gradient at the origin is 0.

    >>> minipar.atan2(minipar.tensor([1.0, 1.0]), minipar.tensor([1.0, -1.0]))
    tensor([0.7854, 2.3562])
    """
    return Atan2()(input, other)


def hypot(input: Any, other: Any) -> Any:
    """√(input² + other²) without overflow on the way, broadcast and promoted; floating point only.

    >>> minipar.hypot(minipar.tensor([3.0, 5.0]), minipar.tensor([4.0, 12.0]))
    tensor([ 5., 13.])
    """
    return Hypot()(input, other)


def sinc(input: Any) -> Any:
    """sin(πx) / (πx), and 1 at 0; integers give floats.

    >>> minipar.sinc(minipar.tensor([0.5, 1.5]))
    tensor([ 0.6366, -0.2122])
    """
    return Sinc()(input)


def deg2rad(input: Any) -> Any:
    """Degrees to radians; integers give floats.

    >>> minipar.deg2rad(minipar.tensor([180, -90]))
    tensor([ 3.1416, -1.5708])
    """
    needs_tensors(input)
    return input * (math.pi / 180)


def rad2deg(input: Any) -> Any:
    """Radians to degrees; integers give floats.

    >>> minipar.rad2deg(minipar.tensor([1.0, -2.0]))
    tensor([  57.2958, -114.5916])
    """
    needs_tensors(input)
    return input * (180 / math.pi)
