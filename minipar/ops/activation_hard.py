"""Activations cut off at thresholds. Each passes its gradient where the input is inside, and 0 where it was cut."""

from __future__ import annotations

from typing import Any

from .accepts import needs_numbers
from .activation import Activation, applied, in_place_form
from .op import check_dtypes
from .select import where


class Threshold(Activation):
    """y = x above the threshold, else a given value"""

    __slots__ = ("threshold", "value", "numbers")
    saves = (0,)
    forward_kernel, gradient_kernel = "threshold", "threshold_gradient"

    def __init__(self, threshold, value):
        self.threshold, self.value = threshold, value
        self.numbers = float(threshold), float(value)

    def recorded(self, g, x):
        return where(x <= self.threshold, 0.0, g)


class Hardtanh(Activation):
    """y = x held between two numbers; unlike Clamp, no gradient passes at the bounds themselves, but it does at NaN."""

    __slots__ = ("low", "high", "numbers")
    saves = (0,)
    forward_kernel, gradient_kernel = "hardtanh", "hardtanh_gradient"

    def __init__(self, low, high):
        self.low, self.high = low, high
        self.numbers = float(low), float(high)

    def recorded(self, g, x):
        return where((x <= self.low) | (x >= self.high), 0.0, g)


class Hardshrink(Activation):
    """y = x, but 0 on [−λ, λ]"""

    __slots__ = ("width", "numbers")
    saves = (0,)
    forward_kernel, gradient_kernel = "hardshrink", "hardshrink_gradient"

    def __init__(self, width):
        self.width, self.numbers = width, (float(width),)

    def recorded(self, g, x):
        return where((x >= -self.width) & (x <= self.width), 0.0, g)


class Softshrink(Hardshrink):
    """y = x moved towards 0 by λ, but 0 on [−λ, λ]"""

    __slots__ = ()
    forward_kernel = "softshrink"


class Hardsigmoid(Activation):
    """y = x/6 + 1/2 held between 0 and 1; no gradient at ±3 and at NaN"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "hardsigmoid", "hardsigmoid_gradient"

    def recorded(self, g, x):
        return where((x > -3) & (x < 3), g / 6, 0.0)


class Hardswish(Activation):
    """y = x · hardsigmoid(x); y' = 0 up to −3, x/3 + 1/2 up to 3, then 1"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "hardswish", "hardswish_gradient"

    def recorded(self, g, x):
        return where(x <= -3, 0.0, where(x < 3, g * (where(x < 3, x, 0.0) / 3 + 0.5), g))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else `value`, element by element; no gradient at the threshold itself.

    Any numbers: integers stay integers. RuntimeError for bools.

    >>> F.threshold(minipar.tensor([0.5, 1.0, 2.0]), 1.0, 20.0).tolist()
    [20.0, 20.0, 2.0]
    """
    needs_numbers("threshold", input)
    return applied("threshold", input, inplace, Threshold(threshold, value))


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x held between min_val and max_val; no gradient passes at the two themselves. Integers stay integers.

    ValueError where min_val > max_val, RuntimeError for bools.

    >>> F.hardtanh(minipar.tensor([-2.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val must be at most max_val, got min_val={min_val} and max_val={max_val}")
    needs_numbers("hardtanh", input)
    if input.dtype.kind == "u" and min_val < 0:
        raise RuntimeError(f"hardtanh: min_val must be 0 or more for {input.dtype.name}, not {min_val}")
    return applied("hardtanh", input, inplace, Hardtanh(min_val, max_val))


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(0, x), 6), element by element; no gradient passes at 0 and 6 themselves.

    >>> F.relu6(minipar.tensor([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """
    needs_numbers("relu6", input)
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
