"""Plans the implicit matrix products: which tile, which memory, how many blocks."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from ...reference.namespace import accumulator_dtype, array_namespace
from ..matmul.operands import address
from ..matmul.tile import Tile
from ..matmul.warp_product import WarpTile
from ..plan import Kernel, Plan, blocks_for, check_operands, check_size, flat
from .geometry import KEPT, Geometry, check_bias, check_gradient
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


class Launch(NamedTuple):
    """What a geometry decides of a launch: kept, since a model asks for the same ones step after step."""

    kernel: Kernel
    blocks: int
    numbers: tuple[int, ...]


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
    y, weights, table = xp.empty(geometry.y_shape, x.dtype), flat(w), on_device(forward_table, geometry, x)
    kernel, blocks, numbers = _forward(
        geometry, x.dtype, multiplied, tile, starts_evenly(weights), bias is not None, relu
    )
    to = y.reshape(-1)
    return Plan(kernel, blocks, (weights, flat(x), to, to if bias is None else flat(bias), table, *numbers), y)


@lru_cache(KEPT)
def _forward(
    geometry: Geometry,
    dtype: np.dtype,
    multiplied: str,
    tile: Tile | WarpTile | None,
    w_starts_evenly: bool,
    bias: bool,
    relu: bool,
) -> Launch:
    M, pixels = geometry.group_outputs, geometry.N * geometry.P * geometry.Q
    tile = tile or tile_for(M, pixels * geometry.groups, multiplied)
    given = {
        "vector_w": w_starts_evenly and weights_by_many(tile, math.prod(geometry.w_shape[1:]), multiplied, False),
        "vector_y": geometry.P * geometry.Q % 4 == 0,
        "bias": bias,
        "relu": relu,
    }
    kernel = MULTIPLICATIONS[multiplied].product(np.dtype(dtype), tile, False, **_options(multiplied, given))
    blocks = blocks_for(M, tile.m) * geometry.groups * blocks_for(pixels, tile.n)
    sizes = (geometry.D, geometry.N, geometry.H, geometry.W, geometry.P, geometry.Q, geometry.groups)
    return Launch(kernel, blocks, (M, *sizes, 1, *geometry.stride, 1, 1))


def plan_grad_input(
    g: Array, w: Array, geometry: Geometry, tile: Tile | WarpTile | None = None, multiplied: str = "float32"
) -> Plan:
    """dx (N, C, H, W) from the output's gradient; float32, or float16 as "fp16"."""
    check_operands(DTYPES, g=g, w=w)
    check_gradient(g, geometry)
    dx = array_namespace(g).empty(geometry.x_shape, g.dtype)
    weights, table = grad_input_weights(w, geometry), on_device(grad_input_table, geometry, g)
    kernel, blocks, numbers = _grad_input(geometry, g.dtype, multiplied, tile, starts_evenly(weights))
    to = dx.reshape(-1)
    return Plan(kernel, blocks, (weights, flat(g), to, to, table, *numbers), dx)


@lru_cache(KEPT)
def _grad_input(
    geometry: Geometry, dtype: np.dtype, multiplied: str, tile: Tile | WarpTile | None, w_starts_evenly: bool
) -> Launch:
    M, phases = geometry.D, grad_input_phases(geometry)
    largest = max((rows.pixels * columns.pixels for rows, columns in phases), default=0)
    tile = tile or tile_for(M, geometry.N * geometry.H * geometry.W * geometry.groups, multiplied)
    given = {
        "vector_w": w_starts_evenly and weights_by_many(tile, M, multiplied, True),
        "vector_y": geometry.stride == (1, 1) and geometry.H * geometry.W % 4 == 0,
    }
    kernel = MULTIPLICATIONS[multiplied].product(np.dtype(dtype), tile, True, **_options(multiplied, given))
    blocks = blocks_for(M, tile.m) * geometry.groups * len(phases) * blocks_for(geometry.N * largest, tile.n)
    sizes = (geometry.group_outputs, geometry.N, geometry.P, geometry.Q, geometry.H, geometry.W, geometry.groups)
    return Launch(kernel, blocks, (M, *sizes, len(phases), 1, 1, *geometry.stride))


def _options(multiplied: str, given: dict[str, bool]) -> dict[str, bool]:
    """Those that the product has, each as given or not."""
    return {name: given.get(name, False) for name in MULTIPLICATIONS[multiplied].options}


def weights_by_many(tile: Any, line: int, multiplied: str, transposed: bool) -> bool:
    """Whether the threads can read weights, ``line`` of which lie between two lines, by 16 bytes each."""
    width = MULTIPLICATIONS[multiplied].width
    at_once = 2 * width if transposed and multiplied == "fp16" else width  # a pair across the lines is on two of them
    return tile.m * tile.k % (tile.threads * at_once) == 0 and line % width == 0


def starts_evenly(weights: Array) -> bool:
    return address(weights) % 16 == 0


def tile_for(channels: int, pixels: int, multiplied: str = "float32", parts: int = 1) -> Any:
    """The highest tile that leaves no more rows idle than a lower one would, and enough blocks for a whole GPU.

    A tile has up to ``parts`` blocks. What is added up in one part has the same bits in every tile.
    """
    fitting, *higher = MULTIPLICATIONS[multiplied].tiles
    for tile in higher:
        blocks = blocks_for(channels, tile.m) * blocks_for(pixels, tile.n) * parts
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
    (kernel, blocks, numbers), splits = _grad_weight(geometry, g.dtype, multiplied, tile, splits)
    parts = array_namespace(g).empty((splits, *geometry.w_shape), accumulator_dtype(g.dtype))
    memory = (flat(g), flat(x), parts.reshape(-1), on_device(forward_table, geometry, g))
    return Plan(kernel, blocks, (*memory, *numbers), parts)


@lru_cache(KEPT)
def _grad_weight(
    geometry: Geometry, dtype: np.dtype, multiplied: str, tile: Tile | WarpTile | None, splits: int | None
) -> tuple[Launch, int]:
    J, M = math.prod(geometry.w_shape[1:]), geometry.group_outputs
    pixels = geometry.N * geometry.P * geometry.Q
    if tile is None:
        most = blocks_for(pixels, MULTIPLICATIONS[multiplied].tiles[0].k * LEAST_STEPS)
        tile = tile_for(M, J * geometry.groups, multiplied, most)
    tiles = blocks_for(M, tile.m) * blocks_for(J, tile.n) * geometry.groups
    split, splits = share_pixels(pixels, tile.k, splits or blocks_for(MANY_BLOCKS * 2, max(tiles, 1)))
    check_size("the parts of the weight's gradient", (splits, *geometry.w_shape))
    sizes = (M, geometry.D, geometry.N, geometry.H, geometry.W, geometry.P, geometry.Q, geometry.groups, split)
    kernel = MULTIPLICATIONS[multiplied].grad_weight(np.dtype(dtype), tile)
    return Launch(kernel, tiles * splits, (*sizes, *geometry.stride, *geometry.padding)), splits


def share_pixels(pixels: int, step: int, wanted: int) -> tuple[int, int]:
    """(pixels a part, parts): about as many parts as wanted, of LEAST_STEPS or more whole steps each."""
    steps = blocks_for(pixels, step)
    each = max(blocks_for(steps, max(wanted, 1)), min(LEAST_STEPS, steps), 1)
    return each * step, max(blocks_for(steps, each), 1)
