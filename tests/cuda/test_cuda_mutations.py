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

from minipar.kernels.cuda import conv2d, interpreter
from minipar.kernels.cuda.matmul import Rung, plan_matmul, register_tile, shared_tile
from minipar.kernels.cuda.matmul.tile import Tile

# Taps fall outside on all four sides, some output pixels are never reached, and the last block has idle threads.
CONV_CASE = cases.ConvCase("float32", 2, 3, 5, 2, (7, 6), (3, 2), (2, 1), (1, 1), (3, 2))

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
FORWARD = [
    ("if n >= N:", "if n > N:"),
    ("if 0 <= h < H and 0 <= v < W:", "if h < H and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and 0 <= v:"),
    ("if first + k < group_o:", "if first + k <= group_o:"),
    ("min(first + k, group_o - 1)", "first + k"),
    ("q = int32(i % uint32(Q))", "q = int32(i % uint32(P))"),
    ("group * D + c", "c"),
    ("p * stride_h - pad_h", "p * stride_w - pad_h"),
    ("s * dil_w", "s * dil_h"),
    ("* R + r) * S + s", "* S + s) * R + r"),
    ("bias[o] + ", ""),
    ("sums[k] = number(0)", "pass"),
]
GRAD_INPUT = [
    ("if n >= N:", "if n > N:"),
    ("p * stride_h == up and ", ""),
    ("0 <= p < P", "p < P"),
    ("0 <= p < P", "0 <= p"),
    ("0 <= q < Q", "q < Q"),
    ("0 <= q < Q", "0 <= q"),
    ("h + pad_h - r", "h - pad_h + r"),
    ("if first + k < D:", "if first + k <= D:"),
    ("min(first + k, D - 1)", "first + k"),
    ("group * group_o + j", "j"),
    ("(o * D + c) * R", "(c * D + o) * R"),
]
GRAD_WEIGHT = [
    ("range(thread, N * P * Q, threads)", "range(thread, N * P * Q + 1, threads)"),
    ("range(thread, N * P * Q, threads)", "range(0, N * P * Q, threads)"),
    ("if 0 <= h < H and 0 <= v < W:", "if h < H and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and 0 <= v:"),
    ("partial[k, thread + half]", "partial[k, thread + half + 1]"),
    ("if thread < half:", "if thread <= half:"),
    ("while half > 0:", "while half > 1:"),
    ("if thread == 0:", "if thread <= 1:"),
    ("s = int32(i % S)", "s = int32(i % R)"),
    ("if first + k < group_o:", "if first + k <= group_o:"),
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
    if kernel in PRODUCTS:
        a, b = cases.matrix((2, 9, 7), "float32", "contiguous", 1), cases.matrix((2, 7, 6), "float32", "contiguous", 2)
        name, tile = PRODUCTS[kernel]
        return right(plan_matmul(a, b, Rung(getattr(module, name), tile)), a.astype(np.float64) @ b)
    x, w, bias, g = CONV_CASE.operands()
    if kernel == "conv2d_forward":
        plan = module.plan_conv2d_forward(x, w, bias, *CONV_CASE.geometry, 64)
        return right(plan, cases.expected_forward(CONV_CASE, x, w, bias))
    if kernel == "conv2d_grad_input":
        plan = module.plan_conv2d_grad_input(g, w, x.shape, *CONV_CASE.geometry, 64)
        return right(plan, cases.expected_grad_input(CONV_CASE, g, w, x.shape))
    plan = module.plan_conv2d_grad_weight(g, x, w.shape, *CONV_CASE.geometry, 8)
    return right(plan, cases.expected_grad_weight(CONV_CASE, g, x, w.shape))


def right(plan, expected: np.ndarray) -> bool:
    plan.result.fill(np.nan)
    return np.allclose(interpreter.run(plan), expected, atol=1e-4)


KERNELS = {
    "matmul_register_tile": register_tile,
    "matmul_shared_tile": shared_tile,
    "conv2d_forward": conv2d,
    "conv2d_grad_input": conv2d,
    "conv2d_grad_weight": conv2d,
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_kernels_as_they_are_pass(kernel):
    assert run(KERNELS[kernel], kernel)


@pytest.mark.parametrize(
    ("kernel", "old", "new"),
    [
        *(("matmul_register_tile", *mutation) for mutation in REGISTER_TILE),
        *(("matmul_shared_tile", *mutation) for mutation in SHARED_TILE),
        *(("conv2d_forward", *mutation) for mutation in FORWARD),
        *(("conv2d_grad_input", *mutation) for mutation in GRAD_INPUT),
        *(("conv2d_grad_weight", *mutation) for mutation in GRAD_WEIGHT),
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
        ("conv2d_grad_weight", 0),
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
        "conv2d_forward": 0,
        "conv2d_grad_input": 0,
        "conv2d_grad_weight": 1,
    }


EARLIER_BARRIER = """if thread > 0:
                cuda.syncthreads()
            for load in range(loads_b):"""


@pytest.mark.parametrize(
    ("kernel", "old", "new"),
    [
        ("matmul_register_tile", "for load in range(loads_b):", EARLIER_BARRIER),
        ("conv2d_grad_weight", "partial[k, thread] += ", "cuda.syncthreads(); partial[k, thread] += "),
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
