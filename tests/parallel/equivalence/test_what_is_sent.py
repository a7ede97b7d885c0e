"""How much each rank sends in a training step, as its timeline tells: all communicator calls of the step, by kind.

A span's bytes are those of the array that the rank passes (or gets: in a recv; and in a broadcast all have it). So an
all_reduce of the gradients counts as their bytes, whatever a backend moves for it. P are the bytes of all parameters, A
those of the activations of the whole batch between two layers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.parallel import Layout, timeline
from minipar.parallel.shares import shares
from tests.parallel.equivalence.halves import KINDS, NUMBER, Kind
from tests.parallel.equivalence.recorded_steps import Recording, mean_square, on_threads, recorded, sent, spans

WIDTH, SAMPLES, LAYERS = 32, 13, 4  # 13: neither ranks nor micro-batches have equal shares
LAYER = NUMBER * (WIDTH * WIDTH + WIDTH)  # bytes of its parameters
P = LAYERS * LAYER
A = NUMBER * SAMPLES * WIDTH
DRAWS = NUMBER  # how many numbers a stage has drawn, told once a batch, behind its first activation
BATCH = (SAMPLES, WIDTH)


def model(layers: int = LAYERS) -> nn.Module:
    return nn.Sequential(*[layer for _ in range(layers) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]).double()


def besides(ranks: int, parameters: int) -> Counter[str]:
    """What is sent in every step, however little there is.

    All ranks tell the loss (its sum and denominator, and which of three ways it was reduced in), and each what it has
    drawn, how long its batch is, and what batch; ranks that hold the same parameters tell which of them were used, in
    float32.
    """
    return Counter(all_reduce=NUMBER * (2 + 3 + 3 * ranks) + 4 * parameters)


def on_each(recordings: list[Recording], expected: list[Counter[str]]) -> None:
    assert [sent(recording) for recording in recordings] == expected


# -- pipelines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zb-h1"])
@pytest.mark.parametrize("microbatches", [1, 3, 4])
def test_bytes_between_stages(schedule, microbatches):
    """A goes on, in all micro-batches together, and as much comes back."""
    ranks = on_threads(f"pipeline=2,microbatches={microbatches},schedule={schedule}", model, BATCH)
    told = besides(ranks=2, parameters=LAYERS)
    on_each(ranks, [told + Counter(isend=A + DRAWS, recv=A), told + Counter(isend=A, recv=A + DRAWS)])
    assert sum(len(spans(recording, "isend")) for recording in ranks) == 2 * microbatches + 1


@pytest.mark.parametrize(("pipeline", "chunks", "microbatches"), [(2, 2, 2), (2, 3, 4), (3, 2, 3)])
def test_bytes_between_interleaved_stages(pipeline, chunks, microbatches):
    """Stage s is on rank s mod p: every stage but the last sends A on, and every one but the first sends A back."""
    stages = pipeline * chunks
    layout = f"pipeline={pipeline},microbatches={microbatches},schedule=interleaved,chunks={chunks}"
    for rank, recording in enumerate(on_threads(layout, lambda: model(stages), BATCH)):
        mine = range(rank, stages, pipeline)
        on, back = chunks - (stages - 1 in mine), chunks - (0 in mine)
        messages = Counter(isend=(on + back) * A + on * DRAWS, recv=(on + back) * A + back * DRAWS)
        assert sent(recording) == besides(pipeline, parameters=2 * chunks) + messages
        assert len(spans(recording, "isend")) == (on + back) * microbatches + on


# -- data ranks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("microbatches", [1, 2])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_bytes_of_data_ranks(zero, microbatches):
    """Gradients are added up once a batch: P in an all-reduce, or in reduces to their owners, from stage 2 on.

    What owners have stepped they tell: P, once a batch; in stage 3 whenever a layer runs, forward and backward, in
    every micro-batch.
    """
    gradients = Counter(all_reduce=P) if zero < 2 else Counter(reduce=P)
    owners = Counter(broadcast=(0, P, P, 2 * microbatches * P)[zero])
    ranks = on_threads(f"data=3,zero={zero},microbatches={microbatches}", model, BATCH)
    on_each(ranks, [besides(ranks=3, parameters=2 * LAYERS) + gradients + owners] * 3)
    assert zero != 1 or len(spans(ranks[0], "broadcast")) == 3  # each owner's lie side by side: one call


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_bytes_of_virtual_shards(workers):
    """One sum of the losses and of which parameters are used, and one of the gradients, each along the tree.

    Up the tree every rank but the first sends what it has once, and down again gets it once. Besides: all compare how
    long the batch is, and which; and the numbers drawn.
    """
    ranks = parallel.launch(_by_tree, workers, workers=workers, backend="thread")
    sums = NUMBER * (5 + 2 * LAYERS) + P
    for recording, _, _ in ranks:
        assert sent(recording) == Counter(all_gather=2 * NUMBER, all_reduce=sums + NUMBER)
    assert sum(messages for _, messages, _ in ranks) == 2 * 2 * (workers - 1)
    assert sum(nbytes for _, _, nbytes in ranks) == 2 * (workers - 1) * sums


def _by_tree(comm: parallel.Communicator, workers: int) -> tuple[Recording, int, int]:
    """What a rank records in a second step, and the messages and bytes that go from it to others for it."""
    net = Layout(data=workers, virtual_shards=4).parallelize(model(), comm)
    step = optim.SGD(net.parameters(), lr=0.1)
    x = minipar.ones(*BATCH, dtype=minipar.float64)
    net.train_step(mean_square, step, x)
    before = replace(net.mesh.data.traffic)
    with timeline.record() as recording:
        net.train_step(mean_square, step, x)
    after = net.mesh.data.traffic
    return recording, after.messages - before.messages, after.bytes - before.bytes


# -- tensor ranks, and hybrids -----------------------------------------------------------------------------------------

LAYOUTS = [
    "tensor=2",
    "tensor=3,microbatches=2",
    "data=2,tensor=2,microbatches=2",
    "pipeline=2,tensor=2,microbatches=3",
]
LAYOUTS += ["data=2,pipeline=2,microbatches=2", "data=2,pipeline=2,tensor=2"]
FOUR = [layout for layout in LAYOUTS if Layout.parse(layout).ranks == 4]


def formula(kind: Kind, layout: Layout, rank: int) -> Counter[str]:
    """What a rank sends: for its share of the samples and its halves, in other calls with each axis.

    Tensor ranks say what their halves do; stages send the activations between the halves, and as much comes back; data
    ranks add up the gradients of what they hold.
    """
    data, stage, _, tensor = np.unravel_index(rank, (layout.data, layout.pipeline, layout.space, layout.tensor))
    samples = shares(SAMPLES, layout.data)[data]
    halves = kind.halves if layout.pipeline == 1 else [kind.halves[stage]]
    numbers: Counter[str] = Counter()
    if layout.tensor > 1:
        for half in halves:
            numbers += half.sent(samples, layout.tensor)
    if layout.pipeline > 1:
        numbers += Counter(isend=samples * kind.between, recv=samples * kind.between)
        numbers["recv" if stage else "isend"] += 1  # draws
    if layout.data > 1:
        numbers["all_reduce"] += sum(half.held(layout.tensor, tensor) for half in halves)
    of_arrays = Counter({name: NUMBER * count for name, count in numbers.items()})
    return of_arrays + besides(layout.ranks, sum(half.parameters for half in halves))


def recorded_kind(comm: parallel.Communicator, kind: str, layout: str) -> list[Recording]:
    build, sample, words, _, middle, _ = KINDS[kind]
    cut = {"cut": [middle]} if Layout.parse(layout).pipeline > 1 else {}
    return recorded(comm, layout, build, (SAMPLES, *sample), words, **cut)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_models_in_hybrids(kind, layout):
    ranks = Layout.parse(layout).ranks
    made = parallel.launch(recorded_kind, kind, layout, workers=ranks, backend="thread")[0]
    on_each(made, [formula(KINDS[kind], Layout.parse(layout), rank) for rank in range(ranks)])


def test_processes_send_what_threads_send():
    def all_of_them(comm):
        return {(kind, layout): recorded_kind(comm, kind, layout) for kind in KINDS for layout in FOUR}

    assert len(FOUR) == 3
    for (kind, layout), made in parallel.launch(all_of_them, workers=4, backend="process")[0].items():
        on_each(made, [formula(KINDS[kind], Layout.parse(layout), rank) for rank in range(4)])


# -- space ranks -------------------------------------------------------------------------------------------------------

SHAPE = (5, 3, 8, 5)  # images (N, C, H, W): 3, 3 and 2 rows on three ranks
KERNELS = (3, 5, 3)


def convolutions() -> nn.Module:
    return nn.Sequential(*[nn.Conv2d(3, 3, kernel, padding=kernel // 2) for kernel in KERNELS]).double()


@pytest.mark.parametrize(("data", "space"), [(1, 2), (1, 3), (2, 2)])
def test_bytes_between_space_ranks(data, space):
    """A kernel of k rows looks at (k - 1) / 2 rows of either neighbour, which a rank sends; back come their gradients.

    But for the first layer: the input of the model wants no gradient. Before a layer ranks tell how many rows they
    have; and the gradients of all parameters are added up over ranks of both axes.
    """
    _, channels, _, columns = SHAPE
    halos = [kernel // 2 for kernel in KERNELS]
    parameters = sum(channels * (channels * kernel**2 + 1) for kernel in KERNELS)
    for rank, recording in enumerate(on_threads(f"data={data},space={space}", convolutions, SHAPE)):
        images = shares(SHAPE[0], data)[rank // space]
        row = NUMBER * images * channels * columns
        neighbours = (rank % space > 0) + (rank % space < space - 1)
        rows = neighbours * row * (sum(halos) + sum(halos[1:]))
        expected = Counter(isend=rows, irecv=rows, all_gather=NUMBER * len(KERNELS), all_reduce=NUMBER * parameters)
        assert sent(recording) == besides(data * space, parameters=6) + expected


def pair_of_convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1)).double()


def test_bytes_of_space_and_tensor_ranks():
    """Of a pair of convolutions, the second one's halo is of own channels, and its outputs' own rows are added up."""
    images, channels, height, columns = SHAPE
    for rank, recording in enumerate(on_threads("space=2,tensor=2", pair_of_convolutions, SHAPE)):
        own = shares(5, 2)[rank % 2]
        rows = images * columns * (channels + 2 * own)  # of the first layer no gradient comes back
        sums = images * 4 * height // 2 * columns
        parameters = own * (9 * channels + 1) + 4 * (9 * own + 1)
        numbers = Counter(isend=rows, irecv=rows, all_gather=2, all_reduce=sums + parameters)
        expected = Counter({name: NUMBER * count for name, count in numbers.items()})
        assert sent(recording) == besides(ranks=4, parameters=4) + expected
