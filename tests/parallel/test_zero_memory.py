"""ZeRO's claim: a model trains under a limit of memory that one process exceeds; peak bytes a rank by the formula."""

from __future__ import annotations

import gc
import resource
import time
import tracemalloc
from functools import cache
from pathlib import Path

import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F

WIDTH, LAYERS = 700, 16
LAYER = 4 * WIDTH * (WIDTH + 1)  # bytes of its parameters, float32, and of a bucket
WHOLE = LAYERS * LAYER
HELD = {  # bytes of parameters, gradients and Adam's state, for N ranks
    1: lambda n: (8 + 8 / n) / 4 * WHOLE,
    2: lambda n: (4 + 12 / n) / 4 * WHOLE,
    3: lambda n: 16 / n / 4 * WHOLE,
}
PASSING_BY = {  # beside them, at the peak of a step
    1: 0,
    2: 4 * LAYER,  # a gradient, as backward has made it and as it is to be sent; two buckets that are on their way
    3: 4 * LAYER,  # a layer's parameters; its gradient, those two, and the sum while it is being made
}
REST = 0.25 * LAYER  # activations, and all that is small


class LateTanh(nn.Module):
    """Backward waits a moment, so that a rank without it is ahead, and its buckets are all on their way."""

    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds

    def forward(self, x):
        y = x.tanh()
        y.register_hook(lambda _: time.sleep(self._seconds))
        return y


def one_step(mesh, zero, layers=LAYERS, late=0.0):
    """A function that makes a step; with `zero` None, that of one process by itself."""
    minipar.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(layers) for layer in (nn.Linear(WIDTH, WIDTH), LateTanh(late))])
    x, y = minipar.ones(2, WIDTH), minipar.zeros(2, WIDTH)
    if zero is None:
        optimizer = optim.Adam(model.parameters(), lr=1e-4)

        def step():
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step
    net = parallel.parallelize(model, mesh, zero=zero, bucket=LAYER)
    optimizer = optim.Adam(net.parameters(), lr=1e-4)
    return lambda: net.train_step(F.mse_loss, optimizer, x, y)


def shared_bytes(comm) -> int:
    """This rank's part of the memory that all ranks see: neither tracemalloc nor RLIMIT_DATA knows of it."""
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if "/memfd:minipar" in line]
    ends = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    return sum(stop - start for start, stop in ends) // comm.size


# -- peak bytes --------------------------------------------------------------------------------------------------------


def peaks(comm):
    """Of a step, by stage."""
    mesh = parallel.Mesh(comm, data=comm.size)
    one_step(mesh, 3, layers=2)()  # modules are loaded
    return {zero: peak(mesh, zero) for zero in HELD}


def peak(mesh, zero):
    gc.collect()  # of the stage before, nothing is to go while this one is measured
    shared = shared_bytes(mesh.comm)
    tracemalloc.start()
    try:
        step = one_step(mesh, zero, late=0.02 * (mesh.comm.rank > 0))
        step()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1] + shared_bytes(mesh.comm) - shared
    finally:
        tracemalloc.stop()


@cache
def peaks_of_ranks(workers):
    return parallel.launch(peaks, workers=workers, backend="process")


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("zero", HELD)
def test_peak_bytes_are_those_of_the_formula(zero, workers):
    """On every rank at least what it keeps; and on the one with most passing by, that as well, and nothing else."""
    bytes_, held = [of_rank[zero] for of_rank in peaks_of_ranks(workers)], HELD[zero](workers)
    assert min(bytes_) >= held
    assert held + PASSING_BY[zero] <= max(bytes_) <= held + PASSING_BY[zero] + REST


# -- a limit -----------------------------------------------------------------------------------------------------------


def private_bytes() -> int:
    """Memory of this process alone that may be written, as RLIMIT_DATA counts it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
    return int(line.split()[1]) * 1024


def limit(bytes_):
    resource.setrlimit(resource.RLIMIT_DATA, (int(bytes_), resource.RLIM_INFINITY))


def train_under_a_limit(comm, zero, allowed):
    """Two losses. What all ranks see counts as well: the limit is lowered by this rank's part, once it is made."""
    mesh = parallel.Mesh(comm, data=comm.size)
    one_step(mesh, zero, layers=2)()  # modules are loaded, threads started
    start, shared = private_bytes() + allowed, shared_bytes(comm)
    limit(start)
    try:
        step = one_step(mesh, zero)
        limit(start - (shared_bytes(comm) - shared))
        return [step() for _ in range(2)]
    except MemoryError:
        return "MemoryError"
    finally:
        limit(resource.RLIM_INFINITY)


def test_a_model_trains_that_one_process_cannot():
    """One process needs four times its parameters; each of two ranks three times, two and a half, or twice."""

    def train(zero, times, workers):
        return parallel.launch(train_under_a_limit, zero, times * WHOLE, workers=workers, backend="process")

    assert train(None, 3.5, 1) == ["MemoryError"]
    (alone,) = train(None, 6, 1)
    assert alone[0] > alone[1]
    for zero in HELD:
        first, second = train(zero, 3.5, 2)
        assert first == second == pytest.approx(alone, rel=1e-5)
