"""Activations and losses at their kinks, at NaN and infinity, of integers: beside PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar
import minipar.nn.functional as F
from tests.ops.test_op_kinks import same

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

nan, inf = math.nan, math.inf
ODD = [-inf, -10.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 25.0, inf, nan]
KINKED = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "hardtanh", "hardswish", "hardshrink", "softshrink",
    "softplus", "logsigmoid", "silu", "mish", "gelu", "tanhshrink",
]  # fmt: skip


@pytest.mark.parametrize("name", KINKED)
def test_activation(name: str) -> None:
    same(lambda m, x: getattr(m.nn.functional, name)(x), ODD, rtol=1e-9)


def test_hardsigmoid() -> None:
    same(lambda m, x: m.nn.functional.hardsigmoid(x), ODD, rtol=1e-7)  # PyTorch's 1/6 is a float32


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: m.nn.functional.threshold(x, 0.5, 7.0),
        lambda m, x: m.nn.functional.softplus(x, 2.0, 6.0),
        lambda m, x: m.nn.functional.hardshrink(x, 0.0),
        lambda m, x: m.nn.functional.prelu(x, m.full((1,), 0.25, dtype=x.dtype)),
        lambda m, x: m.nn.functional.rrelu(x, 0.5, 0.5),
        lambda m, x: m.nn.functional.gelu(x, approximate="tanh"),
    ],
)
def test_activation_with_arguments(run) -> None:
    same(run, ODD, rtol=1e-9)


def test_the_slope_of_prelu_where_the_input_is_infinite() -> None:
    same(lambda m, x, w: m.nn.functional.prelu(x, w), [-2.0, 0.0, inf], [0.5])


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "softsign", "tanhshrink"])
@pytest.mark.parametrize("dtype", ["int8", "int64", "float16"])
def test_activation_of_other_dtypes(name: str, dtype: str) -> None:
    numbers = np.arange(-3, 9).astype(dtype)
    found = getattr(F, name)(minipar.tensor(numbers))
    expected = getattr(torch.nn.functional, name)(torch.tensor(numbers))
    assert str(expected.dtype) == f"torch.{found.dtype.name}"
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-3, atol=1e-3)


def test_threshold_of_integers() -> None:
    assert F.threshold(minipar.tensor([1, 2, 3]), 1.5, 2.5).tolist() == [2, 2, 3]


def test_rrelu_draws_one_slope_an_element() -> None:
    x = minipar.full((1000,), -1.0, requires_grad=True)
    minipar.manual_seed(5)
    y = F.rrelu(x, 0.25, 0.5, training=True)
    y.sum().backward()
    slopes = -y.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6)
    assert 0.25 <= slopes.min() < 0.27 < 0.48 < slopes.max() < 0.5
    assert len(np.unique(slopes)) > 900
    minipar.manual_seed(5)
    np.testing.assert_array_equal(F.rrelu(x, 0.25, 0.5, training=True).detach().numpy(), -slopes)


@pytest.mark.parametrize("name", ["relu_", "elu_", "selu_", "celu_", "leaky_relu_", "rrelu_", "hardtanh_"])
def test_in_place_form_returns_its_argument(name: str) -> None:
    x = minipar.tensor([-2.0, 0.5, 3.0])
    expected = getattr(torch.nn.functional, name)(torch.tensor([-2.0, 0.5, 3.0]))
    assert getattr(F, name)(x) is x
    np.testing.assert_allclose(x.numpy(), expected.numpy(), rtol=1e-6)


LOSSES = {
    "smooth_l1_loss": lambda m, x, t: m.nn.functional.smooth_l1_loss(x, t, beta=0.5, reduction="none"),
    "huber_loss": lambda m, x, t: m.nn.functional.huber_loss(x, t, delta=0.5, reduction="none"),
    "l1_loss": lambda m, x, t: m.nn.functional.l1_loss(x, t, reduction="none"),
    "hinge_embedding_loss": lambda m, x, t: (
        m.nn.functional.hinge_embedding_loss(x, m.tensor([1, -1, 1, -1, 1, -1]), 0.5, reduction="none") + 0 * t
    ),
    "margin_ranking_loss": lambda m, x, t: m.nn.functional.margin_ranking_loss(
        x, t, m.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], dtype=x.dtype), 0.5, reduction="none"
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_at_its_kinks(name: str) -> None:
    same(LOSSES[name], [0.0, 0.5, -0.5, 1.0, 3.0, 0.25], [0.0, 0.0, 0.0, 0.5, -1.0, 0.25])


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss", "l1_loss"])
def test_loss_of_an_infinite_distance(name: str) -> None:
    same(LOSSES[name], [inf, -inf], [0.0, 0.0])


def test_binary_cross_entropy_at_the_ends() -> None:
    def run(m, p, t):
        return m.nn.functional.binary_cross_entropy(p, t, reduction="none")

    same(run, [0.0, 0.0, 1.0, 1.0, 0.5, 1e-13], [0.0, 1.0, 0.0, 1.0, 1.0, 1.0], rtol=1e-8)  # its 1e-12 is a float32


def test_binary_cross_entropy_with_large_logits() -> None:
    def run(m, x, t):
        return m.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")

    same(run, [1000.0, -1000.0, 1000.0, -1000.0], [0.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_the_mean_of_nothing_is_nan_and_has_no_gradient(name: str) -> None:
    same(lambda m, x: getattr(m.nn.functional, name)(x.reshape(1, 2), m.tensor([-100])), [1.0, 2.0])


def test_an_ignored_row_may_hold_anything() -> None:
    def run(m, x):
        return m.nn.functional.nll_loss(x.reshape(2, 2), m.tensor([-100, 1]))

    same(run, [nan, inf, 1.0, 2.0])


def test_the_variance_is_held_but_its_gradient_does_not_notice() -> None:
    def run(m, x, v):
        return m.nn.functional.gaussian_nll_loss(x, m.zeros(3, dtype=x.dtype), v, eps=0.5, reduction="none")

    same(run, [1.0, 2.0, 3.0], [0.0, 0.25, 2.0])


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy"])
@pytest.mark.parametrize("how", ["mean", "sum", "none"])
def test_loss_of_nothing(name: str, how: str) -> None:
    same(lambda m, x, t: getattr(m.nn.functional, name)(x, t, reduction=how), [], [])


def test_every_mean_knows_its_denominator() -> None:
    """What a data-parallel step divides by (`minipar.parallel` reads it)."""
    x, t = (minipar.full((2, 3), n).requires_grad_() for n in (0.25, 0.75))
    weight = minipar.tensor([[1.0, 2.0, 3.0]] * 2)
    numbers = minipar.tensor([0, 2])
    found = [
        F.mse_loss(x, t),
        F.mse_loss(x, t, weight=weight),
        F.huber_loss(x, t, weight=weight),
        F.binary_cross_entropy(x, t.detach(), weight),
        F.kl_div(x, t.detach(), reduction="batchmean"),
        F.cross_entropy(x, numbers, weight[0]),
        F.nll_loss(x, numbers, weight[0], ignore_index=0),
        F.cross_entropy(x, numbers, label_smoothing=0.1),
        F.cross_entropy(x, t.detach(), weight[0]),
        F.cosine_embedding_loss(x, t, minipar.tensor([1, -1])),
        F.multi_margin_loss(x, numbers),
    ]
    assert [loss.node.denominator for loss in found] == [6, 12.0, 6, 6, 2, 4.0, 3.0, 2.0, 2, 2, 2]
    assert all(loss.node.divide for loss in found)
