"""Rows of the table: division, powers, roots, the transcendental functions, rounding, bounds."""

from __future__ import annotations

import math

import numpy as np

from tests.ops.case import Case, Shape, apart, broadcast, one, positive, real

ANY, PAIR, THREE = one(), broadcast(), broadcast(3)
WHOLE_INPUT = broadcast(3).filter(  # PyTorch fails where clamp's input is repeated, or a bound is empty
    lambda shapes: all(map(math.prod, shapes)) and shapes[0] == np.broadcast_shapes(*shapes)
)
SQUARE, SQUARES = ((3, 3), (3, 3)), ((3, 3), (3, 3), (3, 3))


def inside(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of (-0.9, 0.9), none within 0.05 of 0."""
    return np.asarray(draw.uniform(0.05, 0.9, shape) * draw.choice([-1.0, 1.0], shape))


def fraction(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of [0.1, 0.9)."""
    return np.asarray(draw.uniform(0.1, 0.9, shape))


def broken(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """A whole number and a part of [0.1, 0.4): away from where roundings jump."""
    return np.asarray(draw.integers(-4, 4, shape) + draw.uniform(0.1, 0.4, shape))


def whole(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Whole numbers of either sign, none 0."""
    return np.asarray(draw.integers(1, 4, shape) * draw.choice([-1.0, 1.0], shape))


def _floored(m, a, b):
    """floor_divide, for which PyTorch has no gradient (not even 0)."""
    return m.div(a, b, rounding_mode="floor")


def _of_a_number(m, x):
    """7.3 % x, for which PyTorch has no gradient where 7.3 is not a tensor."""
    return m.remainder(m.full_like(x, 7.3), x)


DIVISION = [
    Case("true_divide", lambda m, a, b: m.true_divide(a, b), SQUARE, PAIR, (real, apart)),
    Case("div floor", lambda m, a, b: m.div(a, b, rounding_mode="floor"), SQUARE, PAIR, (broken, positive)),
    Case("div trunc", lambda m, a, b: m.div(a, b, rounding_mode="trunc"), SQUARE, PAIR, (broken, positive)),
    Case("x // 1", lambda m, x: x // 1, shapes=ANY, values=broken, theirs=lambda m, x: _floored(m, x, 1)),
    Case("x // -2", lambda m, x: x // -2, shapes=ANY, values=broken, theirs=lambda m, x: _floored(m, x, -2)),
    Case(
        "3 // x",
        lambda m, x: 3.3 // x,
        shapes=ANY,
        values=broken,
        theirs=lambda m, x: _floored(m, m.full_like(x, 3.3), x),
    ),
    Case("remainder", lambda m, a, b: m.remainder(a, b), SQUARE, PAIR, (broken, whole)),
    Case("x % 2", lambda m, x: x % 2, shapes=ANY, values=broken),
    Case("x % -2", lambda m, x: x % -2, shapes=ANY, values=broken),
    Case(
        "7 % x",
        lambda m, x: 7.3 % x,
        shapes=ANY,
        values=positive,
        theirs=lambda m, x: m.remainder(m.full_like(x, 7.3), x),
    ),
    Case("fmod", lambda m, a, b: m.fmod(a, b), SQUARE, PAIR, (broken, whole)),
    Case("fmod number", lambda m, x: m.fmod(x, 2), shapes=ANY, values=broken),
]


SUMS = [
    Case("rsub", lambda m, a, b: m.rsub(a, b, alpha=2), SQUARE, PAIR),
    Case("add number alpha", lambda m, x: m.add(x, 2, alpha=0.5), shapes=ANY),
    Case("positive", lambda m, x: m.positive(x) * 1, shapes=ANY),
    Case("lerp", lambda m, a, b, w: m.lerp(a, b, w), SQUARES, THREE),
    Case("lerp number", lambda m, a, b: m.lerp(a, b, 0.3), SQUARE, PAIR),
    Case("lerp beyond", lambda m, a, b: a.lerp(b, weight=1.5), SQUARE, PAIR),
    Case("addcmul", lambda m, x, a, b: m.addcmul(x, a, b, value=0.5), SQUARES, THREE),
    Case("addcdiv", lambda m, x, a, b: m.addcdiv(x, a, b, value=0.5), SQUARES, THREE, (real, real, apart)),
]

POWERS = [
    Case("float_power", lambda m, x: m.float_power(x, 2.5).to(x.dtype), shapes=ANY, values=positive),
    Case("square", lambda m, x: m.square(x), shapes=ANY),
    Case("reciprocal", lambda m, x: m.reciprocal(x), shapes=ANY, values=apart),
    Case("rsqrt", lambda m, x: m.rsqrt(x), shapes=ANY, values=positive),
    Case("ldexp", lambda m, x: m.ldexp(x, m.tensor([3])), ((3, 3),), one(1)),
    Case("x ** -2.5", lambda m, x: x**-2.5, shapes=ANY, values=positive),
]

EXPONENTIALS = [
    Case("exp2", lambda m, x: m.exp2(x), shapes=ANY),
    Case("expm1", lambda m, x: m.expm1(x), shapes=ANY),
    Case("log1p", lambda m, x: m.log1p(x), shapes=ANY, values=positive),
    Case("log2", lambda m, x: m.log2(x), shapes=ANY, values=positive),
    Case("log10", lambda m, x: m.log10(x), shapes=ANY, values=positive),
    Case("logaddexp", lambda m, a, b: m.logaddexp(a, b), SQUARE, PAIR),
    Case("logaddexp2", lambda m, a, b: m.logaddexp2(a, b), SQUARE, PAIR),
    Case("xlogy", lambda m, a, b: m.xlogy(a, b), SQUARE, PAIR, (real, positive)),
    Case("xlogy numbers", lambda m, x: m.xlogy(x, 3.0) + m.xlogy(2.0, x), shapes=ANY, values=positive),
    Case("logit", lambda m, x: m.logit(x), shapes=ANY, values=fraction),
    Case("logit eps", lambda m, x: m.logit(x, eps=0.13), shapes=ANY, values=apart),
    Case("erfinv", lambda m, x: m.erfinv(x), shapes=ANY, values=inside),
]

ANGLES = [
    Case("tan", lambda m, x: m.tan(x), shapes=ANY, values=inside),
    Case("asin", lambda m, x: m.asin(x), shapes=ANY, values=inside),
    Case("acos", lambda m, x: m.acos(x), shapes=ANY, values=inside),
    Case("atan", lambda m, x: m.atan(x), shapes=ANY),
    Case("atan2", lambda m, a, b: m.atan2(a, b), SQUARE, PAIR, apart),
    Case("hypot", lambda m, a, b: m.hypot(a, b), SQUARE, PAIR, apart),
    Case("sinc", lambda m, x: m.sinc(x), shapes=ANY, values=inside),
    Case("deg2rad", lambda m, x: m.deg2rad(x), shapes=ANY),
    Case("rad2deg", lambda m, x: m.rad2deg(x), shapes=ANY),
    Case("sinh", lambda m, x: m.sinh(x), shapes=ANY),
    Case("cosh", lambda m, x: m.cosh(x), shapes=ANY),
    Case("asinh", lambda m, x: m.asinh(x), shapes=ANY),
    Case("acosh", lambda m, x: m.acosh(x + 1), shapes=ANY, values=positive),
    Case("atanh", lambda m, x: m.atanh(x), shapes=ANY, values=inside),
]

ROUNDING = [
    Case("floor", lambda m, x: m.floor(x), shapes=ANY, values=broken),
    Case("ceil", lambda m, x: m.ceil(x), shapes=ANY, values=broken),
    Case("trunc", lambda m, x: m.trunc(x), shapes=ANY, values=broken),
    Case("round", lambda m, x: m.round(x), shapes=ANY, values=broken),
    Case("round decimals", lambda m, x: m.round(x, decimals=1), shapes=ANY, values=real),
    Case("frac", lambda m, x: m.frac(x), shapes=ANY, values=broken),
    Case("copysign", lambda m, a, b: m.copysign(a, b), SQUARE, PAIR, apart),
    Case("copysign number", lambda m, x: m.copysign(x, -2.0), shapes=ANY, values=apart),
    Case(
        "heaviside",
        lambda m, a, b: m.heaviside(a, b.detach()) + 0 * (a + b),
        SQUARE,
        PAIR,
        apart,
        theirs=lambda m, a, b: m.heaviside(a.detach(), b.detach()) + 0 * (a + b),
    ),
    Case("nan_to_num", lambda m, x: m.nan_to_num(x), shapes=ANY),
]

BOUNDS = [
    Case("fmax", lambda m, a, b: m.fmax(a, b), SQUARE, PAIR, apart),
    Case("fmin", lambda m, a, b: m.fmin(a, b), SQUARE, PAIR, apart),
    Case("clamp tensors", lambda m, x, a, b: m.clamp(x, a, b), SQUARES, WHOLE_INPUT, apart),
    Case("clamp tensor and number", lambda m, x, a: m.clamp(x, a, m.tensor(0.65, dtype=x.dtype)), SQUARE, PAIR, apart),
    Case("clamp_min tensor", lambda m, x, a: m.clamp_min(x, a), SQUARE, PAIR, apart),
    Case("clamp_max tensor", lambda m, x, a: m.clamp_max(x, a), SQUARE, PAIR, apart),
    Case("clamp_min", lambda m, x: m.clamp_min(x, 0.39), shapes=ANY, values=apart),
    Case("clamp_max", lambda m, x: x.clamp_max(0.39), shapes=ANY, values=apart),
]

FUNCTIONS = DIVISION + SUMS + POWERS + EXPONENTIALS + ANGLES + ROUNDING + BOUNDS


def _of_integers(name: str):
    return lambda m, a, b: getattr(m, name)(a.long(), b.long())


# Without a gradient: (name, function on minipar and on torch alike), of two inputs.
QUESTIONS = [
    *[(name, lambda m, a, b, name=name: getattr(m, name)(a, b)) for name in (
        "eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater", "greater_equal",
        "logical_and", "logical_or", "logical_xor", "isclose")],
    *[(f"{name} of integers", _of_integers(name)) for name in (
        "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm")],
    *[(name, lambda m, a, b, name=name: getattr(m, name)(a / b)) for name in (
        "isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit")],
    *[(f"{name} of integers", lambda m, a, b, name=name: getattr(m, name)(a.long())) for name in (
        "isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit", "floor", "round", "bitwise_not")],
    ("where alone", lambda m, a, b: m.where(a > b)[1]),
    ("isclose of NaN", lambda m, a, b: m.isclose(a / b, b / a, equal_nan=True)),
    ("shifts", lambda m, a, b: (a.long() << 2) + (a.long() >> 1) + (1 << a.long().abs()) + (8 >> b.long().abs())),
    ("and, or, xor numbers", lambda m, a, b: ((a.long() & 3) | 4) ^ 1),
]  # fmt: skip
