"""Every convolution kernel in the interpreter, within the rounding of its sums; and which shape takes which."""

import inspect

import convolution_cases as convolutions
import cuda_cases as cases
import numpy as np
import pytest
from convolution_cases import CASES, WAYS, geometry_for, name_of, run, within
from cuda_cases import ConvCase

from minipar.kernels import simulate
from minipar.kernels.cuda import interpreter, precision
from minipar.kernels.cuda.conv2d import choice, depthwise, direct, pointwise, products
from minipar.kernels.cuda.conv2d.geometry import geometry_of
from minipar.kernels.cuda.conv2d.implicit_gemm import implicit_gemm_kernel
from minipar.kernels.cuda.conv2d.tensor_cores import tensor_core_kernel
from minipar.kernels.cuda.conv2d.warp_weight_gradient import warp_grad_weight_kernel
from minipar.kernels.cuda.conv2d.weight_gradient import grad_weight_kernel
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile
from minipar.kernels.cuda.plan import Plan
from minipar.kernels.reference.conv2d import bias_gradient

SMALL = Tile(16, 8, 8, 4, 4)
USUAL = ConvCase("float32", 2, 3, 5, 1, (4, 5), (3, 3), (1, 1), (1, 1), (1, 1))


@pytest.fixture(autouse=True)
def parts_of_a_step(monkeypatch):
    """The pixels of the tests' small images are shared out too."""
    monkeypatch.setattr(products, "LEAST_STEPS", 1)
    products._grad_weight.cache_clear()
    yield
    products._grad_weight.cache_clear()


@pytest.mark.parametrize("case", CASES, ids=name_of)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "direct"])
def test_forward_and_gradients_are_within_their_bounds(way, case):
    if WAYS[way].takes(geometry_for(case)):
        for computed, exact, bound in convolutions.checks(case, WAYS[way]):
            assert within(computed, exact, bound)


@pytest.mark.parametrize("case", cases.conv_cases(), ids=name_of)
def test_direct_in_both_dtypes(case):
    for computed, exact, bound in convolutions.checks(case, WAYS["direct"]):
        assert within(computed, exact, bound)


def test_every_way_is_taken_by_some_of_the_cases():
    for way in WAYS.values():
        assert sum(way.takes(geometry_for(case)) for case in CASES) >= 3


def test_no_bound_lets_everything_pass():
    geometry = geometry_for(USUAL)
    for way in WAYS.values():
        if way.takes(geometry):
            for computed, exact, bound in convolutions.checks(USUAL, way):
                little_more = computed.dtype.type(1.01 if computed.dtype == np.float16 else 1.0001)
                assert not within(computed * little_more, exact, bound)
                assert not within(np.full_like(computed, np.nan), exact, bound)


@pytest.mark.parametrize("way", WAYS)
def test_an_infinity_spoils_only_what_it_is_a_part_of(way):
    assert convolutions.spoils_only_its_own(WAYS[way])


@pytest.mark.parametrize(
    ("multiplied", "tile"),
    [(multiplied, tile) for multiplied, way in products.MULTIPLICATIONS.items() for tile in way.tiles],
    ids=lambda value: value if isinstance(value, str) else f"{value.m}x{value.n}",
)
def test_the_tiles_that_the_gpu_runs(multiplied, tile):
    case = ConvCase("float32", 1, 3, 5, 1, (3, 4), (2, 2), (2, 1), (1, 0), (1, 1))
    for computed, exact, bound in convolutions.checks(case, convolutions.implicit(tile, 2, multiplied)):
        assert within(computed, exact, bound)


@pytest.mark.parametrize("way", [way for way in WAYS if WAYS[way].forward and WAYS[way].takes(geometry_for(USUAL))])
def test_relu_cuts_off_and_a_missing_bias_is_zero(way):
    x, w, bias, _ = WAYS[way].typed(USUAL).operands()
    x[0, 0, 0, 0] = np.nan  # which ReLU lets through
    geometry = geometry_for(USUAL)
    cut = run(WAYS[way].forward(x, w, bias, geometry, relu=True))
    np.testing.assert_array_equal(cut, np.maximum(run(WAYS[way].forward(x, w, bias, geometry)), 0))
    assert (cut == 0).any()
    assert (cut > 0).any()
    assert np.isnan(cut).any()
    plain, zeros = (run(WAYS[way].forward(x, w, b, geometry)) for b in (None, np.zeros_like(bias)))
    np.testing.assert_array_equal(plain, zeros)


