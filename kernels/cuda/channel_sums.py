"""Sums over all numbers of each channel of x (N, C, P), on the GPU: mean and variance, and what gradients need.

A channel's numbers lie in N places, P neighbours in each. A block adds up a strip of them: for one channel, whose
positions neighbouring threads read; or, where there are few positions, for 32 channels, which then are the neighbours.
A thread for each channel puts the strips together, always in one order. The variance of a strip is taken around its
own mean, and strips are joined without cancellation (Chan, Golub & LeVeque 1983).
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import cuda, int32, uint32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import WARP, Kernel, Plan, blocks_for, check_operands, check_size, flat
from .strips import sum_of_strips

Array = Any

THREADS = 256
STRIP = 4096  # numbers of a channel in a strip, at least
STRIPS = 64  # at most


class Strips(NamedTuple):
    """``count`` strips of ``length`` numbers of each channel, each by a block that has ``lanes`` channels."""

    count: int
    length: int
    lanes: int


def strips_of(samples: int, positions: int) -> Strips:
    """How the numbers of the channels of (N, C, P) are shared out."""
    count = min(STRIPS, max(1, blocks_for(samples * positions, STRIP)))
    return Strips(count, blocks_for(samples * positions, count), 1 if positions >= WARP else WARP)


def sum_of_channels(g: Array, out: Array | None = None) -> Array:
    """The sums (C,) of g (N, C, …) over all but its channels, in ``out`` if that is given: a bias's gradient."""
    strips = launcher.launch(plan_totals, g)
    (total,) = sum_of_strips(strips, out)
    return total if out is None else out


def plan_totals(g: Array) -> Plan:
    """The launch that leaves each strip's sum of each channel (strips, 1, C)."""
    xp, dtype = array_namespace(g), check_operands(g=g)
    check_size("g", g.shape)
    samples, channels, positions = *g.shape[:2], math.prod(g.shape[2:])
    strips = strips_of(samples, positions)
    totals = xp.empty((strips.count, 1, channels), dtype)
    args = flat(g), totals.reshape(-1), samples, channels, positions, strips.length
    blocks = blocks_for(channels, strips.lanes) * strips.count
    return Plan(totals_kernel(dtype, strips.lanes), blocks, args, totals)


def plan_moments(x: Array) -> Plan:
    """The launch that leaves each strip's mean and sum of squares around it (strips, 2, C)."""
    xp, dtype = array_namespace(x), check_channels(x=x)
    samples, channels, positions = x.shape
    strips = strips_of(samples, positions)
    moments = xp.empty((strips.count, 2, channels), dtype)
    args = flat(x), moments.reshape(-1), *x.shape, strips.length
    blocks = blocks_for(channels, strips.lanes) * strips.count
    return Plan(moments_kernel(dtype, strips.lanes), blocks, args, moments)


def plan_statistics(moments: Array, shape: tuple[int, int, int]) -> Plan:
    """The launch that puts strips together → mean and variance of each channel (2, C)."""
    samples, channels, positions = shape
    statistics = array_namespace(moments).empty((2, channels), moments.dtype)
    strips = strips_of(samples, positions)
    sizes = channels, samples * positions, strips.count, strips.length
    kernel = statistics_kernel(check_operands(moments=moments))
    return Plan(
        kernel, blocks_for(channels, THREADS), (moments.reshape(-1), statistics.reshape(-1), *sizes), statistics
    )


def plan_sums(g: Array, x: Array, statistics: Array, eps: float) -> Plan:
    """The launch that leaves, for each strip, the sums of g x̂ and of g of each channel (strips, 2, C)."""
    xp, dtype = array_namespace(x), check_channels(g=g, x=x, statistics=statistics)
    samples, channels, positions = x.shape
    strips = strips_of(samples, positions)
    sums = xp.empty((strips.count, 2, channels), dtype)
    arrays = [flat(v) for v in (g, x, statistics, sums)]
    blocks = blocks_for(channels, strips.lanes) * strips.count
    kernel = sums_kernel(dtype, strips.lanes)
    return Plan(kernel, blocks, (*arrays, *x.shape, strips.length, dtype.type(eps)), sums)


def check_channels(**operands: Array | None) -> np.dtype:
    """See check_operands; and that the shapes fit that of x."""
    given = {name: array for name, array in operands.items() if array is not None}
    shape = given["x"].shape
    shapes = {"g": shape, "weight": shape[1:2], "bias": shape[1:2], "statistics": (2, *shape[1:2])}
    for name, array in given.items():
        if array.shape != shapes.get(name, array.shape):
            raise ValueError(f"{name} must have shape {shapes[name]} for x of shape {shape}, got {array.shape}")
    check_size("x", shape)
    return check_operands(**given)


