"""The squared error of two arrays, summed or averaged, as one function: Σ (x − t)², and its gradient 2 g (x − t)."""

from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace

Array = Any


def squared_error_loss(x: Array, t: Array, mean: bool) -> Array:
    """Σ (x − t)² over all elements of x and t (one shape, one dtype), divided by their number if `mean`; 0-d.

    float16 is added up in float32. The mean of nothing is NaN.
    """
    with np.errstate(all="ignore"):
        difference = (x - t).reshape(-1)
        total = (difference * difference).sum(dtype=accumulator_dtype(x.dtype))
        return array_namespace(x).asarray(total / x.size if mean else total, x.dtype)


def squared_error_gradient(g: Array, x: Array, t: Array, mean: bool) -> Array:
    """∂x of `squared_error_loss` times g (0-d): 2 g (x − t), or of the mean 2 g (x − t) / size. ∂t is its opposite."""
    factor = g.dtype.type(2.0 / max(x.size, 1) if mean else 2.0)
    with np.errstate(all="ignore"):
        return (x - t) * (g * factor)
