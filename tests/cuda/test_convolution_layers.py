"""From the functions of minipar.nn to the convolution kernels: on the CuPy double, with kernels in the simulator."""

import numpy as np
import pytest
from simulated_gpu import simulated_gpu

import minipar
import minipar.nn.functional as F
from minipar import nn
from minipar.kernels.cuda import precision
from minipar.kernels.cuda.conv2d import choice, offsets
from minipar.ops.conv import RectifiedConvolution

PRODUCT, WEIGHT, HALO = "conv2d_implicit_gemm", "conv2d_grad_weight_gemm", "conv2d_halo"
DEPTHWISE = {"conv2d_depthwise", "conv2d_depthwise_grad_input", "conv2d_depthwise_grad_weight"}
WARPS = {"conv2d_tensor_cores", "conv2d_grad_weight_tensor_cores"}
ONE = (1, 1)
BIAS = ["channel_totals", "sum_of_strips"]  # the launches of its gradient
# What is called, its operands' shapes (input, weight, bias), its options, and the kernels that it takes there and back.
CALLS = {
    "conv2d": (F.conv2d, [(1, 2, 4, 5), (9, 2, 3, 2), (9,)], {"stride": 2, "padding": 1}, {PRODUCT, WEIGHT}),
    "conv2d, few channels": (F.conv2d, [(1, 1, 9, 9), (2, 1, 2, 2), (2,)], {}, {HALO, WEIGHT}),
    "conv1d": (F.conv1d, [(2, 3, 7), (9, 3, 3), (9,)], {"dilation": 2}, {PRODUCT, WEIGHT}),
    "conv_transpose1d": (F.conv_transpose1d, [(1, 2, 4), (2, 9, 3), (9,)], {"stride": 2}, {PRODUCT, WEIGHT}),
    "conv_transpose2d": (
        F.conv_transpose2d,
        [(1, 9, 2, 3), (9, 2, 3, 3), (2,)],
        {"stride": 2, "padding": 1},
        {PRODUCT, WEIGHT},
    ),
    "depthwise": (
        F.conv2d,
        [(2, 3, 4, 4), (3, 1, 3, 3), (3,)],
        {"groups": 3, "padding": 1},
        DEPTHWISE,
    ),
}


@pytest.fixture(autouse=True)
def no_tables_left():
    """What is kept for this GPU is none of the next one's."""
    yield
    offsets._copied.cache_clear()


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_those_of_the_cpu(name):
    of_bias = [] if "transpose" in name else BIAS  # a transposed one adds its bias afterwards
    assert launched_for(name, "float32", 1e-4) == {*CALLS[name][3], *of_bias}


def launched_for(name: str, dtype: str, tolerance: float) -> set[str]:
    """The kernels of a call and its gradients, which are held against float64 on the CPU."""
    function, shapes, options, _ = CALLS[name]
    rng = np.random.default_rng(0)
    operands = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    there = [minipar.tensor(operand.astype(np.float64), requires_grad=True) for operand in operands]
    expected = function(*there, **options)
    expected.sum().backward()
    with simulated_gpu() as gpu:
        here = [minipar.tensor(operand, device="cuda", requires_grad=True) for operand in operands]
        y = function(*here, **options)
        y.sum().backward()
        results = [y.detach().cpu().numpy(), *(operand.grad.cpu().numpy() for operand in here)]
    for computed, exact in zip(results, [expected.detach(), *(operand.grad for operand in there)], strict=True):
        assert computed.dtype == dtype
        np.testing.assert_allclose(computed, exact.numpy(), rtol=tolerance, atol=tolerance)
    return set(gpu.launched)


def test_images_of_any_size_share_the_order_of_their_weights():
    """It is as large as the weights, and kept on the GPU: an order for each size of images would fill that."""
    weight = np.ones((4, 3, 3, 3), np.float32)
    offsets.order_of_weights.cache_clear()
    with simulated_gpu():
        for size in (5, 6, 9):
            w = minipar.tensor(weight, device="cuda")
            x = minipar.ones(1, 3, size, size, device="cuda", requires_grad=True)
            F.conv2d(x, w, stride=2, padding=1).sum().backward()
            assert x.grad[0, 0, 0, 0].item() == 4  # one tap of each of 4 channels
    assert offsets.order_of_weights.cache_info().currsize == 1


def step(device: str) -> list[np.ndarray]:
    """The output and the gradients of a convolution with bias and ReLU."""
    rng = np.random.default_rng(1)
    minipar.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 9, (3, 2), stride=2, padding=1), nn.ReLU()).to(device)
    x = minipar.tensor(rng.standard_normal((2, 2, 5, 6)).astype(np.float32), device=device, requires_grad=True)
    g = minipar.tensor(rng.standard_normal((2, 9, 3, 4)).astype(np.float32), device=device)
    y = layers(x)
    y.backward(g)
    leaves = [x, *layers.parameters()]
    return [tensor.detach().cpu().numpy() for tensor in (y, *(leaf.grad for leaf in leaves))]


def test_bias_and_relu_are_the_product_s_own_and_the_gate_is_applied_once():
    with simulated_gpu() as gpu:
        results = step("cuda")
        assert gpu.launched == [PRODUCT, "relu_gradient", PRODUCT, WEIGHT, *BIAS]
    expected = step("cpu")
    np.testing.assert_array_equal(results[0] == 0, expected[0] == 0)  # both cut off the same
    for computed, exact in zip(results, expected, strict=True):
        np.testing.assert_allclose(computed, exact, rtol=1e-4, atol=1e-5)


def test_fused_or_not_the_bits_are_the_same():
    """The epilogues add the bias and cut off what the operations by themselves would, and the gate is the ReLU's."""
    rng = np.random.default_rng(2)
    x, w, b, g = (rng.standard_normal(s).astype(np.float32) for s in ((2, 2, 5, 6), (9, 2, 3, 2), (9,), (2, 9, 5, 7)))
    found = []
    with simulated_gpu():
        for operation in (lambda *z: F.relu(F.conv2d(*z, padding=1)), RectifiedConvolution(ONE, ONE, ONE, 1)):
            tensors = [minipar.tensor(array, device="cuda", requires_grad=True) for array in (x, w, b)]
            y = operation(*tensors)
            y.backward(minipar.tensor(g, device="cuda"))
            found.append([y.detach().cpu().numpy(), *(tensor.grad.cpu().numpy() for tensor in tensors)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("conv2d", {*WARPS, *BIAS}),
        ("conv_transpose2d", WARPS),
        ("depthwise", {*DEPTHWISE, *BIAS}),
    ],
)
def test_float16_runs_on_tensor_cores_or_in_float32_and_is_rounded_once(name, kernels):
    assert launched_for(name, "float16", 2**-10) == kernels


def test_float32_runs_on_tensor_cores_where_that_is_asked_for(monkeypatch):
    monkeypatch.setattr(precision, "_in_use", "high")
    assert launched_for("conv2d", "float32", 1e-2) == {*WARPS, *BIAS}


def test_a_gpu_without_tensor_cores_computes_in_float32(monkeypatch):
    monkeypatch.setattr(precision, "_in_use", "high")
    monkeypatch.setattr(choice, "has_tensor_cores", lambda array: False)
    expected = {PRODUCT, WEIGHT, *BIAS}
    assert launched_for("conv2d", "float32", 1e-4) == launched_for("conv2d", "float16", 2**-10) == expected
