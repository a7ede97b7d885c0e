"""Batch norm of the CUDA kernels, simulated, against float64; derived bounds and edges."""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import assert_within, in_float64, simulated_gpu

import minipar
from minipar import nn
from minipar.kernels.cuda import batch_norm, channel_sums
from minipar.kernels.reference import normalization as reference

CHOICES = {
    "dtype": ("float32", "float64"),
    "shape": ((3, 2, 40), (9, 33, 1), (7, 5, 6), (1, 1, 70)),  # a channel to a block, and 32 of them
    "weighted": (True, False),
    "shifted": (True, False),
    "of_batch": (True, False),
    "strip": (4096, 25),  # one strip, and some
}
EPS = 1e-3


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def operands(dtype: str, shape: tuple, weighted: bool = True, shifted: bool = True) -> list:
    """x, g, weight and bias (or None)."""
    rng = np.random.default_rng(sum(shape))
    x, g = (3 * rng.standard_normal(shape) + 2).astype(dtype), rng.standard_normal(shape).astype(dtype)
    return [x, g, *(rng.standard_normal(shape[1]).astype(dtype) if wanted else None for wanted in (weighted, shifted))]


class Bounds:
    """Roundings (to first order) of what is computed from these float64 operands; see test_cuda_layer_norm.

    A sum takes at most A additions one after another: of a thread, of the threads of a block, of the strips.
    """

    def __init__(self, x, g, weight, statistics) -> None:
        samples, _, positions = x.shape
        count, length, lanes = channel_sums.strips_of(samples, positions)
        A = length * lanes / channel_sums.THREADS + 10 + 6 * count
        mean, variance = statistics[:, None, :, None]
        inverse = 1 / np.sqrt(variance + EPS)
        xhat = (x - mean) * inverse
        level = abs(x).mean((0, 2), keepdims=True) * inverse
        of_inverse = A * level + A / 2 + 5
        self.statistics = np.stack([
            A * abs(x).mean((0, 2)),
            2 * A * (abs(x) * abs(x - mean)).mean((0, 2)) + (A + 4) * variance.reshape(-1),
        ])  # fmt: skip
        self.of_xhat = (A + 1) * level + abs(xhat) * (of_inverse + 3)
        scale = 1.0 if weight is None else abs(weight)[:, None]
        self.y = scale * (self.of_xhat + abs(xhat))
        self.dweight = (abs(g) * self.of_xhat).sum((0, 2)) + (A + 2) * abs(g * xhat).sum((0, 2))
        self.dbias = A * abs(g).sum((0, 2))
        count = samples * positions
        of_means = (self.dbias[:, None] + abs(xhat) * self.dweight[:, None]) / count
        along = (g * xhat).mean((0, 2), keepdims=True)
        terms = abs(g) + abs(g).mean((0, 2), keepdims=True) + abs(xhat * along)
        self.dx = scale * inverse * (of_means + self.of_xhat * abs(along) + terms * (of_inverse + 6))


