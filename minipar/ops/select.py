"""Comparisons, and choosing by a condition."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..backend import namespace
from ..backend.dtypes import result_type, scalar_like
from .op import Elementwise, Op, array_of, broadcast_error, promoted, unbroadcast


class Compare(Elementwise):
    """A comparison or logical operation of two operands: promoted and broadcast, bool or integer, no gradient."""

    __slots__ = ("relation",)

    def __init__(self, relation: Callable[[Any, Any], Any]) -> None:
        self.relation = relation

    def forward(self, a, b):
        return self.relation(a, b)

    def name(self) -> str:
        return self.relation.__name__


class LogicalNot(Op):
    """y = not x"""

    def forward(self, x):
        return namespace(x).logical_not(x)


class Where(Op):
    """y = a where the condition holds, else b; the three are broadcast."""

    __slots__ = ("shapes",)
    saves = (0,)

    def forward(self, condition, a, b):
        self.shapes = a.shape, b.shape
        return namespace(condition).where(condition, a, b)

    def vjp(self, g, condition):
        da = unbroadcast(where(condition, g, 0.0), self.shapes[0]) if self.needs[1] else None
        db = unbroadcast(where(condition, 0.0, g), self.shapes[1]) if self.needs[2] else None
        return None, da, db


def compare(relation: str, a: Any, b: Any) -> Any:
    """`relation` is the name of a function in `operator`: "lt", "le", "eq", "ne", "gt", "ge", "and_", "or_", "xor"."""
    return Compare(getattr(operator, relation))(a, b)


def logical_not(x: Any) -> Any:
    return LogicalNot()(x)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where `condition` (a bool tensor) is true, b elsewhere; the three are broadcast, a and b promoted.

    The gradient of the side that was not chosen is 0, so NaN or infinity there gives a NaN gradient only through the
    function that made it, as in PyTorch.
    """
    if condition.dtype.kind != "b":
        raise TypeError(f"where: condition must be a bool tensor, not {condition.dtype.name}")
    if not hasattr(a, "dtype") and not hasattr(b, "dtype"):
        a = scalar_like(a, array_of(condition), result_type(a, b))
    a, b = promoted((a, b))
    try:
        return Where()(condition, a, b)
    except ValueError:
        shapes = [tuple(x.shape) for x in (condition, a, b)]
        raise RuntimeError(broadcast_error("where", shapes)) from None


def nothing(g: Any) -> Any:
    """Zeros of g's shape, also where g is infinite or NaN: the gradient of what does not change."""
    array = array_of(g)
    return where(namespace(array).zeros((), bool), g, 0.0)


class Invert(Op):
    """y = ~x, for bools and integers."""

    def forward(self, x):
        return ~x


def invert(x: Any) -> Any:
    """Logical not of bools, bitwise not of integers. TypeError for floats."""
    if x.dtype.kind == "f":
        raise TypeError(f"~ needs a bool or integer tensor, not {x.dtype.name}")
    return Invert()(x)
