"""Layer norm and RMS norm of rows on the GPU: one launch forward; backward one for x, and two for weight and bias.

A row stays with the threads that share it: they find its mean, then its variance around that mean, then write it; the
second and third time the row is read from the cache. Weight and bias have a gradient for each column, which is a sum
over rows: a block adds up some columns of a strip of rows, and a last kernel the strips, in order.

    y = x̂ weight + bias,  x̂ = (x − mean) / σ,  σ² = variance + ε    (Ba, Kiros & Hinton 2016; RMS norm: mean = 0)
    dx = (s − mean(s) − x̂ mean(s x̂)) / σ,  s = g weight

Shapes: x, g (R, W); weight and bias W elements, or None. Kept of each row are its mean and 1/σ.
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import WARP, Kernel, Plan, blocks_for, check_operands, check_size, flat
from .rows import Rows, row_sum, rows_of
from .strips import sum_of_strips

Array = Any

LINES = 8  # rows that a block of the column sums reads at a time, each by a warp
STRIP = 64  # rows of a strip, at least
STRIPS = 64  # at most


def layer_norm_forward(
    x: Array, weight: Array | None, bias: Array | None, eps: float, centred: bool
) -> tuple[Array, Array]:
    """See the reference; the second is for ``layer_norm_backward`` alone."""
    return launcher.launch(plan_forward, x, weight, bias, eps, centred)


def layer_norm_backward(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: Array,
    centred: bool,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Array:
    """See the reference."""
    if dweight is not None or dbias is not None:
        strips = launcher.launch(plan_strips, g, x, statistics)
        sum_of_strips(strips, dweight, dbias)
    return launcher.launch(plan_backward, g, x, weight, statistics, centred)


def plan_forward(x: Array, weight: Array | None, bias: Array | None, eps: float, centred: bool) -> Plan:
    """The launch that leaves (y (R, W), mean and 1/σ of each row (2, R))."""
    xp = array_namespace(x)
    dtype = _check(x=x, weight=weight, bias=bias)
    rows, width = x.shape
    y, statistics = xp.empty(x.shape, dtype), xp.empty((2, rows), dtype)
    shared_out = rows_of(width)
    numbers = flat(x)
    scale, shift = (numbers if v is None else flat(v) for v in (weight, bias))
    sizes = rows, width, int(weight is not None), int(bias is not None), int(centred), dtype.type(eps)
    args = numbers, scale, shift, y.reshape(-1), statistics.reshape(-1), *sizes
    blocks = blocks_for(rows, shared_out.count)
    return Plan(forward_kernel(dtype, shared_out), blocks if width else 0, args, (y, statistics))


def plan_backward(g: Array, x: Array, weight: Array | None, statistics: Array, centred: bool) -> Plan:
    """The launch that leaves dx (R, W)."""
    xp = array_namespace(x)
    dtype = _check(g=g, x=x, weight=weight, statistics=statistics)
    rows, width = x.shape
    dx, shared_out = xp.empty(x.shape, dtype), rows_of(width)
    numbers, gradient = (flat(v) for v in (x, g))
    scale = numbers if weight is None else flat(weight)
    arrays = gradient, numbers, scale, statistics.reshape(-1), dx.reshape(-1)
    blocks = blocks_for(rows, shared_out.count)
    sizes = rows, width, int(weight is not None), int(centred)
    return Plan(backward_kernel(dtype, shared_out), blocks if width else 0, (*arrays, *sizes), dx)


def plan_strips(g: Array, x: Array, statistics: Array) -> Plan:
    """The launch that leaves, for each strip of rows, the sums of g x̂ and of g of each column (strips, 2, W)."""
    xp = array_namespace(x)
    dtype = _check(g=g, x=x, statistics=statistics)
    rows, width = x.shape
    strips = min(STRIPS, max(1, blocks_for(rows, STRIP)))
    sums = xp.empty((strips, 2, width), dtype)
    arrays = [flat(v) for v in (g, x, statistics, sums)]
    blocks = blocks_for(width, WARP) * strips
    return Plan(strips_kernel(dtype), blocks, (*arrays, rows, width, blocks_for(rows, strips)), sums)


def _check(**operands: Array | None) -> np.dtype:
    """See check_operands; and that the shapes fit those of x."""
    given = {name: array for name, array in operands.items() if array is not None}
    rows, width = given["x"].shape
    sizes = {"g": rows * width, "weight": width, "bias": width, "statistics": 2 * rows}
    for name, array in given.items():
        if array.size != sizes.get(name, array.size):
            raise ValueError(
                f"{name} must have {sizes[name]} numbers for x of shape {(rows, width)}, got {array.shape}"
            )
    check_size("x", (rows, width))
    return check_operands(**given)


@cache
def forward_kernel(dtype: np.dtype, shared_out: Rows) -> Kernel:
    """Rows standardised, times weight, plus bias."""
    number = getattr(numba, dtype.name)
    each, count = shared_out
    sum_of_row = row_sum(dtype.name, each)

    def layer_norm_forward(x, weight, bias, y, statistics, R, W, weighted, shifted, centred, eps):
        thread = int32(cuda.threadIdx.x)
        lane = int32(thread % each)
        row = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if row < R:
            start = int32(row * W)
            mean = number(0)
            if centred:
                for c in range(lane, W, each):
                    mean += x[start + c]
                mean = sum_of_row(mean) / number(W)
            variance = number(0)
            for c in range(lane, W, each):
                difference = x[start + c] - mean
                variance += difference * difference
            variance = sum_of_row(variance) / number(W)
            inverse = number(1) / number(math.sqrt(variance + eps))
            for c in range(lane, W, each):
                value = (x[start + c] - mean) * inverse
                if weighted:
                    value *= weight[c]
                if shifted:
                    value += bias[c]
                y[start + c] = value
            if lane == 0:
                statistics[row] = mean
                statistics[R + row] = inverse

    return Kernel(layer_norm_forward, dtype, pointers=5, threads=shared_out.threads, others={"eps": dtype.name})


@cache
def backward_kernel(dtype: np.dtype, shared_out: Rows) -> Kernel:
    """The gradient of x, row by row."""
    number = getattr(numba, dtype.name)
    each, count = shared_out
    sum_of_row = row_sum(dtype.name, each)

    def layer_norm_backward(g, x, weight, statistics, dx, R, W, weighted, centred):
        thread = int32(cuda.threadIdx.x)
        lane = int32(thread % each)
        row = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if row < R:
            start = int32(row * W)
            mean = statistics[row]
            inverse = statistics[R + row]
            along = number(0)  # the mean of s x̂
            level = number(0)  # and of s
            for c in range(lane, W, each):
                scaled = g[start + c] * weight[c] if weighted else g[start + c]
                along += scaled * ((x[start + c] - mean) * inverse)
                level += scaled
            along = sum_of_row(along) / number(W)
            level = sum_of_row(level) / number(W) if centred else number(0)
            for c in range(lane, W, each):
                scaled = g[start + c] * weight[c] if weighted else g[start + c]
                dx[start + c] = (scaled - (x[start + c] - mean) * inverse * along - level) * inverse

    return Kernel(layer_norm_backward, dtype, pointers=5, threads=shared_out.threads)


@cache
def strips_kernel(dtype: np.dtype) -> Kernel:
    """Sums over the rows of a strip, for the gradients of weight and bias: a warp reads 32 columns of a row."""
    number = getattr(numba, dtype.name)
    shape = LINES, WARP

    def layer_norm_strips(g, x, statistics, sums, R, W, strip):
        of_weight = cuda.shared.array(shape, number)
        of_bias = cuda.shared.array(shape, number)
        thread = int32(cuda.threadIdx.x)
        lane = int32(thread % WARP)
        line = int32(thread // WARP)
        across = uint32((W + WARP - 1) // WARP)
        block = uint32(cuda.blockIdx.x)
        c = int32(block % across * WARP + lane)
        first = int32(block // across * strip)
        along = number(0)
        level = number(0)
        if c < W:
            for row in range(first + line, min(first + strip, R), LINES):
                at = int32(row * W + c)
                along += g[at] * ((x[at] - statistics[row]) * statistics[R + row])
                level += g[at]
        of_weight[line, lane] = along
        of_bias[line, lane] = level
        cuda.syncthreads()  # all lines are added up
        if line == 0 and c < W:
            for other in range(1, LINES):
                along += of_weight[other, lane]
                level += of_bias[other, lane]
            sums[int32(block // across * 2 * W + c)] = along
            sums[int32((block // across * 2 + 1) * W + c)] = level

    return Kernel(layer_norm_strips, dtype, pointers=4, threads=LINES * WARP)
