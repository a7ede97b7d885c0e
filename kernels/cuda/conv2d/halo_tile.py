"""Rung 2, halo tile: the threads of a block fetch the part of the image that all their windows see, and share it.

A block makes a tile of SIDE x SIDE neighbouring pixels of one image, a thread for each, in CHANNELS output channels.
The windows of neighbours overlap: channel by channel, the block brings the tile's inputs into shared memory once, with
the *halo* around them that the outermost windows reach into, and the weights of its output channels. An input that
rung 1 read from global memory R S times (for every slice of channels) is read hardly more than once, and one that a
thread has read from shared memory serves CHANNELS multiplications. What it costs: two barriers a channel, threads
without a pixel where the image is no multiple of the tile, and a kernel compiled for each window, stride and dilation,
since the size of shared memory must be known. Each number is added up by one thread, in the order of c, r, s.

With stride 1 the gradient by the input is a convolution, too: of g, with every window turned around.

(Kirk & Hwu, *Programming Massively Parallel Processors*, the chapters on convolution and stencils.)
"""

from functools import cache, lru_cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ...reference.namespace import array_namespace
from ...reference.shapes import window_span
from ..plan import Kernel, Plan, blocks_for, check_operands, flat
from .geometry import KEPT, Geometry, Pair, check_bias, check_gradient

Array = Any

SIDE = 16  # pixels of a tile, each way
CHANNELS = 8  # output channels of a block
SHARED_BYTES = 32 * 1024  # for one channel's inputs, which leaves room for the weights


def fits(geometry: Geometry, itemsize: int, side: int = SIDE) -> bool:
    """Whether a tile's inputs, and the weights of one channel, find room in shared memory."""
    taps = geometry.R * geometry.S
    return _halo(geometry, side)[0] * _halo(geometry, side)[1] * itemsize <= SHARED_BYTES and taps <= 256


def plan_halo_forward(
    x: Array, w: Array, bias: Array | None, geometry: Geometry, relu: bool = False, side: int = SIDE
) -> Plan:
    """y (N, O, P, Q), with the bias added and cut off below 0 with ``relu``; float32 or float64."""
    xp = array_namespace(x)
    dtype = check_operands(x=x, w=w, **({} if bias is None else {"bias": bias}))
    if bias is not None:
        check_bias(bias, geometry)
    y = xp.empty(geometry.y_shape, x.dtype)
    kernel = halo_kernel(
        dtype, side, (geometry.R, geometry.S), geometry.stride, geometry.dilation, bias is not None, relu
    )
    tiles = blocks_for(geometry.P, side) * blocks_for(geometry.Q, side)
    blocks = geometry.N * geometry.groups * blocks_for(geometry.group_outputs, CHANNELS) * tiles
    memory = (flat(x), flat(w), y.reshape(-1), y.reshape(-1) if bias is None else flat(bias))
    sizes = (geometry.D, geometry.H, geometry.W, geometry.group_outputs, geometry.P, geometry.Q, geometry.groups)
    return Plan(kernel, blocks if y.size else 0, (*memory, *sizes, *geometry.padding), y)


def plan_halo_grad_input(g: Array, w: Array, geometry: Geometry, side: int = SIDE) -> Plan:
    """dx (N, C, H, W), where the stride is 1; float32 or float64."""
    check_operands(g=g, w=w)
    check_gradient(g, geometry)
    of_groups = w.reshape(geometry.groups, geometry.group_outputs, *geometry.w_shape[1:])
    turned = of_groups.swapaxes(1, 2)[..., ::-1, ::-1]
    back = backwards(geometry)
    return plan_halo_forward(g, turned.reshape(back.w_shape), None, back, side=side)


