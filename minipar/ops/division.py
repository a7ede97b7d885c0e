"""Division: true, rounded towards zero or downwards, and its two remainders.

The remainder that belongs to rounding downwards (`remainder`, Python's %) has the divisor's sign, the one that belongs
to rounding towards zero (`fmod`, C's) the dividend's.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.dtypes import quiet
from .accepts import accepts, looks_only
from .arithmetic import number_as_tensor
from .flat import Flat
from .op import Elementwise


class Div(Elementwise):
    """y = a / b"""

    __slots__ = ()
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1})
    integers_become_floats = True

    def forward(self, a, b):
        with quiet():
            return a / b

    def vjp(self, g, a, b):
        return g / b if self.needs[0] else None, -g * (a / b) / b if self.needs[1] else None


class FloorDivide(Flat):
    """y = ⌊a / b⌋"""

    __slots__ = ()

    def forward(self, a, b):
        _check("floor_divide", a, b)
        with quiet():
            return namespace(a).floor_divide(a, b)


class TruncDivide(Flat):
    """y = a / b rounded towards zero"""

    __slots__ = ()

    def forward(self, a, b):
        _check("div(rounding_mode='trunc')", a, b)
        xp = namespace(a)
        with quiet():
            if a.dtype.kind == "f":
                return xp.trunc(a / b)
            quotient = xp.floor_divide(a, b)
            quotient += (quotient < 0) & (quotient * b != a)
            return quotient


class Remainder(Elementwise):
    """y = a - b ⌊a / b⌋, of b's sign"""

    __slots__ = ()
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 1})

    def forward(self, a, b):
        _check("remainder", a, b)
        with quiet():
            return namespace(a).remainder(a, b)

    def vjp(self, g, a, b):
        return g, -g * FloorDivide()(a, b) if self.needs[1] else None


class FMod(Elementwise):
    """y = a - b trunc(a / b), of a's sign"""

    __slots__ = ()
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 1})

    def forward(self, a, b):
        _check("fmod", a, b)
        with quiet():
            return namespace(a).fmod(a, b)

    def vjp(self, g, a, b):
        return g, -g * TruncDivide()(a, b) if self.needs[1] else None


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other, broadcast and promoted; integers give floats, division by zero infinity or NaN.

    `rounding_mode` "trunc" rounds the quotient towards zero, "floor" downwards; then integers stay integers (and a
    divisor 0 among them is a RuntimeError), and the gradient is 0.

    >>> minipar.div(minipar.tensor([7, -7]), 2).tolist()
    [3.5, -3.5]
    >>> minipar.div(minipar.tensor([7, -7]), 2, rounding_mode="trunc")
    tensor([ 3, -3])
    """
    input = number_as_tensor(input, other)
    if rounding_mode is None:
        return Div()(input, other)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', not {rounding_mode!r}")
    return (TruncDivide if rounding_mode == "trunc" else FloorDivide)()(input, other)


def true_divide(input: Any, other: Any) -> Any:
    """`div` without a rounding mode.

    >>> minipar.true_divide(minipar.tensor([1, 3]), minipar.tensor([2, 2])).tolist()
    [0.5, 1.5]
    """
    return div(input, other)


def floor_divide(input: Any, other: Any) -> Any:
    """⌊input / other⌋, Python's //. RuntimeError if an integer divisor is 0; the gradient is 0.

    >>> minipar.floor_divide(minipar.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    return FloorDivide()(input, other)


def remainder(input: Any, other: Any) -> Any:
    """input - other·⌊input / other⌋, Python's %: of other's sign. RuntimeError if an integer divisor is 0.

    >>> minipar.remainder(minipar.tensor([7, -7]), 3)
    tensor([1, 2])
    """
    return Remainder()(input, other)


def fmod(input: Any, other: Any) -> Any:
    """input - other·trunc(input / other), C's fmod: of input's sign. RuntimeError if an integer divisor is 0.

    >>> minipar.fmod(minipar.tensor([7, -7]), 3)
    tensor([ 1, -1])
    """
    return FMod()(input, other)


@looks_only
def _check(name: str, a: Any, b: Any) -> None:
    """Numbers, and no whole division by zero: on the CPU only, as in PyTorch (a GPU would have to be waited for)."""
    accepts(name, "if", a)
    if b.dtype.kind != "f" and namespace(b) is np and not b.all():
        raise RuntimeError(f"ZeroDivisionError: {name}: the divisor of an integer is 0; make it a float, or no zero")
