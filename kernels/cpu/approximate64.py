"""exp, expm1, log, tanh and sigmoid of float64 that LLVM turns into vector code, as `approximate` has them for float32.

| exp64 | expm1_64 | log64 | log1p_64 | tanh64 | sigmoid64 |
|-------|----------|-------|----------|--------|-----------|
| 1.03  | 2.06     | 0.80  | 1.20     | 2.49   | 1.34      |

are the largest errors found, in units of the last place. The polynomials are minimax fits (Remez, in 60 digits).
"""

import numpy as np
from numba import njit

f64, i64 = np.float64, np.int64

inlined = njit(error_model="numpy", fastmath={"contract"})  # see `approximate`

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # the first has 32 bits: n times it is exact
ROUND = 1.5 * 2.0**52  # a float64 this large has no digits behind the point: adding it rounds to an integer
ROUND_BITS = i64(0x4338000000000000)
SQRT_HALF_BITS = i64(0x3FE6A09E667F3BCD)
SIGN = i64(-(2**63))
SMALLEST_NORMAL = 2.0**-1022


@inlined
def _bits_of(x):
    return f64(x).view(i64)


@inlined
def _float_of(bits):
    return i64(bits).view(f64)


@inlined
def _power_of_two(n):
    """2ⁿ for -1022 <= n <= 1023: an exponent field and nothing else."""
    return _float_of((n + i64(1023)) << i64(52))


@inlined
def _reduced_expm1(x):
    """(n, eʳ - 1) with x = n ln 2 + r and |r| <= ln 2 / 2, for |x| < 2¹⁹."""
    rounded = x * LOG2_E + ROUND
    n = _bits_of(rounded) - ROUND_BITS
    whole = rounded - ROUND
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    p = 2.5000056708160523e-08
    p = p * r + 2.7630247990155085e-07
    p = p * r + 2.755758638843295e-06
    p = p * r + 2.480149310007098e-05
    p = p * r + 0.0001984126950656571
    p = p * r + 0.0013888888943628945
    p = p * r + 0.008333333333494465
    p = p * r + 0.04166666666653016
    p = p * r + 0.16666666666666413
    p = p * r + 0.5000000000000011
    return n, p * (r * r) + r


@inlined
def exp64(x):
    x = 710.0 if x > 710.0 else x  # e⁷¹⁰ is inf, and
    x = -746.0 if x < -746.0 else x  # e⁻⁷⁴⁶ is 0
    n, part = _reduced_expm1(x)
    half = n >> i64(1)
    return (1.0 + part) * _power_of_two(half) * _power_of_two(n - half)


@inlined
def expm1_64(x):
    x = 710.0 if x > 710.0 else x
    x = -40.0 if x < -40.0 else x
    n, part = _reduced_expm1(x)
    half = n >> i64(1)
    # 2ⁿ part + 2ⁿ - 1, where 2ⁿ may be too large
    scale = _power_of_two(half)
    return (part * scale + (scale - _power_of_two(half - n))) * _power_of_two(n - half)


@inlined
def _log_of_normal(bits, shift):
    """log(2⁻ˢʰⁱᶠᵗ x) of a positive normal number x, by its bits."""
    # x = 2ⁿ (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and log(1 + f) = 2 artanh(s)
    n = (bits - SQRT_HALF_BITS) >> i64(52)
    f = _float_of(bits - (n << i64(52))) - 1.0
    exponent = f64(n) - shift
    s = f / (2.0 + f)
    u = s * s
    p = 0.1479626111402706
    p = p * u + 0.1531402117019004
    p = p * u + 0.18183565402874022
    p = p * u + 0.22222198553931347
    p = p * u + 0.2857142874255989
    p = p * u + 0.39999999999413977
    p = p * u + 0.6666666666666734
    half_square = 0.5 * (f * f)
    small = s * (half_square + p * u) + exponent * LN2_LOW
    return (f - (half_square - small)) + exponent * LN2_HIGH


@inlined
def log64(x):
    subnormal = x < SMALLEST_NORMAL
    y = _log_of_normal(_bits_of(x * 2.0**54 if subnormal else x), 54.0 if subnormal else 0.0)
    y = y if x < np.inf else x  # inf, or NaN
    y = -np.inf if x == 0.0 else y
    return np.nan if x < 0.0 else y


@inlined
def log1p_64(x):
    """log(1 + x) for 0 <= x < inf: the logarithm of the rounded sum, and what its rounding took away."""
    total = 1.0 + x
    return _log_of_normal(_bits_of(total), 0.0) + (x - (total - 1.0)) / total


@inlined
def tanh64(x):
    power = expm1_64(-2.0 * abs(x))
    return _float_of((_bits_of(power / (2.0 + power)) & ~SIGN) | (_bits_of(x) & SIGN))


@inlined
def sigmoid64(x):
    """See `sigmoid32`."""
    size = -abs(x)
    n, part = _reduced_expm1(-746.0 if size < -746.0 else size)
    half = n >> i64(1)
    low, high = _power_of_two(half), _power_of_two(n - half)
    power = 1.0 + part
    total = 1.0 + power * (low * high)
    lost_of_power = part - (power - 1.0)
    lost_of_total = (power * (low * high) - (total - 1.0)) + lost_of_power * (low * high)
    y = power / total
    y = (y + (lost_of_power - y * lost_of_total) * (1.0 - y * (low * high))) * low * high
    return y if x < 0.0 else 1.0 - y
