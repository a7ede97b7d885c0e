"""Plans the implicit matrix products: which tile, which memory, how many blocks."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...reference.namespace import array_namespace
from ..matmul.operands import address
from ..matmul.tile import Tile
from ..plan import Plan, blocks_for, check_operands, check_size
from .geometry import Geometry, check_bias, check_gradient, flat
from .implicit_gemm import implicit_gemm_kernel
from .offsets import forward_table, grad_input_phases, grad_input_table, grad_input_weights, on_device
from .weight_gradient import grad_weight_kernel

Array = Any

# Target channels x pixels. Few channels get low tiles, which leave fewer rows idle; a high tile fetches each input for
# more channels at once.
TILES = (Tile(32, 128, 8, 4, 8), Tile(64, 128, 8, 8, 8), Tile(128, 128, 8, 8, 8))
MANY_BLOCKS = 256  # a GPU of today works on so many blocks of the highest tile at once
LEAST_STEPS = 32  # of a part: writing and adding up its numbers takes the time of a few


def plan_forward(
    x: Array, w: Array, bias: Array | None, geometry: Geometry, relu: bool = False, tile: Tile | None = None
) -> Plan:
    """y (N, O, P, Q), with the bias (O,) added and cut off below 0 with ``relu``; float32."""
    xp = array_namespace(x)
    check_operands(x=x, w=w, **({} if bias is None else {"bias": bias}))
    if bias is not None:
        check_bias(bias, geometry)
    y = xp.empty(geometry.y_shape, x.dtype)
    table = on_device(forward_table, geometry, x)
    weights = xp.ascontiguousarray(w).reshape(-1)
    K, M = math.prod(geometry.w_shape[1:]), geometry.group_outputs
    return _plan(
        (weights, flat(x), y, None if bias is None else xp.ascontiguousarray(bias), table),
        (M, geometry.D, geometry.H, geometry.W, geometry.P, geometry.Q, geometry.groups),
        (1, geometry.N * geometry.P * geometry.Q),
        (*geometry.stride, 1, 1),
        tile or tile_for(M, geometry.N * geometry.P * geometry.Q * geometry.groups),
        transposed=False,
        aligned=K % 4 == 0,
        relu=relu,
    )


def plan_grad_input(g: Array, w: Array, geometry: Geometry, tile: Tile | None = None) -> Plan:
    """dx (N, C, H, W) from the output's gradient; float32."""
    xp = array_namespace(g)
    check_operands(g=g, w=w)
    check_gradient(g, geometry)
    dx = xp.empty(geometry.x_shape, g.dtype)
    table = on_device(grad_input_table, geometry, g)
    phases = grad_input_phases(geometry)
    largest = max((rows.pixels * columns.pixels for rows, columns in phases), default=0)
    return _plan(
        (grad_input_weights(w, geometry), flat(g), dx, None, table),
        (geometry.D, geometry.group_outputs, geometry.P, geometry.Q, geometry.H, geometry.W, geometry.groups),
        (len(phases), geometry.N * largest),
        (1, 1, *geometry.stride),
        tile or tile_for(geometry.D, geometry.N * geometry.H * geometry.W * geometry.groups),
        transposed=True,
        aligned=geometry.D % 4 == 0,
    )


def _plan(
    arrays: tuple[Array, ...],
    sizes: tuple[int, ...],
    pixels: tuple[int, int],
    steps: tuple[int, ...],
    tile: Tile,
    transposed: bool,
    aligned: bool,
    relu: bool = False,
) -> Plan:
    """One launch: ``sizes`` M, D, H, W, P, Q, groups; phases and the most pixels of one; steps in source and target.

    ``aligned``: every line of weights begins at a multiple of four numbers.
    """
    w, source, target, bias, table = arrays
    M, D, H, W, P, Q, groups = sizes
    phases, count = pixels
    kernel = implicit_gemm_kernel(
        np.dtype(source.dtype),
        tile,
        transposed,
        vector_w=aligned and tile.fetches[0] % 4 == 0 and address(w) % 16 == 0,
        vector_y=steps[2:] == (1, 1) and P * Q % 4 == 0,
        bias=bias is not None,
        relu=relu,
    )
    blocks = blocks_for(M, tile.m) * groups * phases * blocks_for(count, tile.n) if target.size else 0
    memory = (w, source, target.reshape(-1), target.reshape(-1) if bias is None else bias, table)
    numbers = (M, D, target.shape[0], H, W, P, Q, groups, phases, *steps)
    return Plan(kernel, blocks, (*memory, *numbers), target)


def tile_for(channels: int, pixels: int) -> Tile:
    """The highest tile that leaves no more rows idle than a lower one would, and enough blocks for a whole GPU.

    A number has the same bits in every tile, so that the choice makes no difference to the result.
    """
    fitting = TILES[0]
    for tile in TILES[1:]:
        idle_rows: Callable[[Tile], int] = lambda tile: -channels % tile.m  # noqa: E731
        blocks = blocks_for(channels, tile.m) * blocks_for(pixels, tile.n)
        if idle_rows(tile) <= idle_rows(fitting) and (blocks >= MANY_BLOCKS or channels <= fitting.m):
            fitting = tile
    return fitting


def plan_grad_weight(
    g: Array, x: Array, geometry: Geometry, tile: Tile | None = None, splits: int | None = None
) -> Plan:
    """The parts (splits, O, D, R, S) whose sum is dw: one for every share of the pixels; float32."""
    check_operands(g=g, x=x)
    check_gradient(g, geometry)
    J, M = math.prod(geometry.w_shape[1:]), geometry.group_outputs
    tile = tile or tile_for(M, J * geometry.groups)
    tiles = blocks_for(M, tile.m) * blocks_for(J, tile.n) * geometry.groups
    pixels = geometry.N * geometry.P * geometry.Q
    split, splits = share_pixels(pixels, tile.k, splits or blocks_for(MANY_BLOCKS * 2, max(tiles, 1)))
    parts = array_namespace(g).empty((splits, *geometry.w_shape), g.dtype)
    check_size("the parts of the weight's gradient", parts.shape)
    table = on_device(forward_table, geometry, g)
    memory = (flat(g), flat(x), parts.reshape(-1), table)
    sizes = (M, geometry.D, geometry.N, geometry.H, geometry.W, geometry.P, geometry.Q, geometry.groups, split)
    kernel = grad_weight_kernel(np.dtype(g.dtype), tile)
    return Plan(kernel, tiles * splits, (*memory, *sizes, *geometry.stride, *geometry.padding), parts)


def share_pixels(pixels: int, step: int, wanted: int) -> tuple[int, int]:
    """(pixels a part, parts): about as many parts as wanted, of LEAST_STEPS or more whole steps each."""
    steps = blocks_for(pixels, step)
    each = max(blocks_for(steps, max(wanted, 1)), min(LEAST_STEPS, steps), 1)
    return each * step, max(blocks_for(steps, each), 1)
