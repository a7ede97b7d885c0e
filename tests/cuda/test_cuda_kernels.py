"""Every CUDA kernel, planned by its host function and run by the interpreter, against float64."""

import itertools

import cuda_cases as cases
import numpy as np
import pytest

from minipar.kernels.cuda import conv2d, interpreter
from minipar.kernels.cuda.matmul import BEST, RUNGS, Rung, plan_matmul
from minipar.kernels.cuda.matmul.tile import Tile

SMALL = {  # each rung in blocks that are cheap to interpret
    "naive": [Tile(8, 4)],
    "coalesced": [Tile(4, 8)],
    "shared tile": [Tile(4, 4, 4)],
    "register tile": [Tile(16, 8, 4, 2, 2), Tile(8, 16, 8, 4, 2)],
}
RUNGS_IN_SMALL = [RUNGS[name]._replace(tile=tile) for name, tiles in SMALL.items() for tile in tiles]
THREADS = 16


def name_of(rung: Rung) -> str:
    return f"{rung.kernel.__name__}-{'x'.join(map(str, rung.tile))}"


def check_matmul(a: np.ndarray, b: np.ndarray, rung: Rung) -> None:
    plan = plan_matmul(a, b, rung)
    plan.result.fill(np.nan)  # what a kernel does not write must show
    cases.assert_close(interpreter.run(plan), a.astype(np.float64) @ b.astype(np.float64))


@pytest.mark.parametrize("shapes", cases.MATMUL_SHAPES, ids=str)
@pytest.mark.parametrize("rung", RUNGS_IN_SMALL, ids=name_of)
def test_matmul_of_ragged_batched_and_empty_shapes(shapes, rung):
    check_matmul(
        cases.matrix(shapes[0], "float32", "contiguous", 1), cases.matrix(shapes[1], "float32", "padded", 2), rung
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rung", RUNGS_IN_SMALL[:4], ids=name_of)
@pytest.mark.parametrize(("a_layout", "b_layout"), list(itertools.product(cases.LAYOUTS, cases.LAYOUTS)))
def test_matmul_of_every_layout(a_layout, b_layout, rung, dtype):
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
    assert BEST in RUNGS.values()


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "padded"])
def test_matmul_reads_transposed_and_padded_operands_in_place(layout):
    a, b = cases.matrix((4, 9, 5), "float32", layout, 1), cases.matrix((4, 5, 6), "float32", layout, 2)
    plan = plan_matmul(a, b)
    assert np.shares_memory(plan.args[0], a)
    assert np.shares_memory(plan.args[1], b)


def test_matmul_reads_a_single_column_of_any_stride_in_place():
    column = np.arange(54, dtype=np.float32).reshape(9, 6)[:, ::2][:, :1]
    plan = plan_matmul(column, np.ones((1, 5), np.float32), RUNGS_IN_SMALL[-1])
    assert np.shares_memory(plan.args[0], column)
    np.testing.assert_array_equal(interpreter.run(plan), np.broadcast_to(column, (9, 5)))


def test_matmul_of_a_batch_with_one_matrix_is_one_product_of_all_rows():
    plan = plan_matmul(np.ones((8, 8, 3), np.float32), np.ones((3, 4), np.float32))
    assert plan.blocks == 1


def test_matmul_refuses_what_it_cannot_do():
    a = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 3\)"):
        plan_matmul(a, a)
    with pytest.raises(TypeError, match=r"a must be float32 or float64.*int64"):
        plan_matmul(np.ones((2, 3), np.int64), a.T)
    with pytest.raises(TypeError, match="b must have the dtype of a, float32, got float64"):
        plan_matmul(a, a.T.astype(np.float64))
    wide = np.broadcast_to(np.float32(1), (2, 2**30))
    with pytest.raises(ValueError, match="a of shape"):
        plan_matmul(wide, wide.T)
    with pytest.raises(ValueError, match="does not divide evenly"):
        plan_matmul(a, a.T, BEST._replace(tile=Tile(16, 16, 4, 3, 4)))
    with pytest.raises(ValueError, match="tiles must be square"):
        plan_matmul(a, a.T, RUNGS["shared tile"]._replace(tile=Tile(4, 8, 4)))


