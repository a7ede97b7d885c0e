"""The promise, as a function: a model trained in any layout is the model trained in one process.

One process and every layout start from the same model and take the same steps; then losses, the gradients of the first
step and all parameters are compared by the metric of equality.py, in the order in which a mistake would show, so that
the first difference that is named is next to what is wrong:

    the loss of step 1          forward, or the denominator: a second run watches every layer, and names the first
    the gradients of step 1     backward: from the last layer to the first, as it runs
    the losses of later steps   the optimizer, or what changes from batch to batch (random numbers, running statistics)
    parameters and buffers at the end
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from ..nn.module import Module
from ..random import fork_rng, manual_seed
from ..tensor import Tensor
from .comm import Communicator
from .equality import TOLERANCE, Difference, compare_gradients, compare_parameters
from .first_wrong_layer import first_wrong_layer
from .layer_outputs import HeldOutputs, LayerOutput, held_layers, kept_outputs
from .layout import Layout
from .losses import as_pair
from .ranks.launch import launch
from .trainer import ParallelModel

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
        net = self._split(comm, layout, options)
        step = self.optimizer(net.parameters())
        with net.mesh:
            return self._run(
                step, lambda batch: net.train_step(self.loss_fn, step, *batch), net.gradients, net.state_dict
            )

    def outputs_in_one_process(self) -> list[LayerOutput]:
        """What every layer gives in the forward pass of the first step, in the order in which they end."""
        model = deepcopy(self.model)
        with fork_rng(), kept_outputs(model.named_modules()) as outputs:
            manual_seed(self.seed)
            model(self.batches[0][0])
        return outputs

    def outputs_in_layout(self, comm: Communicator, layout: Layout, **options: Any) -> HeldOutputs:
        """What this rank has of that. (Backward runs as well: a stage may be scheduled, or recomputed, with it.)"""
        net = self._split(comm, layout, options)
        with net.mesh, fork_rng(), kept_outputs(held_layers(net, self.model)) as outputs:
            manual_seed(self.seed)
            net.loss_and_gradients(self.loss_fn, *self.batches[0])
        return HeldOutputs(net.mesh.coordinates, outputs)

    def _split(self, comm: Communicator, layout: Layout, options: Mapping[str, Any]) -> ParallelModel:
        return layout.parallelize(deepcopy(self.model), comm, self.batches[0][0], **options)

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
    the gradient of a layer (of the last one, where backward starts, if that is wrong already), or a parameter. Where it
    is the loss of step 1, that step runs once more, and the first layer, in order of execution, whose output is not one
    process's is named with the rank that has it (or else the loss function). ValueError unless `steps` is 1 or more.

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
    if steps < 1:
        raise ValueError(f"assert_equivalent: steps={steps} must be at least 1")
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
        told = launch(
            _in_layout, training, layout, options, expected.losses, tolerance, workers=layout.ranks, backend=backend
        )
        layer = _wrong_layer(training, layout, options, tolerance, backend) if told[0].forward_differs else ""
        compared = [
            assert_same_run(of_rank.run, expected, tolerance, f"layout {layout}, rank {i}", layer)
            for i, of_rank in enumerate(told)
        ]
        found[str(layout)] = max(compared)
    return found


class _Told(NamedTuple):
    """A rank's run; and has some rank found that the loss of step 1 differs? All say the same."""

    run: TrainingRun
    forward_differs: bool


def _in_layout(
    comm: Communicator,
    training: Training,
    layout: Layout,
    options: Mapping[str, Any],
    losses: list[float],
    tolerance: float,
) -> _Told:
    run = training.in_layout(comm, layout, **options)
    differs = _compare_losses(run.losses, losses)[0].exceeds(tolerance)
    return _Told(run, bool(comm.all_reduce(np.array(differs, np.float64), "max")))


def _wrong_layer(training: Training, layout: Layout, options: Mapping[str, Any], tolerance: float, backend: str) -> str:
    """What `first_wrong_layer` says. Whatever goes wrong with that, it must not hide that the loss differs."""
    try:
        held = launch(_outputs_in_layout, training, layout, options, workers=layout.ranks, backend=backend)
        return first_wrong_layer(training.outputs_in_one_process(), held, tolerance)
    except Exception as error:
        return f"in which layer first, could not be found out ({type(error).__name__})"


def _outputs_in_layout(
    comm: Communicator, training: Training, layout: Layout, options: Mapping[str, Any]
) -> HeldOutputs:
    return training.outputs_in_layout(comm, layout, **options)


def assert_same_run(
    run: TrainingRun, expected: TrainingRun, tolerance: float, where: str, wrong_layer: str = ""
) -> float:
    """The largest difference. AssertionError beginning with `where` and naming the first larger than `tolerance`.

    `wrong_layer` is added if that is the loss of step 1.
    """
    losses = _compare_losses(run.losses, expected.losses)
    if losses[0].exceeds(tolerance):
        said = _said(where, "the loss of", losses[:1], tolerance)
        raise AssertionError(f"{said}; {wrong_layer}" if wrong_layer else said)
    one_only = sorted(run.gradients.keys() ^ expected.gradients.keys())
    if one_only:
        raise AssertionError(f"{where}: in step 1, {one_only} have a gradient here or in one process, but not in both")
    compared = {
        "in step 1, the gradient of": compare_gradients(run.gradients, expected.gradients)[::-1],
        "gradients are right in step 1, but the loss of": losses[1:],
        f"all losses are right, but after {len(run.losses)} steps": compare_parameters(
            run.state, expected.state, expected.start, expected.lr
        ),
    }
    for what, rows in compared.items():
        if any(row.exceeds(tolerance) for row in rows):
            raise AssertionError(_said(where, what, rows, tolerance))
    return max(row.relative for rows in (losses, *compared.values()) for row in rows)


def _said(where: str, what: str, rows: list[Difference], tolerance: float) -> str:
    """Which of `rows`, of what, differ by more than `tolerance`: one does."""
    first, *more = [row for row in rows if row.exceeds(tolerance)]
    return (
        f"{where}: {what} {first.name} differs from one process by {first.relative:.2g} "
        f"(relative; allowed are {tolerance:.2g})" + _and_more(more, len(rows))
    )


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
