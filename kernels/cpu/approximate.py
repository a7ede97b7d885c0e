"""exp, log, tanh, sigmoid and erf that LLVM turns into vector code: for loops over float32 inside compiled kernels.

A plain Numba installation calls the scalar functions of the C library, one element after the other. These are made of
additions, multiplications, selections and shifts alone, so a loop over them runs on a whole register at a time: split
the argument where the function is simple to scale (x = n ln 2 + r for exp), then a polynomial, whose coefficients are
minimax fits rounded to float32 (Muller, Elementary Functions, 3rd ed., ch. 3 and 11; Cody & Waite 1980).

Largest errors, in units of the last place (every seventh of all 2³² arguments; the tests take fewer):

| exp32 | log32 | tanh32 | sigmoid32 | erf32 |
|-------|-------|--------|-----------|-------|
| 1.01  | 0.79  | 1.34   | 2.35      | 1.09  |

Zeros (with their sign), infinities and subnormal numbers are served as the C library does, and a NaN stays one.
`exp`, `log`, `tanh`, `sigmoid` and `erf` are these for a float32 and the C library's for a float64: write a kernel
once, over them, for both.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

f32, i32 = np.float32, np.int32

# "contract": a * b + c may become one fused instruction. No other liberty: the order of the operations matters here.
_options = {"error_model": "numpy", "fastmath": {"contract"}}
inlined = njit(**_options)

LOG2_E = f32(1.44269504)
LN2_HIGH, LN2_LOW = f32(0.693359375), f32(-2.12194440e-4)  # the first has 10 bits: n times it is exact
ROUND = f32(1.5 * 2**23)  # a float32 this large has no digits behind the point: adding it rounds to an integer
ROUND_BITS = i32(0x4B400000)
SQRT_HALF_BITS = i32(0x3F3504F3)
SMALLEST_NORMAL = f32(2.0**-126)
INFINITY, NOT_A_NUMBER = f32(np.inf), f32(np.nan)


@inlined
def _bits_of(x):
    return f32(x).view(i32)


@inlined
def _float_of(bits):
    return i32(bits).view(f32)


@inlined
def _either(condition, a, b):
    """a where the condition holds, else b: both are there, so by their bits. (For a branch LLVM gives up vectors.)"""
    mask = i32(-i32(condition))
    return _float_of((_bits_of(a) & mask) | (_bits_of(b) & i32(~mask)))


@inlined
def _power_of_two(n):
    """2ⁿ for -126 <= n <= 127: an exponent field and nothing else."""
    return _float_of(i32(n + i32(127)) << i32(23))


@inlined
def _reduced_exp(x):
    """(n, eʳ) with x = n ln 2 + r and |r| <= ln 2 / 2, for |x| < 2²¹."""
    rounded = x * LOG2_E + ROUND
    n = i32(_bits_of(rounded) - ROUND_BITS)
    whole = rounded - ROUND
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    p = f32(1.3819392e-3)
    p = p * r + f32(8.368893e-3)
    p = p * r + f32(4.166829e-2)
    p = p * r + f32(1.666652e-1)
    p = p * r + f32(4.9999994e-1)
    return n, p * (r * r) + r + f32(1)


@inlined
def exp32(x):
    x = f32(89) if x > f32(89) else x  # e⁸⁹ is inf in float32, and
    x = f32(-104) if x < f32(-104) else x  # e⁻¹⁰⁴ is 0
    n, power = _reduced_exp(x)
    half = i32(n >> i32(1))
    # In two steps: 2ⁿ alone may be too large or too small for a float32 where the result is not.
    return power * _power_of_two(half) * _power_of_two(i32(n - half))


@inlined
def tanh32(x):
    size = abs(x)
    # Near 0, x (1 + x² p(x²)): there 1 - 2 / (e²ˣ + 1) would lose digits.
    u = x * x
    p = f32(-5.8979667e-3)
    p = p * u + f32(2.0798625e-2)
    p = p * u + f32(-5.3784717e-2)
    p = p * u + f32(1.3331936e-1)
    p = p * u + f32(-3.33333e-1)
    near = (p * u + f32(1)) * x
    n, power = _reduced_exp(f32(2) * (f32(10) if size > f32(10) else size))
    far = f32(1) - f32(2) / (power * _power_of_two(n) + f32(1))
    return _either(size < f32(0.6), near, -far if x < f32(0) else far)


@inlined
def sigmoid32(x):
    power = exp32(-abs(x))  # at most 1: nothing overflows, and small results keep their digits
    return (power if x < f32(0) else f32(1)) / (f32(1) + power)


@inlined
def erf32(x):
    size = abs(x)
    u = x * x
    p = f32(7.99665e-5)
    p = p * u + f32(-8.0497697e-4)
    p = p * u + f32(5.192405e-3)
    p = p * u + f32(-2.6855731e-2)
    p = p * u + f32(1.1283626e-1)
    p = p * u + f32(-3.761263e-1)
    p = p * u + f32(1.2837917e-1)
    near = p * x + x
    t = f32(4) if size > f32(4) else size  # erf(4) is 1 in float32
    q = f32(2.1222844e-5)  # -log(1 - erf(t)) - t
    q = q * t + f32(-4.3591767e-4)
    q = q * t + f32(4.1780127e-3)
    q = q * t + f32(-2.513748e-2)
    q = q * t + f32(1.08307645e-1)
    q = q * t + f32(6.333222e-1)
    q = q * t + f32(1.2952702e-1)
    q = q * t + f32(-1.7716913e-4)
    n, power = _reduced_exp(-(q + t))
    far = f32(1) - power * _power_of_two(n)
    return _either(size < f32(0.93), near, -far if x < f32(0) else far)


@inlined
def log32(x):
    subnormal = x < SMALLEST_NORMAL
    bits = _bits_of(x * f32(2**23) if subnormal else x)
    # x = 2ⁿ (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2)
    n = i32(i32(bits - SQRT_HALF_BITS) >> i32(23))
    f = _float_of(bits - i32(n << i32(23))) - f32(1)
    exponent = f32(n) - (f32(23) if subnormal else f32(0))
    p = f32(6.749269e-2)
    p = p * f + f32(-1.16700985e-1)
    p = p * f + f32(1.1883549e-1)
    p = p * f + f32(-1.2406234e-1)
    p = p * f + f32(1.4220358e-1)
    p = p * f + f32(-1.6667989e-1)
    p = p * f + f32(2.0002072e-1)
    p = p * f + f32(-2.500001e-1)
    p = p * f + f32(3.3333313e-1)
    square = f * f
    small = p * f * square + exponent * LN2_LOW - f32(0.5) * square
    y = (f + small) + exponent * LN2_HIGH
    y = y if x < INFINITY else x  # inf, or NaN
    y = -INFINITY if x == f32(0) else y
    return NOT_A_NUMBER if x < f32(0) else y


# ── one name for both dtypes ──────────────────────────────────────────────────────────────────────────────────────


def exp(x):
    return math.exp(x)


def log(x):
    return math.log(x)


def tanh(x):
    return math.tanh(x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def erf(x):
    return math.erf(x)


@overload(exp, jit_options=_options)
def _exp(x):
    return (lambda x: exp32(x)) if x == types.float32 else exp


@overload(log, jit_options=_options)
def _log(x):
    return (lambda x: log32(x)) if x == types.float32 else log


@overload(tanh, jit_options=_options)
def _tanh(x):
    return (lambda x: tanh32(x)) if x == types.float32 else tanh


@overload(sigmoid, jit_options=_options)
def _sigmoid(x):
    return (lambda x: sigmoid32(x)) if x == types.float32 else sigmoid


@overload(erf, jit_options=_options)
def _erf(x):
    return (lambda x: erf32(x)) if x == types.float32 else erf
