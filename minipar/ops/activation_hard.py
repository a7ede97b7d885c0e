"""Activations cut off at thresholds. Each passes its gradient where the input is inside, and 0 where it was cut."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .activation_rectified import applied, in_place_form
from .op import Elementwise, check_dtypes
from .select import where


class _Cut(Elementwise):
    """y' = 1 where x is not `cut`, else 0."""

    saves = (0,)

    def cut(self, x: Any) -> Any:
        raise NotImplementedError

    def vjp(self, g, x):
        return where(self.cut(x), 0.0, g)


class Threshold(_Cut):
    """y = x above the threshold, else a given value"""

    __slots__ = ("threshold", "value")

    def __init__(self, threshold, value):
        self.threshold, self.value = threshold, value

    def cut(self, x):
        return x <= self.threshold

    def forward(self, x):
        return namespace(x).where(self.cut(x), x.dtype.type(self.value), x)


class Hardtanh(_Cut):
    """y = x held between two numbers; unlike Clamp, no gradient passes at the bounds themselves, but it does at NaN."""

    __slots__ = ("low", "high")

    def __init__(self, low, high):
        self.low, self.high = low, high

    def cut(self, x):
        return (x <= self.low) | (x >= self.high)

    def forward(self, x):
        return namespace(x).clip(x, x.dtype.type(self.low), x.dtype.type(self.high))


class Hardshrink(_Cut):
    """y = x, but 0 on [−λ, λ]"""

    __slots__ = ("width",)

    def __init__(self, width):
        self.width = width

    def cut(self, x):
        return (x >= -self.width) & (x <= self.width)

    def forward(self, x):
        return namespace(x).where(self.cut(x), x.dtype.type(0), x)


class Softshrink(Hardshrink):
    """y = x moved towards 0 by λ, but 0 on [−λ, λ]"""

    __slots__ = ()

    def forward(self, x):
        xp, width = namespace(x), x.dtype.type(self.width)
        return xp.where(self.cut(x), x.dtype.type(0), x - xp.copysign(width, x))


class Hardsigmoid(Elementwise):
    """y = x/6 + 1/2 held between 0 and 1; no gradient at ±3 and at NaN"""

    saves = (0,)

    def forward(self, x):
        kind = x.dtype.type
        return namespace(x).clip(x + kind(3), kind(0), kind(6)) / kind(6)

    def vjp(self, g, x):
        return where((x > -3) & (x < 3), g / 6, 0.0)


class Hardswish(Elementwise):
    """y = x · hardsigmoid(x); y' = 0 up to −3, x/3 + 1/2 up to 3, then 1"""

    saves = (0,)

    def forward(self, x):
        kind = x.dtype.type
        with quiet():
            return x * namespace(x).clip(x + kind(3), kind(0), kind(6)) / kind(6)

    def vjp(self, g, x):
        return where(x <= -3, 0.0, where(x < 3, g * (where(x < 3, x, 0.0) / 3 + 0.5), g))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else `value`, element by element; no gradient at the threshold itself.

    Any numbers: integers stay integers. RuntimeError for bools.

    >>> F.threshold(minipar.tensor([0.5, 1.0, 2.0]), 1.0, 20.0).tolist()
    [20.0, 20.0, 2.0]
    """
    if input.dtype.kind == "b":
        raise RuntimeError("threshold: input must hold numbers, not bool; convert it first: x.float()")
    return applied("threshold", input, inplace, Threshold(threshold, value))


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x held between min_val and max_val; no gradient passes at the two themselves. Integers stay integers.

    ValueError where min_val > max_val, RuntimeError for bools.

    >>> F.hardtanh(minipar.tensor([-2.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val must be at most max_val, got min_val={min_val} and max_val={max_val}")
    if input.dtype.kind == "b":
        raise RuntimeError("hardtanh: input must hold numbers, not bool; convert it first: x.float()")
    if input.dtype.kind == "u" and min_val < 0:
        raise RuntimeError(f"hardtanh: min_val must be 0 or more for {input.dtype.name}, not {min_val}")
    return applied("hardtanh", input, inplace, Hardtanh(min_val, max_val))


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(0, x), 6), element by element; no gradient passes at 0 and 6 themselves.

    >>> F.relu6(minipar.tensor([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """
    if input.dtype.kind == "b":
        raise RuntimeError("relu6: input must hold numbers, not bool; convert it first: x.float()")
    return applied("relu6", input, inplace, Hardtanh(0, 6))


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """0 up to −3, 1 from 3 on, x/6 + 1/2 between (Courbariaux et al. 2015). RuntimeError for integers.

    >>> F.hardsigmoid(minipar.tensor([-4.0, 0.0, 1.5])).tolist()
    [0.0, 0.5, 0.75]
    """
    check_dtypes("hardsigmoid", input)
    return applied("hardsigmoid", input, inplace, Hardsigmoid())


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x · hardsigmoid(x) (Howard et al. 2019, MobileNetV3). RuntimeError for integers.

    >>> F.hardswish(minipar.tensor([-4.0, 1.5, 4.0])).tolist()
    [-0.0, 1.125, 4.0]
    """
    check_dtypes("hardswish", input)
    return applied("hardswish", input, inplace, Hardswish())


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x, but 0 where |x| ≤ lambd, and no gradient there. RuntimeError for integers.

    >>> F.hardshrink(minipar.tensor([-1.0, 0.5, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    check_dtypes("hardshrink", input)
    return Hardshrink(lambd)(input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x − lambd above lambd, x + lambd below −lambd, else 0: soft thresholding.

    RuntimeError for integers and for a negative lambd.

    >>> F.softshrink(minipar.tensor([-1.0, 0.5, 2.0])).tolist()
    [-0.5, 0.0, 1.5]
    """
    check_dtypes("softshrink", input)
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd must be 0 or more, not {lambd}")
    return Softshrink(lambd)(input)


threshold_ = in_place_form(threshold)
hardtanh_ = in_place_form(hardtanh)
