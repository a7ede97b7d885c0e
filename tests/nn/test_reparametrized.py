"""Weights that are computed before every forward: what the rows of the table do not show."""

from __future__ import annotations

import numpy as np

import minipar
from minipar import nn
from minipar.autograd import gradgradcheck
from minipar.nn.utils.weight_norm import WeightNorm


def test_the_second_derivative_of_weight_norm() -> None:
    v, g = minipar.randn(3, 2, dtype=minipar.float64), minipar.randn(3, 1, dtype=minipar.float64)
    hook = WeightNorm("weight", 0)
    assert gradgradcheck(lambda v, g: v * (g / hook.length(v)), (v.requires_grad_(), g.requires_grad_()))


def test_the_weight_follows_what_it_is_made_of() -> None:
    layer = nn.utils.weight_norm(nn.Linear(2, 2, bias=False))
    before = layer(minipar.ones(1, 2))
    with minipar.no_grad():
        layer.weight_g.mul_(2)
    np.testing.assert_allclose(layer(minipar.ones(1, 2)).detach().numpy(), 2 * before.detach().numpy(), rtol=1e-6)


def test_applying_and_removing_leaves_the_weight_as_it_was() -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    nn.utils.remove_weight_norm(nn.utils.weight_norm(layer))
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy(), rtol=1e-6)
    assert isinstance(layer.weight, nn.Parameter)
    assert not layer._forward_pre_hooks


def test_training_makes_the_largest_singular_value_one() -> None:
    layer = nn.utils.spectral_norm(nn.Linear(4, 3))
    for _ in range(100):
        layer(minipar.ones(1, 4))
    assert abs(minipar.linalg.matrix_norm(layer.weight, 2).item() - 1) < 1e-4
    u = layer.weight_u.clone()
    layer.eval()(minipar.ones(1, 4))
    assert minipar.equal(layer.weight_u, u), "evaluation makes no steps"


def test_an_optimizer_trains_what_the_weight_is_made_of() -> None:
    for norm in (nn.utils.weight_norm, nn.utils.spectral_norm):
        layer = norm(nn.Linear(3, 2))
        optimizer = minipar.optim.SGD(layer.parameters(), lr=0.1)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = (layer(minipar.ones(1, 3)) - 2).square().sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
