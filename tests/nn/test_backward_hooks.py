"""Backward hooks do not change what they watch, beside PyTorch."""

import weakref

import pytest

import minipar
from minipar import nn

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def seen(T):
    """What a hook sees of a module that is given, and gives, tensors of every kind; and what those are."""

    class Mixed(T.nn.Module):
        def forward(self, a, constant, integers, unused, number):
            self.inside = [x.requires_grad for x in (a, constant, integers)]
            return a * constant * number, a.detach(), integers, a * 3

    net, log = Mixed(), []
    net.register_full_backward_pre_hook(lambda module, grads: log.append(numbers(grads)))
    net.register_full_backward_hook(lambda module, *both: log.extend(map(numbers, both)))
    a, unused = T.tensor([1.0, 2.0], requires_grad=True), T.tensor([1.0], requires_grad=True)
    outputs = net(a, T.tensor([3.0, 4.0]), T.tensor([1, 2]), unused, 2.0)
    outputs[0].sum().backward()
    return log, net.inside, [y.requires_grad for y in outputs], a.grad.tolist(), unused.grad.tolist()


def numbers(grads):
    return [None if g is None else (str(g.dtype).removeprefix("torch."), g.tolist()) for g in grads]


def test_what_needs_no_gradient_is_passed_as_it_is():
    ours = seen(minipar)
    assert ours == seen(torch)
    assert ours[1:3] == ([True, False, False], [True, False, False, True])


def test_a_watched_module_keeps_its_inputs_no_longer():
    net = nn.Identity()
    net.register_full_backward_hook(lambda *_: None)
    x = minipar.ones(2, requires_grad=True) * 2
    y, alive = net(x), weakref.ref(x)
    del x
    assert alive() is None
    y.sum().backward()
