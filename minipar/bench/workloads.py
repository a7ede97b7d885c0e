"""The workloads: training steps of small models, written once for minipar and for PyTorch.

A step is forward, backward and update on one fixed batch that is already converted, in float32. Every function below is
ordinary model code over `torch`, which is `minipar` or PyTorch itself. Initial weights and batch come from one NumPy
seed, so that all contenders start from the same numbers and their losses can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .encoder_layer import TransformerEncoderLayer

Batch = tuple[np.ndarray, np.ndarray]
Step = Callable[[], Any]


@dataclass(frozen=True)
class Workload:
    """One row of the benchmark: a model, its batch, its loss and its optimizer."""

    summary: str
    model: Callable[[Any], Any]  # the module namespace → the model
    batch: Callable[[np.random.Generator], Batch]
    loss: str  # a class of nn
    optimizer: str  # a class of optim, with its default arguments but lr
    lr: float


def build(torch: Any, name: str) -> Step:
    """The training step of workload `name` in the library `torch`; calling it trains once and returns the loss."""
    workload = WORKLOADS[name]
    rng = np.random.default_rng(0)
    model = workload.model(torch)
    model.load_state_dict(initial_weights(torch, model, rng))
    x, y = (torch.from_numpy(array) for array in workload.batch(rng))
    loss_function = getattr(torch.nn, workload.loss)()
    optimizer = getattr(torch.optim, workload.optimizer)(model.parameters(), lr=workload.lr)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def initial_weights(torch: Any, model: Any, rng: np.random.Generator) -> dict[str, Any]:
    """A state dict with matrices and kernels uniform on ±1/√fan_in, biases on the bound of their module's last matrix,
    and norm layers as they are (ones and zeros)."""
    state, bound = {}, 0.0
    for key, value in model.state_dict().items():
        if "norm" in key:
            state[key] = value
            continue
        if value.ndim > 1:
            bound = 1 / math.sqrt(math.prod(value.shape[1:]))
        state[key] = torch.from_numpy(rng.uniform(-bound, bound, tuple(value.shape)).astype(np.float32))
    return state


# ── models ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def mlp(*widths: int) -> Callable[[Any], Any]:
    """Linear layers with ReLU between them and none after the last."""

    def model(torch: Any) -> Any:
        nn = torch.nn
        layers = []
        for i, o in pairwise(widths):
            layers += [nn.Linear(i, o), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return model


def cnn(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class CNN(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
            self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
            self.fc = nn.Linear(64 * 7 * 7, 10)

        def forward(self, x: Any) -> Any:
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            return self.fc(x.flatten(1))

    return CNN()


def rnn(inputs: int, hidden: int) -> Callable[[Any], Any]:
    """An Elman network and a classifier on its last hidden state."""

    def model(torch: Any) -> Any:
        nn = torch.nn

        class Classifier(nn.Module):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.rnn = nn.RNN(inputs, hidden, batch_first=True)
                self.fc = nn.Linear(hidden, 10)

            def forward(self, x: Any) -> Any:
                output, _ = self.rnn(x)
                return self.fc(output[:, -1])

        return Classifier()

    return model


def encoder(torch: Any) -> Any:
    """PyTorch's layer, or the same layer over minipar's operations (minipar.nn has none of that name)."""
    layer = getattr(torch.nn, "TransformerEncoderLayer", TransformerEncoderLayer)
    return layer(64, 4, 256, dropout=0.0, batch_first=True)


# ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def line(rng: np.random.Generator) -> Batch:
    x = normal(32, 1)(rng)
    return x, 3 * x + 2


def normal(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def numbers(x: tuple[int, ...], y: tuple[int, ...]) -> Callable[[np.random.Generator], Batch]:
    """Inputs and targets of these shapes from N(0, 1)."""
    return lambda rng: (normal(*x)(rng), normal(*y)(rng))


def classes(*shape: int) -> Callable[[np.random.Generator], Batch]:
    """Inputs of this shape from N(0, 1), one of ten classes for each."""
    return lambda rng: (normal(*shape)(rng), rng.integers(0, 10, shape[0]))


def itself(*shape: int) -> Callable[[np.random.Generator], Batch]:
    """Inputs that are their own targets."""

    def batch(rng: np.random.Generator) -> Batch:
        x = normal(*shape)(rng)
        return x, x

    return batch


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────────

WORKLOADS = {
    "W1": Workload("linear regression, batch 32", mlp(1, 1), line, "MSELoss", "Adam", 1e-2),
    "W2a": Workload(
        "MLP 13-10-10-1, batch 200", mlp(13, 10, 10, 1), numbers((200, 13), (200, 1)), "MSELoss", "Adam", 1e-3
    ),
    "W2b": Workload(
        "MLP 784-64-64-10, batch 128", mlp(784, 64, 64, 10), classes(128, 784), "CrossEntropyLoss", "Adam", 1e-3
    ),
    "W2c": Workload(
        "MLP 784-1024-1024-10, batch 256", mlp(784, 1024, 1024, 10), classes(256, 784), "CrossEntropyLoss", "Adam", 1e-3
    ),
    "W3": Workload(
        "CNN 1×28×28, conv 32 and 64 5×5, batch 64", cnn, classes(64, 1, 28, 28), "CrossEntropyLoss", "SGD", 1e-2
    ),
    "W4a": Workload("RNN 10-32, 20 steps, batch 32", rnn(10, 32), classes(32, 20, 10), "CrossEntropyLoss", "SGD", 1e-2),
    "W4b": Workload(
        "RNN 64-256, 64 steps, batch 64", rnn(64, 256), classes(64, 64, 64), "CrossEntropyLoss", "SGD", 1e-2
    ),
    "W5": Workload(
        "autoencoder 784-128-32-128-784, batch 128",
        mlp(784, 128, 32, 128, 784),
        itself(128, 784),
        "MSELoss",
        "Adam",
        1e-3,
    ),
    "W6": Workload(
        "Transformer layer, width 64, 4 heads, 32 tokens, batch 16",
        encoder,
        numbers((16, 32, 64), (16, 32, 64)),
        "MSELoss",
        "Adam",
        1e-3,
    ),
}
