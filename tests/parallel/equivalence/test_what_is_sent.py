"""What is claimed of a training step is seen in its timeline: when gradients travel, and how many bytes are sent."""

from __future__ import annotations

import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import timeline

WIDTH, SAMPLES = 32, 12


def model() -> nn.Module:
    return nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]).double()


def recorded(comm, layout, **options):
    """The timelines of all ranks in a second step."""
    net = parallel.Layout.parse(layout).parallelize(model(), comm, **options)
    step = optim.SGD(net.parameters(), lr=0.1)
    x = minipar.ones(SAMPLES, WIDTH, dtype=minipar.float64)
    net.train_step(F.mse_loss, step, x, x)
    with timeline.record() as recording:
        net.train_step(F.mse_loss, step, x, x)
    return timeline.merge(comm, recording)


def spans(recording, name):
    return sorted((span for span in recording if span.name.startswith(name)), key=lambda span: span.start_ns)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_gradients_of_later_layers_travel_while_backward_still_runs(backend):
    bytes_of_layer = 8 * (WIDTH * WIDTH + WIDTH)
    ranks = parallel.launch(recorded, "data=2", bucket=bytes_of_layer, workers=2, backend=backend)[0]
    for recording in ranks:
        (backward,) = spans(recording, "backward 0")
        buckets = [span for span in spans(recording, "all_reduce") if span.nbytes == bytes_of_layer]
        assert len(buckets) == 4
        assert backward.start_ns < buckets[0].start_ns < backward.end_ns
        assert buckets[3].start_ns >= backward.end_ns  # the first layer's gradient is the last to come


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zb-h1"])
@pytest.mark.parametrize("microbatches", [1, 3, 4])
def test_bytes_between_stages(schedule, microbatches):
    layout = f"pipeline=2,microbatches={microbatches},schedule={schedule}"
    ranks = parallel.launch(recorded, layout, workers=2, backend="thread")[0]
    activations = 8 * SAMPLES * WIDTH  # of all micro-batches, and as many bytes of gradients on the way back
    number_of_draws = 8  # told once a batch, behind the first activation
    for recording in ranks:
        sent = sum(span.nbytes for span in recording if span.kind == "communication" and span.name.startswith("isend"))
        assert sent == activations + (number_of_draws if recording is ranks[0] else 0)
    assert sum(len(spans(recording, "isend")) for recording in ranks) == 2 * microbatches + 1


def test_bytes_between_tensor_ranks():
    """Two pairs of layers: of each, one all-reduce of the output forward, and one of the input's gradient backward."""
    ranks = parallel.launch(recorded, "tensor=2", workers=2, backend="thread")[0]
    output = 8 * SAMPLES * WIDTH
    for recording in ranks:
        of_outputs = [span for span in spans(recording, "all_reduce") if span.nbytes == output]
        assert len(of_outputs) == 3  # the input of the model wants no gradient
