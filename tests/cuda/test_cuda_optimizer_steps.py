"""The fused optimizer steps, simulated, against float64; derived bounds, edges, and a training loop."""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import assert_within, in_float64, simulated_gpu

import minipar
from minipar import nn, optim
from minipar.kernels.cuda import optimizer_steps
from minipar.kernels.reference import optimizer_steps as reference

SIZES = (1, 300, 0)
FLAGS = (False, True)
SGD_CHOICES = {
    "dtype": ("float32", "float64"),
    "size": SIZES,
    "momentum": (0.9, 0.0),
    "dampening": (0.0, 0.3),
    "weight_decay": (0.0, 0.1),
    "nesterov": FLAGS,
    "first_step": FLAGS,
    "maximize": FLAGS,
}
ADAM_CHOICES = {
    "dtype": ("float32", "float64"),
    "size": SIZES,
    "step": (1, 7),
    "weight_decay": (0.0, 0.1),
    "maximize": FLAGS,
    "decoupled": FLAGS,
    "amsgrad": FLAGS,
}
LR, BETA1, BETA2, EPS = 0.03, 0.9, 0.99, 1e-6


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def buffers(count: int, size: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(size)
    return [rng.standard_normal(size).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("row", list(cases.pairwise(SGD_CHOICES)), ids=lambda row: "-".join(map(str, row)))
def test_sgd(row, gpu):
    dtype, size, momentum, dampening, weight_decay, nesterov, first_step, maximize = row
    p, g, moment = buffers(3, size, dtype)
    wide = in_float64(p, g, moment)
    options = LR, momentum, dampening, weight_decay, nesterov, first_step, maximize
    # Each product and sum rounds once, the constants too, and a number is in at most six of them.
    size_of_terms = abs(wide[0]) + LR * (1 + momentum) * (abs(wide[1]) + weight_decay * abs(wide[0]) + abs(wide[2]))
    there = gpu.to_gpu((p, g, moment))
    optimizer_steps.sgd_step(*there, *options)
    reference.sgd_step(*wide, *options)
    assert_within(there[0].get(), wide[0], 8 * size_of_terms)
    assert_within(there[2].get(), wide[2], 8 * (size_of_terms / LR + abs(moment)))
    np.testing.assert_array_equal(there[1].get(), g)
    assert gpu.launched == ["sgd_step"] * (size > 0)


@pytest.mark.parametrize("row", list(cases.pairwise(ADAM_CHOICES)), ids=lambda row: "-".join(map(str, row)))
def test_adam(row, gpu):
    dtype, size, step, weight_decay, maximize, decoupled, amsgrad = row
    p, g, m, v, largest = buffers(5, size, dtype)
    v, largest = abs(v), abs(largest) if amsgrad else None
    wide = in_float64(p, g, m, v, largest)
    options = LR, BETA1, BETA2, EPS, weight_decay, maximize, decoupled
    there = gpu.to_gpu((p, g, m, v, largest))
    optimizer_steps.adam_step(*there[:4], step, *options, there[4])
    reference.adam_step(*wide[:4], step, *options, wide[4])
    gradient = abs(g.astype(float)) + weight_decay * abs(p.astype(float))
    of_m, of_v = 8 * (abs(m.astype(float)) + gradient), 8 * (wide[3] + gradient**2 * (1 - BETA2))
    used = wide[3] if largest is None else wide[4]
    root = np.sqrt(used / (1 - BETA2**step)) + EPS
    update = LR / (1 - BETA1**step) / root
    of_p = 4 * abs(p) + update * (of_m + abs(wide[2]) * (of_v / used + 8))
    for actual, expected, bound in zip(there, (wide[0], g, *wide[2:]), (of_p, 0, of_m, of_v, of_v)):
        if expected is not None:
            assert_within(actual.get(), expected.astype(float), bound)
    assert gpu.launched == ["adam_step"] * (size > 0)


def test_a_nan_stays_in_the_largest_moment(gpu):
    arrays = [np.ones(3) for _ in range(5)]
    arrays[4][1] = np.nan
    arrays[3][2] = np.nan
    there = gpu.to_gpu(tuple(arrays))
    optimizer_steps.adam_step(*there[:4], 1, LR, BETA1, BETA2, EPS, 0, False, False, there[4])
    np.testing.assert_array_equal(np.isnan(there[4].get()), [False, True, True])
    np.testing.assert_array_equal(np.isnan(there[0].get()), [False, True, True])


def test_what_is_not_one_row_is_refused(gpu):
    p, g, m, v = gpu.to_gpu(tuple(buffers(4, 6, "float32")))
    with pytest.raises(ValueError, match=r"g must be one contiguous row of 6 like p, got contiguous \(5,\)"):
        optimizer_steps.sgd_step(p, g[1:], m, LR, 0.9, 0, 0, False, True, False)
    with pytest.raises(ValueError, match=r"p must be one contiguous row of 3 like p, got strided \(3,\)"):
        optimizer_steps.sgd_step(p[::2], g[:3], None, LR, 0, 0, 0, False, True, False)
    with pytest.raises(ValueError, match=r"momentum 0\.9 needs a momentum_buffer, got None"):
        optimizer_steps.sgd_step(p, g, None, LR, 0.9, 0, 0, False, True, False)
    with pytest.raises(ValueError, match="step counts from 1, got 0"):
        optimizer_steps.adam_step(p, g, m, v, 0, LR, BETA1, BETA2, EPS, 0, False)
    with pytest.raises(TypeError, match="exp_avg must have the dtype of p"):
        optimizer_steps.adam_step(p, g, m.astype(np.float64), v, 1, LR, BETA1, BETA2, EPS, 0, False)


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_classifier_with_layer_norm_trains_as_on_numpy(name, gpu):
    def trained(device: str) -> list[np.ndarray]:
        minipar.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 5)).double().to(device)
        optimizer = OPTIMIZERS[name](model.parameters())
        x = minipar.tensor(np.random.default_rng(1).standard_normal((6, 3)), device=device)
        target = minipar.tensor([0, 4, -100, 2, 1, 1], device=device)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), target).backward()
            optimizer.step()
        return [p.detach().cpu().numpy() for p in model.parameters()]

    for actual, expected in zip(trained("cuda"), trained("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)
    step = "sgd_step" if name == "SGD" else "adam_step"
    assert gpu.launched.count(step) == 3
    assert {"cross_entropy_rows", "layer_norm_backward"} <= set(gpu.launched)
