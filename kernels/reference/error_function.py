"""The error function and its complement in NumPy.

W. J. Cody's rational approximations (Rational Chebyshev Approximations for the Error Function, Math. Comp. 23, 1969,
pp. 631-637): one for |x| ≤ 0.46875, where erf(x)/x is a function of x²; one up to 4 and one beyond, where erfc falls
like exp(-x²) and what multiplies it is smooth. Their error is below float64's rounding.
"""

import math
from collections.abc import Sequence

import numpy as np

_NEAR = 0.46875
_FAR = 4.0
_UNDERFLOW = 28.0  # erfc is 0 from here on, in float64 too

# Numerators and denominators, highest power first; every denominator's leading coefficient is 1.
_NEAR_RATIO = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_MIDDLE_RATIO = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
_FAR_RATIO = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346047, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip


def erf(x: np.ndarray) -> np.ndarray:
    size = np.clip(np.abs(x), _NEAR, _UNDERFLOW)
    # Beyond 4 the middle ratio is still right to 8 digits, and what it multiplies is below 1e-7: enough beside 1.
    return np.where(np.abs(x) <= _NEAR, _near(x), np.copysign(1 - _bell_curve(size) * _ratio(_MIDDLE_RATIO, size), x))


def erfc(x: np.ndarray) -> np.ndarray:
    size = np.clip(np.abs(x), _NEAR, _UNDERFLOW)
    inverse = 1 / (size * size)
    far = (1 / math.sqrt(math.pi) - inverse * _ratio(_FAR_RATIO, inverse)) / size
    tail = _bell_curve(size) * np.where(size <= _FAR, _ratio(_MIDDLE_RATIO, size), far)
    return np.where(np.abs(x) <= _NEAR, 1 - _near(x), np.where(x < 0, 2 - tail, tail))


def _near(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, -_NEAR, _NEAR)
    return x * _ratio(_NEAR_RATIO, x * x)


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: np.ndarray) -> np.ndarray:
    numerator, denominator = (_polynomial(c, x) for c in coefficients)
    return numerator / denominator


def _polynomial(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    """Σ cₖ xⁿ⁻ᵏ by Horner's rule."""
    total = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total *= x
        total += c
    return total


def _bell_curve(x: np.ndarray) -> np.ndarray:
    """exp(-x²) for x ≥ 0: x is split so that the square of its leading part is exact (Cody)."""
    lead = np.floor(x * 16) / 16
    return np.exp(-lead * lead) * np.exp(-(x - lead) * (x + lead))
