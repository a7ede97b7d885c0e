"""Two-dimensional convolution on the GPU, forward and both gradients, as a ladder like the matrix product's.

| rung | module | the idea |
| --- | --- | --- |
| "direct" | ``direct`` | a thread for every number, from the definition |
| "halo tile" | ``halo_tile`` | a block fetches what its windows see once, for all |
| "implicit GEMM" | ``implicit_gemm``, ``weight_gradient`` | a tiled product whose second matrix is never made |

Beside it stand ``depthwise`` for a channel by itself, where memory is all that counts, and ``pointwise``, which is the
matrix product. ``geometry`` holds the sizes, ``offsets`` the precomputed table of where inputs lie; ``products`` plans
the implicit products and ``choice`` takes the kernel for a shape. A convolution over one axis is one over two whose
first has size 1, and a transposed one is the gradient by the input of another: they take the same kernels.

Shapes: x (N, C, H, W), w (O, C/groups, R, S), bias (O,), g and y (N, O, P, Q); ``stride``, ``padding`` and
``dilation`` are (height, width). Nothing is unfolded into a matrix in global memory, nothing is added up by atomic
operations: the same input gives the same bits every time.
"""

from typing import Any

from ...reference.conv2d import gated
from .. import launcher
from ..channel_sums import sum_of_channels
from ..strips import sum_of_strips
from .choice import plan_conv2d_forward, plan_conv2d_grad_input, plan_conv2d_grad_weight
from .geometry import Pair

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

    float32 or float64 CuPy arrays; a non-contiguous one is copied. Raises ValueError where shapes do not fit, devices
    differ or an array has more than 2^31 elements, TypeError for other dtypes.
    """
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
    parts = launcher.launch(plan_conv2d_grad_weight, g, x, w_shape, stride, padding, dilation, groups)
    if len(parts) > 1 or out is not None:
        (total,) = sum_of_strips(parts[:, None], out)
        dw = total if out is None else out
    else:
        dw = parts[0]
    return (dw, sum_of_channels(g, bias_out)) if with_bias else dw
