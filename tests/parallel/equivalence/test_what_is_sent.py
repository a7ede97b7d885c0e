"""What is claimed of a training step is seen in its timeline: when gradients travel, and how many bytes are sent.

A span's bytes are those of the array that the rank passes (or gets: in a broadcast all have it). P are the bytes of all
parameters, A those of the activations of the whole batch between two layers.
"""

from __future__ import annotations

import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import timeline
from minipar.parallel.gradients import GradientExchange
from minipar.parallel.shares import shares

WIDTH, SAMPLES, LAYERS = 32, 13, 4  # 13: neither ranks nor micro-batches have equal shares
LAYER = 8 * (WIDTH * WIDTH + WIDTH)  # bytes of its parameters, in float64
P = LAYERS * LAYER
A = 8 * SAMPLES * WIDTH
DRAWS = 8  # bytes: how many numbers a stage has drawn, told once a batch, behind its first activation
LITTLE = 8 * WIDTH  # bytes: the loss, and who has used what, take less, and every parameter as many or more


class Meeting(nn.Module):
    """Changes nothing; but on the way back ranks meet here, so that none is ahead of what the others have sent."""

    comm: parallel.Communicator

    def forward(self, x):
        if x.requires_grad:
            x.register_hook(lambda gradient: self.comm.barrier())
        return x


def model(*more) -> nn.Module:
    layers = [kind() for _ in range(LAYERS) for kind in (lambda: nn.Linear(WIDTH, WIDTH), nn.Tanh, *more)]
    return nn.Sequential(*layers).double()


def recorded(comm, layout, build=model, shape=(SAMPLES, WIDTH), **options):
    """The timelines of all ranks in a second step."""
    net = parallel.Layout.parse(layout).parallelize(build(), comm, **options)
    for stage in net.modules():
        for meeting in (module for module in stage.modules() if isinstance(module, Meeting)):
            meeting.comm = net.mesh.replicas
    step = optim.SGD(net.parameters(), lr=0.1)
    x = minipar.ones(*shape, dtype=minipar.float64)
    net.train_step(F.mse_loss, step, x, x)
    with timeline.record() as recording:
        net.train_step(F.mse_loss, step, x, x)
    return timeline.merge(comm, recording)


def on_threads(layout, **options):
    return parallel.launch(recorded, layout, workers=parallel.Layout.parse(layout).ranks, backend="thread", **options)[
        0
    ]


def spans(recording, *names):
    return sorted((span for span in recording if span.name.startswith(names)), key=lambda span: span.start_ns)


def passed(recording, name, at_least=0):
    """Bytes in all calls of this name."""
    return sum(span.nbytes for span in recording if span.name == name and span.nbytes >= at_least)


# -- when --------------------------------------------------------------------------------------------------------------


def travels_in_backward(recording):
    """Of each layer, from the last to the first: do its gradients leave and arrive while backward runs?"""
    backward = spans(recording, "backward")[-1]  # of the last micro-batch: before, no gradient is complete
    sent = [span for span in spans(recording, "all_reduce", "reduce") if span.nbytes >= LITTLE]
    each = len(sent) // LAYERS
    inside = [backward.start_ns < span.start_ns and span.end_ns < backward.end_ns for span in sent]
    return [all(inside[i : i + each]) for i in range(0, len(sent), each)]


def with_meetings():
    return model(Meeting)


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("thread", "microbatches=1"),
        ("thread", "microbatches=2"),
        ("thread", "zero=1"),
        ("thread", "zero=2,microbatches=2"),
        ("process", "microbatches=2"),
    ],
)
def test_gradients_of_later_layers_travel_while_backward_still_runs(backend, options):
    ranks = parallel.launch(recorded, f"data=2,{options}", with_meetings, bucket=LAYER, workers=2, backend=backend)[0]
    for recording in ranks:
        assert travels_in_backward(recording) == [True, True, True, False]  # with the first layer's, backward is over


def test_gradients_that_wait_for_the_end_of_backward_are_noticed(monkeypatch):
    monkeypatch.setattr(GradientExchange, "_arrived", lambda self, p: self._arrivals.add(id(p)))
    for recording in on_threads("data=2", build=with_meetings, bucket=LAYER):
        assert travels_in_backward(recording) == [False] * LAYERS


