"""Some ranks on the CPU, others on the CuPy double: losses, gradients and parameters of one process in every layout.

Not a GPU run: see double_array.py for what this shows and what it cannot. tests/parallel/test_rank_devices.py has ranks
on a real one.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.equivalence import Training, TrainingRun, assert_same_run
from minipar.parallel.uneven import MeasuredShares
from tests.cupy_double.installed import double_installed

SIZES, STEPS = (13, 3), 7  # samples in the batches; the first five steps are measured together
ORDERS = pytest.mark.parametrize("kinds", ["cpu cuda cuda cpu", "cuda cpu cpu cuda"])  # both kinds along every axis


class Last(nn.Module):
    def forward(self, x: minipar.Tensor) -> minipar.Tensor:
        return x[:, -1]


def dense() -> nn.Module:
    layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 7), nn.Linear(7, 4)]
    return nn.Sequential(*layers)


def without_norm() -> nn.Module:
    layers = [nn.Linear(6, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 4)]
    return nn.Sequential(*layers)


def images() -> nn.Module:
    first = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.GroupNorm(2, 4), nn.Upsample(scale_factor=2)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(4 * 8 * 6, 4))


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return nn.Sequential(nn.Embedding(11, 8), layer, Last(), nn.Linear(8, 4))


INPUTS = {
    dense: lambda draw, n: draw.normal(size=(n, 6)),
    without_norm: lambda draw, n: draw.normal(size=(n, 6)),
    images: lambda draw, n: draw.normal(size=(n, 2, 8, 6)),
    transformer: lambda draw, n: draw.integers(0, 11, (n, 5)),
}


def training_of(make: Any) -> Training:
    minipar.manual_seed(3)
    draw = np.random.default_rng(0)
    batches = [(minipar.tensor(INPUTS[make](draw, n)), minipar.tensor(draw.integers(0, 4, n))) for n in SIZES]
    return Training(make().double(), batches, F.cross_entropy, momentum, STEPS)


def momentum(parameters: Any) -> Any:
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


def moved(training: Training, place: Any) -> Training:
    """The same with model and batches on a device."""
    batches = [tuple(x.to(place) for x in batch) for batch in training.batches]
    return replace(training, model=deepcopy(training.model).to(place), batches=batches)


def on_own_device(comm: Any, training: Training, layout: parallel.Layout) -> TrainingRun:
    return moved(training, comm.device).in_layout(comm, layout)


def check(make: Any, name: str, kinds: str) -> None:
    """Every rank of this layout trains as one process does."""
    training, layout = training_of(make), parallel.Layout.parse(name)
    devices = kinds.split()[: layout.ranks]
    runs = parallel.launch(on_own_device, training, layout, workers=layout.ranks, backend="thread", devices=devices)
    expected = training.in_one_process()
    for rank, (run, kind) in enumerate(zip(runs, devices)):
        assert_same_run(run, expected, 1e-10, f"rank {rank}, on {kind}")


LAYOUTS = {
    dense: ["data=2", "data=3,zero=1"],
    without_norm: [
        "data=2,zero=1",
        "data=2,zero=2,microbatches=3",
        "data=2,zero=3",
        "data=2,virtual_shards=4",
        "pipeline=2,microbatches=3,schedule=gpipe,recompute=True",
        "pipeline=2,microbatches=4,schedule=zb-h1",
        "pipeline=2,microbatches=2,schedule=interleaved,chunks=2",
        "data=2,pipeline=2,microbatches=2,zero=1",
        "data=2,tensor=2,zero=2",
    ],
    images: ["tensor=2", "space=2", "data=2,space=2"],
    transformer: ["pipeline=2", "tensor=2", "tensor=2,sequence=True", "data=2,zero=3"],
}


@ORDERS
@pytest.mark.parametrize(("make", "layout"), [(make, layout) for make in LAYOUTS for layout in LAYOUTS[make]])
def test_ranks_of_both_kinds_train_as_one_process(make: Any, layout: str, kinds: str, cupy: ModuleType) -> None:
    check(make, layout, kinds)


# -- shares by measured speed ------------------------------------------------------------------------------------------


@ORDERS
@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (dense, "data=2"),
        (without_norm, "data=2,zero=1"),
        (without_norm, "data=2,zero=2,microbatches=2"),
        (without_norm, "data=2,zero=3"),
        (without_norm, "data=2,pipeline=2,microbatches=2"),
    ],
)
def test_shares_that_move_change_nothing(
    make: Any, layout: str, kinds: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds are told, not measured: data rank 1 takes three times as long a sample as data rank 0."""
    dealt, measured = [], MeasuredShares.measured

    def told(self: Any, _: float, samples: int) -> None:
        dealt.append(self.cut(SIZES[0]))
        measured(self, samples * (3.0 if self._place else 1.0), samples)

    monkeypatch.setattr(MeasuredShares, "measured", told)
    check(make, f"{layout},shares=measured", kinds)
    ranks = parallel.Layout.parse(layout).ranks
    assert [dealt.count(counts) for counts in ([7, 6], [10, 3])] == [5 * ranks, (STEPS - 5) * ranks]


