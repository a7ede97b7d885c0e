"""Every CUDA kernel, planned by its host function and run by the interpreter, against float64."""

import inspect
import itertools

import cuda_cases as cases
import numpy as np
import pytest

from minipar.kernels.cuda import interpreter, precision
from minipar.kernels.cuda.matmul import RUNGS, Rung, plan_linear, plan_matmul
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile
from minipar.kernels.reference.linear import linear_forward

SMALL = {  # each rung in blocks that are cheap to interpret
    "naive": [Tile(8, 4)],
    "coalesced": [Tile(4, 8)],
    "shared tile": [Tile(4, 4, 4)],
    "register tile": [Tile(16, 8, 4, 2, 2), Tile(8, 16, 8, 4, 2)],
    "double-buffered": [Tile(8, 16, 8, 4, 4), Tile(16, 8, 4, 8, 4)],
    "tf32": [WarpTile(16, 8, 16, 16, 8), WarpTile(32, 32, 16, 32, 16)],
    "bf16": [WarpTile(32, 16, 32, 32, 16)],
}
RUNGS_IN_SMALL = [RUNGS[name]._replace(tile=tile) for name, tiles in SMALL.items() for tile in tiles]


def name_of(rung: Rung) -> str:
    (name,) = [name for name, known in RUNGS.items() if known.kernel is rung.kernel]
    return f"{name} {'x'.join(map(str, rung.tile))}"


def check_matmul(a: np.ndarray, b: np.ndarray, rung: Rung) -> None:
    plan = plan_matmul(a, b, rung)
    plan.result.fill(np.nan)  # what a kernel does not write must show
    cases.assert_close(interpreter.run(plan), as_read(a, rung) @ as_read(b, rung))


def as_read(x: np.ndarray, rung: Rung) -> np.ndarray:
    """float64, of the numbers that a kernel multiplies: for tensor cores, the nearest with few bits."""
    return cases.as_multiplied(x, getattr(rung.kernel, "keywords", {}).get("multiplied"))


@pytest.mark.parametrize("shapes", cases.MATMUL_SHAPES, ids=str)
@pytest.mark.parametrize("rung", RUNGS_IN_SMALL, ids=name_of)
def test_matmul_of_ragged_batched_and_empty_shapes(shapes, rung):
    check_matmul(
        cases.matrix(shapes[0], "float32", "contiguous", 1), cases.matrix(shapes[1], "float32", "padded", 2), rung
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RUNGS)
@pytest.mark.parametrize(("a_layout", "b_layout"), list(itertools.product(cases.LAYOUTS, cases.LAYOUTS)))
def test_matmul_of_every_layout(a_layout, b_layout, name, dtype):
    if dtype == "float64" and RUNGS[name].options:
        return  # for float32 alone
    rung = RUNGS[name]._replace(tile=SMALL[name][0])
    a, b = cases.matrix((2, 9, 5), dtype, a_layout, 1), cases.matrix((2, 5, 10), dtype, b_layout, 2)
    check_matmul(a, b, rung)


@pytest.mark.parametrize("rung", RUNGS.values(), ids=name_of)
def test_matmul_with_the_tile_that_the_gpu_runs(rung):
    check_matmul(
        cases.matrix((65, 9), "float32", "contiguous", 1),
        cases.matrix((9, 70), "float32", "transposed", 2),
        rung,
    )


def test_every_rung_is_tested():
    assert list(SMALL) == list(RUNGS)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "padded"])
def test_matmul_reads_transposed_and_padded_operands_in_place(layout):
    a, b = cases.matrix((4, 9, 5), "float32", layout, 1), cases.matrix((4, 5, 6), "float32", layout, 2)
    plan = plan_matmul(a, b)
    assert np.shares_memory(plan.args[0], a)
    assert np.shares_memory(plan.args[1], b)


def test_matmul_reads_a_single_column_of_any_stride_in_place():
    column = np.arange(54, dtype=np.float32).reshape(9, 6)[:, ::2][:, :1]
    plan = plan_matmul(column, np.ones((1, 5), np.float32), RUNGS_IN_SMALL[0])
    assert np.shares_memory(plan.args[0], column)
    np.testing.assert_array_equal(interpreter.run(plan), np.broadcast_to(column, (9, 5)))


def test_matmul_of_a_batch_with_one_matrix_is_one_product_of_all_rows():
    plan = plan_matmul(np.ones((8, 8, 3), np.float32), np.ones((3, 4), np.float32))
    assert plan.blocks == 1


