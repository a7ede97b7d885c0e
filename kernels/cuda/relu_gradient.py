"""The gradient of a ReLU on the GPU: one launch, where the reference's comparison and choice are two over CuPy."""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size, flat

Array = Any

THREADS = 256


def relu_gradient(g: Array, y: Array) -> Array:
    """See the reference. ValueError for a y of another shape than g's."""
    return launcher.launch(plan_gradient, g, y)


def plan_gradient(g: Array, y: Array) -> Plan:
    """The launch that leaves g where y is above 0 (or NaN), else 0."""
    dtype = check_operands(g=g, y=y)
    if y.shape != g.shape:
        raise ValueError(f"y must have the shape of g, {g.shape}, got {y.shape}")
    check_size("g", g.shape)
    dx = array_namespace(g).empty(g.shape, dtype)
    return Plan(gradient_kernel(dtype), blocks_for(dx.size, THREADS), (flat(g), flat(y), dx.reshape(-1), dx.size), dx)


@cache
def gradient_kernel(dtype: np.dtype) -> Kernel:
    """A thread for each number."""
    number = getattr(numba, dtype.name)

    def relu_gradient(g, y, dx, n):
        i = int32(cuda.grid(1))
        if i < n:
            dx[i] = number(0) if y[i] <= number(0) else g[i]

    return Kernel(relu_gradient, dtype, pointers=3, threads=THREADS)
