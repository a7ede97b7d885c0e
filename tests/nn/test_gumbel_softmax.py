"""The Gumbel-softmax: what it draws, what gradient passes, and that it is drawn for global samples."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar.backend.random import sharded_samples
from minipar.nn import functional as F


def test_hard_draws_have_the_frequencies_of_softmax() -> None:
    minipar.manual_seed(1)
    logits = minipar.tensor([0.0, 1.0, 2.0]).expand(20000, 3)
    drawn = F.gumbel_softmax(logits, tau=0.3, hard=True)
    assert set(np.unique(drawn.numpy())) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn.sum(1).numpy(), 1.0)
    np.testing.assert_allclose(drawn.mean(0).numpy(), logits[0].softmax(0).numpy(), atol=0.015)


@pytest.mark.parametrize("dim", [0, -1])
def test_a_hard_draw_has_the_gradient_of_the_soft_one(dim: int) -> None:
    logits = minipar.randn(4, 3, dtype=minipar.float64, requires_grad=True)
    weights = minipar.randn(4, 3, dtype=minipar.float64)
    found = []
    for hard in (False, True):
        minipar.manual_seed(7)
        drawn = F.gumbel_softmax(logits, 0.5, hard, dim=dim)
        found.append((drawn, minipar.autograd.grad((drawn * weights).sum(), [logits])[0]))
    (soft, soft_grad), (hard_draw, hard_grad) = found
    np.testing.assert_array_equal(hard_draw.argmax(dim).numpy(), soft.argmax(dim).numpy())
    np.testing.assert_array_equal(hard_grad.numpy(), soft_grad.numpy())
    np.testing.assert_allclose(soft.sum(dim).detach().numpy(), 1)
    expected = (soft * (weights - (weights * soft).sum(dim, True)) / 0.5).detach()
    np.testing.assert_allclose(soft_grad.numpy(), expected.numpy(), rtol=1e-10)


def test_a_shard_draws_its_rows_of_the_whole_batch() -> None:
    logits = minipar.zeros(6, 3)
    minipar.manual_seed(3)
    whole = F.gumbel_softmax(logits)
    minipar.manual_seed(3)
    with sharded_samples(2, 3, 6):
        part = F.gumbel_softmax(logits[2:5])
    np.testing.assert_array_equal(part.numpy(), whole[2:5].numpy())


def test_no_axes_and_no_elements() -> None:
    assert F.gumbel_softmax(minipar.tensor(2.0), hard=True).item() == 1
    assert F.gumbel_softmax(minipar.zeros(0, 3), hard=True).shape == (0, 3)


def test_eps_has_no_effect_and_says_so() -> None:
    with pytest.warns(UserWarning, match="eps"):
        F.gumbel_softmax(minipar.zeros(2), eps=0.1)