@cache
def _sum_of_lines(dtype: str, lanes: int) -> Callable[..., Any]:
    """A device function: from a number of each thread to the sum over those of its lane, in all of these threads."""
    number, lines = getattr(numba, dtype), THREADS // lanes

    @cuda.jit(device=True)
    def sum_of_lines(value):
        partial = cuda.shared.array(THREADS, number)
        thread = int32(cuda.threadIdx.x)
        cuda.syncthreads()  # nobody reads any more what an earlier call has left here
        partial[thread] = value
        half = int32(lines // 2)
        while half > 0:
            cuda.syncthreads()  # twice as many sums are there
            if thread < half * lanes:
                partial[thread] += partial[thread + half * lanes]
            half = int32(half // 2)
        cuda.syncthreads()  # the last sums are there
        return partial[thread % lanes]

    return sum_of_lines


@cuda.jit(device=True)
def _place(e, c, C, P):
    """Where number ``e`` of channel ``c`` lies."""
    return int32((int32(uint32(e) // uint32(P)) * C + c) * P + int32(uint32(e) % uint32(P)))


@cache
def totals_kernel(dtype: np.dtype, lanes: int) -> Kernel:
    """Sum of a strip of each channel."""
    number, lines, total = getattr(numba, dtype.name), THREADS // lanes, _sum_of_lines(dtype.name, lanes)

    def channel_totals(g, totals, N, C, P, strip):
        thread = int32(cuda.threadIdx.x)
        across = uint32((C + lanes - 1) // lanes)
        part = int32(uint32(cuda.blockIdx.x) // across)
        c = int32(uint32(cuda.blockIdx.x) % across * lanes + thread % lanes)
        first = int32(part * strip)
        value = number(0)
        if c < C:
            for e in range(first + thread // lanes, min(first + strip, N * P), lines):
                value += g[_place(e, c, C, P)]
        value = total(value)
        if thread < lanes and c < C:
            totals[int32(part * C + c)] = value

    return Kernel(channel_totals, dtype, pointers=2, threads=THREADS)


@cache
def moments_kernel(dtype: np.dtype, lanes: int) -> Kernel:
    """Mean, and sum of squares around it, of a strip of each channel."""
    number, lines, total = getattr(numba, dtype.name), THREADS // lanes, _sum_of_lines(dtype.name, lanes)

    def batch_norm_moments(x, moments, N, C, P, strip):
        thread = int32(cuda.threadIdx.x)
        across = uint32((C + lanes - 1) // lanes)
        part = int32(uint32(cuda.blockIdx.x) // across)
        c = int32(uint32(cuda.blockIdx.x) % across * lanes + thread % lanes)
        first = int32(part * strip)
        end = int32(min(first + strip, N * P)) if c < C else first
        mean = number(0)
        for e in range(first + thread // lanes, end, lines):
            mean += x[_place(e, c, C, P)]
        mean = total(mean) / number(max(end - first, 1))
        squares = number(0)
        for e in range(first + thread // lanes, end, lines):
            difference = x[_place(e, c, C, P)] - mean
            squares += difference * difference
        squares = total(squares)
        if thread < lanes and c < C:
            moments[int32(part * 2 * C + c)] = mean
            moments[int32((part * 2 + 1) * C + c)] = squares

    return Kernel(batch_norm_moments, dtype, pointers=2, threads=THREADS)


@cache
def statistics_kernel(dtype: np.dtype) -> Kernel:
    """Strips put together, a thread for each channel."""
    number = getattr(numba, dtype.name)

    def batch_norm_statistics(moments, statistics, C, numbers, strips, strip):
        c = int32(cuda.grid(1))
        if c < C:
            mean = moments[c]
            squares = moments[C + c]
            before = number(min(strip, numbers))
            for part in range(1, strips):
                more = number(max(min(strip, numbers - part * strip), 0))
                difference = moments[int32(part * 2 * C + c)] - mean
                share = more / (before + more)
                mean += difference * share
                squares += moments[int32((part * 2 + 1) * C + c)] + difference * difference * before * share
                before += more
            statistics[c] = mean
            statistics[C + c] = squares / number(numbers)

    return Kernel(batch_norm_statistics, dtype, pointers=2, threads=THREADS)


@cache
def sums_kernel(dtype: np.dtype, lanes: int) -> Kernel:
    """Sums of g x̂ and of g over a strip of each channel."""
    number, lines, total = getattr(numba, dtype.name), THREADS // lanes, _sum_of_lines(dtype.name, lanes)

    def batch_norm_sums(g, x, statistics, sums, N, C, P, strip, eps):
        thread = int32(cuda.threadIdx.x)
        across = uint32((C + lanes - 1) // lanes)
        part = int32(uint32(cuda.blockIdx.x) // across)
        c = int32(uint32(cuda.blockIdx.x) % across * lanes + thread % lanes)
        first = int32(part * strip)
        along = number(0)
        level = number(0)
        if c < C:
            mean = statistics[c]
            inverse = number(1) / number(math.sqrt(statistics[C + c] + eps))
            for e in range(first + thread // lanes, min(first + strip, N * P), lines):
                at = _place(e, c, C, P)
                along += g[at] * ((x[at] - mean) * inverse)
                level += g[at]
        along = total(along)
        level = total(level)
        if thread < lanes and c < C:
            sums[int32(part * 2 * C + c)] = along
            sums[int32((part * 2 + 1) * C + c)] = level

    return Kernel(batch_norm_sums, dtype, pointers=4, threads=THREADS, others={"eps": dtype.name})
