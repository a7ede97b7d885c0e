"""Comparisons, logic, and operations on bits: of two operands, without a gradient."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from .accepts import accepts
from .op import Elementwise, Op


class Compare(Elementwise):
    """An array function of two operands, by name: promoted and broadcast, bool or integer, no gradient."""

    __slots__ = ("relation", "kinds")

    def __init__(self, relation: str, kinds: str = "bif") -> None:
        self.relation, self.kinds = relation, kinds

    def forward(self, a, b):
        accepts(self.relation, self.kinds, a)
        return getattr(namespace(a), self.relation)(a, b)

    def name(self) -> str:
        return self.relation


class Not(Op):
    """y = not x ("logical_not"), or its bits inverted ("invert")"""

    __slots__ = ("relation",)

    def __init__(self, relation: str) -> None:
        self.relation = relation

    def forward(self, x):
        return getattr(namespace(x), self.relation)(x)


def eq(input: Any, other: Any) -> Any:
    """input = other, element by element, broadcast and promoted: a bool tensor. `other` may be a number.

    >>> minipar.eq(minipar.tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return Compare("equal")(input, other)


def ne(input: Any, other: Any) -> Any:
    """input ≠ other, element by element, broadcast and promoted: a bool tensor. `other` may be a number.

    >>> minipar.ne(minipar.tensor([1, 2]), 2)
    tensor([ True, False])
    """
    return Compare("not_equal")(input, other)


def lt(input: Any, other: Any) -> Any:
    """input < other, element by element, broadcast and promoted: a bool tensor. `other` may be a number.

    >>> minipar.lt(minipar.tensor([1, 2]), 2)
    tensor([ True, False])
    """
    return Compare("less")(input, other)


def le(input: Any, other: Any) -> Any:
    """input ≤ other, element by element, broadcast and promoted: a bool tensor. `other` may be a number.

    >>> minipar.le(minipar.tensor([2, 3]), 2)
    tensor([ True, False])
    """
    return Compare("less_equal")(input, other)


def gt(input: Any, other: Any) -> Any:
    """input > other, element by element, broadcast and promoted: a bool tensor. `other` may be a number.

    >>> minipar.gt(minipar.tensor([2, 3]), 2)
    tensor([False,  True])
    """
    return Compare("greater")(input, other)


def ge(input: Any, other: Any) -> Any:
    """input ≥ other, element by element, broadcast and promoted: a bool tensor. `other` may be a number.

    >>> minipar.ge(minipar.tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return Compare("greater_equal")(input, other)


def logical_and(input: Any, other: Any) -> Any:
    """Whether both are not 0: a bool tensor.

    >>> minipar.logical_and(minipar.tensor([0, 1]), minipar.tensor([2.0, 3.0]))
    tensor([False,  True])
    """
    return Compare("logical_and")(input, other)


def logical_or(input: Any, other: Any) -> Any:
    """Whether one or both are not 0: a bool tensor.

    >>> minipar.logical_or(minipar.tensor([0, 1]), minipar.tensor([0, 0]))
    tensor([False,  True])
    """
    return Compare("logical_or")(input, other)


def logical_xor(input: Any, other: Any) -> Any:
    """Whether exactly one is not 0: a bool tensor.

    >>> minipar.logical_xor(minipar.tensor([5, 1]), minipar.tensor([3, 0]))
    tensor([False,  True])
    """
    return Compare("logical_xor")(input, other)


def logical_not(input: Any) -> Any:
    """Whether it is 0: a bool tensor.

    >>> minipar.logical_not(minipar.tensor([0.0, 2.0]))
    tensor([ True, False])
    """
    return Not("logical_not")(input)


def bitwise_and(input: Any, other: Any) -> Any:
    """The bits set in both; of bools, and. NotImplementedError for floats.

    >>> minipar.bitwise_and(minipar.tensor([6, 5]), 3)
    tensor([2, 1])
    """
    return Compare("bitwise_and", "bi")(input, other)


def bitwise_or(input: Any, other: Any) -> Any:
    """The bits set in one or both; of bools, or. NotImplementedError for floats.

    >>> minipar.bitwise_or(minipar.tensor([6, 5]), 3)
    tensor([7, 7])
    """
    return Compare("bitwise_or", "bi")(input, other)


def bitwise_xor(input: Any, other: Any) -> Any:
    """The bits set in exactly one; of bools, exclusive or. NotImplementedError for floats.

    >>> minipar.bitwise_xor(minipar.tensor([6, 5]), 3)
    tensor([5, 6])
    """
    return Compare("bitwise_xor", "bi")(input, other)


def bitwise_not(input: Any) -> Any:
    """Every bit inverted; of bools, not. NotImplementedError for floats.

    >>> minipar.bitwise_not(minipar.tensor([0, 5]))
    tensor([-1, -6])
    """
    accepts("bitwise_not", "bi", input)
    return Not("invert")(input)


def bitwise_left_shift(input: Any, other: Any) -> Any:
    """input·2^other for integers, 0 where nothing is left. NotImplementedError for floats and bools.

    >>> minipar.bitwise_left_shift(minipar.tensor([1, 3]), 2)
    tensor([ 4, 12])
    """
    return Compare("left_shift", "i")(input, other)


def bitwise_right_shift(input: Any, other: Any) -> Any:
    """⌊input / 2^other⌋ for integers. NotImplementedError for floats and bools.

    >>> minipar.bitwise_right_shift(minipar.tensor([12, -3]), 1)
    tensor([ 6, -2])
    """
    return Compare("right_shift", "i")(input, other)


def gcd(input: Any, other: Any) -> Any:
    """The greatest common divisor, not negative. NotImplementedError for floats and bools.

    >>> minipar.gcd(minipar.tensor([12, 7]), minipar.tensor([18, 0]))
    tensor([6, 7])
    """
    return Compare("gcd", "i")(input, other)


def lcm(input: Any, other: Any) -> Any:
    """The least common multiple, not negative. NotImplementedError for floats and bools.

    >>> minipar.lcm(minipar.tensor([4, 6]), minipar.tensor([6, 9]))
    tensor([12, 18])
    """
    return Compare("lcm", "i")(input, other)
