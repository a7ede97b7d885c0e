"""Comparisons, and choosing by a condition."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..backend import namespace
from .op import Elementwise, Op, promoted


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


class Where(Elementwise):
    """y = a where the condition holds, else b."""

    __slots__ = ("condition",)

    def __init__(self, condition: Any) -> None:
        self.condition = condition

    def forward(self, a, b):
        return namespace(a).where(self.condition, a, b)

    def vjp(self, g):
        return where(self.condition, g, 0.0), where(self.condition, 0.0, g)


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
    condition = getattr(condition, "array", condition)
    if condition.dtype.kind != "b":
        raise TypeError(f"where: condition must be a bool tensor, not {condition.dtype.name}")
    if not hasattr(a, "dtype") and not hasattr(b, "dtype"):
        a, b = (namespace(condition).asarray(x, promoted_dtype(a, b)) for x in (a, b))
    a, b = promoted((a, b))
    return Where(condition)(a, b)


def promoted_dtype(a: Any, b: Any) -> Any:
    from ..backend.dtypes import result_type

    return result_type(a, b)


class Invert(Op):
    """y = ~x, for bools and integers."""

    def forward(self, x):
        return ~x


def invert(x: Any) -> Any:
    """Logical not of bools, bitwise not of integers. TypeError for floats."""
    if x.dtype.kind == "f":
        raise TypeError(f"~ needs a bool or integer tensor, not {x.dtype.name}")
    return Invert()(x)
