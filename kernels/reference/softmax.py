"""Softmax and its logarithm along one axis, the maximum taken out first; and their gradients, from the output y."""

from typing import Any

import numpy as np

from .namespace import array_namespace

Array = Any


def softmax(x: Array, dim: int) -> Array:
    """eˣ / Σ eˣ"""
    xp = array_namespace(x)
    if not x.ndim or not x.size:
        return xp.ones_like(x)
    with np.errstate(all="ignore"):
        y = xp.exp(x - x.max(dim, keepdims=True))
        y /= y.sum(dim, keepdims=True)
    return y


def log_softmax(x: Array, dim: int) -> Array:
    """x − ln Σ eˣ"""
    xp = array_namespace(x)
    if not x.ndim or not x.size:
        return xp.zeros_like(x)
    with np.errstate(all="ignore"):
        y = x - x.max(dim, keepdims=True)
        y -= xp.log(xp.exp(y).sum(dim, keepdims=True))
    return y


def softmax_gradient(g: Array, y: Array, dim: int) -> Array:
    """y (g − Σ g y)"""
    with np.errstate(all="ignore"):
        return y * (g - (g * y).sum(dim, keepdims=True)) if y.ndim else y * (g - g * y)


def log_softmax_gradient(g: Array, y: Array, dim: int) -> Array:
    """g − eʸ Σ g"""
    with np.errstate(all="ignore"):
        return g - array_namespace(y).exp(y) * (g.sum(dim, keepdims=True) if y.ndim else g)
