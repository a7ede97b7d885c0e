"""Running statistics and the gradient of a ReLU by the CUDA kernels, simulated, beside the reference."""

import numpy as np
import pytest
from simulated_gpu import simulated_gpu

import minipar
from minipar import nn
from minipar.kernels.cuda import relu_gradient, running_statistics
from minipar.kernels.reference import activations, normalization


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("momentum", [0.1, 0, np.array(0.3), np.array([0.3], np.float32)], ids=str)
def test_running_statistics_follow(momentum, samples, dtype, gpu):
    rng = np.random.default_rng(samples)
    mean, variance = rng.random((2, 300)).astype(dtype)
    statistics = rng.random((2, samples, 300))
    there = gpu.to_gpu((mean.copy(), variance.copy(), statistics, 5, momentum))
    running_statistics.follow_statistics(*there)
    normalization.follow_statistics(mean, variance, statistics, 5, momentum)
    for computed, exact in zip(there, (mean, variance)):
        np.testing.assert_allclose(computed.get(), exact, rtol=1e-6 if dtype == "float32" else 1e-14)
    assert gpu.launched == ["follow_statistics"]


def test_statistics_that_do_not_lie_side_by_side_follow_too(gpu):
    here = np.ones((3, 2))
    there = gpu.to_gpu(here.copy())
    statistics = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    running_statistics.follow_statistics(there[:, 0], there[:, 1], gpu.to_gpu(statistics), 1, 0.5)
    normalization.follow_statistics(here[:, 0], here[:, 1], statistics, 1, 0.5)
    np.testing.assert_allclose(there.get(), here, rtol=1e-15)


def test_statistics_that_do_not_fit_are_refused(gpu):
    mean, statistics = np.ones(3), np.ones((2, 4))
    with pytest.raises(ValueError, match=r"need running mean and variance \(C,\), got \(3,\), \(3,\) and statistics"):
        gpu.call(running_statistics.follow_statistics, mean, mean, statistics, 2, 0.1)
    with pytest.raises(TypeError, match="running_var must have the dtype of running_mean"):
        gpu.call(running_statistics.follow_statistics, mean, mean.astype(np.float32), statistics, 2, 0.1)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3, momentum=None), nn.InstanceNorm1d(3, track_running_stats=True)])
def test_a_layer_s_running_statistics_are_those_on_the_cpu(layer, gpu):
    found = []
    for device in ("cuda", "cpu"):
        layer.to(device).reset_running_stats()
        for seed in range(2):
            x = np.random.default_rng(seed).standard_normal((4, 3, 5)).astype(np.float32)
            layer(minipar.tensor(x, device=device))
        found.append([layer.running_mean.cpu().numpy().copy(), layer.running_var.cpu().numpy().copy()])
    for computed, exact in zip(*found):
        np.testing.assert_allclose(computed, exact, rtol=1e-5, atol=1e-6)
    assert gpu.launched.count("follow_statistics") == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_a_relu(dtype, gpu):
    g, y = np.random.default_rng(0).standard_normal((2, 7, 50)).astype(dtype)
    y[0, :4] = 0, np.nan, -np.inf, np.inf
    expected = activations.relu_gradient(g, y)
    np.testing.assert_array_equal(gpu.call(relu_gradient.relu_gradient, g, y), expected, strict=True)
    slopes, outputs = (there[:, ::2] for there in gpu.to_gpu((g, y)))
    np.testing.assert_array_equal(relu_gradient.relu_gradient(slopes, outputs).get(), expected[:, ::2])
    assert relu_gradient.relu_gradient(*gpu.to_gpu((g[:0], y[:0]))).shape == (0, 50)
    with pytest.raises(ValueError, match=r"y must have the shape of g, \(7, 50\), got \(50,\)"):
        gpu.call(relu_gradient.relu_gradient, g, y[0])
