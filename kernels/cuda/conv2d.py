"""Two-dimensional convolution on the GPU, directly from its definition: forward and both gradients.

    y[n, o, p, q] = bias[o] + sum over c, r, s of w[o, c, r, s] * x[n, c, h, v],
    h = p * stride_h - pad_h + r * dilation_h,    v = q * stride_w - pad_w + s * dilation_w

with x taken as zero outside, and c running over the C/groups input channels of o's group. Nothing is unfolded into a
matrix. Every number of the result has one thread (in the weight's gradient: one block) that adds it up in a fixed
order, so the same input gives the same bits every time.

Shapes: x (N, C, H, W), w (O, C/groups, R, S), bias (O,), g and y (N, O, P, Q), all contiguous. A thread serves a few
neighbouring channels, so that a pixel it has read is used for each of them; in the last such *slice* of a group the
surplus channels repeat the last one and are not stored.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ..reference.conv2d import gated, put_into
from ..reference.namespace import array_namespace
from ..reference.shapes import conv_output_size
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size

Array = Any
Pair = tuple[int, int]

CHANNELS = 4  # a thread's slice of channels
THREADS = 256


def conv2d_forward(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> Array:
    """y (N, O, P, Q) from x (N, C, H, W), w (O, C/groups, R, S), bias (O,) or None; with ``relu`` nothing below 0.

    float32 or float64 CuPy arrays; a non-contiguous one is copied. Raises ValueError where shapes do not fit, devices
    differ or an array has more than 2^31 elements, TypeError for other dtypes.
    """
    y = launcher.launch(plan_conv2d_forward, x, w, bias, stride, padding, dilation, groups)
    return array_namespace(y).maximum(y, 0, out=y) if relu else y


def conv2d_grad_input(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: Array | None = None,
) -> Array:
    """dx (N, C, H, W) from the output's gradient g (N, O, P, Q), 0 where ``gate`` ≤ 0, and w; else as the forward."""
    return launcher.launch(plan_conv2d_grad_input, gated(g, gate), w, x_shape, stride, padding, dilation, groups)


def conv2d_grad_weight(
    g: Array,
    x: Array,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: Array | None = None,
    with_bias: bool = False,
    out: Array | None = None,
    bias_out: Array | None = None,
) -> Any:
    """dw (O, C/groups, R, S) from the output's gradient g (N, O, P, Q) and x; else as ``conv2d_grad_input``.

    ``with_bias``: (dw, the sums of g); written into ``out`` and ``bias_out`` where those are given.
    """
    g = gated(g, gate)
    dw = put_into(out, launcher.launch(plan_conv2d_grad_weight, g, x, w_shape, stride, padding, dilation, groups))
    return (dw, put_into(bias_out, g.sum((0, 2, 3)))) if with_bias else dw


def plan_conv2d_forward(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    threads: int = THREADS,
) -> Plan:
    """The launch that computes ``conv2d_forward``. A missing bias is a bias of zeros: one kernel fewer to read."""
    xp = array_namespace(x)
    if bias is None:
        bias = xp.zeros(w.shape[0], x.dtype)
    dtype = check_operands(x=x, w=w, bias=bias)
    output = _output_shape(x.shape, w.shape, stride, padding, dilation, groups)
    if bias.shape != (w.shape[0],):
        raise ValueError(f"bias must have one number for each of the {w.shape[0]} output channels, got {bias.shape}")
    y = xp.empty(output, x.dtype)
    kernel = forward_kernel(dtype, threads)
    sizes = _sizes(x.shape, w.shape, output, stride, padding, dilation, groups)
    work = output[0] * groups * blocks_for(output[1] // groups, CHANNELS) * output[2] * output[3]
    return Plan(kernel, blocks_for(work, threads), (_flat(x), _flat(w), _flat(bias), y.reshape(-1), *sizes), y)


def plan_conv2d_grad_input(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    threads: int = THREADS,
) -> Plan:
    """The launch that computes ``conv2d_grad_input``."""
    dtype = check_operands(g=g, w=w)
    output = _output_shape(x_shape, w.shape, stride, padding, dilation, groups)
    _check_gradient(g, output)
    dx = array_namespace(g).empty(x_shape, g.dtype)
    kernel = grad_input_kernel(dtype, threads)
    sizes = _sizes(x_shape, w.shape, output, stride, padding, dilation, groups)
    work = x_shape[0] * groups * blocks_for(w.shape[1], CHANNELS) * x_shape[2] * x_shape[3]
    return Plan(kernel, blocks_for(work, threads), (_flat(g), _flat(w), dx.reshape(-1), *sizes), dx)


def plan_conv2d_grad_weight(
    g: Array,
    x: Array,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    threads: int = THREADS,
) -> Plan:
    """The launch that computes ``conv2d_grad_weight``: one block for each slice of each (c, r, s)."""
    dtype = check_operands(g=g, x=x)
    output = _output_shape(x.shape, w_shape, stride, padding, dilation, groups)
    _check_gradient(g, output)
    dw = array_namespace(g).empty(w_shape, g.dtype)
    kernel = grad_weight_kernel(dtype, threads)
    sizes = _sizes(x.shape, w_shape, output, stride, padding, dilation, groups)
    blocks = groups * blocks_for(w_shape[0] // groups, CHANNELS) * w_shape[1] * w_shape[2] * w_shape[3]
    return Plan(kernel, blocks, (_flat(g), _flat(x), dw.reshape(-1), *sizes), dw)


def _flat(array: Array) -> Array:
    return array_namespace(array).ascontiguousarray(array).reshape(-1)


def _output_shape(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[int, int, int, int]:
    """(N, O, P, Q). ValueError where the shapes do not fit each other, or are too large for the kernels."""
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ValueError(f"conv2d takes x (N, C, H, W) and w (O, C/groups, R, S), got {x_shape} and {w_shape}")
    if groups < 1 or x_shape[1] % groups or w_shape[0] % groups:
        raise ValueError(f"groups must divide the channels in ({x_shape[1]}) and out ({w_shape[0]}), got {groups}")
    if w_shape[1] * groups != x_shape[1]:
        raise ValueError(
            f"w {tuple(w_shape)} with groups={groups} wants {w_shape[1] * groups} input channels, "
            f"x {tuple(x_shape)} has {x_shape[1]}"
        )
    rows, columns = (
        conv_output_size(x_shape[2 + i], w_shape[2 + i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    output = (x_shape[0], w_shape[0], rows, columns)
    for name, shape in (("x", x_shape), ("w", w_shape), ("the output", output)):
        check_size(name, shape)
    return output


def _check_gradient(g: Array, output: tuple[int, ...]) -> None:
    if g.shape != output:
        raise ValueError(f"g must have the output's shape {output}, got {g.shape}")


def _sizes(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    output: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[int, ...]:
    """The numbers that follow the arrays in every kernel's arguments."""
    return (*x_shape, *w_shape, *output[2:], groups, *stride, *padding, *dilation)


@cache
def forward_kernel(dtype: np.dtype, threads: int) -> Kernel:
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
                y[int32(((n * O + o) * P + p) * Q + q)] = bias[o] + sums[k]

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
