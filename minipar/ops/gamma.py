"""The gamma function's logarithm and the derivatives of that: lgamma, digamma, polygamma.

Near 1 and 2, where ln Γ is zero, it is a series in ζ(k) − 1 (Abramowitz & Stegun, Handbook of Mathematical Functions,
6.1.33); from there to 8 the recurrence Γ(x + 1) = x Γ(x); beyond that Stirling's series (6.1.40); below 0 Euler's
reflection (6.1.17). digamma: recurrence and its own Stirling series (6.3.5, 6.3.18). polygamma: Hurwitz' zeta function
(6.4.10) by Euler and Maclaurin's summation (DLMF 25.11.5). Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.dtypes import quiet
from .op import Elementwise

_EULER = 0.5772156649015329
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B₂, B₄, …
_FAR = 8.0  # from here on Stirling's series has float64's accuracy
_DIGAMMA_FAR = 10.0
_STEPS = 10  # how far Hurwitz' sum is taken term by term


def _zeta_minus_one(k: int) -> float:
    """ζ(k) − 1 for k ≥ 2: terms up to 511, and the rest by Euler and Maclaurin."""
    n = 512.0
    rest = n ** (1 - k) / (k - 1) + n**-k / 2 + k * n ** (-k - 1) / 12 - k * (k + 1) * (k + 2) * n ** (-k - 3) / 720
    return math.fsum([*[i**-k for i in range(2, 512)], rest])


@cache
def _series() -> tuple[float, ...]:
    """The coefficients of z², z³, … in ln Γ(2 + z)."""
    return tuple([(-1) ** k * _zeta_minus_one(k) / k for k in range(2, 30)])


class LogGamma(Elementwise):
    """y = ln |Γ(x)|; y' = ψ(x)"""

    saves = (0,)
    integers_become_floats = True

    def forward(self, x):
        return _in_float64("gammaln", _lgamma, x)

    def vjp(self, g, x):
        return g * digamma(x)


class Digamma(Elementwise):
    """y = ψ(x) = Γ'(x) / Γ(x); y' = ψ⁽¹⁾(x)"""

    saves = (0,)
    integers_become_floats = True

    def forward(self, x):
        return _in_float64("digamma", _digamma, x)

    def vjp(self, g, x):
        return g * Polygamma(1)(x)


class Polygamma(Elementwise):
    """y = ψ⁽ⁿ⁾(x), n ≥ 1; y' = ψ⁽ⁿ⁺¹⁾(x)"""

    __slots__ = ("n",)
    saves = (0,)
    integers_become_floats = True

    def __init__(self, n):
        self.n = n

    def forward(self, x):
        sign = -1.0 if self.n % 2 == 0 else 1.0
        return _in_float64(None, lambda x: sign * math.factorial(self.n) * _hurwitz(self.n + 1, x), x)

    def vjp(self, g, x):
        return g * Polygamma(self.n + 1)(x)


def lgamma(input: Any) -> Any:
    """ln |Γ(x)|, element by element: ∞ at 0, −1, −2, …; integers give floats. For whole n ≥ 1 it is ln (n − 1)!

    Exact to a few units in the last place for x > 0; the gradient is `digamma`.

    >>> minipar.lgamma(minipar.tensor([1.0, 5.0])).exp()
    tensor([ 1., 24.])
    """
    return LogGamma()(input)


def digamma(input: Any) -> Any:
    """ψ(x) = d ln Γ(x) / dx, element by element: NaN at −1, −2, …, ∓∞ at ±0; integers give floats.

    >>> minipar.digamma(minipar.tensor([1.0, 2.0]))  # −γ and 1 − γ, Euler's constant
    tensor([-0.5772,  0.4228])
    """
    return Digamma()(input)


def polygamma(n: int, input: Any) -> Any:
    """The n-th derivative of digamma, element by element; integers give floats. RuntimeError for a negative n.

    >>> minipar.polygamma(1, minipar.tensor(1.0))  # π²/6
    tensor(1.6449)
    """
    if n < 0:
        raise RuntimeError(f"polygamma: n must be 0 or more, not {n}")
    return Polygamma(n)(input) if n else digamma(input)


