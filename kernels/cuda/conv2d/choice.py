"""Which kernel serves a convolution: decided by dtype, shape and the precision asked for, and by nothing else.

| the convolution | forward | gradient by the input | by the weight |
| --- | --- | --- | --- |
| float64; or too large for the offset table; or without channels | ``direct`` | ``direct`` | ``direct`` |
| each input channel by itself | ``depthwise`` | ``depthwise`` | ``depthwise`` |
| a window of 1 x 1 that fills a matrix product's tiles | ``pointwise``, if without bias | ``pointwise`` | as below |
| float32, few channels in a group to compute, stride 1 for the gradient | ``halo_tile`` | ``halo_tile`` | as below |
| float16, or float32 where TF32 will do | ``tensor_cores`` | ``tensor_cores`` | ``warp_weight_gradient`` |
| all others | ``implicit_gemm`` | ``implicit_gemm`` | ``weight_gradient`` |

Of the first two lines, and on GPUs before compute capability 8.0, float16 is computed as float32 and rounded.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from .. import precision
from ..matmul import has_tensor_cores
from ..plan import Plan, blocks_for
from . import depthwise, direct, halo_tile, pointwise, products
from .geometry import KEPT, Geometry, Pair, geometry_of
from .offsets import fits

Array = Any


def plan_conv2d_forward(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> Plan:
    """The launch that computes ``conv2d_forward``."""
    geometry = geometry_of(x.shape, w.shape, stride, padding, dilation, groups)
    if by_definition(x, geometry):
        return direct.plan_direct_forward(x, w, bias, geometry, relu)
    if is_depthwise(geometry):
        return depthwise.plan_depthwise_forward(x, w, bias, geometry, relu)
    if bias is None and not relu and by_matmul(geometry.O, geometry):
        return pointwise.plan_pointwise_forward(x, w, geometry, multiplied_as(x))
    if x.dtype == np.float32 and by_halo(geometry):
        return halo_tile.plan_halo_forward(x, w, bias, geometry, relu)
    return products.plan_forward(x, w, bias, geometry, relu, multiplied=multiplied_as(x))


def plan_conv2d_grad_input(
    g: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Plan:
    """The launch that computes ``conv2d_grad_input``."""
    geometry = geometry_of(x_shape, w.shape, stride, padding, dilation, groups)
    if by_definition(g, geometry):
        return direct.plan_direct_grad_input(g, w, geometry)
    if is_depthwise(geometry):
        return depthwise.plan_depthwise_grad_input(g, w, geometry)
    if by_matmul(geometry.C, geometry):
        return pointwise.plan_pointwise_grad_input(g, w, geometry, multiplied_as(g))
    if g.dtype == np.float32 and geometry.stride == (1, 1) and by_halo(halo_tile.backwards(geometry)):
        return halo_tile.plan_halo_grad_input(g, w, geometry)
    return products.plan_grad_input(g, w, geometry, multiplied=multiplied_as(g))


def plan_conv2d_grad_weight(
    g: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Plan:
    """The launch that computes ``conv2d_grad_weight``, as one or more parts (parts, O, C/groups, R, S) to be added."""
    geometry = geometry_of(x.shape, w_shape, stride, padding, dilation, groups)
    if by_definition(g, geometry):
        plan = direct.plan_direct_grad_weight(g, x, geometry)
        return replace(plan, result=plan.result[None])
    if is_depthwise(geometry):
        return depthwise.plan_depthwise_grad_weight(g, x, geometry)
    return products.plan_grad_weight(g, x, geometry, multiplied=multiplied_as(g))


def multiplied_as(array: Array) -> str:
    """How products multiply: float32 in TF32 where the GPU can and nobody wants the highest precision."""
    if array.dtype == np.float16:
        return "fp16"
    return "float32" if precision.in_use() == "highest" or not has_tensor_cores(array) else "tf32"


def in_float32(array: Array, geometry: Geometry) -> bool:
    """Whether these are float16 that only kernels of float32 can convolve."""
    if array.dtype != np.float16:
        return False
    return not has_tensor_cores(array) or by_definition(array, geometry) or is_depthwise(geometry)


def by_definition(array: Array, geometry: Geometry) -> bool:
    """Whether only the direct kernels can do it. Without images there is nothing to do, and it makes no difference."""
    empty = 0 in geometry.x_shape or 0 in geometry.w_shape
    return array.dtype == np.float64 or empty or not fits(geometry)


def is_depthwise(geometry: Geometry) -> bool:
    """Whether each input channel is convolved by itself."""
    return geometry.D == 1 and geometry.groups > 1


def by_matmul(channels: int, geometry: Geometry) -> bool:
    """Whether it is a matrix product with ``channels`` rows that fills its tiles."""
    return pointwise.is_pointwise(geometry) and pointwise.fills_tiles(channels, geometry.H * geometry.W)


@lru_cache(KEPT)
def by_halo(geometry: Geometry) -> bool:
    """Whether a group has so few output channels that a matrix product's lowest tile would be three quarters idle, and
    the image fills a quarter of the halo's tiles or more.
    """
    side = halo_tile.SIDE
    tiles = blocks_for(geometry.P, side) * blocks_for(geometry.Q, side)
    filled = tiles * side * side <= 4 * geometry.P * geometry.Q
    return geometry.group_outputs <= halo_tile.CHANNELS and filled and halo_tile.fits(geometry, 4)