def check_conv2d(case: cases.ConvCase) -> None:
    x, w, bias, g = case.operands()
    forward = conv2d.plan_conv2d_forward(x, w, bias, *case.geometry, THREADS)
    grad_input = conv2d.plan_conv2d_grad_input(g, w, x.shape, *case.geometry, THREADS)
    grad_weight = conv2d.plan_conv2d_grad_weight(g, x, w.shape, *case.geometry, THREADS)
    for plan in (forward, grad_input, grad_weight):
        plan.result.fill(np.nan)
    cases.assert_close(interpreter.run(forward), cases.expected_forward(case, x, w, bias))
    cases.assert_close(interpreter.run(grad_input), cases.expected_grad_input(case, g, w, x.shape))
    cases.assert_close(interpreter.run(grad_weight), cases.expected_grad_weight(case, g, x, w.shape))


@pytest.mark.parametrize("case", cases.conv_cases(), ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_conv2d_forward_and_gradients(case):
    check_conv2d(case)


@pytest.mark.slow
def test_conv2d_forward_and_gradients_of_every_geometry():
    for row in itertools.product(("float32",), (2,), (3,), (5,), *list(cases.CONV_CHOICES.values())[4:]):
        check_conv2d(cases.ConvCase(*row))


def test_conv2d_without_bias_without_images_and_of_any_strides():
    case = cases.conv_cases()[0]
    x, w, _, g = case.operands()
    x, w, g = (np.asfortranarray(array) for array in (x, w, g))
    y = interpreter.run(conv2d.plan_conv2d_forward(x, w, None, *case.geometry, THREADS))
    cases.assert_close(y, cases.expected_forward(case, x, w, None))
    dx = interpreter.run(conv2d.plan_conv2d_grad_input(g, w, x.shape, *case.geometry, THREADS))
    cases.assert_close(dx, cases.expected_grad_input(case, g, w, x.shape))
    dw = interpreter.run(conv2d.plan_conv2d_grad_weight(g[:0], x[:0], w.shape, *case.geometry, THREADS))
    assert not dw.any()
    assert interpreter.run(conv2d.plan_conv2d_forward(x[:0], w, None, *case.geometry, THREADS)).shape[0] == 0


def test_conv2d_refuses_what_does_not_fit():
    x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((6, 2, 3, 3), np.float32)
    one = ((1, 1), (0, 0), (1, 1))
    with pytest.raises(ValueError, match="wants 2 input channels"):
        conv2d.plan_conv2d_forward(x, w, None, *one, 1)
    with pytest.raises(ValueError, match="groups must divide"):
        conv2d.plan_conv2d_forward(x, w, None, *one, 4)
    with pytest.raises(ValueError, match="6 output channels"):
        conv2d.plan_conv2d_forward(x, w, np.ones(5, np.float32), *one, 2)
    with pytest.raises(ValueError, match=r"\(1, 6, 3, 3\), got \(1, 6, 5, 5\)"):
        conv2d.plan_conv2d_grad_input(np.ones((1, 6, 5, 5), np.float32), w, x.shape, *one, 2)
    with pytest.raises(TypeError, match="float16"):
        conv2d.plan_conv2d_grad_weight(x.astype(np.float16), x, w.shape, *one, 2)
    with pytest.raises(ValueError, match="power of two"):
        conv2d.plan_conv2d_grad_weight(np.ones((1, 6, 3, 3), np.float32), x, w.shape, *one, 2, threads=48)


def test_the_weight_gradient_has_the_same_bits_every_time():
    case = cases.conv_cases()[0]
    x, w, _, g = case.operands()
    first, second = (
        interpreter.run(conv2d.plan_conv2d_grad_weight(g, x, w.shape, *case.geometry, THREADS)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