@pytest.mark.parametrize("row", list(cases.pairwise(CHOICES)), ids=lambda row: "-".join(map(str, row)).replace(" ", ""))
def test_forward_and_gradients(row, gpu, monkeypatch):
    dtype, shape, weighted, shifted, of_batch, strip = row
    monkeypatch.setattr(channel_sums, "STRIP", strip)
    arrays = operands(dtype, shape, weighted, shifted)
    x, g, weight, bias = arrays
    wide = in_float64(*arrays)
    running = None if of_batch else tuple(abs(np.random.default_rng(0).standard_normal((2, shape[1]))).astype(dtype))
    y, statistics = gpu.call(batch_norm.batch_norm_forward, x, weight, bias, EPS, running)
    wide_running = None if of_batch else tuple(in_float64(*running))
    expected, wide_statistics = reference.batch_norm_forward(wide[0], *wide[2:], EPS, wide_running)
    bounds = Bounds(*wide[:3], wide_statistics)
    assert statistics.dtype == dtype  # the reference's are in float64
    unit = 2.0**-24 if dtype == "float32" else 2.0**-53
    assert (abs(statistics - wide_statistics) <= (bounds.statistics if of_batch else 0) * unit).all()
    assert_within(y, expected, bounds.y + abs(expected))

    places = [gpu.cupy.empty(shape[1], dtype) if wanted else None for wanted in (weighted, shifted)]
    there = gpu.to_gpu((g, x, weight, statistics))
    dx = batch_norm.batch_norm_backward(*there, EPS, of_batch, *places).get()
    dweight, dbias = np.empty((2, shape[1]))
    expected = reference.batch_norm_backward(wide[1], wide[0], wide[2], wide_statistics, EPS, of_batch, dweight, dbias)
    assert_within(dx, expected, bounds.dx)
    if weighted:
        assert_within(places[0].get(), dweight, bounds.dweight)
    if shifted:
        assert_within(places[1].get(), dbias, bounds.dbias)
    forward = ["batch_norm_moments", "batch_norm_statistics"] if of_batch else []
    sums = ["batch_norm_sums", "sum_of_strips"] if of_batch or weighted or shifted else []
    assert gpu.launched == [*forward, "batch_norm_normalize", *sums, "batch_norm_gradient"]


def test_large_means_lose_no_more_than_they_must(gpu, monkeypatch):
    monkeypatch.setattr(channel_sums, "STRIP", 50)
    x = (np.random.default_rng(0).standard_normal((2, 1, 90)) + 1000).astype(np.float32)
    _, statistics = gpu.call(batch_norm.batch_norm_forward, x, None, None, EPS)
    np.testing.assert_allclose(statistics[1], x.astype(float).var((0, 2)), rtol=1e-5)


def test_no_samples_any_strides_and_what_does_not_fit(gpu):
    x, g, weight, bias = operands("float64", (4, 3, 5))
    there = gpu.to_gpu(x.transpose(0, 2, 1).copy()).transpose(0, 2, 1)  # channels last
    y, statistics = batch_norm.batch_norm_forward(there, None, None, EPS)
    expected, _ = reference.batch_norm_forward(x, None, None, EPS)
    np.testing.assert_allclose(y.get(), expected, rtol=1e-12)
    place = gpu.to_gpu(np.zeros((3, 2)))[:, 0]  # not contiguous
    batch_norm.batch_norm_backward(gpu.to_gpu(g), there, None, statistics, EPS, True, place)
    np.testing.assert_allclose(place.get(), (g * expected).sum((0, 2)), rtol=1e-12)
    place = gpu.cupy.empty(3, np.float64)
    empty = there[:0]
    assert batch_norm.batch_norm_forward(empty, None, None, EPS, (place, place))[0].shape == (0, 3, 5)
    assert batch_norm.batch_norm_backward(empty, empty, None, statistics, EPS, True, place).shape == (0, 3, 5)
    assert not place.get().any()
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\) for x of shape \(4, 3, 5\), got \(2,\)"):
        gpu.call(batch_norm.batch_norm_forward, x, weight[1:], bias, EPS)
    with pytest.raises(TypeError, match="bias must have the dtype of x"):
        gpu.call(batch_norm.batch_norm_forward, x, weight, bias.astype(np.float32), EPS)


def test_a_layer_trains_and_predicts_as_on_numpy(gpu):
    def run(device: str) -> list[np.ndarray]:
        layer = nn.BatchNorm2d(3).double().to(device)
        x = minipar.tensor(np.random.default_rng(1).standard_normal((4, 3, 5, 7)), device=device, requires_grad=True)
        y = layer(x)
        (y * y * y).sum().backward()
        found = [y, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var]
        return [z.detach().cpu().numpy() for z in (*found, layer.eval()(x))]

    for actual, expected in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)
    assert "batch_norm_gradient" in gpu.launched
