"""Matrix product C = A B on the GPU, as a ladder: each rung is one kernel, with one idea more than the one below.

| rung | module | the idea | global reads a multiplication | shared reads |
| --- | --- | --- | --- | --- |
| "naive" | ``naive`` | a thread for every number of C | 2, scattered | 0 |
| "coalesced" | ``coalesced`` | neighbouring threads read neighbouring numbers | 2 | 0 |
| "shared tile" | ``shared_tile`` | a block fetches tiles once, for all of its threads | 1/8 | 2 |
| "register tile" | ``register_tile`` | a thread makes 4 x 4 numbers of C | 1/32 | 1/2 |
| "double-buffered" | ``double_buffered`` | tiles are fetched ahead, by 16 bytes at a time | 1/64 | 1/16 |
| "tf32", "bf16" | ``tensor_cores`` | a warp multiplies matrices, of numbers with fewer bits | 1/64 | 3/64, 3/128 |

These are for float32, the first four for float64, too. For float16 there is HALVES: the kernel of "bf16", for numbers
that have 16 bits already. GPUs before compute capability 8.0 lack these instructions: there float32 is multiplied by
"double-buffered" whatever precision is asked for, and so is float16, in float32 and rounded once.

All take the same arguments (the upper ones a bias, too): matrices A, B, C in flat memory; sizes M, N, K; ``lda`` and
``ldb``, the distances between stored lines, and ``batch_a`` and ``batch_b``, between matrices (0: the same one for
all). A transposed operand is stored as (K, M), or (N, K). Blocks are numbered along the tiles of a row of C, then down,
then through the batch. Each number of C is added up by one thread in the order of K: the same operands give the same
bits every time, on every rung.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...reference.namespace import array_namespace
from .. import launcher, precision
from ..plan import Kernel, Plan, blocks_for, check_operands, check_size
from . import coalesced, double_buffered, naive, register_tile, shared_tile, tensor_cores
from .operands import operand
from .tensor_cores import tensor_core_kernel
from .tile import Tile
from .warp_product import WarpTile

Array = Any


DTYPES = ("float16", "float32", "float64")


class Rung(NamedTuple):
    """Makes the kernel for a dtype, a tile, a transposed A or B, and ``options``; and the tile that a GPU runs."""

    kernel: Callable[..., Kernel]
    tile: Tile | WarpTile
    options: tuple[str, ...] = ()


_MOVES = ("vector_a", "vector_b")
_REST = ("bias", "relu")
RUNGS = {
    "naive": Rung(naive.naive_kernel, naive.TILE),
    "coalesced": Rung(coalesced.coalesced_kernel, coalesced.TILE),
    "shared tile": Rung(shared_tile.shared_tile_kernel, shared_tile.TILE),
    "register tile": Rung(register_tile.register_tile_kernel, register_tile.TILE),
    "double-buffered": Rung(
        double_buffered.double_buffered_kernel, double_buffered.TILE, (*_MOVES, "vector_c", *_REST)
    ),
    "tf32": Rung(partial(tensor_core_kernel, multiplied="tf32"), tensor_cores.TILE, (*_MOVES, *_REST)),
    "bf16": Rung(partial(tensor_core_kernel, multiplied="bf16"), tensor_cores.TILE, (*_MOVES, *_REST)),
}
HALVES = Rung(partial(tensor_core_kernel, multiplied="fp16"), tensor_cores.TILE_OF_HALVES, (*_MOVES, *_REST))
OF_PRECISION = {"highest": "double-buffered", "high": "tf32", "medium": "bf16"}  # for float32
TENSOR_CORES = (8, 0)  # the compute capability that the PTX ISA asks for ("mma"), with these shapes and numbers


def matmul(a: Array, b: Array) -> Array:
    """a (…, M, K) times b (…, K, N) → (…, M, N); leading axes are broadcast as NumPy does.

    float16, float32 or float64 CuPy arrays of any strides; a transposed view is read in place. Products of float16 are
    added up in float32, and rounded once. Raises ValueError where shapes do not fit, devices differ or an array has
    more than 2^31 elements, TypeError for other dtypes.
    """
    return launch_product(plan_matmul, a, b)


def launch_product(planner: Callable[..., Plan], *operands: Any) -> Array:
    """The result of the product that ``planner`` plans; of float16 without tensor cores, by way of float32."""
    arrays = [operand for operand in operands if hasattr(operand, "dtype")]
    if has_tensor_cores(arrays[0]) or any(array.dtype != np.float16 for array in arrays):
        return launcher.launch(planner, *operands)
    wide = [operand.astype(np.float32) if hasattr(operand, "dtype") else operand for operand in operands]
    return launcher.launch(planner, *wide).astype(np.float16)


def has_tensor_cores(array: Array) -> bool:
    """Whether the array's GPU knows the instructions of ``tensor_cores``; over NumPy arrays, the simulator does."""
    device = array.device
    return not hasattr(device, "compute_capability") or launcher.capability_of(device) >= TENSOR_CORES


