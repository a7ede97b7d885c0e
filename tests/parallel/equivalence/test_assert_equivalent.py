"""`assert_equivalent` sees what a layout gets wrong, and names the layout, the rank and what differs first."""

from __future__ import annotations

import itertools
import sys

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.autograd import Function
from minipar.backend.random import holds_part_of_a_batch
from minipar.nn import functional as F
from tests.parallel.mpi_programs import needs_mpi

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # for ranks that are processes

X = minipar.tensor(np.random.default_rng(1).normal(size=(6, 5)))
Y = minipar.tensor([0, 2, 1, 1, 0, 2])


class Scaled(Function):
    """Backward is wrong by this factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


class Wrong(nn.Module):
    """Right in one process; with a part of a batch, wrong in one way."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.scale = nn.Parameter(minipar.ones(4))
        self.register_buffer("seen", minipar.zeros(1))

    def forward(self, x):
        part = holds_part_of_a_batch()
        if self.what == "buffer":
            self.seen += len(x)
        if self.what == "forward" and part:
            x = x * 1.01
        if self.what == "backward":
            x = Scaled.apply(x, 1.01 if part else 1.0)
        return x if self.what == "unused" and part else x * self.scale


def model(what: str) -> nn.Module:
    minipar.manual_seed(2)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4), Wrong(what), nn.Linear(4, 3)).double()


def sgd(parameters):
    return optim.SGD(parameters, lr=0.1)


SAYS = {
    "forward": r"layout data=2, rank 0: the loss of step 1 differs from one process by \S+ .*allowed are 1e-10\); "
    r"the output of layer '3' \(Wrong\) differs first: by \S+ on rank 0$",
    "backward": r"layout data=2, rank 0: in step 1, the gradient of 2\.bias differs .*; so do 2\.weight .*: 4 of 7",
    "buffer": r"layout data=2, rank 0: all losses are right, but after 3 steps 3\.seen differs",
    "unused": r"layout data=2, rank 0: in step 1, \['3\.scale'\] have a gradient here or in one process, but not in",
}


@pytest.mark.parametrize("what", SAYS)
def test_what_is_wrong_is_named(what):
    with pytest.raises(AssertionError, match=SAYS[what]):
        parallel.assert_equivalent(model(what), (X, Y), F.cross_entropy, sgd, ["data=1", "data=2"], steps=3)


def test_an_optimizer_that_differs_is_told_by_the_second_loss():
    rates = itertools.chain([0.1], itertools.repeat(0.2))  # one process comes first

    def other(parameters):
        return optim.SGD(parameters, lr=next(rates))

    says = r"layout data=2, rank 0: gradients are right in step 1, but the loss of step 2 differs .*step 3"
    with pytest.raises(AssertionError, match=says):
        parallel.assert_equivalent(model("nothing"), (X, Y), F.cross_entropy, other, ["data=2"], steps=3)


def test_a_tolerance_of_ones_own():
    found = parallel.assert_equivalent(
        model("forward"), (X, Y), F.cross_entropy, sgd, ["data=2"], steps=1, tolerance=0.5
    )
    assert 1e-6 < found["data=2"] < 0.5


# -- the first layer whose output differs ------------------------------------------------------------------------------


class CenteredOverSamples(nn.Module):
    """Takes the mean of the samples that it gets, be they a part of the batch."""

    def forward(self, x):
        return x - x.mean(0)


class CenteredOverRows(nn.Module):
    """Takes the mean of the rows that it gets, be they a part of the image."""

    def forward(self, x):
        return x - x.mean(-2, keepdim=True)


class ReadsAWeight(nn.Module):
    """Its linear layer is split over tensor ranks; the weight that it reads is this rank's part."""

    def __init__(self, features):
        super().__init__()
        self.inside = nn.Linear(features, features)

    def forward(self, x):
        return self.inside(x) * self.inside.weight.mean()


