"""A window of 1 x 1, stride 1: each image is a matrix (C, H W) already, and the weights are another one.

So the convolution is the matrix product itself, once for each image, and needs no table. The product's tiles do not go
on from one image to the next, as those of the implicit product do: for small images, or few channels, that one leaves
less of its tiles idle (``fills_tiles``). The gradient by the weight is a sum over all images, which the implicit
product cuts into parts; here it would need a matrix for each image.
"""

from dataclasses import replace
from typing import Any

from ..matmul import HALVES, RUNGS, double_buffered, plan_matmul
from ..plan import Plan, blocks_for
from .geometry import Geometry, check_gradient

Array = Any

RUNG_OF = {"float32": RUNGS["double-buffered"], "tf32": RUNGS["tf32"], "fp16": HALVES}


def is_pointwise(geometry: Geometry) -> bool:
    """Whether each number of the output depends on one pixel, in the same place."""
    one = (1, 1)
    return (geometry.R, geometry.S) == geometry.stride == one and geometry.padding == (0, 0) and geometry.groups == 1


def fills_tiles(channels: int, pixels: int) -> bool:
    """Whether a product of so many rows and columns leaves less than a quarter of its tiles idle, each way."""
    tile = double_buffered.TILE
    return all(4 * size >= 3 * blocks_for(size, side) * side for size, side in ((channels, tile.m), (pixels, tile.n)))


def plan_pointwise_forward(x: Array, w: Array, geometry: Geometry, multiplied: str = "float32") -> Plan:
    """y (N, O, H, W), without a bias: y[n] = w x[n]."""
    return _plan(w.reshape(geometry.O, geometry.C), x, geometry.y_shape, multiplied)


def plan_pointwise_grad_input(g: Array, w: Array, geometry: Geometry, multiplied: str = "float32") -> Plan:
    """dx (N, C, H, W): dx[n] = wᵀ g[n]."""
    check_gradient(g, geometry)
    return _plan(w.reshape(geometry.O, geometry.C).T, g, geometry.x_shape, multiplied)


def _plan(matrix: Array, images: Array, shape: tuple[int, ...], multiplied: str) -> Plan:
    plan = plan_matmul(matrix, images.reshape(*images.shape[:2], -1), RUNG_OF[multiplied])
    return replace(plan, result=plan.result.reshape(shape))
