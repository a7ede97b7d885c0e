"""Plans the implicit matrix products: which tile, which memory, how many blocks."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...reference.namespace import accumulator_dtype, array_namespace
from ..matmul.operands import address
from ..matmul.tile import Tile
from ..matmul.warp_product import WarpTile
from ..plan import Kernel, Plan, blocks_for, check_operands, check_size, flat
from .geometry import Geometry, check_bias, check_gradient
from .implicit_gemm import implicit_gemm_kernel
from .offsets import forward_table, grad_input_phases, grad_input_table, grad_input_weights, on_device
from .tensor_cores import tensor_core_kernel
from .warp_weight_gradient import warp_grad_weight_kernel
from .weight_gradient import grad_weight_kernel

Array = Any


class Multiplication(NamedTuple):
    """The kernels that multiply in one way, their tiles, how many weights they read at once, and the product's options.

    Tiles are target channels x pixels, from low to high. Few channels get low tiles, which leave fewer rows idle; a
    high tile fetches each input for more channels at once.
    """

    product: Callable[..., Kernel]
    grad_weight: Callable[..., Kernel]
    tiles: tuple[Any, ...]
    width: int
    options: tuple[str, ...]


TILES = (Tile(32, 128, 8, 4, 8), Tile(64, 128, 8, 8, 8), Tile(128, 128, 8, 8, 8))
WARP_TILES = (WarpTile(32, 128, 16, 32, 32), WarpTile(64, 128, 16, 64, 32), WarpTile(128, 128, 16, 64, 32))
OF_HALVES = tuple(tile._replace(k=32) for tile in WARP_TILES)  # as many bytes


def _on_tensor_cores(multiplied: str, tiles: tuple[WarpTile, ...], width: int) -> Multiplication:
    product = partial(tensor_core_kernel, multiplied=multiplied)
    grad_weight = partial(warp_grad_weight_kernel, multiplied=multiplied)
    return Multiplication(product, grad_weight, tiles, width, ("vector_w", "bias", "relu"))


MULTIPLICATIONS = {
    "float32": Multiplication(
        implicit_gemm_kernel, grad_weight_kernel, TILES, 4, ("vector_w", "vector_y", "bias", "relu")
    ),
    "tf32": _on_tensor_cores("tf32", WARP_TILES, 4),
    "fp16": _on_tensor_cores("fp16", OF_HALVES, 8),
}
DTYPES = ("float32", "float16")
MANY_BLOCKS = 256  # a GPU of today works on so many blocks of the highest tile at once
LEAST_STEPS = 32  # of a part: writing and adding up its numbers takes the time of a few


def plan_forward(
    x: Array,
    w: Array,
    bias: Array | None,
    geometry: Geometry,
    relu: bool = False,
    tile: Tile | WarpTile | None = None,
    multiplied: str = "float32",
) -> Plan:
    """y (N, O, P, Q), with the bias (O,) added and cut off below 0 with ``relu``; float32, or float16 as "fp16"."""
    xp = array_namespace(x)
    check_operands(DTYPES, x=x, w=w, **({} if bias is None else {"bias": bias}))
    if bias is not None:
        check_bias(bias, geometry)
    y = xp.empty(geometry.y_shape, x.dtype)
    table = on_device(forward_table, geometry, x)
    weights = flat(w)
    M = geometry.group_outputs
    return _plan(
        (weights, flat(x), y, None if bias is None else xp.ascontiguousarray(bias), table),
        (M, geometry.D, geometry.H, geometry.W, geometry.P, geometry.Q, geometry.groups),
        (1, geometry.N * geometry.P * geometry.Q),
        (*geometry.stride, 1, 1),
        multiplied,
        tile or tile_for(M, geometry.N * geometry.P * geometry.Q * geometry.groups, multiplied),
        transposed=False,
        line=math.prod(geometry.w_shape[1:]),
        relu=relu,
    )


def plan_grad_input(
    g: Array, w: Array, geometry: Geometry, tile: Tile | WarpTile | None = None, multiplied: str = "float32"
) -> Plan:
    """dx (N, C, H, W) from the output's gradient; float32, or float16 as "fp16"."""
    xp = array_namespace(g)
    check_operands(DTYPES, g=g, w=w)
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
        multiplied,
        tile or tile_for(geometry.D, geometry.N * geometry.H * geometry.W * geometry.groups, multiplied),
        transposed=True,
        line=geometry.D,
    )


