"""Backward in two parts gives the bits of backward in one."""

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.nn import functional as F
from minipar.nn.parameter import flatten
from minipar.parallel.pipeline.split_backward import SplitBackward
from minipar.utils.checkpoint import checkpoint


class Row(nn.Module):
    """The layers one by one: a Sequential would run some of them as one node."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Twice(nn.Module):
    """A weight that two nodes use, of which one can be asked twice and one cannot."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(minipar.randn(5, 5))

    def forward(self, x):
        return F.linear(x * self.weight[0], self.weight) + F.linear(x, self.weight).tanh() * self.weight.sum()


class LastOfLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 4, num_layers=2)

    def forward(self, x):
        return self.lstm(x)[0]


MODELS = {
    "MLP": (lambda: Row(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3)), (4, 5)),
    "MLP, fused": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6, bias=False), nn.Linear(6, 3)),
        (4, 5),
    ),
    "MLP, fused, ReLU last": (lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.ReLU()), (4, 5)),
    "CNN": (
        lambda: Row(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3), nn.Conv2d(3, 2, 3)),
        (3, 2, 9, 9),
    ),
    "CNN, fused": (
        lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.ReLU()),
        (3, 2, 12, 12),
    ),
    "1-d CNN": (lambda: Row(nn.Conv1d(2, 4, 3), nn.GroupNorm(2, 4), nn.Conv1d(4, 2, 3, bias=False)), (3, 2, 9)),
    "Transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True), (3, 6, 8)),
    "LSTM": (lambda: Row(LastOfLSTM(), nn.Linear(4, 2)), (6, 3, 5)),
    "a weight used twice": (Twice, (4, 5)),
    "a weight that is computed": (lambda: nn.utils.weight_norm(nn.Linear(5, 3)), (4, 5)),
}
models = pytest.mark.parametrize("which", MODELS)


def in_one(model, x, grad):
    model(x).backward(grad)
    return x.grad


def in_two_after_recomputing(model, x, grad):
    return in_two(lambda x: checkpoint(model, x), x, grad, model.parameters())


def in_two(model, x, grad, parameters=None):
    parameters = list(parameters or model.parameters())
    late = SplitBackward([(model(x), grad)])
    before = [None if p.grad is None else p.grad.array.copy() for p in parameters]
    (of_x,) = late.inputs([x])
    assert x.grad is None
    for p, old in zip(parameters, before):
        assert p.grad is None if old is None else np.array_equal(p.grad.array, old), "weights wait for their turn"
    late.weights()
    return of_x


def gradients(model, shape, backward, microbatches=3):
    """Of the inputs and of the weights, after several micro-batches that add up."""
    minipar.manual_seed(1)
    of_inputs = []
    for _ in range(microbatches):
        x = minipar.randn(*shape, requires_grad=True)
        with minipar.random.fork_rng():
            out = model(x).shape
        of_inputs.append(backward(model, x, minipar.randn(*out)))
    result = [g.array for g in of_inputs] + [p.grad.array for p in model.parameters()]
    model.zero_grad()
    return result


@models
def test_the_bits_are_those_of_the_whole(which):
    minipar.manual_seed(0)
    make, shape = MODELS[which]
    model = make()
    whole = gradients(model, shape, in_one)
    assert len(whole) > 3
    for split in (gradients(model, shape, in_two), gradients(model, shape, in_two_after_recomputing)):
        for a, b in zip(whole, split):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@models
def test_in_flat_buffers_too(which):
    """Where gradients are computed in the place where they are kept."""
    minipar.manual_seed(0)
    make, shape = MODELS[which]
    model = make()
    flatten(model.parameters())
    for a, b in zip(gradients(model, shape, in_one), gradients(model, shape, in_two)):
        np.testing.assert_array_equal(a, b)


def test_several_micro_batches_may_be_between_their_parts():
    minipar.manual_seed(0)
    make, shape = MODELS["Transformer"]
    model, xs = make().eval(), [minipar.randn(3, 6, 8, requires_grad=True) for _ in range(3)]
    grad = minipar.randn(*shape)
    for x in xs:
        model(x).backward(grad)
    whole = [p.grad.array for p in model.parameters()]
    model.zero_grad()
    late = [SplitBackward([(model(x), grad)]) for x in xs]
    for x, part in zip(xs, late):
        np.testing.assert_array_equal(part.inputs([x])[0].array, x.grad.array)
    for part in late:
        part.weights()
    for a, p in zip(whole, model.parameters()):
        np.testing.assert_array_equal(a, p.grad.array)


