"""cut=measured: a pipeline is cut by the time that its layers take, and trains as one process does."""

from functools import cache

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.equivalence import Training, assert_same_run
from minipar.parallel.pipeline import LayerCost, layers, measured_cut, stages_of_model

DATA = np.random.default_rng(4)
X = minipar.tensor(DATA.normal(size=(14, 1, 24, 24)))
Y = minipar.tensor(DATA.integers(0, 3, 14))
LAYOUTS = [
    "pipeline=2,microbatches=3,cut=measured",
    "pipeline=2,microbatches=2,schedule=interleaved,chunks=2,cut=measured",
    "data=2,pipeline=2,microbatches=2,schedule=zb-h1,cut=measured",
    "pipeline=2,tensor=2,schedule=gpipe,cut=measured",
    "pipeline=2,space=2,cut=measured",
]


def model():
    """Its convolutions take the time, its linear layer has the parameters."""
    minipar.manual_seed(3)
    convolutions = [nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 16, 5, padding=2), nn.Dropout(0.2)]
    convolutions += [nn.Tanh(), nn.Conv2d(16, 2, 5, padding=2), nn.AvgPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(288, 80), nn.Tanh(), nn.Linear(80, 3)).double()


def training():
    return Training(model(), [(X, Y)], F.cross_entropy, lambda p: optim.SGD(p, lr=0.1, momentum=0.9), steps=3)


@cache
def in_one_process():
    return training().in_one_process()


def test_a_model_that_is_cut_by_what_was_measured_trains_as_one_process():
    """As a user writes it; the cut is none that numbers of parameters would give."""

    def train(comm):
        task = training()
        cut = measured_cut(task.model, X, 2, comm)
        return cut, task.in_layout(comm, parallel.Layout(pipeline=2, microbatches=2), cut=cut)

    by_parameters = len(stages_of_model(model(), 2)[0])
    for rank, ((first,), run) in enumerate(parallel.launch(train, workers=2, backend="thread")):
        assert first <= 5 < by_parameters, "the last convolution is in the second stage"
        assert_same_run(run, in_one_process(), 1e-10, f"cut={[first]}, rank {rank}")


@pytest.mark.parametrize("text", LAYOUTS)
def test_a_layout_measures_by_itself_and_trains_as_one_process(text):
    layout = parallel.Layout.parse(text)
    runs = parallel.launch(lambda comm: training().in_layout(comm, layout), workers=layout.ranks, backend="thread")
    for rank, run in enumerate(runs):
        assert_same_run(run, in_one_process(), 1e-10, f"{text}, rank {rank}")


@pytest.mark.parametrize(("text", "samples"), list(zip(LAYOUTS, [5, 7, 4, 14, 14])))
def test_the_first_micro_batch_is_measured_for_every_stage(text, samples, monkeypatch):
    """Each stage begins where the costs say, on every rank: 1, 2 and 5 take all the time, late ones send least."""
    measured = []

    def told(whole, x):
        measured.append(tuple(x.shape))
        return [LayerCost(str(i), 9.0 * (i in (1, 2, 5)), 0.0, nbytes=99 - i) for i in range(len(layers(whole)))]

    monkeypatch.setattr("minipar.parallel.pipeline.stages.measure", told)
    layout = parallel.Layout.parse(text)

    def lengths(comm):
        net = layout.parallelize(model(), comm, sample=X)
        return net.mesh.pipeline.rank, [len(stage) for stage in net.modules()]

    found = parallel.launch(lengths, workers=layout.ranks, backend="thread")
    expected = {0: [2, 5], 1: [3, 1]} if layout.chunks == 2 else {0: [5], 1: [6]}
    assert [stages for _, stages in found] == [expected[place] for place, _ in found]
    assert measured == [(samples, 1, 24, 24)], "by rank 0 alone"


def test_without_a_sample_it_says_what_is_missing_on_every_rank():
    def make(comm):
        layout = parallel.Layout.parse("pipeline=2,cut=measured")
        with pytest.raises(ValueError, match=r"layout pipeline=2,cut=measured: .* pass sample=x, the inputs of a b"):
            layout.parallelize(model(), comm)
        assert len(layout.parallelize(model(), comm, cut=[4]).modules()[0]) == (4 if comm.rank == 0 else 7)

    parallel.launch(make, workers=2, backend="thread")


def test_one_stage_is_not_measured():
    def make(comm):
        layout = parallel.Layout.parse("data=2,cut=measured")
        return layout.first_layers(nn.ReLU(), comm), layout.parallelize(nn.Linear(1, 1), comm).mesh.data.size

    assert parallel.launch(make, workers=2, backend="thread") == [(None, 2)] * 2


def test_a_layout_says_parameters_or_measured():
    for make in (lambda: parallel.Layout(pipeline=2, cut="seconds"), lambda: parallel.Layout.parse("cut=seconds")):
        with pytest.raises(ValueError, match="cut must be parameters or measured, not 'seconds'"):
            make()
    assert parallel.Layout.parse("pipeline=2,cut=parameters") == parallel.Layout(pipeline=2)
    assert str(parallel.Layout.parse("pipeline=2,cut=measured")) == "pipeline=2,cut=measured"
