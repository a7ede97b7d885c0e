"""Losses of pairs of numbers x and t (arrays of one shape and dtype), summed or, if `mean`, averaged (0-d), and ∂x of
each, times g (0-d). float16 is added up in float32. The mean of nothing is NaN."""

from typing import Any

import numpy as np

from .activations import logistic, logsigmoid
from .namespace import accumulator_dtype, array_namespace

Array = Any


def absolute_error_loss(x: Array, t: Array, mean: bool) -> Array:
    """Σ |x − t|"""
    return _summed(x, abs(x - t), mean)


def absolute_error_gradient(g: Array, x: Array, t: Array, mean: bool) -> Array:
    """g sign(x − t), where the sign of NaN is 0"""
    return _spread(g, (x > t).astype(x.dtype) - (x < t).astype(x.dtype), mean)


def huber_error_loss(x: Array, t: Array, mean: bool, width: float, scale: float) -> Array:
    """Σ scale · d²/2 where d = |x − t| is at most the width, else on along the tangent: without 0 · ∞."""
    with np.errstate(all="ignore"):
        distance = abs(x - t)
        near = array_namespace(x).minimum(distance, x.dtype.type(width))
        return _summed(x, (near * near * 0.5 + (distance - near) * width) * scale, mean)


def huber_error_gradient(g: Array, x: Array, t: Array, mean: bool, width: float, scale: float) -> Array:
    """g · scale · (x − t), held between −width and width"""
    real = x.dtype.type
    return _spread(g, array_namespace(x).clip(x - t, real(-width), real(width)) * scale, mean)


def logistic_error_loss(x: Array, t: Array, mean: bool) -> Array:
    """Σ (1 − t) x − ln σ(x): binary cross entropy of logits"""
    with np.errstate(all="ignore"):
        return _summed(x, (1.0 - t) * x - logsigmoid(x), mean)


def logistic_error_gradient(g: Array, x: Array, t: Array, mean: bool) -> Array:
    """g (σ(x) − t)"""
    return _spread(g, logistic(x) - t, mean)


def _summed(x: Array, losses: Array, mean: bool) -> Array:
    with np.errstate(all="ignore"):
        total = losses.reshape(-1).sum(dtype=accumulator_dtype(x.dtype))
        return array_namespace(x).asarray(total / x.size if mean else total, x.dtype)


def _spread(g: Array, slope: Array, mean: bool) -> Array:
    with np.errstate(all="ignore"):
        return slope * (g / g.dtype.type(max(slope.size, 1)) if mean else g)
