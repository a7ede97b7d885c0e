"""Two-dimensional max pooling on the GPU, one launch each way: a thread for every output, or for every input.

Forward, a thread looks at the taps of its window in row-major order and remembers which won: as a byte, the tap's
number, or as a flat index into the input's plane. From bytes the gradient is gathered: each input asks the windows in
which it lies whether it won. From indices, whose windows nobody knows any more, a block serves a plane of the input:
its threads read all winners of the plane together, and each adds up what belongs to inputs of its own. Both add in the
order of the outputs or taps, so sums have the same bits every time; CuPy's own scattered sum has atomic additions.

Shapes: x (N, C, H, W), y, g and winners (N, C, P, Q). ``kernel``, ``stride``, ``padding``, ``dilation`` are (h, w).
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ..reference.namespace import array_namespace
from ..reference.pool2d import check_taps, first_tap_inside, pool2d_output_size
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size, flat
from .planes import place_of

Array = Any
Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

THREADS = 256


def max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """See the reference."""
    return launcher.launch(plan_forward, x, kernel, stride, padding, dilation, ceil_mode, "int64")


def max_pool2d_backward(g: Array, winners: Array, x_shape: Shape4) -> Array:
    """See the reference."""
    return launcher.launch(plan_backward, g, winners, x_shape)


def max_pool2d_taps(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """See the reference."""
    return launcher.launch(plan_forward, x, kernel, stride, padding, dilation, ceil_mode, "uint8")


def max_pool2d_taps_backward(
    g: Array, taps: Array, x_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """See the reference."""
    return launcher.launch(plan_taps_backward, g, taps, x_shape, kernel, stride, padding, dilation)


def plan_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool, winner: str
) -> Plan:
    """The launch that leaves (y, winners): tap numbers if ``winner`` is "uint8", flat indices if it is "int64"."""
    xp, dtype = array_namespace(x), check_operands(x=x)
    output = pool2d_output_size(x.shape, kernel, stride, padding, dilation, ceil_mode)
    if winner == "uint8":
        check_taps(kernel, x.shape, output, stride, padding, dilation)
    for i in (0, 1):
        first_tap_inside(x.shape[2 + i], output[i], stride[i], padding[i], dilation[i])
    y = xp.empty((*x.shape[:2], *output), dtype)
    winners = xp.empty(y.shape, winner)
    for name, array in (("x", x), ("the output", y)):
        check_size(name, array.shape)
    arrays = flat(x), y.reshape(-1), winners.reshape(-1)
    args = *arrays, y.size, *x.shape[2:], *output, *kernel, *stride, *padding, *dilation
    return Plan(forward_kernel(dtype, winner), blocks_for(y.size, THREADS), args, (y, winners))


def plan_taps_backward(
    g: Array, taps: Array, x_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Plan:
    """The launch that leaves dx (N, C, H, W)."""
    xp, dtype = array_namespace(g), check_operands(g=g)
    _check_winners(g, taps, np.uint8)
    check_size("x", x_shape)
    dx = xp.empty(x_shape, dtype)
    arrays = flat(g), dx.reshape(-1), flat(taps)
    args = *arrays, dx.size, *x_shape[2:], *g.shape[2:], *kernel, *stride, *padding, *dilation
    return Plan(taps_backward_kernel(dtype), blocks_for(dx.size, THREADS), args, dx)


def plan_backward(g: Array, winners: Array, x_shape: Shape4) -> Plan:
    """The launch that leaves dx (N, C, H, W); a winner outside its plane gets nothing."""
    xp, dtype = array_namespace(g), check_operands(g=g)
    _check_winners(g, winners, np.int64)
    check_size("x", x_shape)
    dx = xp.empty(x_shape, dtype)
    arrays = flat(g), dx.reshape(-1), flat(winners)
    blocks = math.prod(x_shape[:2]) if dx.size else 0
    return Plan(backward_kernel(dtype), blocks, (*arrays, math.prod(x_shape[2:]), math.prod(g.shape[2:])), dx)


def _check_winners(g: Array, winners: Array, dtype: type) -> None:
    if winners.shape != g.shape or winners.dtype != dtype:
        what = f"{winners.dtype} {winners.shape}"
        raise ValueError(f"winners must be {np.dtype(dtype)} of the shape of g, {g.shape}, got {what}")
    check_size("g", g.shape)


@cache
def forward_kernel(dtype: np.dtype, winner: str) -> Kernel:
    """The first largest of each window; a NaN is larger than any number, and the last NaN wins."""
    number, taps = getattr(numba, dtype.name), winner == "uint8"

    def max_pool2d_forward(x, y, winners, n, H, W, P, Q, R, S, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w):
        i = int32(cuda.grid(1))
        if i < n:
            plane, p, q = place_of(i, P, Q)
            best = number(-math.inf)
            won = int32(-1)
            for r in range(R):
                h = int32(p * stride_h - pad_h + r * dil_h)
                if 0 <= h < H:
                    for s in range(S):
                        w = int32(q * stride_w - pad_w + s * dil_w)
                        if 0 <= w < W:
                            value = x[int32((plane * H + h) * W + w)]
                            if won < 0 or value > best or value != value:
                                best = value
                                won = int32(r * S + s if taps else h * W + w)
            y[i] = best
            winners[i] = won

    return Kernel(max_pool2d_forward, dtype, pointers=2, threads=THREADS, others={"winners": f"{winner}*"})


@cache
def taps_backward_kernel(dtype: np.dtype) -> Kernel:
    """Each input gathers from the windows whose winner it is."""
    number = getattr(numba, dtype.name)

    def max_pool2d_taps_backward(g, dx, taps, n, H, W, P, Q, R, S, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w):
        i = int32(cuda.grid(1))
        if i < n:
            plane, h, w = place_of(i, H, W)
            total = number(0)
            for r in range(R):
                down = int32(h + pad_h - r * dil_h)  # p * stride_h, if this input is tap r of window p
                p = int32(uint32(max(down, 0)) // uint32(stride_h))
                if p * stride_h == down and p < P:
                    for s in range(S):
                        right = int32(w + pad_w - s * dil_w)
                        q = int32(uint32(max(right, 0)) // uint32(stride_w))
                        if q * stride_w == right and q < Q:
                            at = int32((plane * P + p) * Q + q)
                            if taps[at] == r * S + s:
                                total += g[at]
            dx[i] = total

    return Kernel(max_pool2d_taps_backward, dtype, pointers=2, threads=THREADS, others={"taps": "uint8*"})


@cache
def backward_kernel(dtype: np.dtype) -> Kernel:
    """A block adds up one plane of the input; of the inputs, thread t has every one whose index leaves t."""
    number = getattr(numba, dtype.name)

    def max_pool2d_backward(g, dx, winners, inputs, outputs):
        won = cuda.shared.array(THREADS, int32)
        gradients = cuda.shared.array(THREADS, number)
        thread = int32(cuda.threadIdx.x)
        plane = int32(cuda.blockIdx.x)
        for i in range(thread, inputs, THREADS):
            dx[int32(plane * inputs + i)] = number(0)
        for first in range(0, outputs, THREADS):
            if first + thread < outputs:
                at = int32(plane * outputs + first + thread)
                won[thread] = int32(winners[at])
                gradients[thread] = g[at]
            cuda.syncthreads()  # the next outputs of this plane are there
            for k in range(min(THREADS, outputs - first)):
                if won[k] % THREADS == thread and 0 <= won[k] < inputs:
                    dx[int32(plane * inputs + won[k])] += gradients[k]
            cuda.syncthreads()  # nobody reads them any more

    return Kernel(max_pool2d_backward, dtype, pointers=2, threads=THREADS, others={"winners": "int64*"})
