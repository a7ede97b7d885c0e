"""Virtual shards: a Transformer and an LSTM train to the same bits on 1, 2, 3 and 4 workers, whatever connects them.

A worker may be two tensor ranks, which are other bits than one (each sums half of the features) but again the same.
"""

from __future__ import annotations

import sys

import cloudpickle
import pytest

from minipar import optim, parallel
from minipar.parallel import Communicator, Layout
from minipar.parallel.equality import TOLERANCE
from minipar.parallel.equivalence import Training, TrainingRun, assert_same_run
from tests.parallel.equivalence.models import ZOO, batches_of, model_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks need not import pytest

MODELS = ["Transformer", "LSTM"]
SHARDS = 4
WORKERS = (1, 2, 3, 4)
Way = tuple[str, int, int]  # model, data ranks, tensor ranks


def training(model: str) -> Training:
    """Of batches of 13, 7, 1 and 5 sequences: some shards are larger than others, and some have none."""
    batches = [batch for sizes in ("uneven", "without rows") for batch in batches_of(model, "float32", sizes)]
    loss = ZOO[model].losses["weighted"]
    return Training(
        model_of(model, "float32"), batches, loss, lambda p: optim.SGD(p, lr=ZOO[model].rate, momentum=0.9), steps=4
    )


def bits(run: TrainingRun) -> tuple:
    arrays = (run.gradients | run.state).items()
    return tuple(run.losses), *((name, array.tobytes()) for name, array in arrays)


def train(comm: Communicator, ways: list[Way], shards: int | None) -> dict[Way, TrainingRun]:
    """On every rank; those with too high a number watch."""
    runs = {}
    for model, data, tensor in ways:
        group = comm.split(0 if comm.rank < data * tensor else None)
        if group is not None:
            layout = Layout(data=data, tensor=tensor, virtual_shards=shards)
            runs[model, data, tensor] = training(model).in_layout(group, layout)
    return runs


def trained(backend: str, ranks: int, ways: list[Way], shards: int | None = SHARDS) -> dict[Way, list[TrainingRun]]:
    of_ranks = parallel.launch(train, ways, shards, workers=ranks, backend=backend)
    return {way: [runs[way] for runs in of_ranks if way in runs] for way in ways}


@pytest.fixture(scope="module")
def on_threads() -> dict[Way, list[TrainingRun]]:
    return trained("thread", 8, [(model, data, tensor) for model in MODELS for data in WORKERS for tensor in (1, 2)])


@pytest.mark.parametrize("tensor", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_any_number_of_workers_has_the_same_bits(on_threads, model, tensor):
    runs = [run for data in WORKERS for run in on_threads[model, data, tensor]]
    assert len(runs) == sum(WORKERS) * tensor
    assert len({bits(run) for run in runs}) == 1
    assert_same_run(runs[0], training(model).in_one_process(), max(TOLERANCE.values()), model)


@pytest.mark.parametrize("backend", ["process", "mpi"])
def test_processes_have_the_bits_of_threads(on_threads, backend):
    if backend == "mpi":
        pytest.importorskip("mpi4py", reason='needs MPI: pip install "minipar[mpi]"')
    ways = [way for way in on_threads if way[1] * way[2] <= 4]
    assert {(data, tensor) for _, data, tensor in ways} == {(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2)}
    for way, runs in trained(backend, 4, ways).items():
        assert len(runs) == way[1] * way[2]
        assert {bits(run) for run in runs} == {bits(on_threads[way][0])}, way


@pytest.mark.parametrize("model", MODELS)
def test_without_virtual_shards_bits_differ(model):
    made = trained("thread", 4, [(model, data, 1) for data in WORKERS], shards=None)
    assert len({bits(runs[0]) for runs in made.values()}) == len(WORKERS)
