"""Elementwise operations and reductions: how many bytes a second, beside a copy within the device.

The bytes of an operation are those that it must read or write at the least: every input once, every output once. What
an operation keeps between several launches is not counted, so that launches which a fused kernel would save show as a
smaller share of the copy's rate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ... import as_tensor, nn, no_grad, optim
from ...nn import functional as F
from ...tensor import Tensor
from .kernel_checks import Transfer
from .timing import Stopwatch, copies, race

SHAPE = (16384, 4096)  # 256 MiB in float32


@dataclass(frozen=True)
class Bandwidth:
    """Median seconds of an operation that must move so many bytes, and of a copy that moves `copied` bytes."""

    name: str
    case: str
    seconds: float
    bytes: float
    copy_seconds: float
    copied: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds

    @property
    def share(self) -> float:
        """Of the copy's rate."""
        return self.rate / (self.copied / self.copy_seconds)


class Operation(NamedTuple):
    """A function of two tensors of one shape, and how many times it must read or write that many numbers."""

    run: Callable[[Tensor, Tensor], Any]
    passes: int


OPERATIONS: Mapping[str, Operation] = {
    "add": Operation(lambda x, y: x + y, 3),
    "mul by a number": Operation(lambda x, y: x * 2.0, 2),
    "relu": Operation(lambda x, y: F.relu(x), 2),
    "exp": Operation(lambda x, y: x.exp(), 2),
    "tanh": Operation(lambda x, y: x.tanh(), 2),
    "gelu": Operation(lambda x, y: F.gelu(x), 2),
    "sum over all": Operation(lambda x, y: x.sum(), 1),
    "sum over rows": Operation(lambda x, y: x.sum(1), 1),
    "sum over columns": Operation(lambda x, y: x.sum(0), 1),
    "max over rows": Operation(lambda x, y: x.amax(1), 1),
    "mean squared error": Operation(lambda x, y: F.mse_loss(x, y), 2),
    "softmax": Operation(lambda x, y: F.softmax(x, 1), 2),
    "log softmax": Operation(lambda x, y: F.log_softmax(x, 1), 2),
    "layer norm": Operation(lambda x, y: F.layer_norm(x, x.shape[1:]), 2),
    "transpose": Operation(lambda x, y: x.T.contiguous(), 2),
}
STEP_PASSES = {"SGD": 3, "Adam": 7}  # parameter and gradient in, parameter out; Adam's two moments in and out, too


def bandwidths(
    put: Transfer, copy: Callable[[Any, Any], Any], stopwatch: Stopwatch, shape: tuple[int, int] = SHAPE
) -> Iterator[Bandwidth]:
    """Every operation in float32, in one race with `copy(to, from)` of the device's arrays."""
    rng = np.random.default_rng(0)
    numbers, case = math.prod(shape), "×".join(map(str, shape))
    drawn = [rng.standard_normal(shape, dtype=np.float32) for _ in range(2)]
    operands = [tuple(as_tensor(put(array)) for array in drawn) for _ in range(copies(8 * numbers))]
    target = put(drawn[0])
    sides: dict[str, Callable[..., Any]] = {"copy": lambda x, y: copy(target, x.array)}
    sides |= {name: operation.run for name, operation in OPERATIONS.items()}
    passes = {"copy": 2, **{name: operation.passes for name, operation in OPERATIONS.items()}}
    for name, count in STEP_PASSES.items():
        sides[f"{name} step"], passes[f"{name} step"] = _update(name, put(drawn[0]), put(drawn[1])), count
    with no_grad():
        found = {name: statistics.median(seconds) for name, seconds in race(sides, operands, stopwatch).items()}
    for name, seconds in found.items():
        yield Bandwidth(name, case, seconds, 4 * numbers * passes[name], found["copy"], 8 * numbers)


def _update(name: str, value: Any, gradient: Any) -> Callable[..., Any]:
    """A step of this optimizer, by its default arguments."""
    parameter = nn.Parameter(as_tensor(value))
    parameter.grad = as_tensor(gradient)
    step = getattr(optim, name)([parameter], lr=1e-6).step
    return partial(_ignoring_operands, step)


def _ignoring_operands(step: Callable[[], Any], *_: Any) -> None:
    step()
