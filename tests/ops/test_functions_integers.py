"""Integers and bools in the elementwise functions, beside PyTorch: dtypes, wrapping, whole division, refusals."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import minipar
from tests.ops.test_op_promotion import DTYPES, named

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

FLOATS = ["float16", "float32", "float64"]
ONE = [
    "neg", "positive", "square", "sqrt", "rsqrt", "reciprocal", "exp2", "expm1", "log1p", "log2", "log10", "logit",
    "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "sinc", "deg2rad", "rad2deg", "erf",
    "erfc", "erfinv", "abs", "sign", "sgn", "signbit", "floor", "ceil", "trunc", "round", "frac", "nan_to_num",
    "isnan", "isfinite", "logical_not", "bitwise_not",
]  # fmt: skip
TWO = [
    "add", "sub", "rsub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "float_power", "xlogy", "atan2",
    "copysign", "hypot", "logaddexp", "maximum", "minimum", "fmax", "fmin", "clamp_min", "clamp", "eq", "lt",
    "logical_and", "bitwise_and", "bitwise_xor", "bitwise_left_shift", "gcd", "lcm",
]  # fmt: skip


def agree(run, *arrays: np.ndarray) -> None:
    """Values and dtypes are PyTorch's; where it refuses, so do we. No NumPy warning."""
    try:
        expected = run(torch, *[torch.tensor(a) for a in arrays])
    except (RuntimeError, TypeError) as error:
        with pytest.raises(RuntimeError if isinstance(error, RuntimeError) else TypeError):
            run(minipar, *[minipar.tensor(a) for a in arrays])
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = run(minipar, *[minipar.tensor(a) for a in arrays])
    kinds = ", ".join(str(a.dtype) for a in arrays)
    assert (named(y.dtype), y.shape) == (named(expected.dtype), tuple(expected.shape)), kinds
    tolerance = 2e-3 if y.dtype == minipar.float16 else 2e-6
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance, err_msg=kinds)


@pytest.mark.parametrize("name", ONE)
def test_every_dtype(name: str) -> None:
    for dtype in DTYPES:
        agree(lambda m, x: getattr(m, name)(x), np.array([0, 1, 3]).astype(dtype))


@pytest.mark.parametrize("name", TWO)
def test_every_pair_of_dtypes(name: str) -> None:
    for a, b in itertools.product(DTYPES, DTYPES):
        agree(lambda m, x, y: getattr(m, name)(x, y), np.array([3, 1, 0]).astype(a), np.array([1, 2, 1]).astype(b))


@pytest.mark.parametrize("number", [True, 2, -1, 300, 2.5])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "eq", "lt", "ge"])
def test_every_dtype_with_a_number(name: str, number: float) -> None:
    for dtype in DTYPES:
        agree(lambda m, x: getattr(m, name)(x, number), np.array([0, 1, 100]).astype(dtype))


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: x * x * x,
        lambda m, x: x**3,
        lambda m, x: x + 100,
        lambda m, x: -x,
        lambda m, x: m.abs(x),
        lambda m, x: x << 3,
        lambda m, x: m.square(x),
        lambda m, x: x // -1,
        lambda m, x: x % 7,
        lambda m, x: x % -7,
        lambda m, x: x // -7,
        lambda m, x: 100 // x,
        lambda m, x: 100 % x,
        lambda m, x: m.fmod(x, -7),
        lambda m, x: m.div(x, -7, rounding_mode="trunc"),
        lambda m, x: m.div(x, 7, rounding_mode="floor"),
        lambda m, x: m.pow(x, m.tensor([-1, -2, -3, 2])),
        lambda m, x: m.pow(-1, x),
        lambda m, x: m.bitwise_left_shift(x, 70),
        lambda m, x: m.bitwise_right_shift(x, 70),
        lambda m, x: x >> 2,
        lambda m, x: 2 << (x & 3),
        lambda m, x: m.add(x, x, alpha=3),
        lambda m, x: m.addcmul(x, x, x, value=2),
        lambda m, x: m.where(x > 5, x, -1),
        lambda m, x: m.clamp(x, -1, 300),
        lambda m, x: m.clamp(x, 0.5, 2.5),
        lambda m, x: m.clamp(x, max=m.tensor(2.5)),
        lambda m, x: x**-1,
        lambda m, x: x**300,
        lambda m, x: x // 0,
        lambda m, x: x % m.tensor([1, 0, 1, 1]),
        lambda m, x: m.div(x, 0, rounding_mode="trunc"),
        lambda m, x: m.round(x, decimals=1),
        lambda m, x: m.lerp(x, x, 0.5),
        lambda m, x: m.addcdiv(x, x, x),
        lambda m, x: m.add(x, x, alpha=2.5),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int64"])
