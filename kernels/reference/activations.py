"""Activations and their gradients, element by element: x is the input, y the output, g the gradient of the output."""

import math
from typing import Any

import numpy as np

from . import error_function
from .namespace import array_namespace

Array = Any


def relu(x: Array) -> Array:
    """max(x, 0), of any numbers."""
    return array_namespace(x).maximum(x, x.dtype.type(0))


def relu_gradient(g: Array, y: Array) -> Array:
    """g where y is above 0 (or NaN), else 0."""
    return array_namespace(y).where(y <= 0, g.dtype.type(0), g)


def leaky_relu(x: Array, slope: float) -> Array:
    """x above 0, slope · x at 0 and below."""
    return array_namespace(x).where(x > 0, x, x * x.dtype.type(slope))


def leaky_relu_gradient(g: Array, x: Array, slope: float) -> Array:
    """Of `leaky_relu`."""
    return array_namespace(x).where(x > 0, g, g * g.dtype.type(slope))


def hardtanh(x: Array, low: float, high: float) -> Array:
    """x held between two numbers; of any numbers."""
    return array_namespace(x).clip(x, x.dtype.type(low), x.dtype.type(high))


def hardtanh_gradient(g: Array, x: Array, low: float, high: float) -> Array:
    """g where low < x < high (or x is NaN), else 0."""
    return array_namespace(x).where((x <= low) | (x >= high), g.dtype.type(0), g)


def threshold(x: Array, threshold: float, value: float) -> Array:
    """x above the threshold, else a given value; of any numbers."""
    return array_namespace(x).where(x <= threshold, x.dtype.type(value), x)


def threshold_gradient(g: Array, x: Array, threshold: float, value: float) -> Array:
    """g above the threshold, else 0."""
    return array_namespace(x).where(x <= threshold, g.dtype.type(0), g)


def hardshrink(x: Array, width: float) -> Array:
    """x, but 0 where |x| is at most the width."""
    return array_namespace(x).where(abs(x) <= width, x.dtype.type(0), x)


def hardshrink_gradient(g: Array, x: Array, width: float) -> Array:
    """0 where |x| is at most the width, else g."""
    return array_namespace(x).where(abs(x) <= width, g.dtype.type(0), g)


def softshrink(x: Array, width: float) -> Array:
    """x moved towards 0 by the width, but 0 where |x| is at most that."""
    xp, width = array_namespace(x), x.dtype.type(width)
    return xp.where(abs(x) <= width, x.dtype.type(0), x - xp.copysign(width, x))


def hardsigmoid(x: Array) -> Array:
    """x/6 + 1/2 held between 0 and 1."""
    return _up_to_six(x) / x.dtype.type(6)


def hardsigmoid_gradient(g: Array, x: Array) -> Array:
    """g/6 where |x| < 3, else 0."""
    return array_namespace(x).where((x > -3) & (x < 3), g / g.dtype.type(6), g.dtype.type(0))


def hardswish(x: Array) -> Array:
    """x · hardsigmoid(x)"""
    with np.errstate(all="ignore"):
        return x * _up_to_six(x) / x.dtype.type(6)


def hardswish_gradient(g: Array, x: Array) -> Array:
    """0 up to −3, g (x/3 + 1/2) up to 3, then g."""
    xp = array_namespace(x)
    with np.errstate(all="ignore"):
        return xp.where(x <= -3, g.dtype.type(0), xp.where(x < 3, g * (x / 3 + 0.5), g))


def exponential(x: Array) -> Array:
    """eˣ"""
    with np.errstate(all="ignore"):
        return array_namespace(x).exp(x)


def logistic(x: Array) -> Array:
    """1 / (1 + e⁻ˣ)"""
    with np.errstate(all="ignore"):
        return 1.0 / (1.0 + array_namespace(x).exp(-x))


def logistic_gradient(g: Array, y: Array) -> Array:
    """g y (1 − y)"""
    return g * y * (1.0 - y)


