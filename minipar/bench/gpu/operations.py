"""Operations with kernels of their own on a GPU, forward and backward, compared with the CPU in float64.

Each is called as a user calls it, on the same float32 numbers, which float64 holds exactly. An error is a share of the
largest number of its result: an entry that is lost, or read from its neighbour's place, is wrong by a good part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ... import manual_seed, nn, optim, tensor
from ...backend.dtypes import as_dtype
from .check import Check

F = nn.functional
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}  # of the largest number of a result


class Numbers:
    """The same numbers for every device and dtype: float32's."""

    def __init__(self, dtype: str, device: str) -> None:
        self.draw, self.dtype, self.device = np.random.default_rng(11), dtype, device

    def __call__(self, *shape: int) -> Any:
        array = self.draw.standard_normal(shape).astype(np.float32)
        return tensor(array, dtype=as_dtype(self.dtype), device=self.device, requires_grad=True)

    def classes(self, count: int, *shape: int) -> Any:
        return tensor(self.draw.integers(0, count, shape), device=self.device)


Called = Callable[[Numbers], Iterator[tuple[str, Any]]]


def _cross_entropy(reduction: str, samples: int, classes: int) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        logits, weight = numbers(samples, classes), numbers(classes).detach().abs()
        target = numbers.classes(classes, samples)
        target[3] = -100
        loss = F.cross_entropy(logits, target, weight, reduction=reduction)
        loss.sum().backward()
        yield from (("loss", loss), ("gradient", logits.grad))

    return call


def _layer_norm(rows: int, width: int) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        x, weight, bias = numbers(rows, width), numbers(width), numbers(width)
        y = F.layer_norm(x, (width,), weight, bias)
        (y * numbers(rows, width).detach()).sum().backward()
        yield from (("y", y), ("dx", x.grad), ("dweight", weight.grad), ("dbias", bias.grad))

    return call


def _rms_norm(numbers: Numbers) -> Iterator[tuple[str, Any]]:
    x, weight = numbers(7, 300), numbers(300)
    y = F.rms_norm(x, (300,), weight)
    (y * numbers(7, 300).detach()).sum().backward()
    yield from (("y", y), ("dx", x.grad), ("dweight", weight.grad))


def _batch_norm(training: bool, *shape: int) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        x, weight, bias = numbers(*shape), numbers(shape[1]), numbers(shape[1])
        mean, variance = numbers(shape[1]).detach(), numbers(shape[1]).detach().abs() + 0.5
        y = F.batch_norm(x, mean, variance, weight, bias, training)
        (y * numbers(*shape).detach()).sum().backward()
        yield from (("y", y), ("dx", x.grad), ("dweight", weight.grad), ("dbias", bias.grad))
        yield from (("running mean", mean), ("running variance", variance))

    return call


def _relu(numbers: Numbers) -> Iterator[tuple[str, Any]]:
    x = numbers(7, 300)
    y = x.relu()
    (y * y.detach()).sum().backward()
    yield from (("y", y), ("dx", x.grad))


def _dropout(layer: Callable[..., Any], *shape: int) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        manual_seed(0)
        x = numbers(*shape)
        y = layer(x, 0.3, training=True)
        (y * y.detach()).sum().backward()
        yield from (("y", y), ("dx", x.grad))

    return call


def _max_pool(return_indices: bool) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        x = numbers(3, 5, 23, 18)
        pooled = F.max_pool2d(x, 3, 2, 1, return_indices=return_indices)
        y = pooled[0] if return_indices else pooled
        (y * y.detach()).sum().backward()
        yield from (("y", y), ("dx", x.grad), *((("indices", pooled[1]),) if return_indices else ()))

    return call


def _avg_pool(numbers: Numbers) -> Iterator[tuple[str, Any]]:
    x = numbers(3, 5, 23, 18)
    y = F.avg_pool2d(x, 3, 2, 1)
    (y * y.detach()).sum().backward()
    yield from (("y", y), ("dx", x.grad))


def _embedding(words: int, width: int, *shape: int) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        weight, rows = numbers(words, width), numbers.classes(words, *shape)
        y = F.embedding(rows, weight, padding_idx=7)
        (y * y.detach()).sum().backward()
        yield from (("y", y), ("gradient", weight.grad))

    return call


def _recurrent(layer: str, hidden: int) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        net = getattr(nn, layer)(5, hidden).to(numbers.device, as_dtype(numbers.dtype))
        for parameter in net.parameters():
            parameter.data = numbers(*parameter.shape).detach() / hidden**0.5
        x = numbers(4, 3, 5)
        y, _ = net(x)
        (y * numbers(*y.shape).detach()).sum().backward()
        yield from (("y", y), ("dx", x.grad), *((f"d{name}", p.grad) for name, p in net.named_parameters()))

    return call


def _steps(make: Callable[[list[Any]], Any]) -> Called:
    def call(numbers: Numbers) -> Iterator[tuple[str, Any]]:
        parameters = [nn.Parameter(numbers(*shape).detach()) for shape in ((1000, 3), (17,))]
        optimizer = make(parameters)
        for _ in range(3):
            for p in parameters:
                p.grad = numbers(*p.shape).detach()
            optimizer.step()
        yield from ((f"parameter {i}", p) for i, p in enumerate(parameters))

    return call


RECURRENT = ("RNN", "LSTM", "GRU")
OPERATIONS: dict[str, Called] = {
    "cross entropy": _cross_entropy("mean", 37, 130),
    "cross entropy, a block for each row": _cross_entropy("mean", 5, 700),
    "cross entropy of each": _cross_entropy("none", 37, 130),
    "cross entropy of each, a block for each row": _cross_entropy("none", 5, 700),
    "layer norm": _layer_norm(65, 200),
    "layer norm, a block for each row": _layer_norm(5, 700),
    "RMS norm": _rms_norm,
    "batch norm": _batch_norm(True, 9, 7, 11, 13),
    "batch norm of rows": _batch_norm(True, 65, 40),
    "batch norm, running": _batch_norm(False, 9, 7, 11, 13),
    "batch norm of rows, running": _batch_norm(False, 65, 40),
    "max pooling": _max_pool(False),
    "max pooling with indices": _max_pool(True),
    "average pooling": _avg_pool,
    "ReLU": _relu,
    "dropout": _dropout(F.dropout, 7, 301),
    "dropout of channels": _dropout(F.dropout2d, 3, 5, 6, 7),
    "alpha dropout": _dropout(F.alpha_dropout, 7, 301),
    "embedding": _embedding(50, 33, 41, 6),
    "embedding, a block for each row": _embedding(9, 300, 4, 6),
    "embedding, frequent rows": _embedding(8, 33, 40, 20),
    **{name: _recurrent(name, 10) for name in RECURRENT},
    **{f"{name}, step by step": _recurrent(name, 130) for name in RECURRENT},
    "SGD": _steps(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)),
    "AdamW": _steps(lambda p: optim.AdamW(p, lr=0.1, amsgrad=True)),
}


def operation_checks(name: str, dtype: str, device: str) -> Iterator[Check]:
    """Every result of an operation on `device` in `dtype` beside the CPU's in float64."""
    ours, exact = (dict(OPERATIONS[name](Numbers(*where))) for where in ((dtype, device), ("float64", "cpu")))
    for what, right in exact.items():
        found, right = (value.detach().cpu().numpy().astype(np.float64) for value in (ours[what], right))
        error = float(np.abs(found - right).max() / np.abs(right).max())
        yield Check(name, f"{what} in {dtype}", error, TOLERANCE[dtype])
