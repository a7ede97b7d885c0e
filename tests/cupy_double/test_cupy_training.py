"""Optimizers, clipping and initial values on arrays of the CuPy double: as on NumPy.

Not a GPU run: see double_array.py for what this shows and what it cannot.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import minipar
from minipar import nn, optim
from tests.cupy_double.beside_numpy import ELSEWHERE, arrays, assert_equal_arrays, flat

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "SGD dampened": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, maximize=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, maximize=True),
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.7, centered=True, weight_decay=0.1),
    "Adagrad": lambda p: optim.Adagrad(p, lr_decay=0.1, initial_accumulator_value=0.3, weight_decay=0.1),
    "Adadelta": lambda p: optim.Adadelta(p, weight_decay=0.1),
    "NAdam": lambda p: optim.NAdam(p, weight_decay=0.1),
    "Adamax": lambda p: optim.Adamax(p, weight_decay=0.1),
    "RAdam": lambda p: optim.RAdam(p, lr=0.1, weight_decay=0.1),
    "ASGD": lambda p: optim.ASGD(p, lr=0.1, t0=1, weight_decay=0.1),
    "Rprop": lambda p: optim.Rprop(p),
    "LBFGS": lambda p: optim.LBFGS(p, lr=0.5, max_iter=3),
    "LBFGS with line search": lambda p: optim.LBFGS(p, max_iter=3, line_search_fn="strong_wolfe"),
}


def trained(make, device: str) -> list[np.ndarray]:
    """Parameters and optimizer state of a model, a lone tensor and a transposed one after some steps on a device."""
    minipar.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double().to(device)
    draw = np.random.default_rng(1)
    lone, transposed = (minipar.tensor(draw.standard_normal((2, 2)), device=device) for _ in range(2))
    leaves = [*model.parameters(), lone.requires_grad_(), transposed.T.requires_grad_()]
    optimizer = make(leaves)
    x, y = (minipar.tensor(draw.standard_normal(shape), device=device) for shape in ((5, 3), (5, 2)))

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x) @ leaves[-1] @ leaves[-2], y)
        loss.backward()
        nn.utils.clip_grad_norm_(leaves, 0.3)
        nn.utils.clip_grad_value_(leaves, 0.1)
        return loss

    for _ in range(4):
        optimizer.step(closure)
    resumed = make(leaves)
    resumed.load_state_dict(optimizer.state_dict())
    resumed.step(closure)
    state = [x for x in flat([s for _, s in sorted(resumed.state_dict()["state"].items())]) if x.ndim]
    return arrays([*leaves, *model.buffers(), *state], device)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name: str, cupy: ModuleType) -> None:
    make = OPTIMIZERS[name]
    assert_equal_arrays(trained(make, "cpu"), trained(make, ELSEWHERE))


def test_every_optimizer_has_a_row() -> None:
    public = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)}
    rows = {name.split()[0] for name in OPTIMIZERS}
    assert {n for n in public if issubclass(getattr(optim, n), optim.Optimizer)} - {"Optimizer"} == rows


INIT = {
    "constant_": (0.5,), "dirac_": (), "eye_": (), "kaiming_normal_": (), "kaiming_uniform_": (), "normal_": (),
    "ones_": (), "orthogonal_": (), "sparse_": (0.4,), "trunc_normal_": (), "uniform_": (), "xavier_normal_": (),
    "xavier_uniform_": (), "zeros_": (),
}  # fmt: skip


@pytest.mark.parametrize("name", INIT)
def test_initial_values(name: str, cupy: ModuleType) -> None:
    found = []
    for device in ("cpu", ELSEWHERE):
        minipar.manual_seed(1)
        x = minipar.empty((3, 3, 2) if name == "dirac_" else (3, 4), device=device)
        getattr(nn.init, name)(x, *INIT[name])
        found.append(arrays([x], device))
    assert_equal_arrays(*found, rtol=1e-6)


def test_every_initial_value_has_a_row() -> None:
    assert {name for name in nn.init.__all__ if name.endswith("_")} == set(INIT)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf"), 0.5])
def test_clipping(norm_type: float, cupy: ModuleType) -> None:
    found = []
    for device in ("cpu", ELSEWHERE):
        p = minipar.zeros(3, device=device, requires_grad=True)
        p.grad = minipar.tensor([3.0, -4.0, 1.0], device=device)
        norm = nn.utils.clip_grad_norm_([p], 1.0, norm_type)
        vector = nn.utils.parameters_to_vector([p, p])
        nn.utils.vector_to_parameters(vector + 1, [p, p])
        found.append(arrays([norm, p.grad, vector, p], device))
    assert_equal_arrays(*found, rtol=1e-6)


def test_scheduled_training_of_a_sequence_model(cupy: ModuleType) -> None:
    found = []
    for device in ("cpu", ELSEWHERE):
        minipar.manual_seed(2)
        embed, lstm, head = nn.Embedding(5, 3).to(device), nn.LSTM(3, 4).to(device), nn.Linear(4, 5).to(device)
        leaves = [*embed.parameters(), *lstm.parameters(), *head.parameters()]
        optimizer = optim.Adam(leaves, lr=0.05)
        schedule = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        tokens = minipar.tensor([[0, 1], [2, 3], [4, 0]], device=device)
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            states, _ = lstm(embed(tokens[:-1]))
            loss = nn.functional.cross_entropy(head(states).reshape(-1, 5), tokens[1:].reshape(-1))
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        found.append(arrays([*losses, *leaves], device))
    assert_equal_arrays(*found, rtol=1e-4, atol=1e-6)