def test_operands_of_any_strides_are_read_right():
    x, w, bias, g = USUAL.operands()
    geometry = geometry_for(USUAL)
    turned = [np.asfortranarray(array) for array in (x, w, g)]
    y = run(products.plan_forward(turned[0], turned[1], bias, geometry, tile=SMALL))
    np.testing.assert_array_equal(y, run(products.plan_forward(x, w, bias, geometry, tile=SMALL)))
    dx = run(products.plan_grad_input(turned[2], turned[1], geometry, SMALL))
    np.testing.assert_array_equal(dx, run(products.plan_grad_input(g, w, geometry, SMALL)))
    dw = run(products.plan_grad_weight(turned[2], turned[0], geometry, SMALL))
    np.testing.assert_array_equal(dw, run(products.plan_grad_weight(g, x, geometry, SMALL)))


def test_results_have_the_same_bits_every_time_and_in_every_tile():
    case = USUAL._replace(images=1, size=(3, 4), group_outputs=2)
    x, w, bias, g = case.operands()
    geometry = geometry_for(case)
    tiles = (SMALL, SMALL, Tile(16, 16, 4, 4, 4), Tile(32, 16, 8, 8, 4))
    for plans in (
        [products.plan_forward(x, w, bias, geometry, tile=tile) for tile in tiles],
        [products.plan_grad_input(g, w, geometry, tile) for tile in tiles],
        [products.plan_grad_weight(g, x, geometry, SMALL, 3) for _ in range(2)],
    ):
        first, *others = map(run, plans)
        for other in others:
            np.testing.assert_array_equal(first, other)


HALVES = WAYS["float16"]