def silu(x: Array) -> Array:
    """x σ(x), σ the logistic function."""
    with np.errstate(all="ignore"):
        return x * logistic(x)


def silu_gradient(g: Array, x: Array) -> Array:
    """g σ (1 + x (1 − σ))"""
    with np.errstate(all="ignore"):
        gate = logistic(x)
        return g * gate * (1.0 + x * (1.0 - gate))


def softplus(x: Array, beta: float, threshold: float) -> Array:
    """ln(1 + e^(βx)) / β, and x itself where βx exceeds the threshold."""
    xp, beta = array_namespace(x), x.dtype.type(beta)
    with np.errstate(all="ignore"):
        scaled = x * beta
        return xp.where(scaled > threshold, x, xp.log1p(xp.exp(scaled)) / beta)


def softplus_gradient(g: Array, x: Array, beta: float, threshold: float) -> Array:
    """g where βx exceeds the threshold, else g σ(βx)"""
    with np.errstate(all="ignore"):
        scaled = x * x.dtype.type(beta)
        return array_namespace(x).where(scaled > threshold, g, g * logistic(scaled))


def logsigmoid(x: Array) -> Array:
    """ln σ(x) = min(x, 0) − ln(1 + e^−|x|)"""
    xp = array_namespace(x)
    return xp.minimum(x, x.dtype.type(0)) - xp.log1p(xp.exp(-abs(x)))


def logsigmoid_gradient(g: Array, x: Array) -> Array:
    """g σ(−x)"""
    return g * logistic(-x)


def elu(x: Array, height: float, scale: float, rate: float) -> Array:
    """scale · x above 0, height · (e^(rate x) − 1) at 0 and below"""
    xp, real = array_namespace(x), x.dtype.type
    with np.errstate(all="ignore"):
        return xp.where(x <= 0, xp.expm1(x * real(rate)) * real(height), x * real(scale))


def elu_gradient(g: Array, x: Array, height: float, scale: float, rate: float) -> Array:
    """Of `elu`."""
    xp, real = array_namespace(x), x.dtype.type
    with np.errstate(all="ignore"):
        return xp.where(x <= 0, g * (xp.exp(x * real(rate)) * real(height * rate)), g * real(scale))


def mish(x: Array) -> Array:
    """x t, t = tanh ln(1 + eˣ)"""
    with np.errstate(all="ignore"):
        return x * array_namespace(x).tanh(softplus(x, 1.0, 20.0))


def mish_gradient(g: Array, x: Array) -> Array:
    """g (t + x σ(x) (1 − t²))"""
    with np.errstate(all="ignore"):
        gate = array_namespace(x).tanh(softplus(x, 1.0, 20.0))
        return g * (gate + x * logistic(x) * (1.0 - gate * gate))


def softsign(x: Array) -> Array:
    """x / (1 + |x|)"""
    with np.errstate(all="ignore"):
        return x / (1.0 + abs(x))


def softsign_gradient(g: Array, x: Array) -> Array:
    """g / (1 + |x|)²"""
    with np.errstate(all="ignore"):
        size = 1.0 + abs(x)
        return g / (size * size)


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


def _normal_cdf(x: Array) -> Array:
    scaled = x * (1 / math.sqrt(2))
    if not isinstance(x, np.ndarray):
        from cupyx.scipy import special

        return 0.5 * (1.0 + special.erf(scaled).astype(x.dtype, copy=False))  # of float16 it may be wider
    wide = scaled.astype(np.float32) if x.dtype == np.float16 else scaled
    return 0.5 * (1.0 + error_function.erf(wide).astype(x.dtype, copy=False))


def _gelu_argument(x: Array) -> Array:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))


def _up_to_six(x: Array) -> Array:
    real = x.dtype.type
    return array_namespace(x).clip(x + real(3), real(0), real(6))
