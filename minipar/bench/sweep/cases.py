"""The shapes of the sweep: training steps of small models around one kind of layer, sizes drawn by a fixed seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..workloads import Batch, Workload, classes, mlp, normal, numbers, rnn

BATCHES = (1, 2, 4, 8, 16, 32, 64, 100, 128, 256, 512)
WIDTHS = (8, 10, 16, 32, 33, 64, 100, 128, 256, 300, 512)
CHANNELS = (1, 3, 4, 8, 16, 32, 48, 64, 128, 256)
SIDES = (7, 8, 13, 14, 16, 28, 32)
MOST_WORK = 1.5e9  # flops of a step, about
MOST_NUMBERS = 2_000_000  # of the batch or of the largest output

Draw = Callable[[np.random.Generator], "Workload | None"]  # None: too large, draw again


def cases() -> dict[str, Workload]:
    """Name → model, always the same ones."""
    found: dict[str, Workload] = {}
    for family, (count, draw) in FAMILIES.items():
        rng = np.random.default_rng(0)
        drawn: dict[str, Workload] = {}
        while len(drawn) < count:
            case = draw(rng)
            if case is not None:
                drawn[f"{family} {case.summary}"] = case
        found |= drawn
    return found


def _case(summary: str, model: Callable[[Any], Any], batch: Callable[[np.random.Generator], Batch]) -> Workload:
    return Workload(summary, model, batch, "CrossEntropyLoss", "SGD", 1e-3)


def _pick(rng: np.random.Generator, *choices: Any) -> Iterator[int]:
    return (int(rng.choice(choice)) for choice in choices)


def _linear(rng: np.random.Generator) -> Workload | None:
    batch, inputs, outputs = _pick(rng, BATCHES, WIDTHS, WIDTHS)
    data = numbers((batch, inputs), (batch, outputs))
    return Workload(f"{inputs}-{outputs}, batch {batch}", mlp(inputs, outputs), data, "MSELoss", "SGD", 1e-3)


def _mlp(rng: np.random.Generator) -> Workload | None:
    batch, *widths = _pick(rng, BATCHES, *[WIDTHS] * int(rng.integers(2, 5)))
    name = "-".join(map(str, [*widths, 10]))
    return _case(f"{name}, batch {batch}", mlp(*widths, 10), classes(batch, widths[0]))


def _sequential(*layers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Each layer a function of the namespace `nn`."""
    return lambda torch: torch.nn.Sequential(*(layer(torch.nn) for layer in layers))


