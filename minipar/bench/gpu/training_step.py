"""One training step of a small CNN on a device, compared with the same step on the CPU in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import nn, optim
from ...backend.dtypes import as_dtype
from ...creation import from_numpy
from .check import Check

LR = 0.1
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

State = dict[str, np.ndarray]


def training_step_checks(device: str, dtype: str) -> Iterator[Check]:
    """Loss, every gradient and every updated parameter of one step on `device` ("cuda", "cpu") in `dtype`.

    The tolerances are those of every comparison of two training runs here: gradients relative to the largest gradient
    norm of the model, a parameter p with exact value q and initial value q₀ by
    ‖p − q‖₂ ≤ tol · max(‖q‖₂, ‖q − q₀‖₂, √n·lr).
    """
    case, tol = f"CNN, batch 16, SGD, {device} {dtype}", TOLERANCE[dtype]
    before = initial_state()
    loss, gradients, after = train_once(device, dtype, before)
    exact_loss, exact_gradients, exact_after = train_once("cpu", "float64", before)
    yield Check("loss", case, abs(loss - exact_loss) / abs(exact_loss), tol)
    largest = max(np.linalg.norm(gradient) for gradient in exact_gradients.values())
    for name, exact in exact_gradients.items():
        yield Check(f"gradient of {name}", case, float(np.linalg.norm(gradients[name] - exact) / largest), tol)
    for name, exact in exact_after.items():
        scale = max(np.linalg.norm(exact), np.linalg.norm(exact - before[name]), exact.size**0.5 * LR)
        yield Check(f"updated {name}", case, float(np.linalg.norm(after[name] - exact) / scale), tol)


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
