"""The promise, as a function: a model trained in any layout is the model trained in one process.

One process and every layout start from the same model and take the same steps; then losses, the gradients of the first
step and all parameters are compared by the metric of equality.py, and the first layer that differs is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..nn.module import Module
from ..random import fork_rng, manual_seed
from ..tensor import Tensor
from .comm import Communicator
from .equality import TOLERANCE, Difference, compare_gradients, compare_parameters, first_difference
from .layout import Layout
from .losses import as_pair
from .ranks.launch import launch

Batch = Sequence[Tensor]  # input, targets…
MakeOptimizer = Callable[[Any], Any]  # parameters -> an optimizer


@dataclass(frozen=True)
class TrainingRun:
    """What a run leaves: the loss of each step, gradients of the first, state and learning rate in the end."""

    losses: list[float]
    gradients: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    lr: float


def assert_equivalent(
    model: Module,
    batch: Batch | Sequence[Batch],
    loss_fn: Callable[..., Any],
    optimizer: MakeOptimizer,
    layouts: Iterable[str | Layout] = ("data=2",),
    *,
    steps: int = 20,
    backend: str = "thread",
    tolerance: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Train `model` in one process and in every layout, and compare. Returns each layout's largest difference.

    `batch` is (input, targets…), or a list of such, taken in turn; `loss_fn(output, *targets)` as for `train_step`;
    `optimizer(parameters)` makes one. Parameters and gradients are compared by `compare_parameters` and
    `compare_gradients`, losses relative to the largest; `tolerance` is 1e-10 for float64 and 1e-5 for float32 unless
    given. `seed` is set before the first step. The model itself is not changed.

    AssertionError naming the layout, and of it the first layer that differs, how far, and at which rank.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    >>> batch = minipar.ones(5, 4, dtype=minipar.float64), minipar.tensor([0, 1, 0, 1, 1])
    >>> differences = minipar.parallel.assert_equivalent(
    ...     model, batch, F.cross_entropy, lambda parameters: optim.SGD(parameters, lr=0.1),
    ...     layouts=["data=2", "pipeline=2,microbatches=3"], steps=3)
    >>> list(differences), max(differences.values()) < 1e-10
    (['data=2', 'pipeline=2,microbatches=3'], True)
    """
    batches: list[Batch] = [batch] if isinstance(batch[0], Tensor) else list(batch)  # type: ignore[list-item]
    start = _numbers(model.state_dict())
    expected = train_in_one_process(deepcopy(model), batches, loss_fn, optimizer, steps, seed)
    if tolerance is None:
        tolerance = max(TOLERANCE[np.dtype(p.array.dtype)] for p in model.parameters())
    found = {}
    for layout in layouts:
        layout = Layout.parse(layout) if isinstance(layout, str) else layout
        task = model, batches, loss_fn, optimizer, layout, steps, seed
        runs = launch(_train_in_layout, *task, workers=layout.ranks, backend=backend)
        found[str(layout)] = max(
            _compare(layout, rank, run, expected, start, tolerance) for rank, run in enumerate(runs)
        )
    return found


def train_in_one_process(
    model: Module,
    batches: Sequence[Batch],
    loss_fn: Callable[..., Any],
    optimizer: MakeOptimizer,
    steps: int,
    seed: int,
) -> TrainingRun:
    """`steps` steps of `model` itself: what every layout is held against."""
    step = optimizer(model.parameters())
    losses, gradients = [], {}
    with fork_rng():
        manual_seed(seed)
        for number in range(steps):
            given, *targets = batches[number % len(batches)]
            step.zero_grad()
            loss, weight = as_pair(loss_fn(model(given), *targets))
            loss = loss if weight is None else loss / weight
            loss.backward()
            if number == 0:
                gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
                gradients = _numbers(gradients)
            step.step()
            losses.append(loss.item())
    return TrainingRun(losses, gradients, _numbers(model.state_dict()), step.param_groups[0]["lr"])


def _train_in_layout(
    comm: Communicator,
    model: Module,
    batches: Sequence[Batch],
    loss_fn: Callable[..., Any],
    optimizer: MakeOptimizer,
    layout: Layout,
    steps: int,
    seed: int,
) -> TrainingRun:
    net = layout.parallelize(deepcopy(model), comm)
    step = optimizer(net.parameters())
    losses, gradients = [], {}
    manual_seed(seed)
    for number in range(steps):
        losses.append(net.train_step(loss_fn, step, *batches[number % len(batches)]))
        if number == 0:
            gradients = _numbers(net.gradients())
    return TrainingRun(losses, gradients, _numbers(net.state_dict()), step.param_groups[0]["lr"])


def _numbers(tensors: Any) -> dict[str, np.ndarray]:
    return {name: to_numpy(tensor.array).copy() for name, tensor in tensors.items()}


def _compare(
    layout: Layout, rank: int, run: TrainingRun, expected: TrainingRun, start: dict[str, np.ndarray], tolerance: float
) -> float:
    """The largest difference. AssertionError naming the first that is larger than `tolerance`."""
    largest = max(map(abs, expected.losses))
    compared = {
        "the gradient of": compare_gradients(run.gradients, expected.gradients),
        "the loss of": [
            Difference(f"step {i + 1}", (), abs(a - b) / largest if a != b else 0.0)
            for i, (a, b) in enumerate(zip(run.losses, expected.losses))
        ],
        f"after {len(run.losses)} steps": compare_parameters(run.state, expected.state, start, expected.lr),
    }
    for what, rows in compared.items():
        worst = first_difference(rows, tolerance)
        if worst is not None:
            raise AssertionError(
                f"layout {layout}: {what} {worst.name} differs from one process by {worst.relative:.2g} (relative; "
                f"allowed {tolerance:.2g}), on rank {rank}"
            )
    return max((row.relative for rows in compared.values() for row in rows), default=0.0)
