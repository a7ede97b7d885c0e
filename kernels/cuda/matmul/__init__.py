"""Matrix product C = A B on the GPU, as a ladder: each rung is one kernel, with one idea more than the one below.

| rung | module | the idea | global reads a multiplication | shared reads |
| --- | --- | --- | --- | --- |
| "naive" | ``naive`` | a thread for every number of C | 2, scattered | 0 |
| "coalesced" | ``coalesced`` | neighbouring threads read neighbouring numbers | 2 | 0 |
| "shared tile" | ``shared_tile`` | a block fetches tiles once, for all of its threads | 1/8 | 2 |
| "register tile" | ``register_tile`` | a thread makes 4 x 4 numbers of C | 1/32 | 1/2 |

All take the same arguments: matrices A, B, C in flat memory; sizes M, N, K; ``lda`` and ``ldb``, the distances between
stored lines, and ``batch_a`` and ``batch_b``, between matrices (0: the same one for all). A transposed operand is
stored as (K, M), or (N, K). Blocks are numbered along the tiles of a row of C, then down, then through the batch. Each
number of C is added up by one thread in the order of K: the same operands give the same bits every time.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...reference.namespace import array_namespace
from .. import launcher
from ..plan import Kernel, Plan, blocks_for, check_operands, check_size
from . import coalesced, naive, register_tile, shared_tile
from .operands import operand
from .tile import Tile

Array = Any


class Rung(NamedTuple):
    """Makes the kernel for a dtype, a tile, and a transposed A or B; and the tile that a GPU is to run."""

    kernel: Callable[[np.dtype, Tile, bool, bool], Kernel]
    tile: Tile


RUNGS = {
    "naive": Rung(naive.naive_kernel, naive.TILE),
    "coalesced": Rung(coalesced.coalesced_kernel, coalesced.TILE),
    "shared tile": Rung(shared_tile.shared_tile_kernel, shared_tile.TILE),
    "register tile": Rung(register_tile.register_tile_kernel, register_tile.TILE),
}
BEST = RUNGS["register tile"]


def matmul(a: Array, b: Array) -> Array:
    """a (…, M, K) times b (…, K, N) → (…, M, N); leading axes are broadcast as NumPy does.

    float32 or float64 CuPy arrays of any strides; a transposed view is read in place. Raises ValueError where shapes
    do not fit, devices differ or an array has more than 2^31 elements, TypeError for other dtypes.
    """
    return launcher.launch(plan_matmul, a, b)


def plan_matmul(a: Array, b: Array, rung: Rung = BEST) -> Plan:
    """The launch that computes ``matmul(a, b)``."""
    dtype = check_operands(a=a, b=b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul takes shapes (…, M, K) and (…, K, N), got {a.shape} and {b.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    M, K, N = *a.shape[-2:], b.shape[-1]
    shape = (*batch, M, N)
    for name, size in (("a", a.shape), ("b", b.shape), ("the product", shape)):
        check_size(name, size)
    result = array_namespace(a).empty(shape, a.dtype)

    if b.ndim == 2 and a.ndim > 2:  # one B for all: the batch is more rows of A, and fills tiles better
        a, batch, M = a.reshape(-1 if a.size else 0, K), (), M * math.prod(batch)
    A, lda, batch_a, transpose_a = operand(a, batch)
    B, ldb, batch_b, transpose_b = operand(b, batch)
    kernel = rung.kernel(dtype, rung.tile, transpose_a, transpose_b)
    blocks = blocks_for(M, rung.tile.m) * blocks_for(N, rung.tile.n) * math.prod(batch) if result.size else 0
    return Plan(kernel, blocks, (A, B, result.reshape(-1), M, N, K, lda, ldb, batch_a, batch_b), result)