def _plan(
    arrays: tuple[Array, ...],
    sizes: tuple[int, ...],
    pixels: tuple[int, int],
    steps: tuple[int, ...],
    multiplied: str,
    tile: Tile | WarpTile,
    transposed: bool,
    line: int,
    relu: bool = False,
) -> Plan:
    """One launch: ``sizes`` M, D, H, W, P, Q, groups; phases and the most pixels of one; steps in source and target.

    ``line``: how many weights lie between two lines of them.
    """
    w, source, target, bias, table = arrays
    M, D, H, W, P, Q, groups = sizes
    phases, count = pixels
    product, _, _, width, options = MULTIPLICATIONS[multiplied]
    at_once = 2 * width if transposed and multiplied == "fp16" else width  # a pair across the lines is on two of them
    evenly = tile.m * tile.k % (tile.threads * at_once) == 0
    given = {
        "vector_w": evenly and line % width == 0 and address(w) % 16 == 0,
        "vector_y": steps[2:] == (1, 1) and P * Q % 4 == 0,
        "bias": bias is not None,
        "relu": relu,
    }
    kernel = product(np.dtype(source.dtype), tile, transposed, **{name: given[name] for name in options})
    blocks = blocks_for(M, tile.m) * groups * phases * blocks_for(count, tile.n) if target.size else 0
    memory = (w, source, target.reshape(-1), target.reshape(-1) if bias is None else bias, table)
    numbers = (M, D, target.shape[0], H, W, P, Q, groups, phases, *steps)
    return Plan(kernel, blocks, (*memory, *numbers), target)


def tile_for(channels: int, pixels: int, multiplied: str = "float32") -> Any:
    """The highest tile that leaves no more rows idle than a lower one would, and enough blocks for a whole GPU.

    A number has the same bits in every tile, so that the choice makes no difference to the result.
    """
    fitting, *higher = MULTIPLICATIONS[multiplied].tiles
    for tile in higher:
        blocks = blocks_for(channels, tile.m) * blocks_for(pixels, tile.n)
        if -channels % tile.m <= -channels % fitting.m and (blocks >= MANY_BLOCKS or channels <= fitting.m):
            fitting = tile
    return fitting


def plan_grad_weight(
    g: Array,
    x: Array,
    geometry: Geometry,
    tile: Tile | WarpTile | None = None,
    splits: int | None = None,
    multiplied: str = "float32",
) -> Plan:
    """The parts (splits, O, D, R, S) whose sum is dw: one for every share of the pixels.

    float32, or float16 as "fp16", whose parts are float32.
    """
    check_operands(DTYPES, g=g, x=x)
    check_gradient(g, geometry)
    J, M = math.prod(geometry.w_shape[1:]), geometry.group_outputs
    tile = tile or tile_for(M, J * geometry.groups, multiplied)
    tiles = blocks_for(M, tile.m) * blocks_for(J, tile.n) * geometry.groups
    pixels = geometry.N * geometry.P * geometry.Q
    split, splits = share_pixels(pixels, tile.k, splits or blocks_for(MANY_BLOCKS * 2, max(tiles, 1)))
    parts = array_namespace(g).empty((splits, *geometry.w_shape), accumulator_dtype(g.dtype))
    check_size("the parts of the weight's gradient", parts.shape)
    table = on_device(forward_table, geometry, g)
    memory = (flat(g), flat(x), parts.reshape(-1), table)
    sizes = (M, geometry.D, geometry.N, geometry.H, geometry.W, geometry.P, geometry.Q, geometry.groups, split)
    kernel = MULTIPLICATIONS[multiplied].grad_weight(np.dtype(g.dtype), tile)
    return Plan(kernel, tiles * splits, (*memory, *sizes, *geometry.stride, *geometry.padding), parts)


def share_pixels(pixels: int, step: int, wanted: int) -> tuple[int, int]:
    """(pixels a part, parts): about as many parts as wanted, of LEAST_STEPS or more whole steps each."""
    steps = blocks_for(pixels, step)
    each = max(blocks_for(steps, max(wanted, 1)), min(LEAST_STEPS, steps), 1)
    return each * step, max(blocks_for(steps, each), 1)
