"""Kernels broken on purpose: each dropped barrier, swapped index and missing bounds check must be noticed.

Every mutation edits the source of a kernel file, runs the edited kernel through its host function in the interpreter,
and expects either a KernelError or a wrong result. What is expected of the unedited source is expected here too, so a
case that notices everything because it always fails would itself be noticed.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import cuda_cases as cases
import numpy as np
import pytest

from minipar.kernels.cuda import interpreter
from minipar.kernels.cuda.matmul import Rung, plan_matmul, register_tile, shared_tile
from minipar.kernels.cuda.matmul.tile import Tile

# (what stands in the source, what the mutation makes of it); each text occurs once in its kernel
REGISTER_TILE = [
    ("if row < M and depth < K:", "if depth < K:"),
    ("if row < M and depth < K:", "if row < M:"),
    ("if depth < K and column < N:", "if column < N:"),
    ("if depth < K and column < N:", "if depth < K:"),
    ("if row < M and column < N:", "if column < N:"),
    ("if row < M and column < N:", "if row < M:"),
    ("row * lda + depth", "depth * lda + row"),
    ("depth * ldb + column", "column * ldb + depth"),
    ("a_tile[k, m] = value", "a_tile[m % tile_k, k] = value"),
    ("a_tile[k, my_m + i * threads_m]", "a_tile[k, my_n + i * threads_m]"),
    ("b_tile[k, my_n + j * threads_n]", "b_tile[j, my_n + k * threads_n]"),
    ("sums[i, j] = number(0)", "pass"),
    ("matrix * batch_a", "matrix * batch_b"),
    ("(matrix * M + row) * N + column", "(matrix * N + column) * M + row"),
    ("block // across % down", "block % across"),
    ("range(0, K, tile_k)", "range(0, K - tile_k, tile_k)"),
]
SHARED_TILE = [
    ("if row < M and a_k < K:", "if a_k < K:"),
    ("if row < M and a_k < K:", "if row < M:"),
    ("if b_k < K and column < N:", "if column < N:"),
    ("if b_k < K and column < N:", "if b_k < K:"),
    ("if row < M and column < N:", "if column < N:"),
    ("if row < M and column < N:", "if row < M:"),
    ("row * lda + a_k", "a_k * lda + row"),
    ("b_k * ldb + column", "column * ldb + b_k"),
    ("first_k + my_n", "first_k + my_m"),
    ("first_k + my_m", "first_k + my_n"),
    ("a_tile[my_m, my_n] = a", "a_tile[my_n, my_m] = a"),
    ("a_tile[my_m, k] * b_tile[k, my_n]", "a_tile[k, my_m] * b_tile[k, my_n]"),
    ("total += ", "total = "),
    ("block // across % down", "block % across"),
]

PRODUCTS = {  # what makes the kernel, and for which tile
    "matmul_register_tile": ("register_tile_kernel", Tile(8, 4, 4, 2, 2)),
    "matmul_shared_tile": ("shared_tile_kernel", Tile(4, 4, 4)),
}


def kernel_text(module: ModuleType, kernel: str) -> tuple[str, str, str]:
    """(before, the kernel function, after): a kernel file in three parts."""
    source = Path(module.__file__).read_text()
    start = source.index(f"    def {kernel}(")
    end = source.index("    return Kernel(", start)
    return source[:start], source[start:end], source[end:]


def edited(module: ModuleType, kernel: str, old: str, new: str, occurrence: int, folder: Path) -> ModuleType:
    """``module`` with one text of one kernel function replaced, imported from a file of its own."""
    before, body, after = kernel_text(module, kernel)
    pieces = body.split(old)
    assert 0 <= occurrence < len(pieces) - 1, f"{kernel} has {len(pieces) - 1} of {old!r}"
    body = old.join(pieces[: occurrence + 1]) + new + old.join(pieces[occurrence + 1 :])
    path = folder / "mutant.py"
    path.write_text(before + body + after)
    name = f"{module.__name__}_mutant"
    spec = importlib.util.spec_from_file_location(name, path)
    mutant = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutant)
    return mutant


def run(module: ModuleType, kernel: str) -> bool:
    """Are the results of one kernel of this module right?"""
    a, b = cases.matrix((2, 9, 7), "float32", "contiguous", 1), cases.matrix((2, 7, 6), "float32", "contiguous", 2)
    name, tile = PRODUCTS[kernel]
    return right(plan_matmul(a, b, Rung(getattr(module, name), tile)), a.astype(np.float64) @ b)


def right(plan, expected: np.ndarray) -> bool:
    plan.result.fill(np.nan)
    return np.allclose(interpreter.run(plan), expected, atol=1e-4)


KERNELS = {
    "matmul_register_tile": register_tile,
    "matmul_shared_tile": shared_tile,
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_kernels_as_they_are_pass(kernel):
    assert run(KERNELS[kernel], kernel)


@pytest.mark.parametrize(
    ("kernel", "old", "new"),
    [
        *(("matmul_register_tile", *mutation) for mutation in REGISTER_TILE),
        *(("matmul_shared_tile", *mutation) for mutation in SHARED_TILE),
    ],
)
def test_a_broken_kernel_is_noticed(kernel, old, new, tmp_path):
    mutant = edited(KERNELS[kernel], kernel, old, new, 0, tmp_path)
    try:
        noticed = not run(mutant, kernel)
    except interpreter.KernelError as error:
        noticed = f"of {kernel}" in str(error)  # it names a line of this kernel
    assert noticed


@pytest.mark.parametrize(
    ("kernel", "barrier"),
    [
        ("matmul_register_tile", 0),
        ("matmul_register_tile", 1),
        ("matmul_shared_tile", 0),
        ("matmul_shared_tile", 1),
    ],
)
def test_a_dropped_barrier_is_found_as_such(kernel, barrier, tmp_path):
    mutant = edited(KERNELS[kernel], kernel, "cuda.syncthreads()", "pass", barrier, tmp_path)
    with pytest.raises(interpreter.KernelError, match=r"data race|uninitialised read"):
        run(mutant, kernel)


def test_no_barrier_is_left_out_above():
    counts = {kernel: kernel_text(module, kernel)[1].count("syncthreads()") for kernel, module in KERNELS.items()}
    assert counts == {
        "matmul_register_tile": 2,
        "matmul_shared_tile": 2,
    }


EARLIER_BARRIER = """if thread > 0:
                cuda.syncthreads()
            for load in range(loads_b):"""


@pytest.mark.parametrize(
    ("kernel", "old", "new"),
    [
        ("matmul_register_tile", "for load in range(loads_b):", EARLIER_BARRIER),
    ],
)
def test_a_barrier_that_only_some_threads_reach_is_found(kernel, old, new, tmp_path):
    mutant = edited(KERNELS[kernel], kernel, old, new, 0, tmp_path)
    with pytest.raises(interpreter.KernelError, match="divergent barrier"):
        run(mutant, kernel)


def test_two_tiles_in_one_array_are_a_race(tmp_path):
    mutant = edited(
        register_tile,
        "matmul_register_tile",
        "b_tile = cuda.shared.array(b_shape, number)",
        "b_tile = a_tile",
        0,
        tmp_path,
    )
    with pytest.raises(interpreter.KernelError, match="data race"):
        run(mutant, "matmul_register_tile")
