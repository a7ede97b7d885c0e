"""The larger and the smaller of two, and what is held between two bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import namespace
from .op import Elementwise, promoted
from .select import where


class Maximum(Elementwise):
    """y = max(a, b), NaN if either is. At a tie each gets half the gradient, as in PyTorch."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).maximum(a, b)

    def vjp(self, g, a, b):
        return _shares(g, a == b, a < b, b < a)


class Minimum(Elementwise):
    """y = min(a, b), NaN if either is. At a tie each gets half the gradient, as in PyTorch."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).minimum(a, b)

    def vjp(self, g, a, b):
        return _shares(g, a == b, b < a, a < b)


def _shares(g: Any, tie: Any, a_loses: Any, b_loses: Any) -> tuple[Any, Any]:
    """Half each at a tie, else all to the winner; where either is NaN nobody loses, and both get all."""
    even = where(tie, g * 0.5, g)
    return where(a_loses, 0.0, even), where(b_loses, 0.0, even)


class FMax(Elementwise):
    """y = max(a, b), the other one where one is NaN. At a tie a gets the gradient, as in PyTorch."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).fmax(a, b)

    def vjp(self, g, a, b):
        first = (a >= b) | (b != b)
        return where(first, g, 0.0), where(first, 0.0, g)


class FMin(Elementwise):
    """y = min(a, b), the other one where one is NaN. At a tie a gets the gradient, as in PyTorch."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, a, b):
        return namespace(a).fmin(a, b)

    def vjp(self, g, a, b):
        first = (a <= b) | (b != b)
        return where(first, g, 0.0), where(first, 0.0, g)


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


class RaiseTo(Elementwise):
    """y = x, or a lower bound b where x < b; at x = b the gradient is x's."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, x, b):
        return namespace(x).maximum(x, b)

    def vjp(self, g, x, b):
        return where(x >= b, g, 0.0), where(x < b, g, 0.0)


class LowerTo(Elementwise):
    """y = x, or an upper bound b where x > b; at x = b the gradient is x's."""

    __slots__ = ()
    saves = (0, 1)

    def forward(self, x, b):
        return namespace(x).minimum(x, b)

    def vjp(self, g, x, b):
        return where(x <= b, g, 0.0), where(x > b, g, 0.0)


class HoldBetween(Elementwise):
    """y = x held between tensors a and b (b where a > b). On a bound the gradient is x's."""

    __slots__ = ()
    saves = (0, 1, 2)

    def forward(self, x, a, b):
        xp = namespace(x)
        return xp.minimum(xp.maximum(x, a), b)

    def vjp(self, g, x, a, b):
        return (
            where((x >= a) & (x <= b), g, 0.0) if self.needs[0] else None,
            where((x < a) & (a < b), g, 0.0) if self.needs[1] else None,
            where((x > b) | (b < a), g, 0.0) if self.needs[2] else None,
        )


def maximum(input: Any, other: Any) -> Any:
    """The larger of two tensors, element by element, broadcast and promoted: NaN if either is.

    At a tie each gets half the gradient.

    >>> minipar.maximum(minipar.tensor([1, 5]), minipar.tensor([3, 2]))
    tensor([3, 5])
    """
    return Maximum()(input, other)


def minimum(input: Any, other: Any) -> Any:
    """The smaller of two tensors, element by element, broadcast and promoted: NaN if either is.

    At a tie each gets half the gradient.

    >>> minipar.minimum(minipar.tensor([1, 5]), minipar.tensor([3, 2]))
    tensor([1, 2])
    """
    return Minimum()(input, other)


def fmax(input: Any, other: Any) -> Any:
    """The larger of two tensors, broadcast and promoted: where one is NaN, the other. Ties: input gets the gradient.

    >>> minipar.fmax(minipar.tensor([1.0, float("nan")]), minipar.tensor([3.0, 2.0]))
    tensor([3., 2.])
    """
    return FMax()(input, other)


def fmin(input: Any, other: Any) -> Any:
    """The smaller of two tensors, broadcast and promoted: where one is NaN, the other. Ties: input gets the gradient.

    >>> minipar.fmin(minipar.tensor([1.0, float("nan")]), minipar.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return FMin()(input, other)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """input held between `min` and `max`, numbers or tensors (broadcast and promoted); `max` where min > max.

    On a bound the gradient is input's. RuntimeError if both are None, or a number is out of an integer dtype's range.

    >>> minipar.clamp(minipar.tensor([-2.0, 0.5, 9.0]), 0, 1).tolist()
    [0.0, 0.5, 1.0]
    >>> minipar.clamp(minipar.tensor([1, 5]), max=minipar.tensor([3, 3]))
    tensor([1, 3])
    """
    if min is None and max is None:
        raise RuntimeError("clamp: min and max are both None; give a number or a tensor for one of them")
    if all(bound is None or isinstance(bound, (int, float)) for bound in (min, max)):
        x = promoted((input, *[bound for bound in (min, max) if bound is not None]))[0]
        _check_in_range(x.dtype, min=min, max=max)
        return Clamp(min, max)(x)
    if max is None:
        return RaiseTo()(input, min)
    return LowerTo()(input, max) if min is None else HoldBetween()(input, min, max)


def clamp_min(input: Any, min: Any) -> Any:
    """input, and `min` where it is below: a number or a tensor. See `clamp`.

    >>> minipar.clamp_min(minipar.tensor([-2, 3]), 0)
    tensor([0, 3])
    """
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Any:
    """input, and `max` where it is above: a number or a tensor. See `clamp`.

    >>> minipar.clamp_max(minipar.tensor([-2, 3]), 0)
    tensor([-2,  0])
    """
    return clamp(input, max=max)


def _check_in_range(dtype: np.dtype, **bounds: Any) -> None:
    if dtype.kind not in "iu":
        return
    limits = np.iinfo(dtype)
    for name, bound in bounds.items():
        if bound is not None and not limits.min <= bound <= limits.max:
            raise RuntimeError(
                f"clamp: {name}={bound} is out of the range of {dtype.name}, {limits.min} to {limits.max}"
            )
