"""ZeRO's claim: a model trains under a limit of memory that one process exceeds; peak bytes a rank by the formula."""

from __future__ import annotations

import resource
import tracemalloc
from pathlib import Path

import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F

WIDTH, LAYERS = 1000, 8
UNIT = 4 * WIDTH * (WIDTH + 1)  # bytes of a layer's parameters, float32
WHOLE = LAYERS * UNIT
PEAK = {  # bytes of parameters, gradients and Adam's state, for N ranks
    2: lambda n: (4 + 12 / n) / 4 * WHOLE,
    3: lambda n: 16 / n / 4 * WHOLE,
}


def deep(layers=LAYERS):
    minipar.manual_seed(0)
    return nn.Sequential(*[layer for _ in range(layers) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())])


def one_step(comm, zero, layers=LAYERS):
    """A function that makes a step; with `zero` None, that of one process by itself."""
    x, y = minipar.ones(2, WIDTH), minipar.zeros(2, WIDTH)
    if zero is None:
        model = deep(layers)
        optimizer = optim.Adam(model.parameters(), lr=1e-4)

        def step():
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step
    net = parallel.parallelize(deep(layers), parallel.Mesh(comm, data=comm.size), zero=zero, bucket=UNIT)
    optimizer = optim.Adam(net.parameters(), lr=1e-4)
    return lambda: net.train_step(F.mse_loss, optimizer, x, y)


def data_bytes() -> int:
    """Private memory that may be written, as RLIMIT_DATA counts it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
    return int(line.split()[1]) * 1024


def train_under_a_limit(comm, zero, allowed):
    one_step(comm, zero, layers=2)()  # modules are loaded, threads started
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + allowed, resource.RLIM_INFINITY))
    try:
        step = one_step(comm, zero)
        return [step() for _ in range(2)]
    except MemoryError:
        return "MemoryError"
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_model_trains_that_one_process_cannot():
    """One process needs four times its parameters, each of two ranks twice, and a few layers."""
    allowed = int(3.5 * WHOLE)
    assert parallel.launch(train_under_a_limit, None, allowed, workers=1, backend="process") == ["MemoryError"]
    first, second = parallel.launch(train_under_a_limit, 3, allowed, workers=2, backend="process")
    assert first == second
    assert first[0] > first[1]


def peak(comm, zero):
    one_step(comm, zero, layers=2)()
    tracemalloc.start()
    try:
        step = one_step(comm, zero)
        step()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("zero", [2, 3])
def test_peak_bytes_are_those_of_the_formula(zero):
    """And a few layers: parameters of one, gradients of two that are on their way, twice, on a rank that adds them up.

    Stage 3 has a rank's gradients twice for a moment: as sums, and divided in the buffer beside its parameters.
    """
    expected = PEAK[zero](2) + (WHOLE / 2 if zero == 3 else 0)
    for bytes_ in parallel.launch(peak, zero, workers=2, backend="process"):
        assert expected <= bytes_ <= expected + 5 * UNIT
