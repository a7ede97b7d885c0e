"""Standardising along axes: subtract the mean, divide by the standard deviation (or by the root mean square alone).

The core of batch, layer, group, instance and RMS norm, which differ in the axes and in how the result is scaled; and
layer and RMS norm as a whole, over rows.
"""

from typing import Any

import numpy as np

from .namespace import array_namespace

Array = Any


def standardize_forward(
    x: Array, axes: tuple[int, ...], eps: float, centred: bool
) -> tuple[Array, Array, Array, Array | None]:
    """(x̂, 1/σ, variance, mean): x̂ = (x − mean)/σ with σ² = variance + ε, over `axes`, which are kept with size 1.

    Not `centred`: the mean is taken for 0 (and None is returned for it). float16 is computed in float32, and so are its
    statistics.
    """
    xp = array_namespace(x)
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    with np.errstate(all="ignore"):
        mean = wide.mean(axes, keepdims=True) if centred else None
        difference = wide if mean is None else wide - mean
        variance = (difference * difference).mean(axes, keepdims=True)
        inverse = 1.0 / xp.sqrt(variance + variance.dtype.type(eps))
        return (difference * inverse).astype(x.dtype, copy=False), inverse, variance, mean


def standardize_backward(g: Array, standardized: Array, inverse: Array, axes: tuple[int, ...], centred: bool) -> Array:
    """dx = (g − mean g − x̂ mean(g x̂)) / σ, means over `axes`; not `centred`: without the first mean."""
    wide = g.astype(inverse.dtype, copy=False)
    with np.errstate(all="ignore"):
        dx = wide - standardized * (wide * standardized).mean(axes, keepdims=True)
        if centred:
            dx -= wide.mean(axes, keepdims=True)
        dx *= inverse
        return dx.astype(g.dtype, copy=False)


def layer_norm_forward(
    x: Array, weight: Array | None, bias: Array | None, eps: float, centred: bool
) -> tuple[Array, tuple[Array, Array]]:
    """(y, what the gradient needs): rows x (R, W) standardised, times weight, plus bias (W elements, or None)."""
    standardized, inverse, _, _ = standardize_forward(x, (1,), eps, centred)
    y = standardized if weight is None else standardized * weight.reshape(-1)
    return y if bias is None else y + bias.reshape(-1), (standardized, inverse)


def layer_norm_backward(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: tuple[Array, Array],
    centred: bool,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Array:
    """dx (R, W) from the gradient g of y; those of weight and bias are written to the arrays given for them."""
    standardized, inverse = statistics
    if dweight is not None:
        dweight[...] = (g * standardized).sum(0).reshape(dweight.shape)
    if dbias is not None:
        dbias[...] = g.sum(0).reshape(dbias.shape)
    scaled = g if weight is None else g * weight.reshape(-1)
    return standardize_backward(scaled, standardized, inverse, (1,), centred)