def test_float16_is_added_up_in_float32():
    """In float16, 2048 + 1 is 2048 again."""
    x, w = np.ones((1, 256, 3, 3), np.float16), np.ones((1, 256, 3, 3), np.float16)
    geometry = geometry_of(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
    assert run(HALVES.forward(x, w, np.ones(1, np.float16), geometry)).item() == 2304  # 2305, a tie, to even
    x, g = np.ones((1, 1, 48, 48), np.float16), np.ones((1, 1, 48, 48), np.float16)
    geometry = geometry_of(x.shape, (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    assert HALVES.grad_weight(g, x, geometry).item() == 2304
    assert bias_gradient(g.reshape(48 * 48, 1, 1, 1)).item() == 2304


def test_eight_halves_at_once_where_they_lie_aligned():
    case = HALVES.typed(ConvCase("float32", 1, 8, 8, 1, (4, 5), (2, 2), (1, 2), (0, 0), (1, 1)))
    x, w, bias, g = case.operands()
    for channels, wanted in ((8, True), (7, False)):
        cut = np.ascontiguousarray(w[:, :channels])
        geometry = geometry_of(x[:, :channels].shape, cut.shape, *case.geometry)
        for plan in (HALVES.forward(x[:, :channels], cut, bias, geometry), HALVES.grad_input(g, cut, geometry)):
            fetch = inspect.getclosurevars(plan.kernel.function).nonlocals["fetch_w"]
            assert inspect.getclosurevars(fetch.py_func).nonlocals["vector"] == wanted


def test_pixels_are_shared_out_whole():
    for pixels in (0, 1, 7, 8, 9, 63, 64, 65, 1000):
        for wanted in (1, 2, 3, 50):
            split, parts = products.share_pixels(pixels, 8, wanted)
            assert split % 8 == 0
            assert split * (parts - 1) < max(pixels, 1) <= split * parts
            assert parts <= max(wanted, 1)


def test_parts_have_many_steps(monkeypatch):
    monkeypatch.undo()
    split, parts = products.share_pixels(100_000, 8, 10_000)
    assert (split, parts) == (8 * products.LEAST_STEPS, -(-100_000 // split))


@pytest.mark.parametrize("case", [USUAL, USUAL._replace(stride=(2, 2)), USUAL._replace(groups=3)], ids=name_of)
def test_no_images_make_an_empty_output_and_zeros_for_the_weight(case):
    x, w, bias, g = case.operands()
    y = interpreter.run(choice.plan_conv2d_forward(x[:0], w, bias, *case.geometry))
    assert y.shape == (0, *g.shape[1:])
    dx = interpreter.run(choice.plan_conv2d_grad_input(g[:0], w, (0, *x.shape[1:]), *case.geometry))
    assert dx.shape == (0, *x.shape[1:])
    parts = interpreter.run(choice.plan_conv2d_grad_weight(g[:0], x[:0], w.shape, *case.geometry))
    assert parts.shape[1:] == w.shape
    assert not parts.any()


def test_no_channels_leave_the_bias():
    x, w, bias = np.ones((2, 0, 4, 4), np.float32), np.ones((3, 0, 3, 3), np.float32), np.arange(3, dtype=np.float32)
    one = ((1, 1), (0, 0), (1, 1), 1)
    y = interpreter.run(choice.plan_conv2d_forward(x, w, bias, *one))
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None, None], (2, 3, 2, 2)))


IMPLICIT, PRODUCT = "conv2d_implicit_gemm", "matmul_double_buffered"
OF_DEFINITION = ("conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight")
OF_DEPTHWISE = ("conv2d_depthwise", "conv2d_depthwise_grad_input", "conv2d_depthwise_grad_weight")
OF_PRODUCTS = (IMPLICIT, IMPLICIT, "conv2d_grad_weight_gemm")
OF_WARPS = ("conv2d_tensor_cores", "conv2d_tensor_cores", "conv2d_grad_weight_tensor_cores")
LARGE = ConvCase("float32", 2, 16, 16, 1, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1))
POINTWISE = ConvCase("float32", 1, 100, 128, 1, (16, 16), (1, 1), (1, 1), (0, 0), (1, 1))


@pytest.mark.parametrize(
    ("case", "names"),
    [
        (LARGE, OF_PRODUCTS),
        (LARGE._replace(stride=(2, 1), groups=2, dilation=(2, 2)), OF_PRODUCTS),
        (LARGE._replace(dtype="float64"), OF_DEFINITION),
        (LARGE._replace(size=(6, 40_000)), OF_DEFINITION),
        (LARGE._replace(images=0), OF_DEFINITION),
        (LARGE._replace(group_outputs=8), ("conv2d_halo", *OF_PRODUCTS[1:])),
        (LARGE._replace(group_inputs=8), (IMPLICIT, "conv2d_halo", OF_PRODUCTS[2])),
        (LARGE._replace(group_inputs=8, groups=2, stride=(2, 1)), OF_PRODUCTS),
        (LARGE._replace(group_outputs=8, size=(7, 7)), OF_PRODUCTS),
        (LARGE._replace(group_outputs=8, size=(99, 99), dilation=(40, 40)), OF_PRODUCTS),
        (LARGE._replace(group_inputs=1, groups=3), OF_DEPTHWISE),
        (LARGE._replace(group_inputs=1, groups=3, kernel=(5, 7)), OF_DEPTHWISE),
        (POINTWISE, (PRODUCT, PRODUCT, OF_PRODUCTS[2])),
        (POINTWISE._replace(group_inputs=90), (PRODUCT, *OF_PRODUCTS[1:])),
        (POINTWISE._replace(size=(7, 7)), OF_PRODUCTS),
        (POINTWISE._replace(stride=(2, 2)), OF_PRODUCTS),
        (LARGE._replace(dtype="float16"), OF_WARPS),
        (LARGE._replace(dtype="float16", group_outputs=8), OF_WARPS),
        (POINTWISE._replace(dtype="float16"), ("matmul_tensor_cores", "matmul_tensor_cores", OF_WARPS[2])),
    ],
    ids=str,
)
def test_a_shape_takes_its_kernels(case, names):
    assert tuple(plan.kernel.name for plan in chosen(case, bias=False)) == names


def chosen(case: ConvCase, bias: bool) -> tuple[Plan, Plan, Plan]:
    x = np.zeros((case.images, case.groups * case.group_inputs, *case.size), case.dtype)
    w = np.zeros((case.groups * case.group_outputs, case.group_inputs, *case.kernel), case.dtype)
    g = np.zeros(geometry_of(x.shape, w.shape, *case.geometry).y_shape, case.dtype)
    plans = (
        choice.plan_conv2d_forward(x, w, np.zeros(len(w), case.dtype) if bias else None, *case.geometry),
        choice.plan_conv2d_grad_input(g, w, x.shape, *case.geometry),
        choice.plan_conv2d_grad_weight(g, x, w.shape, *case.geometry),
    )
    assert [plan.result.shape for plan in plans[:2]] == [g.shape, x.shape]
    assert plans[2].result.shape[1:] == w.shape
    return plans


def test_a_bias_is_added_by_the_implicit_product():
    assert chosen(POINTWISE, bias=True)[0].kernel.name == IMPLICIT


def test_pointwise_forward():
    case = ConvCase("float32", 2, 3, 5, 1, (4, 3), (1, 1), (1, 1), (0, 0), (1, 1))
    x, w, *_ = case.operands()
    y = run(pointwise.plan_pointwise_forward(x, w, geometry_for(case)))
    bound = 4 * convolutions.ROUNDING["float32"] * cases.expected_forward(case, np.abs(x), np.abs(w), None)
    assert within(y, cases.expected_forward(case, x, w, None), bound)


@pytest.mark.parametrize(
    ("channels", "pixels", "rows"),
    [
        (3, 10**6, 32),
        (32, 10**6, 32),
        (33, 10**6, 64),
        (64, 10**6, 64),
        (128, 20_000, 64),
        (128, 10**6, 128),
        (128, 1000, 32),
        (192, 10**6, 64),
    ],
)
def test_the_tile_leaves_few_rows_idle_and_the_gpu_enough_blocks(channels, pixels, rows):
    assert products.tile_for(channels, pixels).m == rows


@pytest.mark.parametrize(("channels", "images", "rows"), [(64, 32, 64), (64, 1, 32), (512, 32, 128), (20, 32, 32)])
def test_the_tile_of_a_weights_gradient_counts_the_parts_of_its_pixels(channels, images, rows, monkeypatch):
    """One tile of dw alone would leave a GPU idle; as many blocks as there are parts do not."""
    monkeypatch.setattr(products, "LEAST_STEPS", 32)
    x = np.zeros((images, channels, 28, 28), np.float32)
    plan = products.plan_grad_weight(x, x, geometry_of(x.shape, (channels, channels, 3, 3), (1, 1), (1, 1), (1, 1), 1))
    tile = next(t for t in products.TILES if products.grad_weight_kernel(np.dtype("f4"), t) is plan.kernel)
    assert tile.m == rows
    assert rows == 32 or products.MANY_BLOCKS <= plan.blocks <= 3 * products.MANY_BLOCKS


@pytest.mark.parametrize("multiplied", products.MULTIPLICATIONS)
def test_the_weights_gradient_meets_in_no_bank(multiplied):
    case = ConvCase(
        "float16" if multiplied == "fp16" else "float32", 1, 4, 32, 1, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1)
    )
    x, _, _, g = case.operands()
    plan = products.plan_grad_weight(g, x, geometry_for(case), multiplied=multiplied)
    report = simulate.run(plan.kernel.function, plan.blocks, plan.kernel.threads, *plan.args)
    assert report.count("shared", "store").requests > 100
    assert report.bank_conflicts == 0


