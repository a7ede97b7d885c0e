"""The training loop of `minipar train`, as every rank runs it. One worker and many take this same path."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..backend.dtypes import as_dtype
from ..backend.random import manual_seed
from ..creation import as_tensor
from ..data import DataLoader, TensorDataset
from ..parallel import Communicator, Layout, ParallelModel
from ..parallel.uneven import MeasuredShares
from .tasks import TASKS, Examples, Task

COMPARED_STEPS = 20  # the promise is about the gradients of step 1 and the parameters after 20 steps


@dataclass(frozen=True)
class Settings:
    """What the command line said; `epochs`, `batch_size` and `lr` are the task's own unless given."""

    data: str
    epochs: int
    batch_size: int
    lr: float
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    layout: Layout = field(default_factory=Layout)

    @property
    def task(self) -> Task:
        return TASKS[self.data]


@dataclass
class Epoch:
    number: int
    loss: float
    metric: float
    rate: float  # samples a second, of all workers together


@dataclass
class Run:
    """What a run leaves: its table, and the model's tensors at the moments that comparisons are about.

    `measured` is what the layout has measured, as options of `parallelize` that train to the same bits again.
    `diverged` says where the loss became infinite or NaN, which ended the run; "" if it never did.
    """

    history: list[Epoch] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    start: dict[str, np.ndarray] = field(default_factory=dict)
    first_gradients: dict[str, np.ndarray] = field(default_factory=dict)
    after_compared_steps: dict[str, np.ndarray] = field(default_factory=dict)
    final: dict[str, np.ndarray] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    diverged: str = ""


def train(comm: Communicator, settings: Settings, examples: Examples, table: bool, bar: bool = False) -> Run | None:
    """Train in the layout that the settings say. Rank 0 shows a `bar` and a `table` if asked to, and returns the Run.

    BLAS gets one thread a worker: these matrices are too small to gain from a second one, and with two threads OpenBLAS
    was measured up to ten times slower on a machine that is busy with other work. Numbers that overflow are no warnings
    here: the loss tells.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        run = _train(comm, settings, examples, table, bar)
    return run if comm.rank == 0 else None


def _train(comm: Communicator, settings: Settings, examples: Examples, table: bool, bar: bool) -> Run:
    task = settings.task
    device = settings.device if settings.device != "cuda" else f"cuda:{comm.rank % _gpus()}"
    manual_seed(settings.seed)
    whole = task.model().to(device, dtype=as_dtype(settings.dtype))
    x_train, y_train, x_test, y_test = (
        as_tensor(a, device=device) for a in (examples.x_train, examples.y_train, examples.x_test, examples.y_test)
    )
    cut = settings.layout.first_layers(whole, comm, x_train[: settings.batch_size])
    model = settings.layout.parallelize(whole, comm, cut=cut)
    optimizer = task.optimizer(model.parameters(), lr=settings.lr)
    batches = DataLoader(TensorDataset(x_train, y_train), settings.batch_size, shuffle=True)
    run = Run(start=_copy(model))
    with _Display(settings, len(batches), comm, table, bar) as display:
        for epoch in range(1, settings.epochs + 1):
            model.train()
            started, total, count = time.perf_counter(), 0.0, 0
            for step, (x, y) in enumerate(batches, start=1):
                loss = model.train_step(task.loss, optimizer, x, y)
                if not math.isfinite(loss):  # the loss of the whole batch: every rank stops here
                    run.diverged = f"the loss became {loss} in epoch {epoch}, step {step}"
                    return run
                total, count = total + loss * len(x), count + len(x)
                run.step_losses.append(loss)
                if len(run.step_losses) == 1:
                    run.first_gradients = _copy(model, gradients=True)
                if len(run.step_losses) == COMPARED_STEPS:
                    run.after_compared_steps = _copy(model)
                display.step()
            rate = count / (time.perf_counter() - started)
            metric = evaluate(model, task, x_test, y_test)
            run.history.append(Epoch(epoch, total / count, metric, rate))
            display.epoch(run.history[-1])
    run.final = _copy(model)
    run.measured = _measured(model, cut)
    return run


def _measured(model: ParallelModel, cut: list[int] | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if cut is None else {"cut": cut}
    if isinstance(model.shares, MeasuredShares):
        found["shares"] = model.shares.record
    return found


def evaluate(model: ParallelModel, task: Task, x: Any, y: Any, batch_size: int = 250) -> float:
    """The task's metric over all test samples."""
    model.eval()
    starts = range(0, len(x), batch_size)
    parts = [task.totals(model(x[i : i + batch_size]).cpu(), y[i : i + batch_size].cpu()) for i in starts]
    return task.metric(np.sum(parts, axis=0))


def _gpus() -> int:
    import cupy

    return cupy.cuda.runtime.getDeviceCount()


def _copy(model: ParallelModel, gradients: bool = False) -> dict[str, np.ndarray]:
    tensors = model.gradients() if gradients else model.state_dict()
    return {name: to_numpy(t.array).copy() for name, t in tensors.items()}


class _Display:
    """Rank 0's progress bar over all steps, and a table with a line an epoch."""

    def __init__(self, settings: Settings, steps_an_epoch: int, comm: Communicator, table: bool, bar: bool) -> None:
        self.settings, self.total = settings, steps_an_epoch * settings.epochs
        self.has_bar, self.has_table = comm.rank == 0 and bar, comm.rank == 0 and table
        self.label = f"{comm.size} worker{'s' * (comm.size > 1)}"

    def __enter__(self) -> _Display:
        from tqdm import tqdm

        hidden = not self.has_bar
        self.bar = tqdm(total=self.total, desc=self.label, unit="step", file=sys.stderr, disable=hidden, leave=False)
        self._tell(table_head(self.settings.task))
        return self

    def step(self) -> None:
        self.bar.update()

    def epoch(self, row: Epoch) -> None:
        self._tell(table_row(self.settings.task, row))

    def _tell(self, line: str) -> None:
        if self.has_table:
            self.bar.write(line, file=sys.stdout)
            sys.stdout.flush()

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def table_head(task: Task) -> str:
    return f"{'epoch':>5}  {'loss':>9}  {task.metric_name:>20}  {task.unit + '/s':>10}"


def table_row(task: Task, row: Epoch) -> str:
    return f"{row.number:>5}  {row.loss:>9.5f}  {row.metric:>20.4f}  {row.rate:>10,.0f}"
