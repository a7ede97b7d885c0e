"""Standardising along axes: subtract the mean, divide by the standard deviation (or by the root mean square alone).

The core of batch, layer, group, instance and RMS norm, which differ in the axes and in how the result is scaled.
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
