"""Two-dimensional convolution on the GPU, forward and both gradients, as a ladder like the matrix product's.

| rung | module | the idea |
| --- | --- | --- |
| "direct" | ``direct`` | a thread for every number, from the definition |
| "halo tile" | ``halo_tile`` | a block fetches what its windows see once, for all |
| "implicit GEMM" | ``implicit_gemm``, ``weight_gradient`` | a tiled product whose second matrix is never made |
| "tensor cores" | ``tensor_cores``, ``warp_weight_gradient`` | a warp multiplies matrices, of numbers with fewer bits |

Beside it stand ``depthwise`` for a channel by itself, where memory is all that counts, and ``pointwise``, which is the
matrix product. ``geometry`` holds the sizes, ``offsets`` the precomputed table of where inputs lie; ``products`` plans
the implicit products and ``choice`` takes the kernel for a shape. A convolution over one axis is one over two whose
first has size 1, and a transposed one is the gradient by the input of another: they take the same kernels.

Shapes: x (N, C, H, W), w (O, C/groups, R, S), bias (O,), g and y (N, O, P, Q); ``stride``, ``padding`` and
``dilation`` are (height, width). Nothing is unfolded into a matrix in global memory, nothing is added up by atomic
operations: the same input gives the same bits every time.
"""

from typing import Any

import numpy as np

from ...reference.conv2d import bias_gradient, gated, put_into
from .. import launcher
from .choice import in_float32, plan_conv2d_forward, plan_conv2d_grad_input, plan_conv2d_grad_weight
from .geometry import Pair, geometry_of
from .products import plan_sum_parts

Array = Any


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

    float16, float32 or float64 CuPy arrays; a non-contiguous one is copied. float16 is added up in float32 and rounded
    once. Raises ValueError where shapes do not fit, devices differ or an array has more than 2^31 elements, TypeError
    for other dtypes.
    """
    if in_float32(x, geometry_of(x.shape, w.shape, stride, padding, dilation, groups)):
        x, w, bias = wide(x), wide(w), None if bias is None else wide(bias)
        return narrow(conv2d_forward(x, w, bias, stride, padding, dilation, groups, relu))
    return launcher.launch(plan_conv2d_forward, x, w, bias, stride, padding, dilation, groups, relu)


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
    g = gated(g, gate)
    if in_float32(g, geometry_of(x_shape, w.shape, stride, padding, dilation, groups)):
        return narrow(conv2d_grad_input(wide(g), wide(w), x_shape, stride, padding, dilation, groups))
    return launcher.launch(plan_conv2d_grad_input, g, w, x_shape, stride, padding, dilation, groups)


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
    if in_float32(g, geometry_of(x.shape, w_shape, stride, padding, dilation, groups)):
        dw = narrow(conv2d_grad_weight(wide(g), wide(x), w_shape, stride, padding, dilation, groups))
    else:
        parts = launcher.launch(plan_conv2d_grad_weight, g, x, w_shape, stride, padding, dilation, groups)
        whole = len(parts) == 1 and parts.dtype == g.dtype
        dw = parts[0] if whole else launcher.launch(plan_sum_parts, parts, g.dtype)
    dw = put_into(out, dw)
    return (dw, put_into(bias_out, bias_gradient(g))) if with_bias else dw


def wide(array: Array) -> Array:
    return array.astype(np.float32)


def narrow(array: Array) -> Array:
    return array.astype(np.float16)