def test_what_does_not_fit_is_refused():
    x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((6, 2, 3, 3), np.float32)
    one = ((1, 1), (0, 0), (1, 1))
    with pytest.raises(ValueError, match="wants 2 input channels"):
        choice.plan_conv2d_forward(x, w, None, *one, 1)
    with pytest.raises(ValueError, match="groups must divide"):
        choice.plan_conv2d_forward(x, w, None, *one, 4)
    with pytest.raises(ValueError, match=r"takes x \(N, C, H, W\)"):
        choice.plan_conv2d_forward(x[0], w, None, *one, 2)
    for dtype in (np.float32, np.float64):
        with pytest.raises(ValueError, match="6 output channels"):
            choice.plan_conv2d_forward(x.astype(dtype), w.astype(dtype), np.ones(5, dtype), *one, 2)
        g = np.ones((1, 6, 5, 5), dtype)
        with pytest.raises(ValueError, match=r"\(1, 6, 3, 3\), got \(1, 6, 5, 5\)"):
            choice.plan_conv2d_grad_input(g, w.astype(dtype), x.shape, *one, 2)
        with pytest.raises(ValueError, match=r"\(1, 6, 3, 3\), got \(1, 6, 5, 5\)"):
            choice.plan_conv2d_grad_weight(g, x.astype(dtype), w.shape, *one, 2)
    with pytest.raises(TypeError, match="float16"):
        choice.plan_conv2d_grad_weight(np.ones((1, 6, 3, 3), np.float16), x, w.shape, *one, 2)
    with pytest.raises(TypeError, match="bias must have the dtype of x"):
        choice.plan_conv2d_forward(x, w, np.ones(6), *one, 2)
    with pytest.raises(ValueError, match="the output of shape"):
        geometry_of((1, 1, 2, 2), (1, 1, 1, 1), (1, 1), (30_000, 30_000), (1, 1), 1)


