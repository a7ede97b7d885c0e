"""The promise, as a function: a model trained in any layout is the model trained in one process.

One process and every layout start from the same model and take the same steps; then losses, the gradients of the first
step and all parameters are compared by the metric of equality.py, in the order in which a mistake would show, so that
the first difference that is named is next to what is wrong:

    the loss of step 1          forward, or the denominator
    the gradients of step 1     backward: from the last layer to the first, as it runs
    the losses of later steps   the optimizer, or what changes from batch to batch (random numbers, running statistics)
    parameters and buffers at the end
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..nn.module import Module
from ..random import fork_rng, manual_seed
from ..tensor import Tensor
from .comm import Communicator
from .equality import TOLERANCE, Difference, compare_gradients, compare_parameters
from .layout import Layout
from .losses import as_pair
from .ranks.launch import launch

Batch = Sequence[Tensor]  # input, targets…
MakeOptimizer = Callable[[Any], Any]  # parameters -> an optimizer


@dataclass(frozen=True)
class TrainingRun:
    """What a run leaves: the loss of each step, gradients of the first, state before and after, and learning rate."""

    losses: list[float]
    gradients: dict[str, np.ndarray]
    start: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    lr: float


@dataclass(frozen=True)
class Training:
    """`steps` steps of `model` on `batches`, taken in turn: what is trained in every layout. The model stays as it is.

    `seed` is set before the first step.
    """

    model: Module
    batches: Sequence[Batch]
    loss_fn: Callable[..., Any]
    optimizer: MakeOptimizer
    steps: int = 20
    seed: int = 0

    def in_one_process(self) -> TrainingRun:
        """What every layout is held against."""
        model = deepcopy(self.model)
        step = self.optimizer(model.parameters())

        def train(batch: Batch) -> float:
            given, *targets = batch
            step.zero_grad()
            loss, weight = as_pair(self.loss_fn(model(given), *targets))
            loss = loss if weight is None else loss / weight
            loss.backward()
            step.step()
            return loss.item()

        return self._run(step, train, lambda: _gradients(model), model.state_dict)

    def in_layout(self, comm: Communicator, layout: Layout, **options: Any) -> TrainingRun:
        """The same on the ranks of `comm`; `options` are `parallelize`'s, beside those of the layout."""
        net = layout.parallelize(deepcopy(self.model), comm, **options)
        step = self.optimizer(net.parameters())
        return self._run(step, lambda batch: net.train_step(self.loss_fn, step, *batch), net.gradients, net.state_dict)

    def _run(
        self,
        optimizer: Any,
        train: Callable[[Batch], float],
        gradients: Callable[[], Mapping[str, Tensor]],
        state: Callable[[], Mapping[str, Tensor]],
    ) -> TrainingRun:
        start, first = numbers(state()), {}
        losses = []
        with fork_rng():
            manual_seed(self.seed)
            for number in range(self.steps):
                losses.append(train(self.batches[number % len(self.batches)]))
                if number == 0:
                    first = numbers(gradients())
        return TrainingRun(losses, first, start, numbers(state()), optimizer.param_groups[0]["lr"])


