"""Kinks, ties, poles, NaN and infinity of the elementwise functions, beside PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar
from tests.ops.test_op_kinks import ODD, same

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

nan, inf = math.nan, math.inf
FINITE = [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5, 40.0]
TIES = [-2.0, -0.0, 0.0, 1.0, 3.0, inf, -inf, nan]

ONE = {
    **{name: (lambda m, x, name=name: getattr(m, name)(x), ODD) for name in (
        "square", "reciprocal", "rsqrt", "exp2", "expm1", "log1p", "log2", "log10", "tan", "asin", "acos",
        "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "deg2rad", "erf", "erfc", "erfinv", "floor", "ceil",
        "trunc", "round", "nan_to_num")},
    "sin": (lambda m, x: m.sin(x), ODD),
    "logit": (lambda m, x: m.logit(x), [-0.5, 0.0, 0.5, 1.0, 1.5, inf, -inf, nan]),
    "sinc": (lambda m, x: m.sinc(x), [-1.5, -0.5, 0.0, 0.5, nan]),
    "frac": (lambda m, x: m.frac(x), FINITE),
    "erf far": (lambda m, x: m.erf(x) + m.erf(-x / 2), [0.46875, 0.5, 3.9, 4.1, 5.0, 6.1, 30.0, 1e-300, 1e300]),
    "erfc far": (lambda m, x: m.erfc(x), [-30.0, -4.1, 0.46875, 0.47, 3.9, 4.1, 9.0, 26.0, 30.0, 1e300]),
    "erfinv near 1": (lambda m, x: m.erfinv(x), [1 - 1e-3, 1 - 1e-9, 1e-16 - 1, 1e-300, -1e-8]),
    "logit eps": (lambda m, x: m.logit(x, eps=0.5), ODD),
    "x ** 3": (lambda m, x: x**3, ODD),
    "x ** -2": (lambda m, x: x**-2, ODD),
    "round half": (lambda m, x: m.round(x), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]),
    "round decimals": (lambda m, x: m.round(x, decimals=2), [0.125, 0.375, -1.005, 2.675, 1e300, inf, nan]),
    "round tens": (lambda m, x: m.round(x, decimals=-1), [5.0, 15.0, -25.0, 3.3]),
    "nan_to_num given": (lambda m, x: m.nan_to_num(x, 7.0, posinf=1.0, neginf=-1.0), ODD),
    "x // 0": (lambda m, x: m.div(x, m.zeros_like(x), rounding_mode="floor"), ODD),
    "x % 0": (lambda m, x: x % 0, ODD),
    "x % inf": (lambda m, x: x % inf, [-1.5, 0.0, 2.0]),
}  # fmt: skip

TWO = {
    "fmax": lambda m, a, b: m.fmax(a, b),
    "fmin": lambda m, a, b: m.fmin(a, b),
    "clamp_min": lambda m, a, b: m.clamp_min(a, b),
    "clamp_max": lambda m, a, b: m.clamp_max(a, b),
    "clamp both": lambda m, a, b: m.clamp(a, b, m.flip(b, (0,))),
    "xlogy": lambda m, a, b: m.xlogy(a, b),
    "copysign": lambda m, a, b: m.copysign(a, b),
    "atan2": lambda m, a, b: m.atan2(a, b),
}
PLAIN = {  # of finite numbers: of infinite ones PyTorch's gradient is NaN, or its convention is not C's
    "hypot": lambda m, a, b: m.hypot(a, b),
    "logaddexp": lambda m, a, b: m.logaddexp(a * 100, b),
    "logaddexp2": lambda m, a, b: m.logaddexp2(a * 100, b),
    "fmod": lambda m, a, b: m.fmod(a, b),
    "remainder": lambda m, a, b: m.remainder(a, b),
    "div trunc": lambda m, a, b: m.div(a, b, rounding_mode="trunc"),
    "div floor": lambda m, a, b: m.div(a, b, rounding_mode="floor"),
    "lerp": lambda m, a, b: m.lerp(a, b, 1.0),
    "lerp half": lambda m, a, b: m.lerp(a, b, m.tensor(0.5, dtype=m.float64)),
}


@pytest.mark.parametrize("name", ONE)
def test_of_one_operand(name: str) -> None:
    same(ONE[name][0], ONE[name][1], rtol=1e-11)


@pytest.mark.parametrize("name", [*TWO, *PLAIN])
def test_of_two_operands(name: str) -> None:
    numbers = TIES if name in TWO else FINITE
    pairs = [(a, b) for a in numbers for b in numbers]
    same(TWO.get(name) or PLAIN[name], [a for a, _ in pairs], [b for _, b in pairs])


@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv"])
def test_the_error_function_to_a_few_units_in_the_last_place(name: str) -> None:
    x = np.linspace(-0.999, 0.999, 2001) if name == "erfinv" else np.linspace(-6, 6, 2001)
    y = getattr(minipar, name)(minipar.from_numpy(x)).numpy()
    exact = getattr(torch, name)(torch.from_numpy(x)).numpy()
    assert (np.abs(y - exact) <= 8 * np.spacing(np.abs(exact))).all()


def test_heaviside_at_zero_and_nan() -> None:
    x = np.array(ODD)
    values = np.full_like(x, 0.25)
    y = minipar.heaviside(minipar.tensor(x), minipar.tensor(values))
    np.testing.assert_array_equal(y.numpy(), torch.heaviside(torch.tensor(x), torch.tensor(values)).numpy())


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit", "logical_not"])
def test_questions_of_odd_numbers(name: str) -> None:
    for dtype in ("float16", "float32", "float64"):
        x = np.array(ODD, dtype)
        y = getattr(minipar, name)(minipar.tensor(x))
        np.testing.assert_array_equal(y.numpy(), getattr(torch, name)(torch.tensor(x)).numpy())


def test_close_and_equal() -> None:
    a = [1.0, inf, -inf, nan, 1.0, 0.0]
    b = [1.0 + 1e-6, inf, inf, nan, 1.1, 1e-9]
    for equal_nan in (False, True):
        ours = minipar.isclose(minipar.tensor(a), minipar.tensor(b), equal_nan=equal_nan)
        theirs = torch.isclose(torch.tensor(a), torch.tensor(b), equal_nan=equal_nan)
        assert ours.tolist() == theirs.tolist()
    x = minipar.tensor([1.0, nan])
    assert minipar.allclose(x, x, equal_nan=True) is True
    assert minipar.allclose(x, x) is minipar.equal(x, x) is False
    assert minipar.equal(minipar.tensor([1, 2]), minipar.tensor([1.0, 2.0])) is True
    assert minipar.equal(minipar.ones(0), minipar.ones(0)) is True
    assert minipar.equal(minipar.ones(2), minipar.ones(2, 1)) is False


def test_where_with_the_condition_alone() -> None:
    for data in ([[0, 1], [2, 0]], [0.0, 3.0], True, False, []):
        ours, theirs = minipar.where(minipar.tensor(data)), torch.where(torch.tensor(data))
        assert [i.tolist() for i in ours] == [i.tolist() for i in theirs]
        assert all(i.dtype == minipar.int64 for i in ours)


def test_lerp_reaches_its_end() -> None:
    a, b = minipar.tensor([1e16, 0.1]), minipar.tensor([1.0, 0.3])
    assert minipar.lerp(a, b, 1.0).tolist() == b.tolist()


def test_the_second_derivative_of_logaddexp_where_one_side_is_all() -> None:
    a, b = (minipar.tensor([x], dtype=minipar.float64, requires_grad=True) for x in (0.0, 800.0))
    g = minipar.autograd.grad(minipar.logaddexp(a, b).sum(), [a, b], create_graph=True)
    second = minipar.autograd.grad((g[0] + g[1] * 2).sum(), [a, b])
    assert [h.tolist() for h in second] == [[0.0], [0.0]]


def test_logaddexp_shares() -> None:
    a, b = minipar.tensor([1.0], requires_grad=True), minipar.tensor([1.0], requires_grad=True)
    for f in (minipar.logaddexp, minipar.logaddexp2):
        assert [g.tolist() for g in minipar.autograd.grad(f(a, b).sum(), [a, b])] == [[0.5], [0.5]]