def test_kernels_refuse_tiles_that_do_not_come_out_even():
    float32 = np.dtype(np.float32)
    with pytest.raises(ValueError, match="power of two"):
        direct.grad_weight_kernel(float32, 48)
    with pytest.raises(ValueError, match="power of two"):
        depthwise.depthwise_grad_weight_kernel(float32, 48, (3, 3))
    with pytest.raises(ValueError, match="8 threads do not share 8 x 16 inputs"):
        implicit_gemm_kernel(float32, Tile(8, 16, 8, 4, 4), False)
    with pytest.raises(ValueError, match="multiples of 4"):
        implicit_gemm_kernel(float32, Tile(4, 8, 8, 2, 2), False)
    with pytest.raises(ValueError, match="4 threads do not fetch 8 and 8 lines of 8 evenly"):
        grad_weight_kernel(float32, Tile(8, 8, 8, 4, 4))
    for factory in (
        lambda: implicit_gemm_kernel(np.dtype("f8"), SMALL, False),
        lambda: grad_weight_kernel(np.dtype("f8"), SMALL),
    ):
        with pytest.raises(TypeError, match="for float32, not float64"):
            factory()
    for kernel in (tensor_core_kernel, warp_grad_weight_kernel):
        rest = (False,) if kernel is tensor_core_kernel else ()
        with pytest.raises(TypeError, match="for float16, not float32"):
            kernel(float32, WarpTile(32, 16, 32, 32, 16), *rest, multiplied="fp16")
        with pytest.raises(ValueError, match="multiple of 16 for k"):
            kernel(np.dtype(np.float16), WarpTile(32, 16, 24, 32, 16), *rest, multiplied="fp16")
    with pytest.raises(ValueError, match="32 threads do not fetch 32 and 16 lines of 24 evenly"):
        warp_grad_weight_kernel(float32, WarpTile(32, 16, 24, 32, 16), "tf32")


@pytest.mark.parametrize("chosen_precision", ["high", "medium"])
def test_a_convolution_follows_the_precision_of_products(chosen_precision, monkeypatch):
    monkeypatch.setattr(precision, "_in_use", chosen_precision)
    assert [plan.kernel.name for plan in chosen(LARGE, bias=True)] == list(OF_WARPS)
    plans = chosen(POINTWISE, bias=False)
    assert [plan.kernel.name for plan in plans] == ["matmul_tensor_cores", "matmul_tensor_cores", OF_WARPS[2]]
    words = {str(inspect.getclosurevars(plan.kernel.function).nonlocals["word"]) for plan in plans}
    assert words == {"float32"}  # TF32: two bfloat16 would be a uint32
    few = chosen(LARGE._replace(group_outputs=8), bias=True)
    assert [plan.kernel.name for plan in few] == ["conv2d_halo", *OF_WARPS[1:]]
    exact = chosen(LARGE._replace(dtype="float64"), bias=True)
    assert tuple(plan.kernel.name for plan in exact) == OF_DEFINITION
