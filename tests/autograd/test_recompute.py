"""checkpoint: the same gradients, with nothing kept inside."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def model():
    minipar.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)).double()


def gradients(run, second=False):
    net = model()
    x = minipar.tensor(np.random.default_rng(0).standard_normal((5, 3)), requires_grad=True)
    loss = (run(net, x) ** 2).sum()
    leaves = [x, *net.parameters()]
    first = minipar.autograd.grad(loss, leaves, create_graph=second)
    if second:
        first = minipar.autograd.grad(sum((g * g).sum() for g in first), leaves)
    return [g.numpy() for g in first]


RUNS = {
    "whole": lambda net, x: checkpoint(net, x),
    "part": lambda net, x: net[2:](checkpoint(net[:2], x)),
    "nested": lambda net, x: checkpoint(lambda h: net[2:](checkpoint(net[:2], h)), x),
    "sequential": lambda net, x: checkpoint_sequential(net, 2, x),
    "keyword": lambda net, x: checkpoint(lambda *, h: net(h), h=x),
}


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("name", RUNS)
def test_gradients_are_those_without(name, second):
    plain = gradients(lambda net, x: net(x), second)
    for a, b in zip(gradients(RUNS[name], second), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_inside_is_kept():
    kept = []

    def block(x):
        h = x.exp()
        kept.append(weakref.ref(h))
        y = h.tanh()
        kept.append(weakref.ref(y))
        return (y * h).sum()

    x = minipar.ones(4, requires_grad=True)
    gc.disable()
    try:
        y = checkpoint(block, x)
        assert [r() for r in kept] == [None, None]
        y.backward()
        assert x.grad is not None
        assert len(kept) == 4  # it ran twice
        y2 = checkpoint(block, x)
        gone = weakref.ref(y2.grad_fn)
        del y2
        assert gone() is None  # no cycle
    finally:
        gc.enable()


def test_arrays_saved_inside_are_let_go():
    x = minipar.ones(4, requires_grad=True)
    arrays = []

    def block(x):
        h = x * 2
        arrays.append(weakref.ref(h.array))
        return h * h

    y = checkpoint(block, x)
    assert arrays[0]() is None
    y.sum().backward()
    assert x.grad.tolist() == [8.0] * 4


def test_the_same_random_numbers_are_drawn_again():
    x = minipar.ones(100, requires_grad=True)
    minipar.manual_seed(3)
    y = checkpoint(lambda x: x * minipar.rand(100), x)
    after = minipar.rand(1).item()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    minipar.manual_seed(3)
    minipar.rand(100)
    assert minipar.rand(1).item() == after  # and whoever draws next is not disturbed


def test_a_function_that_does_something_else_is_refused():
    runs = []

    def block(x):
        runs.append(1)
        return x.exp() if len(runs) == 1 else x.exp().exp()

    y = checkpoint(block, minipar.ones(2, requires_grad=True))
    with pytest.raises(CheckpointError, match="1 operations in forward and 2"):
        y.sum().backward()


def test_no_grad_and_arguments():
    with minipar.no_grad():
        assert not checkpoint(lambda x: x * 2, minipar.ones(2, requires_grad=True)).requires_grad
    with pytest.raises(NotImplementedError, match="use_reentrant"):
        checkpoint(lambda x: x, minipar.ones(2), use_reentrant=True)
    with pytest.raises(ValueError, match="segments must be 1 to 5"):
        checkpoint_sequential(model(), 6, minipar.ones(1, 3))


def test_a_second_backward_is_refused_as_ever():
    y = checkpoint(lambda x: (x * x).sum(), minipar.ones(2, requires_grad=True))
    y.backward()
    with pytest.raises(RuntimeError, match="second backward"):
        y.backward()