def _conv2d(rng: np.random.Generator) -> Workload | None:
    """A convolution of any kind, ReLU, and one more that keeps the size, so that gradients of inputs are needed too."""
    batch, side, inputs, middle, outputs = _pick(rng, BATCHES, SIDES, CHANNELS, CHANNELS, CHANNELS)
    kernel, stride = int(rng.integers(1, 8)), int(rng.choice((1, 1, 1, 2, 3)))
    padding = int(rng.integers(0, kernel // 2 + 1))
    out = (side + 2 * padding - kernel) // stride + 1
    second = 3 if out > 2 else 1
    if out < 1:
        return None
    pixels = batch * out * out
    work = 2 * pixels * middle * (2 * inputs * kernel**2 + 3 * outputs * second**2)
    if work > MOST_WORK or max(batch * inputs * side**2, pixels * middle, pixels * outputs) > MOST_NUMBERS:
        return None
    model = _sequential(
        lambda nn: nn.Conv2d(inputs, middle, kernel, stride=stride, padding=padding),
        lambda nn: nn.ReLU(),
        lambda nn: nn.Conv2d(middle, outputs, second, padding=second // 2),
        lambda nn: nn.Flatten(),
        lambda nn: nn.Linear(outputs * out * out, 10),
    )
    summary = f"{inputs}-{middle} {kernel}×{kernel} stride {stride} padding {padding}, {middle}-{outputs}, "
    return _case(f"{summary}{side}×{side}, batch {batch}", model, classes(batch, inputs, side, side))


def _recurrent(layer: str, gates: int) -> Draw:
    def draw(rng: np.random.Generator) -> Workload | None:
        batch, inputs, hidden = _pick(rng, BATCHES, WIDTHS, WIDTHS)
        steps = int(rng.choice((1, 5, 10, 20, 50)))
        work = 6 * batch * steps * gates * hidden * (inputs + hidden)
        if work > MOST_WORK or batch * steps * max(gates * hidden, inputs) > MOST_NUMBERS:
            return None
        summary = f"{inputs}-{hidden}, {steps} steps, batch {batch}"
        return _case(summary, rnn(inputs, hidden, layer), classes(batch, steps, inputs))

    return draw


def _max_pool(rng: np.random.Generator) -> Workload | None:
    batch, side, channels = _pick(rng, BATCHES, SIDES, CHANNELS)
    kernel = int(rng.integers(2, 5))
    stride = int(rng.integers(1, kernel + 1))
    out = (side - kernel) // stride + 1
    if batch * channels * side**2 > MOST_NUMBERS / 2:
        return None
    model = _sequential(
        lambda nn: nn.Conv2d(3, channels, 1),
        lambda nn: nn.MaxPool2d(kernel, stride),
        lambda nn: nn.Flatten(),
        lambda nn: nn.Linear(channels * out * out, 10),
    )
    summary = f"{kernel}×{kernel} stride {stride}, {channels} channels of {side}×{side}, batch {batch}"
    return _case(summary, model, classes(batch, 3, side, side))


def _normed(layer: str) -> Draw:
    """Linear, the norm, ReLU, Linear."""

    def draw(rng: np.random.Generator) -> Workload | None:
        batch, inputs, width = _pick(rng, BATCHES[1:], WIDTHS, WIDTHS)  # batch norm needs two rows
        model = _sequential(
            lambda nn: nn.Linear(inputs, width),
            lambda nn: getattr(nn, layer)(width),
            lambda nn: nn.ReLU(),
            lambda nn: nn.Linear(width, 10),
        )
        return _case(f"{inputs}-{width}, batch {batch}", model, classes(batch, inputs))

    return draw


def _batch_norm2d(rng: np.random.Generator) -> Workload | None:
    batch, side, channels = _pick(rng, BATCHES, SIDES, CHANNELS)
    if batch * channels * side**2 > MOST_NUMBERS / 2:
        return None
    model = _sequential(
        lambda nn: nn.Conv2d(3, channels, 1),
        lambda nn: nn.BatchNorm2d(channels),
        lambda nn: nn.ReLU(),
        lambda nn: nn.Flatten(),
        lambda nn: nn.Linear(channels * side * side, 10),
    )
    return _case(f"{channels} channels of {side}×{side}, batch {batch}", model, classes(batch, 3, side, side))


def _cross_entropy(rng: np.random.Generator) -> Workload | None:
    batch, inputs = _pick(rng, BATCHES, WIDTHS)
    count = int(rng.choice((2, 3, 10, 100, 1000, 5000)))

    def data(rng: np.random.Generator) -> Batch:
        return normal(batch, inputs)(rng), rng.integers(0, count, batch)

    return _case(f"{count} classes, {inputs} inputs, batch {batch}", mlp(inputs, count), data)


FAMILIES: dict[str, tuple[int, Draw]] = {
    "Linear": (30, _linear),
    "MLP": (30, _mlp),
    "Conv2d": (60, _conv2d),
    "RNN": (15, _recurrent("RNN", 1)),
    "LSTM": (15, _recurrent("LSTM", 4)),
    "GRU": (15, _recurrent("GRU", 3)),
    "MaxPool2d": (20, _max_pool),
    "LayerNorm": (15, _normed("LayerNorm")),
    "BatchNorm1d": (10, _normed("BatchNorm1d")),
    "BatchNorm2d": (10, _batch_norm2d),
    "CrossEntropy": (20, _cross_entropy),
}
