"""Average pooling of the CUDA kernels, simulated: bit for bit the reference, whose order of additions it is."""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import simulated_gpu

import minipar
from minipar.kernels.cuda import avg_pool2d
from minipar.kernels.reference import pool2d as reference
from minipar.nn import functional as F

CHOICES = {
    "dtype": ("float32", "float64"),
    "planes": ((2, 3), (1, 1)),
    "size": ((7, 6), (5, 9)),
    "kernel": ((3, 3), (2, 4), (1, 3)),
    "stride": ((2, 2), (1, 1), (3, 2)),
    "padding": ((0, 0), (1, 1), (0, 1)),
    "ceil_mode": (False, True),
    "count_include_pad": (False, True),
    "divisor_override": (None, 5, -2),
}


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def rows() -> list[tuple]:
    """Those whose windows fit."""
    made = []
    for row in cases.pairwise(CHOICES):
        _, planes, size, *rest = row
        try:
            reference.avg_pool2d_forward(np.zeros((*planes, *size)), *rest)
        except ValueError:
            continue
        made.append(row)
    return made


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(map(str, row)).replace(" ", ""))
def test_means_and_gradients(row, gpu):
    dtype, planes, size, *options = row
    x = np.random.default_rng(0).standard_normal((*planes, *size)).astype(dtype)
    y = gpu.call(avg_pool2d.avg_pool2d_forward, x, *options)
    np.testing.assert_array_equal(y, reference.avg_pool2d_forward(x, *options), strict=True)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    dx = gpu.call(avg_pool2d.avg_pool2d_backward, g, x.shape, *options)
    np.testing.assert_array_equal(dx, reference.avg_pool2d_backward(g, x.shape, *options), strict=True)
    assert gpu.launched == ["avg_pool2d_forward", "avg_pool2d_backward"]


def test_there_are_enough_geometries():
    assert len(rows()) > 8


def test_no_images_any_strides_and_what_does_not_fit(gpu):
    options = (2, 2), (1, 2), (1, 0), False, True, None
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3))
    there = gpu.to_gpu(x).transpose(0, 3, 1, 2)  # channels last
    y = avg_pool2d.avg_pool2d_forward(there, *options)
    np.testing.assert_array_equal(y.get(), reference.avg_pool2d_forward(x.transpose(0, 3, 1, 2), *options))
    assert avg_pool2d.avg_pool2d_forward(there[:0], *options).shape == (0, 3, 6, 2)
    assert avg_pool2d.avg_pool2d_backward(y[:0], (0, 3, 5, 4), *options).shape == (0, 3, 5, 4)
    with pytest.raises(ValueError, match=r"shape of the output, \(2, 3, 6, 2\), got \(2, 3, 5, 2\)"):
        avg_pool2d.avg_pool2d_backward(y[:, :, 1:], there.shape, *options)
    with pytest.raises(ValueError, match="divisor_override must not be zero"):
        avg_pool2d.avg_pool2d_forward(there, *options[:-1], 0)


def test_through_the_layer(gpu):
    def run(device: str) -> list[np.ndarray]:
        x = minipar.tensor(np.random.default_rng(0).standard_normal((2, 2, 6, 5)), device=device, requires_grad=True)
        y = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        (y * y).sum().backward()
        return [z.detach().cpu().numpy() for z in (y, x.grad)]

    for actual, expected in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-14)
    assert gpu.launched == ["avg_pool2d_forward", "avg_pool2d_backward"]
