"""Kinks, ties, NaN and infinity by hand, beside PyTorch: where a gradient is a convention, it is PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

nan, inf = math.nan, math.inf
ODD = [-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, inf, -inf, nan]
F = "nn.functional"

ONE = {
    "relu": (lambda m, x: m.relu(x), ODD),
    "abs": (lambda m, x: m.abs(x), ODD),
    "sign": (lambda m, x: m.sign(x), ODD),
    "clamp": (lambda m, x: m.clamp(x, -1, 1), ODD),
    "clamp empty range": (lambda m, x: m.clamp(x, 1, -1), ODD),
    "clamp min": (lambda m, x: m.clamp(x, min=0.5), ODD),
    "clamp max": (lambda m, x: m.clamp(x, max=0.5), ODD),
    "sqrt": (lambda m, x: m.sqrt(x), ODD),
    "log": (lambda m, x: m.log(x), ODD),
    "exp": (lambda m, x: m.exp(x * 1000), ODD),
    "sigmoid": (lambda m, x: m.sigmoid(x * 40), ODD),
    "tanh": (lambda m, x: m.tanh(x), ODD),
    "x ** 0": (lambda m, x: x**0, ODD),
    "x ** 0.5": (lambda m, x: x**0.5, [-1.0, 0.0, 0.5, inf, nan]),  # at -0 and -inf PyTorch's root is not C's pow
    "x ** 1": (lambda m, x: x**1, ODD),
    "x ** 2": (lambda m, x: x**2, ODD),
    "x ** -1": (lambda m, x: x**-1, ODD),
    "1 / x": (lambda m, x: 1 / x, ODD),
    "amax ties": (lambda m, x: m.amax(x), [1.0, 5.0, 5.0]),
    "amax all equal": (lambda m, x: m.amax(x, 0), [2.0, 2.0, 2.0]),
    "amin ties": (lambda m, x: m.amin(x), [1.0, 1.0, 5.0, 1.0]),
    "max ties": (lambda m, x: m.max(x), [1.0, 5.0, 5.0]),
    "max(dim) ties": (lambda m, x: m.max(x, 0)[0], [1.0, 5.0, 5.0]),
    "min(dim) ties": (lambda m, x: m.min(x, 0)[0], [5.0, 1.0, 1.0]),
    "max(dim) index": (lambda m, x: m.max(x, 0)[1] + 0 * x.sum(), [1.0, 5.0, 5.0]),
    "amax NaN": (lambda m, x: m.amax(x), [1.0, nan, 3.0]),
    "max(dim) NaN": (lambda m, x: m.max(x, 0)[0], [1.0, nan, 3.0]),
    "logsumexp infinite": (lambda m, x: m.logsumexp(x, 0), [1.0, -inf, 3.0]),
    "logsumexp overflow": (lambda m, x: m.logsumexp(x, 0), [1000.0, 999.0, -1000.0]),
    "logsumexp of nothing but -inf": (lambda m, x: m.logsumexp(x, 0), [-inf, -inf]),
    "softmax masked": (lambda m, x: m.softmax(x, 0), [1.0, -inf, 3.0]),
    "softmax large": (lambda m, x: m.softmax(x, 0), [1000.0, 999.0]),
    "log_softmax large": (lambda m, x: m.log_softmax(x, 0), [1000.0, 999.0, -1000.0]),
    "where hides infinity": (lambda m, x: m.where(x > 0, m.log(x), 0.0), [-1.0, 0.0, 1.0]),
    "var of one": (lambda m, x: m.var(x, correction=0), [2.0]),
    "mean of none": (lambda m, x: m.mean(x), []),
    "sum of none": (lambda m, x: m.sum(x), []),
    "max pool ties": (lambda m, x: m.nn.functional.max_pool2d(x.reshape(1, 1, 2, 2), 2), [3.0, 3.0, 3.0, 1.0]),
    "max pool NaN": (lambda m, x: m.nn.functional.max_pool2d(x.reshape(1, 1, 2, 2), 2), [3.0, nan, 4.0, 1.0]),
    "cross entropy ignores all": (
        lambda m, x: m.nn.functional.cross_entropy(x.reshape(1, 2), m.tensor([-100])),
        [1.0, 2.0],
    ),
    "cross entropy of a large loss": (
        lambda m, x: m.nn.functional.cross_entropy(x.reshape(1, 2), m.tensor([1])),
        [1000.0, -1000.0],
    ),
}
TWO = {
    "maximum": lambda m, a, b: m.maximum(a, b),
    "minimum": lambda m, a, b: m.minimum(a, b),
    "pow": lambda m, a, b: m.pow(a, b),
    "div": lambda m, a, b: m.div(a, b),
    "mul": lambda m, a, b: m.mul(a, b),
}


def same(run, *columns: list[float], rtol: float = 1e-12) -> None:
    """Values and gradients (of gradient 2 everywhere) are PyTorch's, NaN and infinities included."""
    ours = [minipar.tensor(c, dtype=minipar.float64, requires_grad=True) for c in columns]
    theirs = [torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in columns]
    y, e = run(minipar, *ours), run(torch, *theirs)
    np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), rtol=rtol)
    found = minipar.autograd.grad(y, ours, minipar.ones_like(y) * 2)
    expected = torch.autograd.grad(e, theirs, torch.ones_like(e) * 2)
    for g, h in zip(found, expected, strict=True):
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=rtol)