@lru_cache(KEPT)
def backwards(geometry: Geometry) -> Geometry:
    """The convolution over g that gives the gradient by the input of one with stride 1."""
    rows, columns = (
        window_span(taps, apart) - 1 - padding
        for taps, apart, padding in zip(geometry.w_shape[2:], geometry.dilation, geometry.padding)
    )
    N, C, H, W, O, _, R, S, P, Q, groups, *_, dilation = geometry
    return Geometry(N, O, P, Q, C, O // groups, R, S, H, W, groups, (1, 1), (rows, columns), dilation)


def _halo(geometry: Geometry, side: int) -> Pair:
    """Rows and columns of the input that the windows of a tile see."""
    return halo_of(side, (geometry.R, geometry.S), geometry.stride, geometry.dilation)


def halo_of(side: int, taps: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The same for a window of ``taps``."""
    rows, columns = ((side - 1) * step + window_span(tap, apart) for tap, step, apart in zip(taps, stride, dilation))
    return rows, columns


@cache
def halo_kernel(
    dtype: np.dtype, side: int, taps: Pair, stride: Pair, dilation: Pair, bias: bool = False, relu: bool = False
) -> Kernel:
    """The kernel for one dtype, tile and window; with ``bias``, and with ``relu`` cut off below 0."""
    number = getattr(numba, dtype.name)
    R, S = taps
    (stride_h, stride_w), (dil_h, dil_w) = stride, dilation
    rows, columns = halo_of(side, taps, stride, dilation)
    threads = side * side
    inputs, window = rows * columns, R * S
    weights = CHANNELS * window

    def conv2d_halo(x, w, y, bias_of, D, H, W, O, P, Q, groups, pad_h, pad_w):
        x_tile = cuda.shared.array(inputs, number)
        w_tile = cuda.shared.array(weights, number)
        sums = cuda.local.array(CHANNELS, number)
        thread = int32(cuda.threadIdx.x)
        across = int32((Q + side - 1) // side)
        down = int32((P + side - 1) // side)
        slices = int32((O + CHANNELS - 1) // CHANNELS)
        block = int32(cuda.blockIdx.x)
        first_q = int32(block % across * side)
        first_p = int32(block // across % down * side)
        first_o = int32(block // across // down % slices * CHANNELS)
        image = int32(block // across // down // slices)  # of one group
        group = int32(image % groups)
        top = int32(first_p * stride_h - pad_h)  # where the tile's inputs begin
        left = int32(first_q * stride_w - pad_w)
        my_p = int32(thread // side)
        my_q = int32(thread % side)
        for k in range(CHANNELS):
            sums[k] = number(0)

        for c in range(D):
            # Neighbouring threads fetch neighbouring inputs; those outside of the image are zeros.
            for i in range(thread, inputs, threads):
                h = int32(top + i // columns)
                v = int32(left + i % columns)
                value = number(0)
                if 0 <= h < H and 0 <= v < W:
                    value = x[int32(((image * D + c) * H + h) * W + v)]
                x_tile[i] = value
            for i in range(thread, weights, threads):
                o = int32(first_o + i // window)
                value = number(0)
                if o < O:
                    value = w[int32(((group * O + o) * D + c) * window + i % window)]
                w_tile[i] = value
            cuda.syncthreads()  # the tiles are whole
            for r in range(R):
                for s in range(S):
                    row = int32(my_p * stride_h + r * dil_h)
                    value = x_tile[uint32(row * columns + my_q * stride_w + s * dil_w)]
                    for k in range(CHANNELS):
                        sums[k] += value * w_tile[k * window + r * S + s]
            cuda.syncthreads()  # nobody reads them any more

        p = int32(first_p + my_p)
        q = int32(first_q + my_q)
        if p < P and q < Q:
            for k in range(CHANNELS):
                o = int32(first_o + k)
                if o < O:
                    total = sums[k]
                    if bias:
                        total += bias_of[int32(group * O + o)]
                    if relu and total < number(0):  # CUDA's max would make 0 of a NaN
                        total = number(0)
                    y[int32(((image * O + o) * P + p) * Q + q)] = total

    return Kernel(conv2d_halo, dtype, pointers=4, threads=threads)