def plan_matmul(a: Array, b: Array, rung: Rung | None = None) -> Plan:
    """The launch that computes ``matmul(a, b)``; by default on the rung for dtype, precision in use and device."""
    return _Product(a, b).plan(rung or _rung_for(a))


def plan_linear(x: Array, weight: Array, bias: Array | None, relu: bool, rung: Rung | None = None) -> Plan:
    """x (…, in), weight (out, in), bias (out,) or None → y = x Wᵀ + b (…, out), not below 0 with ``relu``.

    float16 or float32, in which sums, bias and ReLU are; rounded to the operands' dtype once.
    """
    if bias is not None:
        check_operands(DTYPES, x=x, bias=bias)
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"bias must have one number for each of the {len(weight)} outputs, got {bias.shape}")
        bias = array_namespace(bias).ascontiguousarray(bias)
    return _Product(x, weight.T).plan(rung or _rung_for(x), bias, relu)


def _rung_for(a: Array) -> Rung:
    if a.dtype == np.float16:
        return HALVES
    if a.dtype == np.float64:
        return RUNGS["register tile"]
    rung = OF_PRECISION[precision.in_use()]
    return RUNGS[rung if rung == OF_PRECISION["highest"] or has_tensor_cores(a) else OF_PRECISION["highest"]]


class _Product:
    """The operands of a product as kernels read them, its sizes, and room for the result."""

    def __init__(self, a: Array, b: Array) -> None:
        self.dtype = check_operands(DTYPES, a=a, b=b)
        if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
            raise ValueError(f"matmul takes shapes (…, M, K) and (…, K, N), got {a.shape} and {b.shape}")
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        self.M, self.K, self.N = *a.shape[-2:], b.shape[-1]
        shape = (*batch, self.M, self.N)
        for name, size in (("a", a.shape), ("b", b.shape), ("the product", shape)):
            check_size(name, size)
        self.result = array_namespace(a).empty(shape, a.dtype)
        if b.ndim == 2 and a.ndim > 2:  # one B for all: the batch is more rows of A, and fills tiles better
            a, batch, self.M = a.reshape(-1 if a.size else 0, self.K), (), self.M * math.prod(batch)
        self.matrices = math.prod(batch)
        self.a, self.b = operand(a, batch), operand(b, batch)

    def plan(self, rung: Rung, bias: Array | None = None, relu: bool = False) -> Plan:
        """The launch on a rung; ``bias`` and ``relu`` only where that takes them."""
        a, b = self.a, self.b
        given = {
            "vector_a": a.in_vectors(self.M if a.transposed else self.K),
            "vector_b": b.in_vectors(self.K if b.transposed else self.N),
            "vector_c": self.N % 4 == 0,
            "bias": bias is not None,
            "relu": relu,
        }
        options = {name: given[name] for name in rung.options}
        kernel = rung.kernel(self.dtype, rung.tile, a.transposed, b.transposed, **options)
        memory = [a.memory, b.memory, self.result.reshape(-1)]
        if "bias" in options:
            memory.append(memory[-1] if bias is None else bias)  # the kernel does not look at it then
        blocks = blocks_for(self.M, rung.tile.m) * blocks_for(self.N, rung.tile.n) * self.matrices
        sizes = (self.M, self.N, self.K, a.line, b.line, a.matrix, b.matrix)
        return Plan(kernel, blocks if self.result.size else 0, (*memory, *sizes), self.result)