def test_matmul_refuses_what_it_cannot_do():
    a = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 3\)"):
        plan_matmul(a, a)
    with pytest.raises(TypeError, match=r"a must be float16 or float32 or float64.*int64"):
        plan_matmul(np.ones((2, 3), np.int64), a.T)
    with pytest.raises(TypeError, match="b must have the dtype of a, float32, got float64"):
        plan_matmul(a, a.T.astype(np.float64))
    wide = np.broadcast_to(np.float32(1), (2, 2**30))
    with pytest.raises(ValueError, match="a of shape"):
        plan_matmul(wide, wide.T)
    with pytest.raises(ValueError, match="does not divide evenly"):
        plan_matmul(a, a.T, RUNGS["register tile"]._replace(tile=Tile(16, 16, 4, 3, 4)))
    with pytest.raises(ValueError, match="tiles must be square"):
        plan_matmul(a, a.T, RUNGS["shared tile"]._replace(tile=Tile(4, 8, 4)))


FOURS = RUNGS["double-buffered"]._replace(tile=Tile(8, 16, 8, 4, 4))


@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=2)), ids=str)
@pytest.mark.parametrize(("M", "K", "N"), [(12, 8, 20), (12, 24, 20), (9, 8, 20), (12, 7, 20), (12, 8, 19)])
def test_matmul_moves_four_numbers_at_once_where_they_lie_aligned(M, K, N, transposed):
    layouts = ["transposed" if turned else "contiguous" for turned in transposed]
    a, b = cases.matrix((2, M, K), "float32", layouts[0], 1), cases.matrix((2, K, N), "float32", layouts[1], 2)
    check_matmul(a, b, FOURS)
    lengths = (M if transposed[0] else K, K if transposed[1] else N, N)
    kernel = plan_matmul(a, b, FOURS).kernel
    captured = inspect.getclosurevars(kernel.function).nonlocals
    widths = [inspect.getclosurevars(captured[name].py_func).nonlocals["width"] for name in ("fetch_a", "fetch_b")]
    assert [*(width == 4 for width in widths), captured["vector_c"]] == [length % 4 == 0 for length in lengths]


def test_matmul_does_not_move_four_numbers_that_begin_in_between():
    rows = np.arange(8 * 13, dtype=np.float32).reshape(8, 13)[:, 1:]  # lines of twelve, 52 bytes apart
    even = np.arange(8 * 16, dtype=np.float32).reshape(8, 16)[:, 1:13]  # 64 bytes apart, but they begin at byte 4
    for a in (rows, even):
        check_matmul(a, cases.matrix((12, 8), "float32", "contiguous", 1), FOURS)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("outputs", [20, 19])
@pytest.mark.parametrize("rung", [rung for rung in RUNGS_IN_SMALL if rung.options], ids=name_of)
def test_linear_adds_the_bias_and_cuts_off_in_the_same_kernel(rung, outputs, with_bias, relu):
    x, weight = cases.matrix((3, 5, 7), "float32", "contiguous", 1), cases.matrix((outputs, 7), "float32", "padded", 2)
    bias = cases.matrix((1, outputs), "float32", "contiguous", 3)[0] if with_bias else None
    plan = plan_linear(x, weight, bias, relu, rung)
    plan.result.fill(np.nan)
    bias = None if bias is None else bias.astype(np.float64)
    cases.assert_close(interpreter.run(plan), linear_forward(as_read(x, rung), as_read(weight, rung), bias, relu))


@pytest.mark.parametrize("rung", [rung for rung in RUNGS_IN_SMALL if rung.options], ids=name_of)
def test_relu_lets_no_nan_become_zero(rung):
    x, weight = np.array([[np.nan, 1], [1, 1], [-1, -1]], np.float32), np.ones((1, 2), np.float32)
    y = interpreter.run(plan_linear(x, weight, None, True, rung))
    np.testing.assert_array_equal(y, [[np.nan], [2], [0]])


def test_linear_refuses_a_bias_that_does_not_fit():
    x, weight = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match=r"each of the 4 outputs, got \(3,\)"):
        plan_linear(x, weight, np.ones(3, np.float32), False)
    with pytest.raises(TypeError, match="bias must have the dtype of x"):
        plan_linear(x, weight, np.ones(4), False)


def test_tensor_cores_are_used_where_somebody_has_asked_for_less_precision(monkeypatch):
    a = np.ones((2, 3), np.float32)
    assert plan_matmul(a, a.T).kernel.name == "matmul_double_buffered"
    for chosen, steps in (("high", "float32"), ("medium", "uint32")):
        monkeypatch.setattr(precision, "_in_use", chosen)
        kernel = plan_matmul(a, a.T).kernel
        assert kernel.name == "matmul_tensor_cores"
        assert str(inspect.getclosurevars(kernel.function).nonlocals["word"]) == steps
    assert plan_matmul(a.astype(np.float64), a.T.astype(np.float64)).kernel.name == "matmul_register_tile"
    with pytest.raises(ValueError, match="precision must be one of highest, high, medium, not 'low'"):
        precision.use("low")
