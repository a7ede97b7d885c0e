"""The error function and its relatives.

erf and erfc are W. J. Cody's rational approximations (Rational Chebyshev Approximations for the Error Function, Math.
Comp. 23, 1969, pp. 631-637): one for |x| ≤ 0.46875, where erf(x)/x is a function of x²; one up to 4 and one beyond,
where erfc falls like exp(-x²) and what multiplies it is smooth. Their error is below float64's rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import dtypes, namespace
from ..backend.dtypes import quiet
from .op import Elementwise

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


class Erf(Elementwise):
    """y = 2/√π ∫₀ˣ exp(-t²) dt; y' = 2/√π exp(-x²)"""

    saves = (0,)
    integers_become_floats = True

    def forward(self, x):
        return _in_float32_at_least(_erf, x)

    def vjp(self, g, x):
        return g * _bell(x)


class Erfc(Elementwise):
    """y = 1 - erf x, accurate also where it is tiny"""

    saves = (0,)
    integers_become_floats = True

    def forward(self, x):
        return _in_float32_at_least(_erfc, x)

    def vjp(self, g, x):
        return g * -_bell(x)


class ErfInv(Elementwise):
    """y where erf y = x; y' = √π/2 exp(y²)"""

    __slots__ = ()
    saves_output = True
    integers_become_floats = True

    def forward(self, x):
        return _in_float32_at_least(_erfinv, x)

    def vjp(self, g, y):
        from .exponential import exp

        return g * exp(y * y) * (math.sqrt(math.pi) / 2)


def erf(input: Any) -> Any:
    """The error function, 2/√π ∫₀ˣ exp(-t²) dt, element by element; integers give floats.

    Any shape, and the same shape out. Exact to a few units in the last place (W. J. Cody, Math. Comp. 23, 1969).

    >>> minipar.erf(minipar.tensor([-1.0, 0.5]))
    tensor([-0.8427,  0.5205])
    """
    return Erf()(input)


def erfc(input: Any) -> Any:
    """The complementary error function 1 - erf(x), accurate also where it is tiny; integers give floats.

    >>> minipar.erfc(minipar.tensor([0.5, 1.0]))
    tensor([0.4795, 0.1573])
    >>> minipar.erfc(minipar.tensor(10.0, dtype=minipar.float64)).item()  # doctest: +ELLIPSIS
    2.0884875837625...e-45
    """
    return Erfc()(input)


def erfinv(input: Any) -> Any:
    """The number whose error function is input: infinite at ±1, NaN beyond; integers give floats.

    Winitzki's closed form (A handy approximation for the error function and its inverse, 2008), right to 2 parts in
    1000, and three of Halley's steps, each of which triples the number of right digits.

    >>> minipar.erfinv(minipar.tensor([0.5, -0.2]))
    tensor([ 0.4769, -0.1791])
    """
    return ErfInv()(input)


def _in_float32_at_least(function: Any, x: Any) -> Any:
    """function(x), by CuPy's own function on a GPU; float16 by way of float32."""
    if namespace(x) is not np:
        import cupyx.scipy.special

        function = getattr(cupyx.scipy.special, function.__name__.removeprefix("_"))
    with quiet():
        return function(x.astype(dtypes.float32)).astype(x.dtype) if x.dtype == dtypes.float16 else function(x)


def _erf(x: np.ndarray) -> np.ndarray:
    size = np.clip(np.abs(x), _NEAR, _UNDERFLOW)
    # Beyond 4 the middle ratio is still right to 8 digits, and what it multiplies is below 1e-7: enough beside 1.
    return np.where(np.abs(x) <= _NEAR, _near(x), np.copysign(1 - _bell_curve(size) * _ratio(_MIDDLE_RATIO, size), x))


def _erfc(x: np.ndarray) -> np.ndarray:
    size = np.clip(np.abs(x), _NEAR, _UNDERFLOW)
    inverse = 1 / (size * size)
    far = (1 / math.sqrt(math.pi) - inverse * _ratio(_FAR_RATIO, inverse)) / size
    tail = _bell_curve(size) * np.where(size <= _FAR, _ratio(_MIDDLE_RATIO, size), far)
    return np.where(np.abs(x) <= _NEAR, 1 - _near(x), np.where(x < 0, 2 - tail, tail))


def _erfinv(x: np.ndarray) -> np.ndarray:
    size = np.abs(x.astype(np.float64))
    gap = 1 - size  # exact where size > ½, and there it is what erfc must become
    log = np.log(gap * (1 + size))
    a = 0.147
    half = 2 / (math.pi * a) + log / 2
    y = np.sqrt(np.sqrt(half * half - log / a) - half)
    for _ in range(3):
        error = np.where(size < 0.5, _erf(y) - size, gap - _erfc(y))
        newton = error * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - newton / (1 + y * newton)
    y = np.where(size == 1, np.inf, y)
    return np.copysign(y, x).astype(x.dtype)


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


def _bell(x: Any) -> Any:
    """The slope of erf, 2/√π exp(-x²)."""
    from .exponential import exp

    return exp(-(x * x)) * (2 / math.sqrt(math.pi))