def test_integers_wrap_divide_and_refuse_as_in_pytorch(run, dtype: str) -> None:
    agree(run, np.array([1, 7, 127, -128]).astype(dtype))


def test_in_place_forms_of_operators() -> None:
    def run(m, x):
        x = x.clone()
        x //= 2
        x %= 5
        x **= 2
        x |= 8
        x &= 13
        x ^= 1
        x <<= 2
        x >>= 1
        return x

    for dtype in DTYPES[1:6]:
        agree(run, np.array([1, 7, 100]).astype(dtype))


def test_every_in_place_form_is_its_function() -> None:
    ran = 0
    x = np.array([0.5, 0.25])
    for name in dir(torch.Tensor):
        plain = name.removesuffix("_")
        if name.endswith("_") and not name.startswith("_") and plain in (*ONE, *TWO) and hasattr(minipar.Tensor, name):
            if plain in ("bitwise_not", "bitwise_and", "bitwise_xor", "bitwise_left_shift", "gcd", "lcm"):
                a, others = minipar.tensor([6, 5]), [minipar.tensor([3, 3])]
            else:
                a, others = minipar.tensor(x), [minipar.tensor([2.0, 3.0])]
            others = others[: 1 if plain in TWO else 0]
            expected = getattr(minipar, plain)(a, *others)
            assert getattr(a, name)(*others) is a
            np.testing.assert_array_equal(a.numpy(), expected.numpy().astype(a.dtype), name)
            ran += 1
    assert ran >= 60
    missing = {name for name in (*ONE, *TWO) if hasattr(torch.Tensor, f"{name}_")} - {
        name for name in (*ONE, *TWO) if hasattr(minipar.Tensor, f"{name}_")
    }
    assert missing == set()


def test_numbers_out_of_every_floats_range_are_infinite() -> None:
    for dtype, number in itertools.product(FLOATS, [70000.0, 1e300, -1e300]):
        agree(lambda m, x: x + number, np.zeros(2, dtype))  # noqa: B023


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float32"])
def test_products_and_means_keep_their_dtype(dtype: str) -> None:
    matrices, vector = np.ones((2, 3, 3), dtype), np.array([1, 0, 1], dtype)
    if dtype != "bool":
        agree(lambda m, c, b: m.addbmm(c, b, b, beta=3, alpha=2), np.ones((3, 3), dtype), matrices)
        agree(lambda m, a, b: m.tensordot(a, b, ([0, 1], [2, 0])), np.ones((1, 1, 1), dtype), matrices[:, :1, :2])
        agree(lambda m, x: x.scatter_reduce(0, m.tensor([0, 0, 2]), x, "mean"), vector)
    agree(lambda m, c, v: m.addr(c, v, v, beta=3, alpha=2), matrices[0], vector)


def test_layout_of_flat_tensors() -> None:
    x = minipar.arange(10)[::2]
    assert x.ravel().is_contiguous()
    assert x.ravel().tolist() == [0, 2, 4, 6, 8]
    assert x.flatten() is x
    assert minipar.tensor(2.0).mT.shape == ()
