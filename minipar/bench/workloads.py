"""The workloads: training steps of small models, written once for minipar and for PyTorch.

A step is forward, backward and update on one fixed batch that is already converted, in float32. Every function below is
ordinary model code over `torch`, which is `minipar` or PyTorch itself. Initial weights and batch come from one NumPy
seed, so that all contenders start from the same numbers and their losses can be compared. Libraries that are not
spelled like PyTorch build their step from the same numbers: `peers/problem.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Batch = tuple[np.ndarray, np.ndarray]
Step = Callable[[], Any]


@dataclass(frozen=True)
class Gemm:
    """A weight matrix (inputs × outputs) at work on so many rows, or so many matrix products of that size.

    `passes`: forward, gradient of the weights, gradient of the input; the last is not wanted where the input is the
    batch. `adds`: it adds to the output of the one before, so it has none of its own.
    """

    rows: int
    inputs: int
    outputs: int
    passes: int = 3
    adds: bool = False


@dataclass(frozen=True)
class Workload:
    """One row of the benchmark: a model, its batch, its loss and its optimizer.

    `kind` tells a peer which network to build: mlp, cnn, rnn or encoder. `gemms`: its matrix products, see limits.py.
    """

    summary: str
    model: Callable[[Any], Any]  # the module namespace → the model
    batch: Callable[[np.random.Generator], Batch]
    loss: str  # a class of nn
    optimizer: str  # a class of optim, with its default arguments but lr
    lr: float
    kind: str = ""
    gemms: tuple[Gemm, ...] = ()


@dataclass(frozen=True)
class Training:
    """The parts of a training step, for a contender that puts them together in its own way."""

    model: Any
    loss_function: Any
    optimizer: Any
    x: Any
    y: Any


def build(torch: Any, name: str) -> Step:
    """The training step of workload `name` in the library `torch`; calling it trains once and returns the loss."""
    return ordinary_step(prepare(torch, WORKLOADS[name]))


def prepare(torch: Any, workload: Workload, device: str = "cpu", **options: Any) -> Training:
    """Model, loss, optimizer and batch in the library `torch`, on a device; `options` go to the optimizer."""
    rng = np.random.default_rng(0)
    model = workload.model(torch)
    weights = initial_weights(model, rng)
    model.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()}, strict=False)
    model.to(device)
    x, y = (torch.from_numpy(array).to(device) for array in workload.batch(rng))
    optimizer = getattr(torch.optim, workload.optimizer)(model.parameters(), lr=workload.lr, **options)
    return Training(model, getattr(torch.nn, workload.loss)(), optimizer, x, y)


def ordinary_step(training: Training) -> Step:
    """The five lines that everybody writes."""
    model, loss_function, optimizer = training.model, training.loss_function, training.optimizer
    x, y = training.x, training.y

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def initial_weights(model: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameter → values: matrices and kernels uniform on ±1/√fan_in, biases on the bound of their module's last
    matrix, and norm layers as they are (ones and zeros)."""
    weights, bound = {}, 0.0
    for key, value in model.named_parameters():
        if "norm" in key:
            weights[key] = value.detach().numpy()
            continue
        if value.ndim > 1:
            bound = 1 / math.sqrt(math.prod(value.shape[1:]))
        weights[key] = rng.uniform(-bound, bound, tuple(value.shape)).astype(np.float32)
    return weights


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


def cnn_sequential(torch: Any) -> Any:
    """The same network as one `Sequential`."""
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 10)),
    )


def rnn(inputs: int, hidden: int, layer: str = "RNN") -> Callable[[Any], Any]:
    """A recurrent network (an Elman network, or the `layer` named) and a classifier on its last hidden state."""

    def model(torch: Any) -> Any:
        nn = torch.nn

        class Classifier(nn.Module):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.rnn = getattr(nn, layer)(inputs, hidden, batch_first=True)
                self.fc = nn.Linear(hidden, 10)

            def forward(self, x: Any) -> Any:
                output, _ = self.rnn(x)
                return self.fc(output[:, -1])

        return Classifier()

    return model


def encoder(torch: Any) -> Any:
    return torch.nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)


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


def _mlp(summary: str, rows: int, widths: Sequence[int], batch: Any, loss: str, lr: float = 1e-3) -> Workload:
    layers = enumerate(pairwise(widths))
    gemms = tuple(Gemm(rows, inputs, outputs, 3 if i else 2) for i, (inputs, outputs) in layers)
    return Workload(summary, mlp(*widths), batch, loss, "Adam", lr, "mlp", gemms)


def _cnn(summary: str, model: Callable[[Any], Any]) -> Workload:
    gemms = (Gemm(64 * 28 * 28, 25, 32, 2), Gemm(64 * 14 * 14, 800, 64), Gemm(64, 3136, 10))
    return Workload(summary, model, classes(64, 1, 28, 28), "CrossEntropyLoss", "SGD", 1e-2, "cnn", gemms)


def _rnn(inputs: int, hidden: int, steps: int, rows: int) -> Workload:
    cells = steps * rows
    gemms = (Gemm(cells, inputs, hidden, 2), Gemm(cells, hidden, hidden, adds=True), Gemm(rows, hidden, 10))
    summary = f"RNN {inputs}-{hidden}, {steps} steps, batch {rows}"
    batch = classes(rows, steps, inputs)
    return Workload(summary, rnn(inputs, hidden), batch, "CrossEntropyLoss", "SGD", 1e-2, "rnn", gemms)


def _encoder(width: int, heads: int, wide: int, tokens: int, batch: int) -> Workload:
    rows, scores = batch * tokens, batch * heads * tokens
    gemms = (
        *(Gemm(rows, width, 3 * width, 2), Gemm(rows, width, width), Gemm(rows, width, wide), Gemm(rows, wide, width)),
        *(Gemm(scores, width // heads, tokens), Gemm(scores, tokens, width // heads)),  # QKᵀ, and weights times V
    )
    summary = f"Transformer layer, width {width}, {heads} heads, {tokens} tokens, batch {batch}"
    shape = (batch, tokens, width)
    return Workload(summary, encoder, numbers(shape, shape), "MSELoss", "Adam", 1e-3, "encoder", gemms)


_TABULAR, _DIGITS, _CODED = (13, 10, 10, 1), (784, 64, 64, 10), (784, 128, 32, 128, 784)
_WIDE = (784, 1024, 1024, 10)

WORKLOADS = {
    "W1": _mlp("linear regression, batch 32", 32, (1, 1), line, "MSELoss", 1e-2),
    "W2a": _mlp("MLP 13-10-10-1, batch 200", 200, _TABULAR, numbers((200, 13), (200, 1)), "MSELoss"),
    "W2b": _mlp("MLP 784-64-64-10, batch 128", 128, _DIGITS, classes(128, 784), "CrossEntropyLoss"),
    "W2c": _mlp("MLP 784-1024-1024-10, batch 256", 256, _WIDE, classes(256, 784), "CrossEntropyLoss"),
    "W3": _cnn("CNN 1×28×28, conv 32 and 64 5×5, batch 64, as a Module", cnn),
    "W3s": _cnn("the CNN of W3 as a Sequential", cnn_sequential),
    "W4a": _rnn(10, 32, 20, 32),
    "W4b": _rnn(64, 256, 64, 64),
    "W5": _mlp("autoencoder 784-128-32-128-784, batch 128", 128, _CODED, itself(128, 784), "MSELoss"),
    "W6": _encoder(64, 4, 256, 32, 16),
}