@pytest.mark.parametrize("name", ONE)
def test_of_one_operand(name: str) -> None:
    # Of sigmoid PyTorch rounds 1 + e⁻ˣ first: at 20, where the gradient is y (1 − y), the last place of y shows.
    same(ONE[name][0], ONE[name][1], rtol=1e-7 if name == "sigmoid" else 1e-12)


@pytest.mark.parametrize("name", TWO)
def test_of_two_operands(name: str) -> None:
    numbers = [-2.0, -0.5, 0.0, 0.5, 1.0, 2.0, nan]
    pairs = [(a, b) for a in numbers for b in numbers]
    same(TWO[name], [a for a, _ in pairs], [b for _, b in pairs])


@pytest.mark.parametrize("name", ["relu", "clamp", "abs", "sign", "x ** 2", "max(dim) ties", "amax ties"])
def test_an_infinite_gradient_does_not_leak_through_a_zero(name: str) -> None:
    run, numbers = ONE[name]
    numbers = [x for x in numbers if not math.isnan(x)]
    x = minipar.tensor(numbers, dtype=minipar.float64, requires_grad=True)
    t = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    y, e = run(minipar, x), run(torch, t)
    (g,) = minipar.autograd.grad(y, x, minipar.full(y.shape, inf, dtype=minipar.float64))
    (h,) = torch.autograd.grad(e, t, torch.full(e.shape, inf, dtype=torch.float64))
    np.testing.assert_array_equal(g.numpy(), h.numpy())


def test_relu_and_max_at_their_kinks_by_hand() -> None:
    x = minipar.tensor([0.0, -0.0], requires_grad=True)
    minipar.relu(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    x = minipar.tensor([1.0, 5.0, 5.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5]
    x.grad = None
    x.max(0).values.backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    a, b = (minipar.tensor(3.0, requires_grad=True) for _ in "ab")
    minipar.maximum(a, b).backward()
    assert (a.grad.item(), b.grad.item()) == (0.5, 0.5)


def test_float16_sums_and_means_do_not_overflow_on_the_way() -> None:
    x = minipar.full((300, 300), 2.0, dtype=minipar.float16)
    assert x.mean().item() == 2.0
    assert minipar.nn.functional.mse_loss(x, x * 0).item() == 4.0
    y = minipar.full((4096,), 1.0, dtype=minipar.float16)
    assert y.sum().item() == 4096.0
    assert y.sum().dtype == minipar.float16


@pytest.mark.parametrize("then", [[], ["ReLU"], ["ReLU", "MaxPool2d"]])
def test_a_float16_bias_whose_weight_is_frozen_has_its_gradient_added_up_in_float32(then: list[str]) -> None:
    net = minipar.nn.Sequential(
        minipar.nn.Conv2d(1, 2, 1), *(getattr(minipar.nn, name)(*[2] * (name == "MaxPool2d")) for name in then)
    ).half()
    net[0].weight.requires_grad_(False)
    minipar.nn.init.constant_(net[0].bias, 9)  # no ReLU cuts off
    y = net(minipar.rand(3, 1, 64, 64).half())
    g = (minipar.rand(*y.shape) * 0.1 + 0.05).half()
    y.backward(g)
    wanted = g.numpy().astype(np.float64).sum((0, 2, 3)).astype(np.float16)
    np.testing.assert_array_equal(net[0].bias.grad.numpy(), wanted)
