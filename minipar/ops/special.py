"""The error function and its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import dtypes, namespace
from ..backend.dtypes import quiet
from ..kernels.reference import error_function
from .op import Elementwise


class Erf(Elementwise):
    """y = 2/√π ∫₀ˣ exp(-t²) dt; y' = 2/√π exp(-x²)"""

    saves = (0,)
    integers_become_floats = True

    def forward(self, x):
        return _in_float32_at_least(error_function.erf, x)

    def vjp(self, g, x):
        return g * _bell(x)


class Erfc(Elementwise):
    """y = 1 - erf x, accurate also where it is tiny"""

    saves = (0,)
    integers_become_floats = True

    def forward(self, x):
        return _in_float32_at_least(error_function.erfc, x)

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


def _erfinv(x: np.ndarray) -> np.ndarray:
    size = np.abs(x.astype(np.float64))
    gap = 1 - size  # exact where size > ½, and there it is what erfc must become
    log = np.log(gap * (1 + size))
    a = 0.147
    half = 2 / (math.pi * a) + log / 2
    y = np.sqrt(np.sqrt(half * half - log / a) - half)
    for _ in range(3):
        error = np.where(size < 0.5, error_function.erf(y) - size, gap - error_function.erfc(y))
        newton = error * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - newton / (1 + y * newton)
    y = np.where(size == 1, np.inf, y)
    return np.copysign(y, x).astype(x.dtype)


def _bell(x: Any) -> Any:
    """The slope of erf, 2/√π exp(-x²)."""
    from .exponential import exp

    return exp(-(x * x)) * (2 / math.sqrt(math.pi))
