"""exp, log, tanh, sigmoid and erf that LLVM turns into vector code, for loops inside compiled kernels: of float32.

A plain Numba installation calls the scalar functions of the C library, one element after the other. These are made of
additions, multiplications, selections and shifts alone, so a loop over them runs on a whole register at a time: split
the argument where the function is simple to scale (x = n ln 2 + r for exp), then a polynomial, whose coefficients are
minimax fits rounded to float32 (Muller, Elementary Functions, 3rd ed., ch. 3 and 11; Cody & Waite 1980).

Largest errors, in units of the last place (every seventh of all 2³² arguments; the tests take fewer):

| exp32 | expm1_32 | log32 | log1p_32 | tanh32 | sigmoid32 | erf32 |
|-------|----------|-------|----------|--------|-----------|-------|
| 1.01  | 1.43     | 0.79  | 1.23     | 1.34   | 1.42      | 1.09  |

Zeros (with their sign, but of expm1), infinities and subnormal numbers are served as the C library does, and a NaN
stays one. log1p serves 0 <= x < inf.
`exp`, `expm1`, `log`, `log1p`, `tanh` and `sigmoid` are these for a float32 and those of `approximate64` for a float64
(`erf` the C library's): write a kernel once, over them, for both.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from .approximate64 import exp64, expm1_64, log1p_64, log64, sigmoid64, tanh64

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
def _reduced_expm1(x):
    """(n, eʳ - 1) with x = n ln 2 + r and |r| <= ln 2 / 2, for |x| < 2²¹."""
    rounded = x * LOG2_E + ROUND
    n = i32(_bits_of(rounded) - ROUND_BITS)
    whole = rounded - ROUND
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    p = f32(1.3819392e-3)
    p = p * r + f32(8.368893e-3)
    p = p * r + f32(4.166829e-2)
    p = p * r + f32(1.666652e-1)
    p = p * r + f32(4.9999994e-1)
    return n, p * (r * r) + r


@inlined
def exp32(x):
    x = f32(89) if x > f32(89) else x  # e⁸⁹ is inf in float32, and
    x = f32(-104) if x < f32(-104) else x  # e⁻¹⁰⁴ is 0
    n, part = _reduced_expm1(x)
    half = i32(n >> i32(1))
    # In two steps: 2ⁿ alone may be too large or too small for a float32 where the result is not.
    return (f32(1) + part) * _power_of_two(half) * _power_of_two(i32(n - half))


@inlined
def expm1_32(x):
    x = f32(89) if x > f32(89) else x
    x = f32(-20) if x < f32(-20) else x
    n, part = _reduced_expm1(x)
    half = i32(n >> i32(1))
    rest = i32(n - half)
    # 2ⁿ part + 2ⁿ - 1, where 2ⁿ may be too large
    scale = _power_of_two(half)
    return (part * scale + (scale - _power_of_two(i32(-rest)))) * _power_of_two(rest)


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
    n, part = _reduced_expm1(f32(2) * (f32(10) if size > f32(10) else size))
    far = f32(1) - f32(2) / ((f32(1) + part) * _power_of_two(n) + f32(1))
    return _either(size < f32(0.6), near, -far if x < f32(0) else far)


@inlined
def sigmoid32(x):
    """e⁻ᵃ / (1 + e⁻ᵃ) with a = |x|, or 1 minus that: nothing overflows, and small results keep their digits.

    What was lost where e⁻ᵃ and the sum were rounded is known exactly (Dekker 1971), and moves the quotient by its
    derivative. 2ⁿ comes last, as in exp32: the quotient alone is about 1.
    """
    size = -abs(x)
    n, part = _reduced_expm1(f32(-104) if size < f32(-104) else size)
    half = i32(n >> i32(1))
    low, high = _power_of_two(half), _power_of_two(i32(n - half))
    power = f32(1) + part
    total = f32(1) + power * (low * high)
    lost_of_power = part - (power - f32(1))
    lost_of_total = (power * (low * high) - (total - f32(1))) + lost_of_power * (low * high)
    y = power / total
    y = (y + (lost_of_power - y * lost_of_total) * (f32(1) - y * (low * high))) * low * high
    return y if x < f32(0) else f32(1) - y


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
    n, part = _reduced_expm1(-(q + t))
    far = f32(1) - (f32(1) + part) * _power_of_two(n)
    return _either(size < f32(0.93), near, -far if x < f32(0) else far)


@inlined
def _log_of_normal(bits, shift):
    """log(2⁻ˢʰⁱᶠᵗ x) of a positive normal number x, by its bits."""
    # x = 2ⁿ (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2)
    n = i32(i32(bits - SQRT_HALF_BITS) >> i32(23))
    f = _float_of(bits - i32(n << i32(23))) - f32(1)
    exponent = f32(n) - shift
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
    return (f + small) + exponent * LN2_HIGH


@inlined
def log32(x):
    subnormal = x < SMALLEST_NORMAL
    bits = _bits_of(x * f32(2**23) if subnormal else x)
    y = _log_of_normal(bits, f32(23) if subnormal else f32(0))
    y = y if x < INFINITY else x  # inf, or NaN
    y = -INFINITY if x == f32(0) else y
    return NOT_A_NUMBER if x < f32(0) else y


@inlined
def log1p_32(x):
    """log(1 + x) for 0 <= x < inf: the logarithm of the rounded sum, and what its rounding took away."""
    total = f32(1) + x
    return _log_of_normal(_bits_of(total), f32(0)) + (x - (total - f32(1))) / total


# ── one name for both dtypes ──────────────────────────────────────────────────────────────────────────────────────


def exp(x):
    return math.exp(x)


def expm1(x):
    return math.expm1(x)


def log(x):
    return math.log(x)


def log1p(x):
    return math.log1p(x)


def tanh(x):
    return math.tanh(x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def erf(x):
    return math.erf(x)


def _for_both(function, of_float32, of_float64):
    """Inside compiled kernels, let a function be the first for a float32 and the second for a float64."""

    @overload(function, jit_options=_options)
    def chosen(x):
        return (lambda x: of_float32(x)) if x == types.float32 else lambda x: of_float64(x)


_for_both(exp, exp32, exp64)
_for_both(expm1, expm1_32, expm1_64)
_for_both(log, log32, log64)
_for_both(log1p, log1p_32, log1p_64)
_for_both(tanh, tanh32, tanh64)
_for_both(sigmoid, sigmoid32, sigmoid64)
_for_both(erf, erf32, math.erf)
