"""Batch norm on the GPU: three launches forward, three backward.

``channel_sums`` finds mean and variance in two launches, and the sums over a channel that its gradient needs in two; a
thread for each number writes the result.

    y = x̂ weight + bias,  x̂ = (x − mean) / σ,  σ² = variance + ε    (Ioffe & Szegedy 2015)
    dx = weight (g − mean(g) − x̂ mean(g x̂)) / σ

Shapes: x, g (N, C, P); weight and bias (C,) or None; statistics (2, C), mean and variance.
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ..reference.namespace import array_namespace
from . import launcher
from .channel_sums import check_channels, plan_moments, plan_statistics, plan_sums
from .plan import Kernel, Plan, blocks_for, flat
from .strips import sum_of_strips

Array = Any

THREADS = 256


def batch_norm_forward(
    x: Array, weight: Array | None, bias: Array | None, eps: float, running: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """See the reference; the statistics stay in x's dtype, in which they were found."""
    xp = array_namespace(x)
    if running is None:
        moments = launcher.launch(plan_moments, x)
        statistics = launcher.launch(plan_statistics, moments, x.shape)
    else:
        statistics = xp.stack(running).astype(x.dtype, copy=False)
    y = launcher.launch(plan_normalize, x, weight, bias, statistics, eps)
    return y, statistics


def batch_norm_backward(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: Array,
    eps: float,
    of_batch: bool,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Array:
    """See the reference."""
    statistics = statistics.astype(x.dtype, copy=False)
    sums = None
    if of_batch or dweight is not None or dbias is not None:
        strips = launcher.launch(plan_sums, g, x, statistics, eps)
        sums = sum_of_strips(strips, dweight, dbias)
    return launcher.launch(plan_gradient, g, x, weight, statistics, eps, sums if of_batch else None)


def plan_normalize(x: Array, weight: Array | None, bias: Array | None, statistics: Array, eps: float) -> Plan:
    """The launch that leaves y (N, C, P)."""
    xp, dtype = array_namespace(x), check_channels(x=x, weight=weight, bias=bias, statistics=statistics)
    y = xp.empty(x.shape, dtype)
    numbers = flat(x)
    scale, shift = (numbers if v is None else flat(v) for v in (weight, bias))
    flags = int(weight is not None), int(bias is not None)
    arrays = numbers, scale, shift, flat(statistics), y.reshape(-1)
    args = *arrays, y.size, *x.shape[1:], *flags, dtype.type(eps)
    return Plan(normalize_kernel(dtype), blocks_for(y.size, THREADS), args, y)


def plan_gradient(
    g: Array, x: Array, weight: Array | None, statistics: Array, eps: float, sums: list[Array] | None
) -> Plan:
    """The launch that leaves dx; ``sums``, of g x̂ and of g, are None where mean and variance were constants."""
    xp, dtype = array_namespace(x), check_channels(g=g, x=x, weight=weight, statistics=statistics)
    dx = xp.empty(x.shape, dtype)
    gradient, numbers, of_x = (flat(v) for v in (g, x, statistics))
    scale = numbers if weight is None else flat(weight)
    along, level = (numbers, numbers) if sums is None else map(flat, sums)
    sizes = dx.size, *x.shape[1:], x.shape[0] * x.shape[2], int(weight is not None), int(sums is not None)
    args = gradient, numbers, scale, of_x, along, level, dx.reshape(-1), *sizes, dtype.type(eps)
    return Plan(gradient_kernel(dtype), blocks_for(dx.size, THREADS), args, dx)


@cache
def normalize_kernel(dtype: np.dtype) -> Kernel:
    """Standardised, times weight, plus bias: a thread for each number."""
    number = getattr(numba, dtype.name)

    def batch_norm_normalize(x, weight, bias, statistics, y, n, C, P, weighted, shifted, eps):
        i = uint32(cuda.grid(1))
        if i < n:
            c = int32(i // uint32(P) % uint32(C))
            value = (x[i] - statistics[c]) * (number(1) / number(math.sqrt(statistics[C + c] + eps)))
            if weighted:
                value *= weight[c]
            if shifted:
                value += bias[c]
            y[i] = value

    return Kernel(batch_norm_normalize, dtype, pointers=5, threads=THREADS, others={"eps": dtype.name})


@cache
def gradient_kernel(dtype: np.dtype) -> Kernel:
    """The gradient of x: a thread for each number."""
    number = getattr(numba, dtype.name)

    def batch_norm_gradient(g, x, weight, statistics, along, level, dx, n, C, P, numbers, weighted, of_batch, eps):
        i = uint32(cuda.grid(1))
        if i < n:
            c = int32(i // uint32(P) % uint32(C))
            inverse = number(1) / number(math.sqrt(statistics[C + c] + eps))
            value = g[i]
            if of_batch:
                standardized = (x[i] - statistics[c]) * inverse
                value -= (level[c] + standardized * along[c]) / number(numbers)
            if weighted:
                value *= weight[c]
            dx[i] = value * inverse

    return Kernel(batch_norm_gradient, dtype, pointers=7, threads=THREADS, others={"eps": dtype.name})
