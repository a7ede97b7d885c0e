"""Dropout of the CUDA kernels, simulated: to the bit what the reference draws and keeps."""

import numpy as np
import pytest
from simulated_gpu import simulated_gpu

import minipar
from minipar.kernels.cuda import dropout
from minipar.kernels.reference import dropout as reference
from minipar.nn import functional as F

TICKET = np.array([1.0, 2.0, 3.0, 0.0, 5.0])
FAR = np.array([2.0**32 - 1, 2.0**31 + 7, 2.0**32 - 2, 2.0**31, 2.0**32 - 300])  # every word is large
# (outer, samples, inner, repeats): ragged against fours; parts between samples; a draw for several numbers
SIZES = [(1, 5, 37, 1), (3, 4, 5, 1), (1, 9, 4, 1), (4, 3, 1, 1), (1, 4, 3, 10), (2, 3, 2, 7), (1, 300, 3, 1)]


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("ticket", [TICKET, FAR], ids=["near", "far"])
@pytest.mark.parametrize(
    ("p", "shifts"), [(0.5, (0.0, 0.0)), (1 / 3, (0.25, -1.3)), (0.0, (0.0, 0.0)), (1.0, (0.0, 2.0))]
)
def test_to_the_bit(dtype, sizes, ticket, p, shifts, gpu):
    x, g = np.random.default_rng(0).normal(size=(2, *sizes)).astype(dtype)
    got = gpu.call(dropout.dropout_forward, x, ticket, sizes, p, 1.7, shifts)
    expected = reference.dropout_forward(x, ticket, sizes, p, 1.7, shifts)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    dx = gpu.call(dropout.dropout_backward, g, got[1], 1.7)
    np.testing.assert_array_equal(dx, reference.dropout_backward(g, got[1], 1.7), strict=True)
    forward = ["dropout_forward"] if sizes[3] == 1 else ["dropout_forward", "dropout_apply"]
    assert gpu.launched == [*forward, "dropout_apply"]


def test_a_part_of_the_samples_is_a_part_of_the_draw(gpu):
    x = np.random.default_rng(0).normal(size=(20, 37))
    whole, _ = gpu.call(dropout.dropout_forward, x, TICKET, (1, 20, 37, 1), 0.5, 2.0)
    ticket = np.array([*TICKET[:4], TICKET[4] + 7])
    part, _ = gpu.call(dropout.dropout_forward, x[7:], ticket, (1, 13, 37, 1), 0.5, 2.0)
    np.testing.assert_array_equal(part, whole[7:])


def test_strides_nan_and_nothing(gpu):
    x = gpu.cupy.asarray(np.random.default_rng(0).normal(size=(6, 8)))[:, ::2]
    y, kept = dropout.dropout_forward(x, TICKET, (1, 6, 4, 1), 0.5, 2.0)
    np.testing.assert_array_equal(y.get(), reference.dropout_forward(x.get(), TICKET, (1, 6, 4, 1), 0.5, 2.0)[0])
    y, kept = gpu.call(dropout.dropout_forward, np.full(100, np.nan), TICKET, (1, 1, 100, 1), 0.5, 2.0)
    assert np.isnan(y).all()
    assert 20 < kept.sum() < 80
    launched = list(gpu.launched)
    y, kept = gpu.call(dropout.dropout_forward, np.zeros((0, 3)), TICKET, (1, 0, 3, 1), 0.5, 2.0)
    assert (y.shape, kept.shape, gpu.launched) == ((0, 3), (0,), launched)
    assert gpu.call(dropout.dropout_backward, y, kept, 2.0).shape == (0, 3)


def test_layers_draw_on_the_gpu_what_they_draw_on_the_cpu(gpu):
    def results(device: str) -> list[np.ndarray]:
        minipar.manual_seed(3)
        x = minipar.tensor(np.random.default_rng(0).normal(size=(4, 6, 5)), device=device, requires_grad=True)
        ys = [F.dropout(x, 0.3), F.dropout1d(x, 0.5), F.alpha_dropout(x, 0.2, training=True)]
        sum((y * y.detach()).sum() for y in ys).backward()
        return [tensor.detach().cpu().numpy() for tensor in (*ys, x.grad)]

    for there, here in zip(results("cuda"), results("cpu"), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-14, atol=0)
    assert gpu.launched.count("dropout_forward") == 3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros(6, np.float16)}, TypeError, "x must be float32 or float64"),
        ({"sizes": (1, 2, 4, 1)}, ValueError, r"sizes must be those of x of shape \(6,\), got \(1, 2, 4, 1\)"),
        ({"ticket": np.array([1.0, 2, 3, 0, 2**32 - 1])}, ValueError, r"must lie in \[0, 2\*\*32\)"),
    ],
)
def test_what_it_would_misread_is_refused(change, error, message, gpu):
    given = {"x": np.zeros(6), "ticket": TICKET, "sizes": (1, 2, 3, 1), **change}
    with pytest.raises(error, match=message):
        gpu.call(dropout.dropout_forward, given["x"], given["ticket"], given["sizes"], 0.5, 2.0)
    for kept in (np.zeros(4, np.uint8), np.zeros(6, bool), np.zeros(0, np.uint8)):
        with pytest.raises(ValueError, match="kept must be uint8, one for so many of 6 numbers"):
            gpu.call(dropout.dropout_backward, np.zeros(6), kept, 2.0)
