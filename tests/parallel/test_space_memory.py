"""An image that no single rank holds: peak bytes a rank against a formula, and training under a limit of memory."""

from __future__ import annotations

import resource
import tracemalloc
from pathlib import Path

import pytest

import minipar as torch
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.shares import share

HEIGHT, WIDTH, CHANNELS = 1600, 500, 8
LAYER = 4 * CHANNELS * WIDTH  # bytes of one row of what a layer makes


def fully_convolutional(comm):
    torch.manual_seed(0)
    layers = nn.Conv2d(1, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), nn.Conv2d(CHANNELS, 1, 3, padding=1))
    return parallel.parallelize(model, parallel.Mesh(comm, space=comm.size))


def own_pixels(comm, height):
    """This rank's rows of an image that nobody has whole."""
    rows = share(height, comm.rank, comm.size)
    y, x = torch.arange(rows.start, rows.stop), torch.arange(WIDTH)
    return (torch.sin(0.01 * y[:, None] * x) * 1.0).reshape(1, 1, -1, WIDTH)


def loss_of(net, comm, height):
    """The mean over all pixels, whose gradients are added to those of the parameters."""
    x = own_pixels(comm, height)
    return net.loss_and_gradients(F.mse_loss, x, x * x, own_rows=True)


def peak(comm):
    net = fully_convolutional(comm)
    loss_of(net, comm, 40)  # kernels are compiled and buffers made
    tracemalloc.start()
    try:
        loss_of(net, comm, HEIGHT)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_peak_bytes_are_those_of_the_formula(workers):
    """Kept are two layers; of rows also the two halo'd copies that the next layer looks at. Two gradients pass by."""
    layers = 4 if workers == 1 else 5
    rows = HEIGHT // workers + 2 * (workers > 1)
    expected = layers * rows * LAYER
    of_one_channel = 8 * rows * 4 * WIDTH  # images, targets, differences
    for bytes_ in parallel.launch(peak, workers=workers, backend="process"):
        assert expected <= bytes_ <= 1.02 * expected + of_one_channel


def data_bytes() -> int:
    """Private memory that may be written, as RLIMIT_DATA counts it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
    return int(line.split()[1]) * 1024


def train_under_a_limit(comm, allowed):
    net = fully_convolutional(comm)
    step = optim.SGD(net.parameters(), lr=0.1)
    before = loss_of(net, comm, 40)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + allowed, resource.RLIM_INFINITY))
    try:
        losses = []
        for _ in range(3):
            step.zero_grad()
            losses.append(loss_of(net, comm, HEIGHT))
            step.step()
        return losses
    except MemoryError:
        return before
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_an_image_trains_that_one_process_cannot_hold():
    allowed = 3 * HEIGHT * LAYER  # of which one process needs four, and each of two needs two and a half
    assert isinstance(parallel.launch(train_under_a_limit, allowed, workers=1, backend="process")[0], float)
    first, second = parallel.launch(train_under_a_limit, allowed, workers=2, backend="process")
    assert first == second
    assert first[0] > first[1] > first[2]
