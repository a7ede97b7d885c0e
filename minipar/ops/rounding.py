"""Rounding to whole numbers, and the part that it takes off."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .accepts import accepts
from .flat import Flat


class Rounded(Flat):
    """y = x rounded by the array function of that name ("floor", "ceil", "trunc", "rint"); integers stay."""

    __slots__ = ("direction",)

    def __init__(self, direction: str) -> None:
        self.direction = direction

    def forward(self, x):
        accepts(self.name(), "if", x)
        return getattr(namespace(x), self.direction)(x) if x.dtype.kind == "f" else x.copy()

    def name(self) -> str:
        return "round" if self.direction == "rint" else self.direction


class RoundDecimals(Flat):
    """y = x rounded to `decimals` places, by way of a product with their power of ten, as in PyTorch and NumPy."""

    __slots__ = ("decimals",)

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals

    def forward(self, x):
        accepts("round(decimals=...)", "f", x)
        with quiet():
            return namespace(x).around(x, self.decimals)


def floor(input: Any) -> Any:
    """The largest whole number that is not above; the gradient is 0. Integers stay; NotImplementedError for bools.

    >>> minipar.floor(minipar.tensor([1.5, -1.5]))
    tensor([ 1., -2.])
    """
    return Rounded("floor")(input)


def ceil(input: Any) -> Any:
    """The smallest whole number that is not below; the gradient is 0. Integers stay; NotImplementedError for bools.

    >>> minipar.ceil(minipar.tensor([1.5, -1.5]))
    tensor([ 2., -1.])
    """
    return Rounded("ceil")(input)


def trunc(input: Any) -> Any:
    """Rounded towards zero; the gradient is 0. Integers stay; NotImplementedError for bools.

    >>> minipar.trunc(minipar.tensor([1.5, -1.5]))
    tensor([ 1., -1.])
    """
    return Rounded("trunc")(input)


def round(input: Any, *, decimals: int = 0) -> Any:
    """The nearest whole number, the even one of two; or to `decimals` places (tens, if negative). The gradient is 0.

    Integers stay as they are; NotImplementedError for bools, and for integers with `decimals`.

    >>> minipar.round(minipar.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    >>> minipar.round(minipar.tensor([1250.0, 1350.0]), decimals=-2)
    tensor([1200., 1400.])
    """
    if not isinstance(decimals, int) or isinstance(decimals, bool):
        raise TypeError(f"round: decimals must be an int, not {decimals!r}")
    return (RoundDecimals(decimals) if decimals else Rounded("rint"))(input)


def frac(input: Any) -> Any:
    """input - trunc(input), of input's sign; the gradient passes. Floating point only.

    >>> minipar.frac(minipar.tensor([1.5, -1.25])).tolist()
    [0.5, -0.25]
    """
    accepts("frac", "f", input)
    return input - trunc(input)