# -- how much: pipelines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zb-h1"])
@pytest.mark.parametrize("microbatches", [1, 3, 4])
def test_bytes_between_stages(schedule, microbatches):
    """A goes on, in all micro-batches together, and as much comes back."""
    ranks = on_threads(f"pipeline=2,microbatches={microbatches},schedule={schedule}")
    for recording in ranks:
        assert passed(recording, "isend") == A + (DRAWS if recording is ranks[0] else 0)
    assert sum(len(spans(recording, "isend")) for recording in ranks) == 2 * microbatches + 1


@pytest.mark.parametrize(("pipeline", "chunks", "microbatches"), [(2, 2, 2), (2, 3, 4), (3, 2, 3)])
def test_bytes_between_interleaved_stages(pipeline, chunks, microbatches):
    """Stage s is on rank s mod p: every stage but the last sends A on, and every one but the first sends A back."""
    stages = pipeline * chunks
    ranks = on_threads(f"pipeline={pipeline},microbatches={microbatches},schedule=interleaved,chunks={chunks}")
    for rank, recording in enumerate(ranks):
        mine = range(rank, stages, pipeline)
        on, back = chunks - (stages - 1 in mine), chunks - (0 in mine)
        assert passed(recording, "isend") == (on + back) * A + on * DRAWS
        assert len(spans(recording, "isend")) == (on + back) * microbatches + on


@pytest.mark.parametrize("microbatches", [1, 3])
def test_bytes_of_data_and_pipeline_ranks(microbatches):
    """A pipeline sends its share of A each way, however it is cut; each stage's gradients are added up once a batch."""
    ranks = on_threads(f"data=2,pipeline=2,microbatches={microbatches}")
    for rank, recording in enumerate(ranks):
        data, stage = divmod(rank, 2)
        assert passed(recording, "isend") == A * shares(SAMPLES, 2)[data] // SAMPLES + (DRAWS if stage == 0 else 0)
        assert passed(recording, "all_reduce", at_least=LITTLE) == P // 2


# -- how much: data, tensor and space ----------------------------------------------------------------------------------


@pytest.mark.parametrize("microbatches", [1, 2])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_bytes_of_data_ranks(zero, microbatches):
    """Gradients are added up once a batch: P in an all-reduce, or in reduces to their owners, from stage 2 on.

    What owners have stepped they tell: P, once a batch; in stage 3 whenever a layer runs, forward and backward, in
    every micro-batch.
    """
    for recording in on_threads(f"data=3,zero={zero},microbatches={microbatches}"):
        assert passed(recording, "all_reduce", at_least=LITTLE) == (P if zero < 2 else 0)
        assert passed(recording, "reduce") == (0 if zero < 2 else P)
        assert passed(recording, "broadcast") == (0, P, P, 2 * microbatches * P)[zero]
        assert zero != 1 or len(spans(recording, "broadcast")) == 3  # each owner's lie side by side: one call


def test_bytes_between_tensor_ranks():
    """Two pairs of layers: of each, one all-reduce of the output forward, and one of the input's gradient backward."""
    for recording in on_threads("tensor=2"):
        of_outputs = [span for span in spans(recording, "all_reduce") if span.nbytes == A]
        assert len(of_outputs) == 3  # the input of the model wants no gradient


SHAPE = (2, 3, 8, 5)  # images (N, C, H, W): 3, 3 and 2 rows on three ranks
KERNELS = (3, 5, 3)


def convolutions() -> nn.Module:
    return nn.Sequential(*[nn.Conv2d(3, 3, kernel, padding=kernel // 2) for kernel in KERNELS]).double()


@pytest.mark.parametrize("space", [2, 3])
def test_bytes_between_space_ranks(space):
    """A kernel of k rows looks at (k - 1) / 2 rows of either neighbour, which a rank sends; back come their gradients.

    But for the first layer: the input of the model wants no gradient.
    """
    images, channels, _, columns = SHAPE
    row = 8 * images * channels * columns
    halos = [kernel // 2 for kernel in KERNELS]
    for rank, recording in enumerate(on_threads(f"space={space}", build=convolutions, shape=SHAPE)):
        neighbours = (rank > 0) + (rank < space - 1)
        assert passed(recording, "isend") == neighbours * row * (sum(halos) + sum(halos[1:]))
        assert passed(recording, "irecv") == passed(recording, "isend")
