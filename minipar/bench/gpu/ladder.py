"""The rungs of the matrix product (`kernels.cuda.matmul`): each checked, and timed against cuBLAS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .cases import LINEARS, PRODUCTS
from .check import Check, guarded
from .kernel_checks import Kernels, Transfer, linear_trials, product_trial, relative_error, tolerance
from .timing import Stopwatch, Timing, compare, copies

Products = Mapping[str, Callable[[Any, Any], Any]]

SIZES = (256, 512, 1024, 2048, 4096, 8192)
SLOW = ("naive", "coalesced", "shared tile")
LARGEST_FOR_SLOW = 2048  # they would take seconds a product
SIGNIFICANT = {"tf32": 11, "bf16": 8}  # bits of the operands; of the others' 24
SAMPLED = 32  # rows and columns of a large product that are checked


def rungs(capability: tuple[int, int]) -> Products:
    """Name → the product on that rung; without those of tensor cores on a GPU that is too old for them."""
    from ...kernels.cuda.matmul import RUNGS, TENSOR_CORES

    able = [name for name in RUNGS if name not in SIGNIFICANT or capability >= TENSOR_CORES]
    return {name: kernels_of(name)["matmul"] for name in able}


def kernels_of(name: str) -> Kernels:
    """The product on this rung; and a linear layer, where its kernel adds the bias and cuts off below 0 itself."""
    from ...kernels.cuda.launcher import launch
    from ...kernels.cuda.matmul import RUNGS, plan_linear, plan_matmul

    rung = RUNGS[name]
    kernels = {"matmul": partial(launch, partial(plan_matmul, rung=rung))}
    if "bias" in rung.options:
        kernels["linear_forward"] = partial(launch, partial(plan_linear, rung=rung))
    return kernels


def ladder_checks(name: str, kernels: Kernels, put: Transfer, get: Transfer) -> Iterator[Check]:
    """A rung on every float32 product and linear layer, against float64.

    Rounding an operand adds half a unit of its last bit.
    """
    rng = np.random.default_rng(0)
    dtype = np.dtype(np.float32)
    trials = [product_trial(case, dtype, rng) for case in PRODUCTS]
    trials += [trial for sizes in LINEARS for trial in linear_trials(*sizes, dtype, rng)]
    for trial in trials:
        if trial.kernel in kernels:
            title = f"{trial.kernel}, {name}"
            for check in guarded(title, trial.case, partial(trial.checks, kernels, put, get)):
                yield replace(check, name=title, tolerance=_allowed(name, trial.terms))


def ladder_timings(
    products: Products,
    library: Callable[[Any, Any], Any],
    library_in: Callable[[str], AbstractContextManager],
    put: Transfer,
    get: Transfer,
    stopwatch: Stopwatch,
    sizes: tuple[int, ...] = SIZES,
) -> Iterator[Check | Timing]:
    """Square products of float32 matrices, on every rung, against the library's; of each a sample is checked.

    Inside `library_in("tf32")` the library may use TF32, as beside the rungs that multiply fewer bits; inside
    `library_in("float32")` it may not.
    """
    rng = np.random.default_rng(0)
    for n in sizes:
        host = [rng.standard_normal((2, n, n), dtype=np.float32) for _ in range(copies(2 * n * n * 4))]
        operands = [(put(a), put(b)) for a, b in host]
        rows, columns = (rng.choice(n, min(n, SAMPLED), replace=False) for _ in range(2))
        for name, product in products.items():
            if n > LARGEST_FOR_SLOW and name in SLOW:
                continue
            case = f"{n}×{n}×{n}"
            with library_in("tf32" if name in SIGNIFICANT else "float32"):
                timing = compare(f"matmul, {name}", case, product, library, operands, 2 * n**3, stopwatch)
            yield timing
            found = get(product(*operands[-1]))[np.ix_(rows, columns)]
            a, b = (x.astype(np.float64) for x in (host[-1][0][rows], host[-1][1][:, columns]))
            error = relative_error(found, a @ b, np.abs(a) @ np.abs(b))
            yield Check(f"matmul, {name}, as timed", case, error, _allowed(name, n))
        del operands  # before the next, larger ones


def _allowed(rung: str, terms: Any) -> float:
    rounding = 2 * 2.0 ** -SIGNIFICANT[rung] if rung in SIGNIFICANT else 0.0
    return tolerance(terms, np.dtype(np.float32)) + rounding


@contextmanager
def cublas_in(precision: str) -> Iterator[None]:
    """Inside, cuBLAS multiplies float32 matrices in "float32" or may do so in "tf32", where CuPy calls it.

    For this CuPy has one public name, $CUPY_TF32, which it reads once: hence its inner function.
    """
    from cupy._core import _routines_linalg as routines

    kind = {"float32": routines.COMPUTE_TYPE_DEFAULT, "tf32": routines.COMPUTE_TYPE_TF32}[precision]
    before = routines.get_compute_type(np.float32)
    routines.set_compute_type(np.float32, kind)
    try:
        yield
    finally:
        routines.set_compute_type(np.float32, before)
