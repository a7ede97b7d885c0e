"""Rung 1, direct: the definition of a convolution, a thread for every number; forward and both gradients.

    y[n, o, p, q] = bias[o] + sum over c, r, s of w[o, c, r, s] * x[n, c, h, v],
    h = p * stride_h - pad_h + r * dilation_h,    v = q * stride_w - pad_w + s * dilation_w

with x taken as zero outside, and c running over the C/groups input channels of o's group. Every number of the result
has one thread (in the weight's gradient: one block) that adds it up in a fixed order, so the same input gives the same
bits every time. A thread serves a few neighbouring channels, so that a pixel it has read is used for each of them; in
the last such *slice* of a group the surplus channels repeat the last one and are not stored. Any shape, in float32 and
float64; each multiplication still reads its weight, and a quarter of its pixel, from global memory.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ...reference.namespace import array_namespace
from ..plan import Kernel, Plan, blocks_for, check_operands, flat
from .geometry import Geometry, check_bias, check_gradient

Array = Any

CHANNELS = 4  # a thread's slice of channels
THREADS = 256


def plan_direct_forward(
    x: Array, w: Array, bias: Array | None, geometry: Geometry, relu: bool = False, threads: int = THREADS
) -> Plan:
    """y (N, O, P, Q). A missing bias is a bias of zeros: one kernel fewer to read."""
    xp = array_namespace(x)
    if bias is None:
        bias = xp.zeros(geometry.O, x.dtype)
    dtype = check_operands(x=x, w=w, bias=bias)
    check_bias(bias, geometry)
    y = xp.empty(geometry.y_shape, x.dtype)
    kernel = forward_kernel(dtype, threads, relu)
    slices = geometry.groups * blocks_for(geometry.group_outputs, CHANNELS)
    blocks = blocks_for(geometry.N * slices * geometry.P * geometry.Q, threads)
    return Plan(kernel, blocks, (flat(x), flat(w), flat(bias), y.reshape(-1), *geometry.numbers), y)


def plan_direct_grad_input(g: Array, w: Array, geometry: Geometry, threads: int = THREADS) -> Plan:
    """dx (N, C, H, W)."""
    dtype = check_operands(g=g, w=w)
    check_gradient(g, geometry)
    dx = array_namespace(g).empty(geometry.x_shape, g.dtype)
    kernel = grad_input_kernel(dtype, threads)
    slices = geometry.groups * blocks_for(geometry.D, CHANNELS)
    blocks = blocks_for(geometry.N * slices * geometry.H * geometry.W, threads)
    return Plan(kernel, blocks, (flat(g), flat(w), dx.reshape(-1), *geometry.numbers), dx)


def plan_direct_grad_weight(g: Array, x: Array, geometry: Geometry, threads: int = THREADS) -> Plan:
    """dw (O, D, R, S): one block for each slice of each (c, r, s)."""
    dtype = check_operands(g=g, x=x)
    check_gradient(g, geometry)
    dw = array_namespace(g).empty(geometry.w_shape, g.dtype)
    kernel = grad_weight_kernel(dtype, threads)
    slices = geometry.groups * blocks_for(geometry.group_outputs, CHANNELS)
    blocks = slices * geometry.D * geometry.R * geometry.S
    return Plan(kernel, blocks, (flat(g), flat(x), dw.reshape(-1), *geometry.numbers), dw)


@cache
def forward_kernel(dtype: np.dtype, threads: int, relu: bool = False) -> Kernel:
    """Each thread owns a pixel (p, q) of one image in a slice of output channels; neighbours own neighbouring q.

    The taps (r, s) are the outer loops: whether a tap falls inside the image is asked once, and the loop over the input
    channels is then two steps through memory, one read of x (consecutive in consecutive threads) and a few of w (the
    same in all the threads of a slice, so that one read serves a warp).
    """
    number = getattr(numba, dtype.name)

    def conv2d_forward(
        x, w, bias, y, N, C, H, W, O, D, R, S, P, Q, groups, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
    ):
        sums = cuda.local.array(CHANNELS, number)
        group_o = int32(O // groups)
        slices = int32((group_o + CHANNELS - 1) // CHANNELS)
        i = uint32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        q = int32(i % uint32(Q))
        i = uint32(i // uint32(Q))
        p = int32(i % uint32(P))
        i = uint32(i // uint32(P))
        first = int32(i % uint32(slices) * CHANNELS)
        i = uint32(i // uint32(slices))
        group = int32(i % uint32(groups))
        n = int32(i // uint32(groups))
        if n >= N:
            return
        for k in range(CHANNELS):
            sums[k] = number(0)

        for r in range(R):
            h = int32(p * stride_h - pad_h + r * dil_h)
            for s in range(S):
                v = int32(q * stride_w - pad_w + s * dil_w)
                if 0 <= h < H and 0 <= v < W:
                    for c in range(D):
                        pixel = x[int32(((n * C + group * D + c) * H + h) * W + v)]
                        for k in range(CHANNELS):
                            o = int32(group * group_o + min(first + k, group_o - 1))
                            sums[k] += pixel * w[int32(((o * D + c) * R + r) * S + s)]

        for k in range(CHANNELS):
            if first + k < group_o:
                o = int32(group * group_o + first + k)
                total = bias[o] + sums[k]
                if relu and total < number(0):  # CUDA's max would make 0 of a NaN
                    total = number(0)
                y[int32(((n * O + o) * P + p) * Q + q)] = total

    return Kernel(conv2d_forward, dtype, pointers=4, threads=threads)


@cache
def grad_input_kernel(dtype: np.dtype, threads: int) -> Kernel:
    """Each thread owns a pixel (h, v) of one image in a slice of input channels, and *gathers*: it asks each tap which
    output pixel it reached from here (none, where the stride jumped over it) and adds that one's gradient.

    So no two threads add to one number, as they would if the output's gradient were scattered, and no atomics are
    needed.
    """
    number = getattr(numba, dtype.name)

    def conv2d_grad_input(
        g, w, dx, N, C, H, W, O, D, R, S, P, Q, groups, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
    ):
        sums = cuda.local.array(CHANNELS, number)
        group_o = int32(O // groups)
        slices = int32((D + CHANNELS - 1) // CHANNELS)
        i = uint32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        v = int32(i % uint32(W))
        i = uint32(i // uint32(W))
        h = int32(i % uint32(H))
        i = uint32(i // uint32(H))
        first = int32(i % uint32(slices) * CHANNELS)
        i = uint32(i // uint32(slices))
        group = int32(i % uint32(groups))
        n = int32(i // uint32(groups))
        if n >= N:
            return
        for k in range(CHANNELS):
            sums[k] = number(0)

        for r in range(R):
            up = int32(h + pad_h - r * dil_h)
            p = int32(up // stride_h)
            for s in range(S):
                left = int32(v + pad_w - s * dil_w)
                q = int32(left // stride_w)
                if p * stride_h == up and q * stride_w == left and 0 <= p < P and 0 <= q < Q:
                    for j in range(group_o):
                        o = int32(group * group_o + j)
                        slope = g[int32(((n * O + o) * P + p) * Q + q)]
                        for k in range(CHANNELS):
                            c = int32(min(first + k, D - 1))
                            sums[k] += slope * w[int32(((o * D + c) * R + r) * S + s)]

        for k in range(CHANNELS):
            if first + k < D:
                c = int32(group * D + first + k)
                dx[int32(((n * C + c) * H + h) * W + v)] = sums[k]

    return Kernel(conv2d_grad_input, dtype, pointers=3, threads=threads)


@cache
def grad_weight_kernel(dtype: np.dtype, threads: int) -> Kernel:
    """Each block owns one tap (c, r, s) in a slice of output channels. Its threads share out the pixels of all images,
    every ``threads``-th to each; then half of the sums are added to the other half, again and again, until one is left.

    The tree is the same every time, and so are the bits. (Harris, *Optimizing Parallel Reduction in CUDA*.)
    """
    number = getattr(numba, dtype.name)
    if threads & (threads - 1):
        raise ValueError(f"the reduction tree needs a power of two of threads, got {threads}")
    shape = (CHANNELS, threads)

    def conv2d_grad_weight(
        g, x, dw, N, C, H, W, O, D, R, S, P, Q, groups, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
    ):
        partial = cuda.shared.array(shape, number)
        sums = cuda.local.array(CHANNELS, number)
        thread = int32(cuda.threadIdx.x)
        group_o = int32(O // groups)
        slices = int32((group_o + CHANNELS - 1) // CHANNELS)
        i = int32(cuda.blockIdx.x)
        s = int32(i % S)
        r = int32(i // S % R)
        c = int32(i // (S * R) % D)
        first = int32(i // (S * R * D) % slices * CHANNELS)
        group = int32(i // (S * R * D) // slices)
        for k in range(CHANNELS):
            sums[k] = number(0)

        for pixel in range(thread, N * P * Q, threads):
            q = int32(uint32(pixel) % uint32(Q))
            line = uint32(uint32(pixel) // uint32(Q))
            p = int32(line % uint32(P))
            n = int32(line // uint32(P))
            h = int32(p * stride_h - pad_h + r * dil_h)
            v = int32(q * stride_w - pad_w + s * dil_w)
            if 0 <= h < H and 0 <= v < W:
                value = x[int32(((n * C + group * D + c) * H + h) * W + v)]
                for k in range(CHANNELS):
                    o = int32(group * group_o + min(first + k, group_o - 1))
                    sums[k] += value * g[int32(((n * O + o) * P + p) * Q + q)]

        for k in range(CHANNELS):
            partial[k, thread] = sums[k]
        half = int32(threads // 2)
        while half > 0:
            cuda.syncthreads()  # the sums of the round before are stored
            if thread < half:
                for k in range(CHANNELS):
                    partial[k, thread] += partial[k, thread + half]
            half = int32(half // 2)
        if thread == 0:
            for k in range(CHANNELS):
                if first + k < group_o:
                    o = int32(group * group_o + first + k)
                    dw[int32(((o * D + c) * R + r) * S + s)] = partial[k, 0]

    return Kernel(conv2d_grad_weight, dtype, pointers=3, threads=threads)
