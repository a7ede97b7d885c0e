"""Activations and their gradients, element by element: x is the input, y the output, g the gradient of the output."""

import math
from typing import Any

import numpy as np

from . import error_function
from .namespace import array_namespace

Array = Any


def relu_gradient(g: Array, y: Array) -> Array:
    """g where y is above 0 (or NaN), else 0."""
    return array_namespace(y).where(y <= 0, g.dtype.type(0), g)


def gelu(x: Array) -> Array:
    """x Φ(x), Φ the distribution function of the standard normal."""
    with np.errstate(all="ignore"):
        return x * _normal_cdf(x)


def gelu_gradient(g: Array, x: Array) -> Array:
    """g (Φ(x) + x φ(x)), φ the density of the standard normal."""
    with np.errstate(all="ignore"):
        density = array_namespace(x).exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return g * (_normal_cdf(x) + x * density)


def tanh_gelu(x: Array) -> Array:
    """x/2 (1 + tanh u), u = √(2/π) (x + 0.044715 x³)"""
    with np.errstate(all="ignore"):
        return x * 0.5 * (1.0 + array_namespace(x).tanh(_gelu_argument(x)))


def tanh_gelu_gradient(g: Array, x: Array) -> Array:
    """Of `tanh_gelu`."""
    with np.errstate(all="ignore"):
        bend = array_namespace(x).tanh(_gelu_argument(x))
        slope = math.sqrt(2 / math.pi) * (1.0 + 3 * 0.044715 * (x * x))
        return g * (0.5 * (1.0 + bend) + 0.5 * x * (1.0 - bend * bend) * slope)


def silu(x: Array) -> Array:
    """x σ(x), σ the logistic function."""
    with np.errstate(all="ignore"):
        return x * (1.0 / (1.0 + array_namespace(x).exp(-x)))


def silu_gradient(g: Array, x: Array) -> Array:
    """g σ (1 + x (1 − σ))"""
    with np.errstate(all="ignore"):
        gate = 1.0 / (1.0 + array_namespace(x).exp(-x))
        return g * gate * (1.0 + x * (1.0 - gate))


def _normal_cdf(x: Array) -> Array:
    scaled = x * (1 / math.sqrt(2))
    if not isinstance(x, np.ndarray):
        from cupyx.scipy import special

        return 0.5 * (1.0 + special.erf(scaled).astype(x.dtype, copy=False))  # of float16 it may be wider
    wide = scaled.astype(np.float32) if x.dtype == np.float16 else scaled
    return 0.5 * (1.0 + error_function.erf(wide).astype(x.dtype, copy=False))


def _gelu_argument(x: Array) -> Array:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
