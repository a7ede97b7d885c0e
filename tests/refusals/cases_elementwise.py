"""Bad inputs of the elementwise functions: every public name, once at least."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.refusals.refusal import Refusal

OF_ONE = [
    "neg", "square", "sqrt", "rsqrt", "reciprocal", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10",
    "sigmoid", "logit", "sin", "cos", "tan", "asin", "acos", "atan", "sinc", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh", "erf", "erfc", "erfinv", "abs", "sign", "floor", "ceil", "trunc", "absolute", "negative",
    "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "sgn", "fix",
]  # fmt: skip
OF_TWO = [
    "add", "sub", "rsub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "xlogy", "logaddexp",
    "logaddexp2", "atan2", "hypot", "copysign", "maximum", "minimum", "fmax", "fmin", "eq", "ne", "lt", "le", "gt",
    "ge", "logical_and", "logical_or", "logical_xor", "multiply", "subtract", "divide", "true_divide", "arctan2",
    "not_equal", "less", "less_equal", "greater", "greater_equal", "ldexp", "clamp", "clip", "clamp_min",
    "clamp_max", "lerp", "addcmul", "addcdiv", "heaviside", "isclose", "float_power",
]  # fmt: skip
OF_BITS = [
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm",
]  # fmt: skip
OF_NUMBERS = [
    "neg", "positive", "abs", "floor", "ceil", "trunc", "round", "frac",
]  # fmt: skip


def refused(of: str, why: str, call: Callable[[Any], Any], *says: str, error: type[BaseException] = RuntimeError):
    return Refusal(of, why, call, error, says)


def _unequal_shapes(name: str) -> Refusal:
    more = {"lerp": 1, "addcmul": 1, "addcdiv": 1}.get(name, 0)
    return refused(
        name,
        "shapes that do not fit",
        lambda m: getattr(m, name)(m.ones(2, 3), m.ones(4), *[m.ones(4)] * more),
        r"\(2, 3\)",
        r"\(4,\)",
        "broadcast",
    )


ELEMENTWISE = [
    *[_unequal_shapes(name) for name in OF_TWO],
    *[
        refused(name, "no tensor", lambda m, name=name: getattr(m, name)("x"), "tensor", "str", error=TypeError)
        for name in OF_ONE
    ],
    *[
        refused(name, "bools", lambda m, name=name: getattr(m, name)(m.tensor([True])), "bool", error=error)
        for name in OF_NUMBERS
        for error in [RuntimeError if name in ("neg", "positive") else NotImplementedError]
    ],
    *[
        refused(
            name,
            "floats",
            lambda m, name=name: getattr(m, name)(m.ones(2), m.ones(2)),
            name.removeprefix("bitwise_"),
            "integer",
            "float32",
            error=NotImplementedError,
        )
        for name in OF_BITS
    ],
    refused(
        "bitwise_not", "floats", lambda m: m.bitwise_not(m.ones(2)), "integer", "float32", error=NotImplementedError
    ),
    refused("Tensor.__invert__", "floats", lambda m: ~m.ones(2), "~", "float32", error=TypeError),
    refused("sub", "bools", lambda m: m.tensor([True]) - 1, "bool", "logical_xor"),
    refused("add", "alpha of a wrong kind", lambda m: m.add(m.tensor([1]), 2, alpha=0.5), "alpha", "0.5", "integer"),
    refused("add", "a bool alpha", lambda m: m.add(m.ones(2), 2, alpha=True), "alpha", "True", "floating"),
    refused("add", "no number", lambda m: m.add(m.ones(2), "x"), "tensor", "str", error=TypeError),
    refused("div", "rounding_mode", lambda m: m.div(m.ones(2), 2, rounding_mode="up"), "rounding_mode", "up", "floor"),
    refused("div", "whole division by 0", lambda m: m.div(m.tensor([1]), 0, rounding_mode="trunc"), "ZeroDivision"),
    refused("floor_divide", "an integer by 0", lambda m: m.tensor([1]) // 0, "ZeroDivisionError", "floor_divide"),
    refused("remainder", "an integer by 0", lambda m: m.tensor([1]) % 0, "ZeroDivisionError", "remainder"),
    refused("fmod", "an integer by 0", lambda m: m.fmod(m.tensor([1]), 0), "ZeroDivisionError", "fmod"),
    refused("pow", "a negative exponent", lambda m: m.tensor([2]) ** -1, "-1", "integers", "float"),
    refused("pow", "an exponent out of range", lambda m: m.tensor([2]).to(m.uint8) ** 300, "300", "uint8"),
    refused("pow", "bools", lambda m: m.tensor([True]) ** m.tensor([True]), "bool", error=NotImplementedError),
    refused("lerp", "two dtypes", lambda m: m.lerp(m.ones(2), m.ones(2).double(), 0.5), "end", "float32", "float64"),
    refused(
        "lerp", "integers", lambda m: m.lerp(m.tensor([1]), m.tensor([2]), 0.5), "int64", error=NotImplementedError
    ),
    refused(
        "addcdiv", "integers", lambda m: m.addcdiv(m.ones(1), *[m.tensor([2])] * 2), "tensor1", "int64", "floating"
    ),
    refused("logaddexp", "integers", lambda m: m.logaddexp(*[m.tensor([2])] * 2), "int64", error=NotImplementedError),
    refused("logaddexp2", "integers", lambda m: m.logaddexp2(*[m.tensor([2])] * 2), "int64", error=NotImplementedError),
    refused("hypot", "integers", lambda m: m.hypot(*[m.tensor([2])] * 2), "int64", error=NotImplementedError),
    refused("frac", "integers", lambda m: m.frac(m.tensor([2])), "int64", "floating", error=NotImplementedError),
    refused("round", "decimals", lambda m: m.round(m.ones(2), decimals=0.5), "decimals", "0.5", error=TypeError),
    refused("round", "integers", lambda m: m.round(m.tensor([2]), decimals=1), "decimals", error=NotImplementedError),
    refused("heaviside", "two dtypes", lambda m: m.heaviside(m.ones(2), m.tensor(1)), "values", "float32", "int64"),
    refused("clamp", "no bound", lambda m: m.clamp(m.ones(2)), "min and max"),
    refused("clamp", "out of range", lambda m: m.tensor([2]).to(m.uint8).clamp(-1, 3), "min=-1", "uint8", "255"),
    refused("where", "a float condition", lambda m: m.where(m.ones(2), 1, 2), "condition", "bool", "float32"),
    refused("where", "one side", lambda m: m.where(m.ones(2) > 0, 1), "input", "other", error=TypeError),
    refused("where", "shapes", lambda m: m.where(m.ones(2) > 0, m.ones(3), 1), r"\(2,\)", r"\(3,\)", "broadcast"),
    refused("isclose", "two dtypes", lambda m: m.isclose(m.ones(2), m.ones(2).double()), "other", "float32", "float64"),
    refused("isclose", "rtol", lambda m: m.isclose(m.ones(2), m.ones(2), rtol=-1), "rtol", "-1"),
    refused("allclose", "atol", lambda m: m.allclose(m.ones(2), m.ones(2), atol=-1), "atol", "-1"),
    refused("is_nonzero", "several elements", lambda m: m.is_nonzero(m.ones(2)), r"\(2,\)", "one element"),
]
