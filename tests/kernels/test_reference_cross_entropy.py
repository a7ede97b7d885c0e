"""Softmax-cross-entropy against PyTorch in float64, and its behaviour at the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.reference.softmax_cross_entropy import cross_entropy_backward, cross_entropy_forward


@given(st.integers(0, 6), st.integers(1, 5), st.booleans(), st.sampled_from([-100, 0]), layouts, seeds)
@settings(max_examples=50, deadline=None)
def test_loss_and_gradient_equal_pytorch(samples, classes, weighted, ignore_index, layout, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    rng = np.random.default_rng(seed)
    logits = laid_out(rng.normal(scale=10, size=(samples, classes)), layout)
    target = rng.integers(0, classes, samples)
    target[rng.random(samples) < 0.3] = ignore_index
    weight = rng.random(classes) if weighted else None
    tx = torch.tensor(logits.copy(), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        tx,
        torch.tensor(target),
        torch.tensor(weight) if weighted else None,
        ignore_index=ignore_index,
        reduction="none",
    )
    g = rng.normal(size=samples)
    loss, log_probs = cross_entropy_forward(logits, target, weight, ignore_index)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(log_probs, torch.log_softmax(tx, 1).detach().numpy(), rtol=1e-12, atol=1e-12)
    dlogits = torch.autograd.grad(expected, tx, torch.tensor(g.copy()))[0].numpy()
    np.testing.assert_allclose(
        cross_entropy_backward(g, log_probs, target, weight, ignore_index), dlogits, rtol=1e-12, atol=1e-12
    )


def test_huge_logits_neither_overflow_nor_warn():
    loss, _ = cross_entropy_forward(np.array([[1e30, -1e30, 0.0]], np.float32), np.array([0]), None, -100)
    assert loss.tolist() == [0.0]


def test_an_impossible_class_costs_infinity_and_a_nan_row_stays_nan():
    logits = np.array([[-np.inf, 0.0], [-np.inf, -np.inf], [np.inf, 0.0]])
    loss, _ = cross_entropy_forward(logits, np.array([0, 0, 0]), None, -100)
    np.testing.assert_array_equal(loss, [np.inf, np.nan, np.nan])


def test_an_ignored_row_is_zero_whatever_its_logits():
    logits = np.array([[-np.inf, 0.0], [1.0, 2.0]])
    loss, log_probs = cross_entropy_forward(logits, np.array([-100, 1]), None, -100)
    assert loss[0] == 0
    assert cross_entropy_backward(np.ones(2), log_probs, np.array([-100, 1]), None, -100)[0].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept(dtype):
    logits, weight = np.ones((2, 3), dtype), np.ones(3, dtype)
    loss, log_probs = cross_entropy_forward(logits, np.array([0, 2]), weight, -100)
    dlogits = cross_entropy_backward(loss, log_probs, np.array([0, 2]), weight, -100)
    assert {loss.dtype, log_probs.dtype, dlogits.dtype} == {np.dtype(dtype)}


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_target_outside_the_classes_is_named(wrong):
    with pytest.raises(IndexError, match=rf"target\[1\] is {wrong}, not in 0\.\.2"):
        cross_entropy_forward(np.ones((2, 3)), np.array([0, wrong]), None, -100)
