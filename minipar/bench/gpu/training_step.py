"""One training step of a small CNN on a device, compared with the same step on the CPU in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import nn, optim
from ...backend.dtypes import as_dtype
from ...creation import from_numpy
from ...parallel.equality import TOLERANCE, compare_gradients, compare_parameters
from .check import Check

LR = 0.1

State = dict[str, np.ndarray]


def training_step_checks(device: str, dtype: str) -> Iterator[Check]:
    """Loss, every gradient and every updated parameter of one step on `device` ("cuda", "cpu") in `dtype`.

    Metric and tolerances are those of every comparison of two training runs here: see `minipar.parallel.equality`.
    """
    case, tol = f"CNN, batch 16, SGD, {device} {dtype}", TOLERANCE[np.dtype(dtype)]
    before = initial_state()
    loss, gradients, after = train_once(device, dtype, before)
    exact_loss, exact_gradients, exact_after = train_once("cpu", "float64", before)
    yield Check("loss", case, abs(loss - exact_loss) / abs(exact_loss), tol)
    for row in compare_gradients(gradients, exact_gradients):
        yield Check(f"gradient of {row.name}", case, row.relative, tol)
    for row in compare_parameters(after, exact_after, before, LR):
        yield Check(f"updated {row.name}", case, row.relative, tol)


def train_once(device: str, dtype: str, initial: State) -> tuple[float, State, State]:
    """(loss, gradients, parameters after the update) as NumPy arrays in float64."""
    model = _cnn().to(as_dtype(dtype))
    model.load_state_dict({name: from_numpy(value) for name, value in initial.items()})
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=LR)
    x, y = _batch()
    loss = nn.CrossEntropyLoss()(model(from_numpy(x.astype(dtype)).to(device)), from_numpy(y).to(device))
    loss.backward()
    gradients = {name: _on_host(p.grad) for name, p in model.named_parameters()}
    optimizer.step()
    after = {name: _on_host(value) for name, value in model.state_dict().items()}
    return loss.item(), gradients, after


def _on_host(tensor: Any) -> np.ndarray:
    return tensor.cpu().numpy().astype(np.float64)


def initial_state() -> State:
    """Parameters that float32 holds exactly, so that every run starts from the same numbers."""
    rng = np.random.default_rng(0)
    return {
        name: (0.2 * rng.standard_normal(value.shape)).astype(np.float32).astype(np.float64)
        for name, value in _cnn().state_dict().items()
    }


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 3 * 3, 10),
    )


def _batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((16, 1, 14, 14)).astype(np.float32), rng.integers(0, 10, 16)
