"""float16 products on tensor cores: sums in float32, one rounding at the end. Against float64, with their bound."""

import importlib.util
import inspect
import itertools
from functools import partial
from pathlib import Path
from types import ModuleType

import cuda_cases as cases
import numpy as np
import pytest

from minipar.kernels.cuda import interpreter, linear
from minipar.kernels.cuda.matmul import HALVES, fetching_pairs, plan_linear, plan_matmul, tensor_cores, warp_product
from minipar.kernels.cuda.matmul.warp_product import WarpTile
from minipar.kernels.reference.linear import linear_backward

SMALL = HALVES._replace(tile=WarpTile(32, 16, 32, 32, 16))
FOUR_WARPS = HALVES._replace(tile=WarpTile(32, 64, 32, 16, 32))


def halves(shape: tuple[int, ...], layout: str, seed: int) -> np.ndarray:
    return cases.matrix(shape, "float16", layout, seed)


def assert_rounded_once(c: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """|C − A B| ≤ u₁₆ |A B| + (K + 1) u₃₂ |A| |B|: half a unit of float16, behind a sum of K products in float32.

    (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, section 3.1.) Below float16's smallest
    normal number the unit is that of subnormal numbers.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    exact, sizes = a @ b, np.abs(a) @ np.abs(b)
    summed = (a.shape[-1] + 1) * 2.0**-24 * sizes
    assert c.dtype == np.float16
    assert c.shape == exact.shape
    assert (np.abs(c - exact) <= np.maximum(2.0**-11 * np.abs(exact), 2.0**-25) + 1.001 * summed).all()


def run(plan) -> np.ndarray:
    plan.result.fill(np.nan)  # what a kernel does not write must show
    return interpreter.run(plan)


@pytest.mark.parametrize("shapes", cases.MATMUL_SHAPES, ids=str)
@pytest.mark.parametrize("rung", [SMALL, FOUR_WARPS], ids=["one warp", "four warps"])
def test_ragged_batched_and_empty_shapes(shapes, rung):
    a, b = halves(shapes[0], "contiguous", 1), halves(shapes[1], "padded", 2)
    assert_rounded_once(run(plan_matmul(a, b, rung)), a, b)


@pytest.mark.parametrize(("a_layout", "b_layout"), list(itertools.product(cases.LAYOUTS, cases.LAYOUTS)))
def test_every_layout(a_layout, b_layout):
    a, b = halves((2, 9, 5), a_layout, 1), halves((2, 5, 10), b_layout, 2)
    assert_rounded_once(run(plan_matmul(a, b, SMALL)), a, b)


@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=2)), ids=str)
@pytest.mark.parametrize(("M", "K", "N"), [(40, 16, 24), (8, 40, 16), (9, 40, 16), (8, 41, 16), (8, 40, 12)])
def test_eight_numbers_at_once_where_they_lie_aligned(M, K, N, transposed):
    layouts = ["transposed" if turned else "contiguous" for turned in transposed]
    a, b = halves((2, M, K), layouts[0], 1), halves((2, K, N), layouts[1], 2)
    plan = plan_matmul(a, b, SMALL)
    assert_rounded_once(run(plan), a, b)
    captured = inspect.getclosurevars(plan.kernel.function).nonlocals
    vectors = [inspect.getclosurevars(captured[name].py_func).nonlocals["vector"] for name in ("fetch_a", "fetch_b")]
    assert vectors == [length % 8 == 0 for length in (M if transposed[0] else K, K if transposed[1] else N)]


def test_numbers_that_begin_in_between_are_read_one_by_one():
    rows = halves((8, 17), "contiguous", 1)[:, 1:]  # lines of sixteen, 34 bytes apart
    even = halves((8, 24), "contiguous", 2)[:, 1:17]  # 48 bytes apart, but they begin at byte 2
    fours = halves((8, 24), "contiguous", 3)[:, 4:20]  # and here at byte 8
    b = halves((16, 8), "contiguous", 4)
    for a in (rows, even, fours):
        assert_rounded_once(run(plan_matmul(a, b, SMALL)), a, b)


@pytest.mark.parametrize(("M", "K", "N"), [(65, 33, 70), (72, 40, 136)], ids=["one by one", "by eight"])
def test_the_tile_that_the_gpu_runs(M, K, N):
    a, b = halves((M, K), "contiguous", 1), halves((K, N), "contiguous", 2)
    plan = plan_matmul(a, b)
    vectors = dict.fromkeys(("vector_a", "vector_b"), K % 8 == 0)
    assert plan.kernel is HALVES.kernel(a.dtype, HALVES.tile, False, False, **vectors, bias=False, relu=False)
    assert_rounded_once(run(plan), a, b)


def test_sums_are_in_float32():
    """In float16, 2048 + 1 is 2048 again, 1000 · 1000 is infinite, and small products vanish."""
    ones = np.ones((1, 4096), np.float16)
    assert run(plan_matmul(ones, ones.T, SMALL)).item() == 4096
    a = np.array([[1000, 1000, 1]], np.float16)
    b = np.array([[1000], [-1000], [3]], np.float16)
    assert run(plan_matmul(a, b, SMALL)).item() == 3
    tiny = np.full((1, 64), 2.0**-20, np.float16)  # products of 2^-40 would vanish one by one
    assert run(plan_matmul(tiny, np.ones((64, 1), np.float16), SMALL)).item() == 2.0**-14
    assert run(plan_matmul(a, np.full((3, 1), 1000, np.float16), SMALL)).item() == np.inf  # as in PyTorch


def test_infinities_and_nans_come_through():
    a = np.array([[np.inf, 1], [np.nan, 1], [2, 1]], np.float16)
    c = run(plan_matmul(a, np.array([[1], [0.5]], np.float16), SMALL))
    np.testing.assert_array_equal(c, [[np.inf], [np.nan], [2.5]])


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("outputs", [24, 19])
def test_linear_rounds_behind_bias_and_relu(outputs, with_bias, relu):
    x, weight = halves((3, 5, 8), "contiguous", 1), halves((outputs, 8), "padded", 2)
    bias = halves((1, outputs), "contiguous", 3)[0] if with_bias else None
    y = run(plan_linear(x, weight, bias, relu, SMALL))
    # The bias is one product more: of itself and 1.
    ones, column = np.ones((3, 5, 1)), np.zeros((outputs, 1)) if bias is None else bias[:, None]
    wide_x, wide_weight = np.concatenate([x, ones], -1), np.concatenate([weight, column], -1)
    if relu:
        exact = wide_x @ wide_weight.T
        assert (y[exact < -1e-3] == 0).all()
        y = np.where(exact < 0, exact.astype(np.float16), y)
    assert_rounded_once(y, wide_x, wide_weight.T)


def test_the_bias_is_added_before_the_rounding():
    x, weight, bias = (np.array(value, np.float16) for value in ([[2048.0]], [[1.0]], [1.0]))
    plan = plan_linear(x, np.array([[1 + 2**-10]], np.float16), np.array([0.99], np.float16), False, SMALL)
    assert run(plan).item() == np.float16(2048 * (1 + 2**-10) + float(np.float16(0.99)))
    assert np.float16(np.float16(2050.0) + np.float16(0.99)) == 2050  # what two roundings would leave
    plan = plan_linear(x, weight, bias, False, SMALL)
    assert run(plan).item() == 2048  # a tie, to even


def test_the_gradients_of_linear_are_products_of_the_same_kernel(monkeypatch):
    planned = []

    def launch(planner, *operands):
        planned.append(planner(*operands))
        return run(planned[-1])

    monkeypatch.setattr(linear.launcher, "launch", launch)
    x, weight, g = (
        halves((3, 5, 8), "contiguous", 1),
        halves((6, 8), "contiguous", 2),
        halves((3, 5, 6), "contiguous", 3),
    )
    y = linear.linear_forward(x, weight, None, True)
    dx, dw, db = linear.linear_backward(g, x, weight, y)
    assert [plan.kernel.name for plan in planned] == ["matmul_tensor_cores"] * 3
    assert {plan.kernel.dtype.name for plan in planned} == {"float16"}
    assert {array.dtype.name for array in (y, dx, dw, db)} == {"float16"}
    exact = linear_backward(g.astype(np.float64), x.astype(np.float64), weight.astype(np.float64), y)
    for gradient, expected in zip((dx, dw, db), exact):
        np.testing.assert_allclose(gradient, expected, rtol=2**-11, atol=1e-5)


def test_the_gradient_of_a_bias_is_summed_in_float32():
    g = np.ones((4096, 1), np.float16)
    _, _, db = linear_backward(g, g, g[:1], needs=(False, False, True))
    assert (db.dtype, db.item()) == (np.float16, 4096)  # 2048 + 1 is 2048 again in float16


def test_the_same_operands_give_the_same_bits():
    a, b = halves((33, 50), "contiguous", 1), halves((50, 20), "transposed", 2)
    np.testing.assert_array_equal(run(plan_matmul(a, b, SMALL)), run(plan_matmul(a.copy(), b.copy("K"), SMALL)))


def test_what_halves_refuse():
    a = np.ones((2, 3), np.float16)
    with pytest.raises(TypeError, match="b must have the dtype of a, float16, got float32"):
        plan_matmul(a, a.T.astype(np.float32))
    with pytest.raises(TypeError, match="this kernel is for float16, not float32"):
        plan_matmul(a.astype(np.float32), a.T.astype(np.float32), HALVES)
    with pytest.raises(ValueError, match="must have a multiple of 16 for k"):
        plan_matmul(a, a.T, HALVES._replace(tile=WarpTile(32, 16, 24, 32, 16)))
    with pytest.raises(ValueError, match="32 threads do not fetch 16 x 16 numbers by 16 evenly"):
        plan_matmul(a, np.ones((3, 8), np.float16), HALVES._replace(tile=WarpTile(32, 16, 16, 32, 16)))


# (file, what stands in it, what the mutation makes of it, which time it stands there)
MUTATIONS = [
    (fetching_pairs, "if place < end and k < K:", "if k < K:", 0),
    (fetching_pairs, "if place < end and k < K:", "if place < end:", 0),
    (fetching_pairs, "else 2 * crossing", "else crossing", 0),
    (fetching_pairs, "first_k + u +", "first_k +", 0),
    (
        fetching_pairs,
        "pack(held[first + 2 * u], held[first + 2 * u + 1])",
        "pack(held[first + 2 * u + 1], held[first])",
        0,
    ),
    (fetching_pairs, "pack(held[first + u], held[first + parts + u])", "pack(held[first + parts + u], held[first])", 0),
    (fetching_pairs, "(along // 2 + u) * pitch", "(along + u) * pitch", 0),
    (fetching_pairs, "if u % 2:", "if u % 2 == 0:", 0),
    (fetching_pairs, "y << uint32(16)", "x << uint32(16)", 0),
    (fetching_pairs, "x >> uint32(16)", "x", 0),
    (fetching_pairs, "range(0, words, 4)", "range(0, 4, 4)", 0),
    (warp_product, "r % 2 * 8 + r // 2 * 4 * a_pitch", "r // 2 * 8 + r % 2 * 4 * a_pitch", 0),
    (warp_product, "r * 4 * b_pitch", "r * 8 * b_pitch", 0),
    (warp_product, "range(0, depth, WORDS)", "range(0, depth - WORDS, WORDS)", 0),
    (warp_product, "k * a_pitch + 16", "16", 0),
    (warp_product, "k * b_pitch + 8", "8", 0),
    (tensor_cores, "t * a_pitch + my_m", "g * a_pitch + my_m", 0),
    (tensor_cores, "half = int32(1 - half)", "pass", 0),
    (tensor_cores, "cuda.syncthreads()", "pass", 0),
    (tensor_cores, "cuda.syncthreads()", "pass", 1),
    (tensor_cores, "if row < M and column < N:", "if row < M:", 0),
    (tensor_cores, "if row < M and column < N:", "if column < N:", 0),
    (tensor_cores, "2 * t + r % 2", "2 * t + r // 2", 0),
    (tensor_cores, "float32(bias_of[column])", "float32(bias_of[row])", 0),
    (tensor_cores, "if relu and total < float32(0):", "if False:", 0),
    (tensor_cores, "if relu and total < float32(0):", "if relu:", 0),
    (tensor_cores, "sums[i, j, r] = float32(0)", "pass", 0),
]


def mutant(module: ModuleType, old: str, new: str, time: int, folder: Path) -> ModuleType:
    """``module`` with one text replaced, imported from a file of its own."""
    pieces = Path(module.__file__).read_text().split(old)
    path = folder / "mutant.py"
    path.write_text(old.join(pieces[: time + 1]) + new + old.join(pieces[time + 1 :]))
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_mutant", path)
    imported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(imported)
    return imported


def all_right(module: ModuleType) -> bool:
    """Are products right by eight and one by one, in all layouts, of several tiles, with a bias and a ReLU?"""
    rung = SMALL._replace(kernel=partial(module.tensor_core_kernel, multiplied="fp16"))
    for M, K, N in ((40, 72, 24), (35, 37, 19)):
        for a_layout, b_layout in itertools.product(("contiguous", "transposed"), repeat=2):
            x, weight = halves((M, K), a_layout, 1), halves((K, N), b_layout, 2).T
            bias = halves((1, N), "contiguous", 3)[0]
            y = run(plan_linear(x, weight, bias, True, rung))
            exact = np.maximum(x.astype(np.float64) @ weight.T + bias, 0)
            if not np.allclose(y, exact, rtol=2**-10, atol=1e-4):
                return False
    return True


def test_the_kernel_as_it_is_passes():
    assert all_right(tensor_cores)


@pytest.mark.parametrize(("module", "old", "new", "time"), MUTATIONS)
def test_a_broken_kernel_is_noticed(module, old, new, time, tmp_path, monkeypatch):
    broken = mutant(module, old, new, time, tmp_path)
    if module is not tensor_cores:
        factory = {fetching_pairs: "pair_mover", warp_product: "warp_product"}[module]
        monkeypatch.setattr(tensor_cores, factory, getattr(broken, factory))
        broken = tensor_cores
    broken.tensor_core_kernel.cache_clear()
    try:
        noticed = not all_right(broken)
    except interpreter.KernelError as error:
        noticed = "line" in str(error)
    tensor_cores.tensor_core_kernel.cache_clear()
    assert noticed
