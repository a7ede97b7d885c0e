"""Positional encodings against their formulas, and what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar as torch
from minipar import nn


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_sinusoids_are_the_papers(width):
    y = nn.SinusoidalPositionalEncoding(width, dtype=torch.float64)(torch.zeros(7, width, dtype=torch.float64)).numpy()
    for t in range(7):
        for i in range(width):
            angle = t / 10000 ** (2 * (i // 2) / width)
            assert y[t, i] == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-12)


@pytest.mark.parametrize("kind", [nn.SinusoidalPositionalEncoding, nn.LearnedPositionalEncoding])
def test_the_same_rows_are_added_whichever_axis_counts_the_steps(kind):
    first, batch = kind(3, max_len=6), kind(3, max_len=6, batch_first=True)
    batch.load_state_dict(first.state_dict())
    x = torch.randn(4, 2, 3)
    np.testing.assert_array_equal(first(x).detach().numpy(), batch(x.transpose(0, 1)).transpose(0, 1).detach().numpy())
    np.testing.assert_array_equal(first(x)[:, 1].detach().numpy(), first(x[:, 1]).detach().numpy())
    assert repr(first).endswith("(3, dropout=0.0, max_len=6, batch_first=False)")


def test_learned_rows_are_learned_and_sinusoids_are_not_in_the_state():
    layer = nn.LearnedPositionalEncoding(2, max_len=5)
    layer(torch.zeros(3, 4, 2)).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), [[4, 4]] * 3 + [[0, 0]] * 2)
    assert list(layer.state_dict()) == ["weight"]
    assert not nn.SinusoidalPositionalEncoding(4).state_dict()
    assert not nn.RotaryPositionalEncoding(4).state_dict()


def test_dropout_of_an_encoding():
    layer = nn.SinusoidalPositionalEncoding(4, dropout=0.5)
    y = layer(torch.ones(50, 4)).numpy()
    assert 0.3 < (y == 0).mean() < 0.7
    assert (layer.eval()(torch.ones(50, 4)).numpy() != 0).any(1).all()


@pytest.mark.parametrize("width", [2, 5, 8])
def test_rotated_dot_products_depend_on_the_distance_alone(width):
    layer = nn.RotaryPositionalEncoding(width, dtype=torch.float64)
    draw = np.random.default_rng(0)
    q, k = (torch.tensor(np.repeat(draw.standard_normal((1, width)), 9, 0)) for _ in "qk")
    dots = (layer(q) @ layer(k).T).numpy()
    for distance in range(-8, 9):
        np.testing.assert_allclose(np.diagonal(dots, distance), np.diagonal(dots, distance)[0], rtol=1e-10)
    np.testing.assert_allclose(layer(q).numpy()[3:5], layer(q[:2], offset=3).numpy(), rtol=1e-12)
    np.testing.assert_allclose((layer(q) ** 2).sum(-1).numpy(), (q**2).sum(-1).numpy(), rtol=1e-12)


def test_rotation_is_the_papers_and_differentiable():
    layer = nn.RotaryPositionalEncoding(4, base=100.0, dtype=torch.float64)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = layer(x).detach().numpy()
    for t in range(3):
        for i in range(2):
            a = t * 100.0 ** (-2 * i / 4)
            turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
            pair = x.detach().numpy()[:, t, 2 * i : 2 * i + 2]
            np.testing.assert_allclose(y[:, t, 2 * i : 2 * i + 2], pair @ turn.T, rtol=1e-12)
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradgradcheck(layer, (x,))
