"""`assert_equivalent` sees what a layout gets wrong, and names the layout, the rank and what differs first."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.autograd import Function
from minipar.backend.random import holds_part_of_a_batch
from minipar.nn import functional as F

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
    "forward": r"layout data=2, rank 0: the loss of step 1 differs from one process by \S+ .*allowed are 1e-10",
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