class Counted:
    """How often each kind of node is pulled, and for which inputs."""

    def __init__(self):
        self.pulled = []

    def begin(self, roots):
        pass

    def pull(self, node, grad, create_graph):
        self.pulled.append((node.name(), list(getattr(node, "needs", []))))
        return node.pull(grad, create_graph)


def test_what_is_put_off_is_not_computed_at_first(monkeypatch):
    model, x = Row(nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2)), minipar.ones(5, 3, requires_grad=True)
    counted = Counted()
    late = SplitBackward([(model(x), minipar.ones(5, 2))])
    monkeypatch.setattr(minipar.tape.mode, "guard", counted)
    late.inputs([x])
    assert [kinds for name, kinds in counted.pulled if name == "Linear"] == [[True, False, False]] * 2
    first = len(counted.pulled)
    late.weights()
    assert counted.pulled[first:] == [("Linear", [False, True, True])] * 2, "the norm and the ReLU had their turn"


def test_a_stage_of_several_inputs_and_outputs():
    a, b = (minipar.randn(3, 4, requires_grad=True) for _ in "ab")
    ids = minipar.tensor([0, 1, 1])
    first, second, table = nn.Linear(4, 4), nn.Linear(4, 2), nn.Embedding(2, 2)

    def stage():
        h = first(a)
        return [(h, minipar.ones(3, 4)), (second(h) + b.sum(), minipar.ones(3, 2)), (table(ids), minipar.ones(3, 2))]

    minipar.autograd.backward(*zip(*stage()))
    expected = [a.grad, b.grad] + [p.grad for m in (first, second, table) for p in m.parameters()]
    for m in (first, second, table):
        m.zero_grad()
    late = SplitBackward(stage())
    of_a, of_b, none = late.inputs([a, b, ids])
    assert none is None
    assert table.weight.grad is None, "this output leads to no input"
    late.weights()
    got = [of_a, of_b] + [p.grad for m in (first, second, table) for p in m.parameters()]
    for x, y in zip(expected, got):
        np.testing.assert_array_equal(x.array, y.array)


def test_a_fused_row_with_frozen_weights_goes_back_twice():
    """What it remembers of one walk back is of no use to the next."""
    model, x = (
        nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).requires_grad_(False),
        minipar.ones(1, 3, requires_grad=True),
    )
    y = model(x)
    y.backward(minipar.ones(1, 2), retain_graph=True)
    once = x.grad.array.copy()
    y.backward(3 * minipar.ones(1, 2))
    np.testing.assert_allclose(x.grad.array, 4 * once, rtol=1e-6)


def test_without_inputs_all_is_put_off():
    model, x = nn.Linear(3, 2), minipar.ones(4, 3)
    late = SplitBackward([(model(x), minipar.ones(4, 2))])
    assert model.weight.grad is None
    late.weights()
    assert model.weight.grad.array.tolist() == [[4.0] * 3] * 2


def test_hooks_are_called_once():
    model, x = Row(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), minipar.ones(5, 3, requires_grad=True)
    seen = []
    hidden = model.layers[0](x)
    hidden.register_hook(lambda g: seen.append("hidden"))
    hidden.retain_grad()
    model.layers[0].weight.register_hook(lambda g: seen.append("weight"))
    y = model.layers[2](model.layers[1](hidden))
    y.register_hook(lambda g: seen.append("output"))
    late = SplitBackward([(y, minipar.ones(5, 2))])
    late.inputs([x])
    assert seen == ["output", "hidden"]
    late.weights()
    assert seen == ["output", "hidden", "weight"]
    once = hidden.grad.array.copy()
    hidden2 = model.layers[0](x)
    hidden2.retain_grad()
    model.layers[2](model.layers[1](hidden2)).backward(minipar.ones(5, 2))
    np.testing.assert_array_equal(hidden2.grad.array, once)


def test_the_graph_is_freed():
    model, x = nn.Linear(3, 2), minipar.ones(4, 3, requires_grad=True)
    late = SplitBackward([(y := model(x), minipar.ones(4, 2))])
    late.inputs([x])
    late.weights()
    with pytest.raises(RuntimeError, match="second backward through a freed graph"):
        y.backward(minipar.ones(4, 2))
