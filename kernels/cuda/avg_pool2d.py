"""Two-dimensional average pooling on the GPU, one launch each way: a thread for every output, or for every input.

A window's sum is divided by ``divisor_override``, or by the elements that it has in the input, those in the padding
counted too where ``count_include_pad`` says so; what hangs over the padded input never counts. Backward, an input adds
up what it has from the windows in which it lies. Additions are in the order of the taps, or of the windows from the
last to the first, as in the reference, so sums have the same bits every time.

Shapes: x (N, C, H, W), y and g (N, C, P, Q). ``kernel``, ``stride``, ``padding`` are (h, w).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ..reference.namespace import array_namespace
from ..reference.pool2d import pool2d_output_size
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size, flat
from .planes import place_of

Array = Any
Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

THREADS = 256


def avg_pool2d_forward(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """See the reference."""
    return launcher.launch(plan_forward, x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool2d_backward(
    g: Array,
    x_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """See the reference."""
    return launcher.launch(
        plan_backward, g, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def plan_forward(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Plan:
    """The launch that leaves y."""
    xp, dtype = array_namespace(x), check_operands(x=x)
    y = xp.empty((*x.shape[:2], *pool2d_output_size(x.shape, kernel, stride, padding, (1, 1), ceil_mode)), dtype)
    sizes = _sizes(x.shape, y.shape, kernel, stride, padding, count_include_pad, divisor_override)
    args = flat(x), y.reshape(-1), y.size, *sizes
    return Plan(forward_kernel(dtype), blocks_for(y.size, THREADS), args, y)


def plan_backward(
    g: Array,
    x_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Plan:
    """The launch that leaves dx (N, C, H, W)."""
    xp, dtype = array_namespace(g), check_operands(g=g)
    expected = (*x_shape[:2], *pool2d_output_size(x_shape, kernel, stride, padding, (1, 1), ceil_mode))
    if g.shape != expected:
        raise ValueError(f"g must have the shape of the output, {expected}, got {g.shape}")
    dx = xp.empty(x_shape, dtype)
    sizes = _sizes(x_shape, g.shape, kernel, stride, padding, count_include_pad, divisor_override)
    args = flat(g), dx.reshape(-1), dx.size, *sizes
    return Plan(backward_kernel(dtype), blocks_for(dx.size, THREADS), args, dx)


def _sizes(
    x_shape: Shape4,
    y_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> tuple[int, ...]:
    """The numbers that both kernels take, from H on; a divisor of 0 is none."""
    if divisor_override == 0:
        raise ValueError("divisor_override must not be zero")
    check_size("x", x_shape)
    check_size("the output", y_shape)
    margins = padding if count_include_pad else (0, 0)
    return *x_shape[2:], *y_shape[2:], *kernel, *stride, *padding, *margins, divisor_override or 0


@cache
def _counted() -> Callable[..., Any]:
    """A device function: how many elements of one axis a window has that begins at ``start``."""

    @cuda.jit(device=True)
    def counted(start, kernel, size, margin):
        return int32(min(start + kernel, size + margin) - max(start, -margin))

    return counted


@cache
def forward_kernel(dtype: np.dtype) -> Kernel:
    """The mean of each window."""
    number, counted = getattr(numba, dtype.name), _counted()

    def avg_pool2d_forward(x, y, n, H, W, P, Q, R, S, stride_h, stride_w, pad_h, pad_w, margin_h, margin_w, divisor):
        i = int32(cuda.grid(1))
        if i < n:
            plane, p, q = place_of(i, P, Q)
            top = int32(p * stride_h - pad_h)
            left = int32(q * stride_w - pad_w)
            total = number(0)
            for h in range(max(top, 0), min(top + R, H)):
                for w in range(max(left, 0), min(left + S, W)):
                    total += x[int32((plane * H + h) * W + w)]
            count = divisor if divisor else counted(top, R, H, margin_h) * counted(left, S, W, margin_w)
            y[i] = total / number(count)

    return Kernel(avg_pool2d_forward, dtype, pointers=2, threads=THREADS)


@cache
def backward_kernel(dtype: np.dtype) -> Kernel:
    """Each input gathers its shares of the windows in which it lies."""
    number, counted = getattr(numba, dtype.name), _counted()

    def avg_pool2d_backward(g, dx, n, H, W, P, Q, R, S, stride_h, stride_w, pad_h, pad_w, margin_h, margin_w, divisor):
        i = int32(cuda.grid(1))
        if i < n:
            plane, h, w = place_of(i, H, W)
            # Window p has the rows from p * stride_h - pad_h, R of them; likewise for q.
            p = int32(min(int32(uint32(h + pad_h) // uint32(stride_h)), P - 1))
            last_q = int32(min(int32(uint32(w + pad_w) // uint32(stride_w)), Q - 1))
            total = number(0)
            while p >= 0 and p * stride_h - pad_h + R > h:
                rows = counted(int32(p * stride_h - pad_h), R, H, margin_h)
                q = last_q
                while q >= 0 and q * stride_w - pad_w + S > w:
                    columns = counted(int32(q * stride_w - pad_w), S, W, margin_w)
                    count = divisor if divisor else rows * columns
                    total += g[int32((plane * P + p) * Q + q)] / number(count)
                    q = int32(q - 1)
                p = int32(p - 1)
            dx[i] = total

    return Kernel(avg_pool2d_backward, dtype, pointers=2, threads=THREADS)