def test_a_gpu_is_timed_until_it_is_done(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its orders at once: without waiting for it, a slow one would seem fast."""
    seconds: dict[int, list[float]] = {0: [], 1: []}
    monkeypatch.setattr(MeasuredShares, "measured", lambda self, taken, _: seconds[self._place].append(taken))
    monkeypatch.setattr(cupy.cuda.Device, "synchronize", lambda self: time.sleep(0.05))
    check(dense, "data=2,shares=measured", "cpu cuda")
    assert len(seconds[0]) == len(seconds[1]) == STEPS
    assert min(seconds[1]) > 2 * 0.05 > min(seconds[0])  # forward, and backward


# -- beside training ---------------------------------------------------------------------------------------------------


def losses_after_loading(comm: Any, layout: str, saved: Any) -> tuple[list[float], str, np.ndarray, Any]:
    """Losses, the output for a batch and where it is, and a checkpoint; `saved` is one to begin with."""
    training = moved(training_of(without_norm), comm.device)
    net = parallel.Layout.parse(layout).parallelize(training.model, comm)
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    if saved is not None:
        net.load_state_dict(saved[0])
        net.load_optimizer_state_dict(optimizer, saved[1])
    minipar.manual_seed(7)
    losses = [net.train_step(F.cross_entropy, optimizer, *batch) for batch in training.batches]
    net.loss_and_gradients(F.cross_entropy, *training.batches[0])
    losses.append(net.clip_grad_norm_(0.1))
    optimizer.step()
    output = net.eval()(training.batches[0][0])
    checkpoint = net.state_dict(), net.optimizer_state_dict(optimizer)
    return losses, output.device.type, output.cpu().numpy(), checkpoint


@ORDERS
@pytest.mark.parametrize(
    "layout", ["data=2", "data=2,zero=1", "data=2,zero=3", "pipeline=2,microbatches=2", "tensor=2"]
)
def test_outputs_are_where_inputs_are_and_checkpoints_load_on_the_other_device(
    layout: str, kinds: str, cupy: ModuleType
) -> None:
    devices = kinds.split()[:2]
    alone = mixed = None
    for there in (devices, devices[::-1]):  # the second begins with the checkpoint of the first
        ((losses, _, output, alone),) = parallel.launch(
            losses_after_loading, "data=1", alone, workers=1, backend="thread"
        )
        runs = parallel.launch(losses_after_loading, layout, mixed, backend="thread", devices=there)
        for run, kind in zip(runs, there):
            np.testing.assert_allclose(run[0], losses, rtol=1e-10)
            assert run[1] == kind
            np.testing.assert_allclose(run[2], output, rtol=1e-10)
        mixed = runs[0][3]


def test_a_model_that_was_moved_by_hand_gets_what_other_stages_send(cupy: ModuleType) -> None:
    """`launch` was not told of devices."""
    training, layout = training_of(without_norm), parallel.Layout(pipeline=2, microbatches=2)

    def by_hand(comm: Any) -> TrainingRun:
        return moved(training, "cuda" if comm.rank else "cpu").in_layout(comm, layout)

    for run in parallel.launch(by_hand, backend="thread"):
        assert_same_run(run, training.in_one_process(), 1e-10, str(layout))


@pytest.mark.parametrize("layout", ["data=2,zero=3", "pipeline=2", "tensor=2"])
def test_a_batch_on_another_device_than_the_model_is_an_error(layout: str, cupy: ModuleType) -> None:
    def step(comm: Any) -> None:
        training = training_of(without_norm)
        net = parallel.Layout.parse(layout).parallelize(training.model.to(comm.device), comm)
        net.train_step(F.cross_entropy, momentum(net.parameters()), *training.batches[0])

    with pytest.raises(parallel.WorkerError, match=r"rank 1 raised RuntimeError: .* on two devices: .*cpu.*move one"):
        parallel.launch(step, backend="thread", devices=["cpu", "cuda"])


# -- ranks that are processes ------------------------------------------------------------------------------------------


def in_process(comm: Any, training: Training, layouts: list[str]) -> list[TrainingRun]:
    """The double is in one process alone: nothing of CuPy may come to the other."""
    with double_installed() if comm.rank else nullcontext():
        comm.device = minipar.device("cuda" if comm.rank else "cpu")
        return [on_own_device(comm, training, parallel.Layout.parse(layout)) for layout in layouts]


def test_processes_of_both_kinds_train_as_one_process(cupy: ModuleType) -> None:
    training, expected = training_of(without_norm), training_of(without_norm).in_one_process()
    data = [f"data=2,shares=measured,zero={stage}" for stage in range(4)]
    layouts = [*data, "pipeline=2,microbatches=2", "tensor=2"]
    for rank, runs in enumerate(parallel.launch(in_process, training, layouts)):
        for run, layout in zip(runs, layouts):
            assert_same_run(run, expected, 1e-10, f"{layout}, rank {rank}")