def mvlgamma(input: Any, p: int) -> Any:
    """ln of the multivariate gamma function of dimension p: p(p − 1)/4 · ln π + Σᵢ ln Γ(x − i/2), i = 0 … p − 1.

    RuntimeError for p below 1.

    >>> minipar.mvlgamma(minipar.tensor(3.0), 1)
    tensor(0.6931)
    """
    if p < 1:
        raise RuntimeError(f"mvlgamma: p must be 1 or more, not {p}")
    total = lgamma(input)
    for i in range(1, p):
        total = total + lgamma(input - i / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi)


def _in_float64(library: str | None, function: Callable[[Any], Any], x: Any) -> Any:
    """function(x), computed in float64; by CuPy's own on a GPU, where it has one (`library`)."""
    if library is not None and namespace(x) is not np:
        import cupyx.scipy.special

        function = getattr(cupyx.scipy.special, library)
    with quiet():
        return function(x.astype(np.float64)).astype(x.dtype)


def _lgamma(x: np.ndarray) -> np.ndarray:
    size = np.abs(x)
    below = np.where(x < 0.5, 1 - x, x)  # the reflection's other side
    found = np.where(below < _FAR, _near(np.clip(below, 0.5, _FAR)), _stirling(np.maximum(below, _FAR)))
    small = (x > 0) & (x < 0.5)
    found = np.where(small, _near(np.where(small, x, 0) + 1) - np.log(np.where(small, x, 1)), found)
    sine = np.abs(np.sin(math.pi * (x - np.round(x))))
    found = np.where(x < 0, math.log(math.pi) - np.log(sine) - found, found)
    return np.where(np.isinf(size) | ((x <= 0) & (x == np.floor(x))), np.inf, found)


def _near(x: np.ndarray) -> np.ndarray:
    """ln Γ of numbers in [½, 8]: down to z = x − 2 in [−½, ½] or z = x − 1, by the recurrence."""
    product = np.ones_like(x)
    for _ in range(6):
        large = x > 2.5
        x = np.where(large, x - 1, x)
        product = np.where(large, product * x, product)
    small = x < 1.5
    z = np.where(small, x - 1, x - 2)
    total = np.zeros_like(z)
    for c in reversed(_series()):
        total = total * z + c
    return z * (z * total + (1 - _EULER)) - np.where(small, np.log1p(z), 0) + np.log(product)


def _stirling(x: np.ndarray) -> np.ndarray:
    square = 1 / (x * x)
    total = np.zeros_like(x)
    for k in range(len(_BERNOULLI), 0, -1):
        total = total * square + _BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return (x - 0.5) * np.log(x) - x + (0.5 * math.log(2 * math.pi) + total / x)


def _digamma(x: np.ndarray) -> np.ndarray:
    turned = np.where(x < 0, 1 - x, x)
    near = np.minimum(turned, _DIGAMMA_FAR)
    shift = np.zeros_like(x)
    for _ in range(int(_DIGAMMA_FAR)):
        small = near < _DIGAMMA_FAR
        shift = np.where(small, shift + 1 / near, shift)
        near = np.where(small, near + 1, near)
    large = np.where(turned < _DIGAMMA_FAR, near, turned)
    square = 1 / (large * large)
    total = np.zeros_like(x)
    for k in range(len(_BERNOULLI), 0, -1):
        total = (total + _BERNOULLI[k - 1] / (2 * k)) * square
    found = np.log(large) - 0.5 / large - total - shift
    found = np.where(x < 0, found - math.pi / np.tan(math.pi * (x - np.round(x))), found)
    found = np.where((x < 0) & (x == np.floor(x)), np.nan, found)
    return np.where(x == 0, np.copysign(np.inf, -x), found)


def _hurwitz(s: int, x: Any) -> Any:
    """ζ(s, x) = Σ (x + k)⁻ˢ, k = 0, 1, …; ∞ at 0, −1, −2, …"""
    xp = namespace(x)
    pole = (x <= 0) & (x == xp.floor(x))
    x = xp.where(pole, 1.0, x)
    total = xp.where(pole, xp.inf, 0.0)
    least = float(xp.where(x < 0, x, 0).min()) if x.size else 0.0
    for _ in range(_STEPS + math.ceil(-least)):
        near = x < _STEPS
        total = xp.where(near, total + x ** float(-s), total)
        x = xp.where(near, x + 1, x)
    total = total + x ** float(1 - s) / (s - 1) + 0.5 * x ** float(-s)
    rising, power = float(s), x ** float(-s - 1)
    for k, b in enumerate(_BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * rising * power
        rising *= (s + 2 * k - 1) * (s + 2 * k)
        power = power / (x * x)
    return total
