"""Depthwise convolution: every input channel has output channels of its own (groups = C), and no product of matrices.

A number of the output is a sum of R S products only, so that what counts is memory: x is read, y is written, and all
else should come for nothing. A thread makes one number, and neighbours make neighbouring ones, so that their windows
come from the L1 cache; the taps are known when the kernel is compiled, and all their loads are on the way together. The
gradient by the weight has R S sums a channel over all pixels: a thread keeps all R S of them in registers while it goes
through its share of the pixels, which reads g once; then half of the threads' sums are added to the other half, until
one is left, and the parts of a channel in their order, as in ``weight_gradient``. A window of more taps than there are
registers for is cut into pieces, a block for each, and g is read for every piece. One kernel is compiled for each
window and stride. (Harris, *Optimizing Parallel Reduction in CUDA*.)
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ...reference.namespace import array_namespace
from ..plan import Kernel, Plan, blocks_for, check_operands, flat
from .geometry import Geometry, Pair, check_bias, check_gradient

Array = Any

THREADS = 256
PIECE_TAPS = 16  # whose sums a thread keeps in registers: for 25 the compiler takes memory
PIXELS_A_PART = 16384  # of the weight's gradient


def plan_depthwise_forward(
    x: Array, w: Array, bias: Array | None, geometry: Geometry, relu: bool = False, threads: int = THREADS
) -> Plan:
    """y (N, O, P, Q), with the bias added and cut off below 0 with ``relu``."""
    dtype = check_operands(x=x, w=w, **({} if bias is None else {"bias": bias}))
    if bias is not None:
        check_bias(bias, geometry)
    y = array_namespace(x).empty(geometry.y_shape, x.dtype)
    kernel = depthwise_kernel(dtype, threads, (geometry.R, geometry.S), bias is not None, relu)
    memory = (flat(x), flat(w), y.reshape(-1), y.reshape(-1) if bias is None else flat(bias))
    return Plan(kernel, blocks_for(y.size, threads), (*memory, y.size, *_sizes(geometry), *_steps(geometry)), y)


def plan_depthwise_grad_input(g: Array, w: Array, geometry: Geometry, threads: int = THREADS) -> Plan:
    """dx (N, C, H, W)."""
    dtype = check_operands(g=g, w=w)
    check_gradient(g, geometry)
    dx = array_namespace(g).empty(geometry.x_shape, g.dtype)
    kernel = depthwise_grad_input_kernel(dtype, threads, (geometry.R, geometry.S), geometry.stride)
    memory = (flat(g), flat(w), dx.reshape(-1))
    steps = (*geometry.padding, *geometry.dilation)
    return Plan(kernel, blocks_for(dx.size, threads), (*memory, dx.size, *_sizes(geometry), *steps), dx)


def plan_depthwise_grad_weight(
    g: Array, x: Array, geometry: Geometry, threads: int = THREADS, pixels: int = PIXELS_A_PART
) -> Plan:
    """The parts (parts, O, 1, R, S) whose sum is dw: one for every ``pixels`` pixels, of each output channel."""
    dtype = check_operands(g=g, x=x)
    check_gradient(g, geometry)
    parts = max(blocks_for(geometry.N * geometry.P * geometry.Q, pixels), 1)
    dw = array_namespace(g).empty((parts, *geometry.w_shape), g.dtype)
    kernel = depthwise_grad_weight_kernel(dtype, threads, (geometry.R, geometry.S))
    memory = (flat(g), flat(x), dw.reshape(-1))
    blocks = parts * geometry.O * math.prod(pieces_of((geometry.R, geometry.S))[1])
    return Plan(kernel, blocks, (*memory, geometry.N, pixels, *_sizes(geometry), *_steps(geometry)), dw)


def pieces_of(taps: Pair) -> tuple[Pair, Pair]:
    """The rows and columns of the pieces of a window, PIECE_TAPS at the most, and how many there are, down and across.

    They are of one size: the last ones may hang over the window.
    """
    (R, S), across = taps, blocks_for(taps[1], PIECE_TAPS)
    columns = blocks_for(S, across)
    down = blocks_for(R, min(R, PIECE_TAPS // columns))
    return (blocks_for(R, down), columns), (down, across)


def _sizes(geometry: Geometry) -> tuple[int, ...]:
    """H, W, P, Q, C and the output channels of each of these."""
    return geometry.H, geometry.W, geometry.P, geometry.Q, geometry.C, geometry.group_outputs


def _steps(geometry: Geometry) -> tuple[int, ...]:
    return (*geometry.stride, *geometry.padding, *geometry.dilation)


@cache
def depthwise_kernel(dtype: np.dtype, threads: int, taps: Pair, bias: bool = False, relu: bool = False) -> Kernel:
    """A thread for each number of y; ``count`` of them."""
    number = getattr(numba, dtype.name)
    R, S = taps

    def conv2d_depthwise(
        x, w, y, bias_of, count, H, W, P, Q, C, multiple, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
    ):
        i = int32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        if i >= count:
            return
        plane = int32(uint32(i) // uint32(P * Q))
        pixel = int32(i - plane * P * Q)
        p = int32(uint32(pixel) // uint32(Q))
        q = int32(pixel - p * Q)
        o = int32(uint32(plane) % uint32(C * multiple))
        image = int32(int32(uint32(plane) // uint32(multiple)) * H * W)
        total = number(0)
        for r in range(R):
            h = int32(p * stride_h - pad_h + r * dil_h)
            for s in range(S):
                v = int32(q * stride_w - pad_w + s * dil_w)
                inside = (uint32(h) < uint32(H)) & (uint32(v) < uint32(W))
                value = x[uint32(image + h * W + v) if inside else uint32(0)]
                total += (value if inside else number(0)) * w[int32((o * R + r) * S + s)]
        if bias:
            total += bias_of[o]
        if relu and total < number(0):  # CUDA's max would make 0 of a NaN
            total = number(0)
        y[i] = total

    return Kernel(conv2d_depthwise, dtype, pointers=4, threads=threads)


@cache
def depthwise_grad_input_kernel(dtype: np.dtype, threads: int, taps: Pair, stride: Pair) -> Kernel:
    """A thread for each number of dx, which asks each tap what output pixel it reached from here, if any."""
    number = getattr(numba, dtype.name)
    R, S = taps
    stride_h, stride_w = stride

    def conv2d_depthwise_grad_input(g, w, dx, count, H, W, P, Q, C, multiple, pad_h, pad_w, dil_h, dil_w):
        i = int32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        if i >= count:
            return
        plane = int32(uint32(i) // uint32(H * W))
        pixel = int32(i - plane * H * W)
        h = int32(uint32(pixel) // uint32(W))
        v = int32(pixel - h * W)
        c = int32(uint32(plane) % uint32(C))
        total = number(0)
        for j in range(multiple):
            image = int32((plane * multiple + j) * P * Q)
            for r in range(R):
                up = int32(h + pad_h - r * dil_h)
                p = int32(up // stride_h)
                for s in range(S):
                    left = int32(v + pad_w - s * dil_w)
                    q = int32(left // stride_w)
                    hit = (p * stride_h == up) & (q * stride_w == left)
                    hit = hit & (uint32(p) < uint32(P)) & (uint32(q) < uint32(Q))
                    slope = g[uint32(image + p * Q + q) if hit else uint32(0)]
                    total += (slope if hit else number(0)) * w[int32(((c * multiple + j) * R + r) * S + s)]
        dx[i] = total

    return Kernel(conv2d_depthwise_grad_input, dtype, pointers=3, threads=threads)


@cache
def depthwise_grad_weight_kernel(dtype: np.dtype, threads: int, taps: Pair) -> Kernel:
    """A block for each piece of the window, output channel and part of its pixels.

    ValueError unless ``threads`` are a power of two.
    """
    number = getattr(numba, dtype.name)
    if threads & (threads - 1):
        raise ValueError(f"the reduction tree needs a power of two of threads, got {threads}")
    R, S = taps
    (rows, columns), (down, across) = pieces_of(taps)
    piece = rows * columns

    def conv2d_depthwise_grad_weight(
        g, x, parts, N, share, H, W, P, Q, C, multiple, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
    ):
        partial = cuda.shared.array(threads, number)
        sums = cuda.local.array(piece, number)
        thread = int32(cuda.threadIdx.x)
        block = uint32(cuda.blockIdx.x)
        first_s = int32(block % uint32(across) * columns)
        first_r = int32(block // uint32(across) % uint32(down) * rows)
        of = uint32(block // uint32(across * down))  # part and channel
        o = int32(of % uint32(C * multiple))
        first = int32(of // uint32(C * multiple) * share)
        end = int32(min(first + share, N * P * Q))
        c = int32(uint32(o) // uint32(multiple))
        for tap in range(piece):
            sums[tap] = number(0)

        for pixel in range(first + thread, end, threads):
            line = int32(uint32(pixel) // uint32(Q))
            q = int32(pixel - line * Q)
            n = int32(uint32(line) // uint32(P))
            p = int32(line - n * P)
            slope = g[int32(((n * C * multiple + o) * P + p) * Q + q)]
            image = int32((n * C + c) * H * W)
            for r in range(rows):
                h = int32(p * stride_h - pad_h + (first_r + r) * dil_h)
                for s in range(columns):
                    v = int32(q * stride_w - pad_w + (first_s + s) * dil_w)
                    inside = (uint32(h) < uint32(H)) & (uint32(v) < uint32(W))
                    value = x[uint32(image + h * W + v) if inside else uint32(0)]
                    sums[r * columns + s] += slope * (value if inside else number(0))

        for tap in range(piece):
            partial[thread] = sums[tap]
            half = int32(threads // 2)
            while half > 0:
                cuda.syncthreads()  # the sums of the round before are stored
                if thread < half:
                    partial[thread] += partial[thread + half]
                half = int32(half // 2)
            r = int32(first_r + int32(uint32(tap) // uint32(columns)))
            s = int32(first_s + int32(uint32(tap) % uint32(columns)))
            if thread == 0 and r < R and s < S:
                parts[int32((int32(of) * R + r) * S + s)] = partial[0]
            cuda.syncthreads()  # nobody reads this tap's sums any more

    return Kernel(conv2d_depthwise_grad_weight, dtype, pointers=3, threads=threads)
