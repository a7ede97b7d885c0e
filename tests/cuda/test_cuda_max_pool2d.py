"""Max pooling of the CUDA kernels, simulated: bit for bit the reference, whose order of additions it is."""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import simulated_gpu

import minipar
from minipar.kernels.cuda import max_pool2d
from minipar.kernels.reference import pool2d as reference
from minipar.nn import functional as F

CHOICES = {
    "dtype": ("float32", "float64"),
    "planes": ((2, 3), (1, 1)),
    "size": ((7, 6), (5, 9)),
    "kernel": ((3, 3), (2, 2), (1, 3)),
    "stride": ((2, 2), (1, 1), (3, 2)),
    "padding": ((0, 0), (1, 1), (0, 1)),
    "dilation": ((1, 1), (2, 1), (1, 2)),
    "ceil_mode": (False, True),
}


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def rows() -> list[tuple]:
    """Those whose windows fit."""
    made = []
    for row in cases.pairwise(CHOICES):
        _, planes, size, kernel, *rest = row
        try:
            reference.max_pool2d_forward(np.zeros((*planes, *size)), kernel, *rest)
        except ValueError:
            continue
        made.append(row)
    return made


def image(dtype: str, planes: tuple, size: tuple) -> np.ndarray:
    """Few different numbers, so that there are ties; infinities, and NaN."""
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (*planes, *size)).astype(dtype)
    x[rng.random(x.shape) < 0.15] = -np.inf
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(map(str, row)).replace(" ", ""))
def test_maxima_winners_and_gradients(row, gpu):
    dtype, planes, size, kernel, stride, padding, dilation, ceil_mode = row
    x, geometry = image(dtype, planes, size), (kernel, stride, padding, dilation)
    y, winners = gpu.call(max_pool2d.max_pool2d_forward, x, *geometry, ceil_mode)
    taps = gpu.call(max_pool2d.max_pool2d_taps, x, *geometry, ceil_mode)
    for actual, expected in zip((y, winners), reference.max_pool2d_forward(x, *geometry, ceil_mode), strict=True):
        np.testing.assert_array_equal(actual, expected, strict=True)
    for actual, expected in zip(taps, reference.max_pool2d_taps(x, *geometry, ceil_mode), strict=True):
        np.testing.assert_array_equal(actual, expected, strict=True)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    dx = gpu.call(max_pool2d.max_pool2d_backward, g, winners, x.shape)
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(g, winners, x.shape), strict=True)
    dx = gpu.call(max_pool2d.max_pool2d_taps_backward, g, taps[1], x.shape, *geometry)
    np.testing.assert_array_equal(dx, reference.max_pool2d_taps_backward(g, taps[1], x.shape, *geometry), strict=True)
    assert len(gpu.launched) == 4


def test_there_are_enough_geometries():
    assert len(rows()) > 8


def test_a_plane_with_more_outputs_and_inputs_than_a_block_has_threads(gpu):
    g = np.random.default_rng(0).standard_normal((2, 1, 20, 15))
    winners = np.random.default_rng(1).integers(0, 500, g.shape)
    dx = gpu.call(max_pool2d.max_pool2d_backward, g, winners, (2, 1, 20, 25))
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(g, winners, (2, 1, 20, 25)))


def test_no_images_and_any_strides(gpu):
    one = (2, 2), (1, 1), (0, 0), (1, 1)
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3))
    there = gpu.to_gpu(x).transpose(0, 3, 1, 2)  # channels last
    y, winners = max_pool2d.max_pool2d_forward(there, *one, False)
    expected = reference.max_pool2d_forward(x.transpose(0, 3, 1, 2), *one, False)
    np.testing.assert_array_equal(y.get(), expected[0])
    dx = max_pool2d.max_pool2d_backward(y, winners, there.shape)
    np.testing.assert_array_equal(dx.get(), reference.max_pool2d_backward(*expected, there.shape))
    y, taps = max_pool2d.max_pool2d_taps(there[:0], *one, False)
    assert y.shape == (0, 3, 4, 3)
    assert max_pool2d.max_pool2d_taps_backward(y, taps, (0, 3, 5, 4), *one).shape == (0, 3, 5, 4)
    assert max_pool2d.max_pool2d_backward(y, winners[:0], (0, 3, 5, 4)).shape == (0, 3, 5, 4)


def test_what_does_not_fit_is_refused(gpu):
    x = np.zeros((1, 1, 40, 40))
    one = (1, 1), (0, 0), (1, 1)
    with pytest.raises(ValueError, match="17 x 17 taps has more than 256"):
        gpu.call(max_pool2d.max_pool2d_taps, x, (17, 17), *one, False)
    with pytest.raises(ValueError, match="no tap inside"):
        gpu.call(max_pool2d.max_pool2d_forward, x[:, :, :1, :1], (2, 2), (1, 1), (1, 1), (2, 2), False)
    with pytest.raises(
        ValueError, match=r"winners must be int64 of the shape of g, \(1, 1, 2, 2\), got uint8 \(1, 1, 2, 2\)"
    ):
        gpu.call(max_pool2d.max_pool2d_backward, x[:, :, :2, :2], np.zeros((1, 1, 2, 2), np.uint8), x.shape)


@pytest.mark.parametrize("return_indices", [False, True])
def test_through_the_layer(return_indices, gpu):
    def run(device: str) -> list[np.ndarray]:
        x = minipar.tensor(np.random.default_rng(0).standard_normal((2, 2, 6, 5)), device=device, requires_grad=True)
        y = F.max_pool2d(x, 3, 2, 1, return_indices=return_indices)
        found = y if return_indices else (y,)
        (found[0] * found[0]).sum().backward()
        return [z.detach().cpu().numpy() for z in (*found, x.grad)]

    for actual, expected in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert len(gpu.launched) >= 2