def assert_equivalent(
    model: Module,
    batch: Batch | Sequence[Batch],
    loss_fn: Callable[..., Any],
    optimizer: MakeOptimizer,
    layouts: Iterable[str | Layout] | Mapping[str, Mapping[str, Any]] = ("data=2",),
    *,
    steps: int = 20,
    backend: str = "thread",
    tolerance: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Train `model` in one process and in every layout, and compare. Returns each layout's largest difference.

    `batch` is (input, targets…), or a list of such, taken in turn; `loss_fn(output, *targets)` as for `train_step`;
    `optimizer(parameters)` makes one. `layouts` may be a mapping: to each layout options of `parallelize` that are not
    part of it (`cut`, `bucket`). Parameters and gradients are compared by `compare_parameters` and `compare_gradients`,
    losses relative to the largest; `tolerance` is 1e-10 for float64 and 1e-5 for float32 unless given. `seed` is set
    before the first step. The model itself is not changed.

    AssertionError naming the layout and the rank, and the first thing that differs and how far: the loss of a step, or
    the gradient of a layer (of the last one, where backward starts, if that is wrong already), or a parameter.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    >>> batch = minipar.ones(5, 4, dtype=minipar.float64), minipar.tensor([0, 1, 0, 1, 1])
    >>> differences = minipar.parallel.assert_equivalent(
    ...     model, batch, F.cross_entropy, lambda parameters: optim.SGD(parameters, lr=0.1),
    ...     layouts=["data=2", "pipeline=2,microbatches=3"], steps=3)
    >>> list(differences), max(differences.values()) < 1e-10
    (['data=2', 'pipeline=2,microbatches=3'], True)
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, not {type(model).__name__}")
    batches: Any = [batch] if isinstance(batch[0], Tensor) else list(batch)
    training = Training(model, batches, loss_fn, optimizer, steps, seed)
    expected = training.in_one_process()
    if tolerance is None:
        tolerance = max(TOLERANCE[np.dtype(p.array.dtype)] for p in model.parameters())
    options_of: Mapping[Any, Mapping[str, Any]] = layouts if isinstance(layouts, Mapping) else {}
    found = {}
    for name in layouts:
        layout = Layout.parse(name) if isinstance(name, str) else name
        options = options_of.get(name, {})
        runs = launch(_in_layout, training, layout, options, workers=layout.ranks, backend=backend)
        compared = [
            assert_same_run(run, expected, tolerance, f"layout {layout}, rank {i}") for i, run in enumerate(runs)
        ]
        found[str(layout)] = max(compared)
    return found


def _in_layout(comm: Communicator, training: Training, layout: Layout, options: Mapping[str, Any]) -> TrainingRun:
    return training.in_layout(comm, layout, **options)


def assert_same_run(run: TrainingRun, expected: TrainingRun, tolerance: float, where: str) -> float:
    """The largest difference. AssertionError beginning with `where` and naming the first larger than `tolerance`."""
    one_only = sorted(run.gradients.keys() ^ expected.gradients.keys())
    if one_only:
        raise AssertionError(f"{where}: in step 1, {one_only} have a gradient here or in one process, but not in both")
    losses = _compare_losses(run.losses, expected.losses)
    gradients = compare_gradients(run.gradients, expected.gradients)[::-1]
    compared = {
        "the loss of": losses[:1],
        "in step 1, the gradient of": gradients,
        "gradients are right in step 1, but the loss of": losses[1:],
        f"all losses are right, but after {len(run.losses)} steps": compare_parameters(
            run.state, expected.state, expected.start, expected.lr
        ),
    }
    for what, rows in compared.items():
        wrong = [row for row in rows if row.exceeds(tolerance)]
        if wrong:
            first, *more = wrong
            raise AssertionError(
                f"{where}: {what} {first.name} differs from one process by {first.relative:.2g} "
                f"(relative; allowed are {tolerance:.2g})" + _and_more(more, len(rows))
            )
    return max((row.relative for rows in compared.values() for row in rows), default=0.0)


def _and_more(more: list[Difference], of: int) -> str:
    shown = ", ".join(f"{row.name} ({row.relative:.2g})" for row in more[:5])
    return f"; so do {shown}{', …' if len(more) > 5 else ''}: {len(more) + 1} of {of}" if more else ""


def _compare_losses(got: list[float], expected: list[float]) -> list[Difference]:
    largest = max(map(abs, expected))
    return [
        Difference(f"step {i}", (), abs(a - b) / largest if a != b else 0.0)
        for i, (a, b) in enumerate(zip(got, expected, strict=True), 1)
    ]


def _gradients(model: Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def numbers(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """A copy of each, as NumPy arrays."""
    return {name: to_numpy(tensor.array).copy() for name, tensor in tensors.items()}
