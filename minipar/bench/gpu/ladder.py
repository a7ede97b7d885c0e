"""The rungs of the matrix product (`kernels.cuda.matmul`): each checked, and timed against cuBLAS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from .check import Check, guarded
from .kernel_checks import PRODUCTS, Transfer, product_trial, tolerance
from .timing import Stopwatch, Timing, compare, copies

Products = Mapping[str, Callable[[Any, Any], Any]]

SIZES = (256, 512, 1024, 2048, 4096, 8192)
SLOW = ("naive", "coalesced", "shared tile")
LARGEST_FOR_SLOW = 2048  # they would take seconds a product
SIGNIFICANT = {"tf32": 11, "bf16": 8}  # bits of the operands; of the others' 24


def rungs() -> Products:
    """Name → the product on that rung."""
    from ...kernels.cuda.launcher import launch
    from ...kernels.cuda.matmul import RUNGS, plan_matmul

    return {name: partial(launch, partial(plan_matmul, rung=rung)) for name, rung in RUNGS.items()}


def ladder_checks(products: Products, put: Transfer, get: Transfer) -> Iterator[Check]:
    """Every rung on every float32 product, against float64. Rounding an operand adds half a unit of its last bit."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(np.float32)
    for name, product in products.items():
        rounding = 2 * 2.0 ** -SIGNIFICANT[name] if name in SIGNIFICANT else 0.0
        for case in PRODUCTS:
            trial = product_trial(case, dtype, rng)
            for check in guarded(f"matmul, {name}", str(case), partial(trial.checks, {"matmul": product}, put, get)):
                allowed = tolerance(case.a[-1], dtype) + rounding
                yield Check(f"matmul, {name}", check.case, check.error, allowed, check.exception)


def ladder_timings(
    products: Products, libraries: Products, put: Transfer, stopwatch: Stopwatch, sizes: tuple[int, ...] = SIZES
) -> Iterator[Timing]:
    """Square products of float32 matrices, on every rung, against the library's.

    `libraries`: "float32", and "tf32" for the rungs that multiply fewer bits.
    """
    rng = np.random.default_rng(0)
    for n in sizes:
        normal = partial(rng.standard_normal, (n, n), dtype=np.float32)
        operands = [(put(normal()), put(normal())) for _ in range(copies(2 * n * n * 4))]
        for name, product in products.items():
            if n <= LARGEST_FOR_SLOW or name not in SLOW:
                library = libraries["tf32" if name in SIGNIFICANT else "float32"]
                yield compare(f"matmul, {name}", f"{n}×{n}×{n}", product, library, operands, 2 * n**3, stopwatch)


def cublas() -> Products:
    """CuPy's product, which is cuBLAS: in float32, and with TF32 allowed."""
    import cupy
    from cupy._core import _routines_linalg as routines

    def in_tf32(a: Any, b: Any) -> Any:
        before = routines.get_compute_type(np.float32)
        routines.set_compute_type(np.float32, routines.COMPUTE_TYPE_TF32)
        try:
            return cupy.matmul(a, b)
        finally:
            routines.set_compute_type(np.float32, before)

    return {"float32": cupy.matmul, "tf32": in_tf32}
