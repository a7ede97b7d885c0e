"""What is broken in the kernels of products: all that ``mutants`` knows by rule, and the products that must notice.

A mutant runs over cases that are small but ragged everywhere.
"""

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

import numpy as np
from breaking import Subject
from mutants import by_hand, mutants

from minipar.kernels.cuda import interpreter
from minipar.kernels.cuda.matmul import (
    RUNGS,
    Rung,
    coalesced,
    double_buffered,
    fetching,
    naive,
    outer_product,
    plan_linear,
    plan_matmul,
    register_tile,
    shared_tile,
    tensor_cores,
    warp_product,
)
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile
from minipar.kernels.cuda.plan import Plan
from minipar.kernels.reference.linear import linear_forward

Expected = tuple[Plan, np.ndarray]
Plans = Callable[[], Iterator[Expected]]


def products(rung: str, module: ModuleType, tile: Tile | WarpTile, layers: list[tuple]) -> Plans:
    """Products on a rung, each with its expected result; and a linear layer where the rung has its bias and ReLU."""
    known = RUNGS[rung]
    options = getattr(known.kernel, "keywords", {})  # which numbers a tensor core multiplies
    factory = getattr(known.kernel, "func", known.kernel).__name__

    def plans() -> Iterator[Expected]:
        made = Rung(partial(getattr(module, factory), **options), tile, known.options)
        for shapes, layout in layers:
            a, b = (whole(shape, layout, seed) for seed, shape in enumerate(shapes))
            yield plan_matmul(a, b, made), a.astype(np.float64) @ b
        if known.options:
            x, weight, bias = (whole(shape, "contiguous", 3) for shape in ((6, 7), (9, 7), (9,)))
            yield plan_linear(x, weight, bias, True, made), linear_forward(x, weight, bias, True)

    return plans


# Ragged against every tile, more than one tile in every direction; read along lines and across them, by ones and by
# fours.
PRODUCTS = [
    (((2, 9, 7), (2, 7, 18)), "contiguous"),
    (((2, 9, 7), (2, 7, 18)), "transposed"),
]
BY_FOURS = [(((12, 12), (12, 20)), "contiguous"), (((12, 12), (12, 20)), "transposed")]
OF_WARPS = [(((34, 20), (20, 18)), "contiguous"), (((34, 20), (20, 18)), "transposed")]


def whole(shape: tuple[int, ...], layout: str, seed: int) -> np.ndarray:
    """Small whole numbers, which tensor cores multiply exactly."""
    x = np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)
    return x if layout == "contiguous" else np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)


# What cannot be noticed, since the results are the same: the text that goes -> why.
PAST_THE_END = (
    "a tile past the end of K is fetched as zeros, into the half that is not multiplied any more: only slower"
)
ZERO = "what is 0 already becomes 0"
EXPLAINED = {
    "double_buffered_kernel": {"sums[i, j] < float32(0)": ZERO, "next_k < K": PAST_THE_END},
    "tensor_core_kernel": {"total < float32(0)": ZERO, "next_k < K": PAST_THE_END},
}


def right(*of: Plans) -> bool:
    for plans in of:
        for plan, expected in plans():
            plan.result.fill(np.nan)
            if not np.allclose(interpreter.run(plan), expected, atol=1e-4):
                return False
    return True


IN_FOURS = products("double-buffered", double_buffered, Tile(8, 16, 4, 4, 8), PRODUCTS + BY_FOURS)
IN_TF32 = products("tf32", tensor_cores, WarpTile(32, 16, 16, 32, 8), OF_WARPS)
IN_BF16 = products("bf16", tensor_cores, WarpTile(32, 16, 16, 16, 16), OF_WARPS)
# factory: the file that it is in, and the products that use it
TABLE = {
    "naive_kernel": (naive, products("naive", naive, Tile(4, 4), PRODUCTS)),
    "coalesced_kernel": (coalesced, products("coalesced", coalesced, Tile(4, 4), PRODUCTS)),
    "shared_tile_kernel": (shared_tile, products("shared tile", shared_tile, Tile(4, 4, 4), PRODUCTS)),
    "register_tile_kernel": (
        register_tile, products("register tile", register_tile, Tile(8, 4, 4, 4, 2), PRODUCTS)
    ),
    "double_buffered_kernel": (double_buffered, IN_FOURS),
    "outer_product": (outer_product, IN_FOURS),
    "unrolled": (outer_product, IN_FOURS),
    "tensor_core_kernel": (tensor_cores, IN_TF32, IN_BF16),
    "warp_product": (warp_product, IN_TF32, IN_BF16),
    "mover": (fetching, IN_FOURS, IN_TF32),
}  # fmt: skip
MORE = {
    "unrolled": by_hand(outer_product, [("a_at + a_on", "a_at"), ("b_at + b_on", "b_at")]),
    "register_tile_kernel": by_hand(
        register_tile,
        [("b_tile = cuda.shared.array(b_shape, number)", "b_tile = a_tile")],
        kind="two tiles in one array",
    ),
    "shared_tile_kernel": by_hand(
        shared_tile,
        [("a_tile[my_m, my_n] = a", "if row < M: cuda.syncthreads()\n            a_tile[my_m, my_n] = a")],
        kind="a barrier for some threads",
    ),
}
SUBJECTS = [
    Subject(
        factory,
        file,
        partial(right, *of),
        [*mutants(file, factory), *MORE.get(factory, [])],
        EXPLAINED.get(factory, {}),
    )
    for factory, (file, *of) in TABLE.items()
]