class Twice(nn.Module):
    """Its layer is right the first time."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Tanh()

    def forward(self, x):
        x = self.layer(x)
        return self.layer(x * 1.01 if holds_part_of_a_batch() else x)


def with_in_the_middle(layer):
    minipar.manual_seed(2)
    return nn.Sequential(nn.Linear(5, 32), nn.Tanh(), layer, nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def of_images(layer):
    minipar.manual_seed(2)
    first = nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Dropout(0.2)
    return nn.Sequential(*first, layer, nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 5 * 4, 3)).double()


IMAGES = minipar.tensor(np.random.default_rng(1).normal(size=(6, 1, 7, 6)))
ROWS = {"row_by_row": (CenteredOverRows,)}

CENTERED = with_in_the_middle(CenteredOverSamples()), X, r"layer '2' \(CenteredOverSamples\)"
BY_ROWS = of_images(CenteredOverRows()), IMAGES, r"layer '3' \(CenteredOverRows\)"
READING = with_in_the_middle(ReadsAWeight(32)), X, r"layer '2' \(ReadsAWeight\)"
SECOND_CALL = with_in_the_middle(Twice()), X, r"layer '2\.layer' \(Tanh\)"

INTERLEAVED = "pipeline=2,schedule=interleaved,chunks=2,microbatches=2,recompute=True"
WRONG_LAYERS = {  # layout: its options; the model, its input and the layer; and where it differs
    "data=2": ({}, CENTERED, "on rank 0"),
    "data=8": ({}, CENTERED, "on rank 0"),  # two ranks have no samples
    "data=2,zero=3": ({}, SECOND_CALL, "on rank 0, in call 2 of 2"),
    "virtual_shards=3": ({}, CENTERED, "on rank 0"),
    "pipeline=2,microbatches=3": ({"cut": [2]}, CENTERED, "on rank 1"),
    INTERLEAVED: ({"cut": [1, 2, 4]}, CENTERED, "on rank 0"),  # whose second chunk it is
    "space=2": (ROWS, BY_ROWS, "on rank 0"),
    "tensor=2": ({}, READING, "on rank 0"),
    "data=2,tensor=2": ({}, READING, "on rank 0"),
    "space=2,tensor=2": (ROWS, BY_ROWS, "on rank 0"),
}


@pytest.mark.parametrize("layout", WRONG_LAYERS)
def test_the_first_layer_whose_output_differs_is_named(layout):
    options, (net, x, layer), where = WRONG_LAYERS[layout]
    says = rf"rank 0: the loss of step 1 differs .*; the output of {layer} differs first: by [\d.e-]+ {where}$"
    with pytest.raises(AssertionError, match=says):
        parallel.assert_equivalent(net, (x, Y), F.cross_entropy, sgd, {layout: options}, steps=1)


def wrong_denominator(output, target):
    return F.cross_entropy(output, target, reduction="sum"), len(target) + 1


@pytest.mark.parametrize("layout", ["data=2", "pipeline=2,microbatches=2", "data=2,tensor=2", "data=2,zero=2"])
def test_where_all_layers_are_right_it_is_the_loss(layout):
    says = "the outputs of all layers are one process's while they are watched: look at the loss and its denominator$"
    with pytest.raises(AssertionError, match=says):
        parallel.assert_equivalent(model("nothing"), (X, Y), wrong_denominator, sgd, [layout], steps=1)


def test_layers_that_cannot_be_compared_are_told():
    """Rows of images end in the Linear behind Flatten, which passes on rows where one process has features."""
    says = r"the outputs of all layers are one process's .* \(could not be compared: layer '6' \(Flatten\)\)$"
    right = of_images(nn.Tanh()), (IMAGES, Y), wrong_denominator, sgd
    with pytest.raises(AssertionError, match=says):
        parallel.assert_equivalent(*right, ["data=2,space=2"], steps=1)


def test_a_failure_of_the_second_run_does_not_hide_the_first(monkeypatch):
    def fails(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr(parallel.equivalence, "held_layers", fails)
    says = (
        r"layout data=2, rank 0: the loss of step 1 differs from one process by .*could not be found out \(WorkerError"
    )
    with pytest.raises(AssertionError, match=says):
        parallel.assert_equivalent(model("forward"), (X, Y), F.cross_entropy, sgd, ["data=2"], steps=1)


@pytest.mark.parametrize("backend", ["process", pytest.param("mpi", marks=needs_mpi)])
def test_ranks_that_are_processes(backend):
    """(What travels to them has classes and functions of this file in it.)"""
    task = (X, Y), F.cross_entropy, sgd
    found = parallel.assert_equivalent(model("nothing"), *task, ["data=2"], steps=2, backend=backend)
    assert found["data=2"] < 1e-12
    with pytest.raises(AssertionError, match=SAYS["forward"]):
        parallel.assert_equivalent(model("forward"), *task, ["data=2"], steps=1, backend=backend)


def test_a_training_without_steps():
    with pytest.raises(ValueError, match="steps=0 must be at least 1"):
        parallel.assert_equivalent(model("nothing"), (X, Y), F.cross_entropy, sgd, steps=0)
