"""Flat SGD and Adam updates against torch.optim in float64; the compiled Adam against the reference, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import seeds

from minipar.kernels.cpu import optimizer_steps as compiled
from minipar.kernels.reference import optimizer_steps as reference

ADAM = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "maximize": False}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Several chunks and a shorter last one, at sizes a test can afford."""
    monkeypatch.setattr(reference, "CHUNK", 3)


@given(
    st.sampled_from([(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.0, True), (0.5, 0.3, False)]),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    seeds,
)
@settings(max_examples=30, deadline=None)
def test_sgd_equals_pytorch(momentum_kind, weight_decay, maximize, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    momentum, dampening, nesterov = momentum_kind
    rng = np.random.default_rng(seed)
    p, buffer = rng.normal(size=7), np.full(7, np.nan) if momentum else None
    tp = torch.tensor(p, requires_grad=True)
    optimizer = torch.optim.SGD([tp], 0.1, momentum, dampening, weight_decay, nesterov, maximize=maximize)
    for step in range(4):
        g = rng.normal(size=7)
        tp.grad = torch.tensor(g)
        optimizer.step()
        kept = g.copy()
        reference.sgd_step(p, g, buffer, 0.1, momentum, dampening, weight_decay, nesterov, step == 0, maximize)
        np.testing.assert_array_equal(g, kept)
        np.testing.assert_allclose(p, tp.detach().numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kernels", [reference, compiled], ids=["reference", "compiled"])
@given(st.sampled_from([0.0, 0.1]), st.booleans(), st.booleans(), st.booleans(), seeds)
@settings(max_examples=30, deadline=None)
def test_adam_equals_pytorch(kernels, weight_decay, maximize, decoupled, amsgrad, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    rng = np.random.default_rng(seed)
    p, m, v = rng.normal(size=7), np.zeros(7), np.zeros(7)
    tp = torch.tensor(p, requires_grad=True)
    optimizer = torch.optim.Adam(
        [tp], 0.01, (0.8, 0.99), 1e-6, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=decoupled
    )
    largest = np.zeros(7) if amsgrad else None
    for step in range(1, 5):
        g = rng.normal(size=7)
        tp.grad = torch.tensor(g)
        optimizer.step()
        kept = g.copy()
        kernels.adam_step(p, g, m, v, step, 0.01, 0.8, 0.99, 1e-6, weight_decay, maximize, decoupled, largest)
        np.testing.assert_array_equal(g, kept)
        np.testing.assert_allclose(p, tp.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.integers(0, 100), st.sampled_from([0.0, 0.1]), st.booleans(), st.booleans(), seeds)
@settings(max_examples=30, deadline=None)
def test_compiled_adam_equals_the_reference_to_the_bit(dtype, size, weight_decay, maximize, decoupled, seed):
    rng = np.random.default_rng(seed)
    p, g, m = rng.normal(size=(3, size)).astype(dtype)
    v = rng.random(size).astype(dtype)
    ours, theirs = [p.copy(), m.copy(), v.copy()], [p.copy(), m.copy(), v.copy()]
    parameters = {**ADAM, "weight_decay": weight_decay, "maximize": maximize, "decoupled": decoupled}
    for kernels, (pk, mk, vk) in ((compiled, ours), (reference, theirs)):
        kernels.adam_step(pk, g, mk, vk, 3, **parameters)
    for actual, expected in zip(ours, theirs):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arithmetic_stays_in_the_dtype_and_any_stride_is_updated_in_place(dtype):
    memory = np.ones((8, 2), dtype)
    p = memory[::-1, 0]
    g, buffer, m, v = np.ones(8, dtype), np.zeros(8, dtype), np.zeros(8, dtype), np.zeros(8, dtype)
    reference.sgd_step(p, g, buffer, 0.5, 0.9, 0.0, 0.0, False, True, False)
    assert memory.tolist() == [[0.5, 1.0]] * 8
    reference.adam_step(p, g, m, v, 1, 0.25, 0.9, 0.999, 1e-3, 0.0, False)
    np.testing.assert_allclose(memory[:, 0], 0.25, atol=1e-2)
    assert (memory[:, 1] == 1).all()


@pytest.mark.parametrize("kernels", [reference, compiled], ids=["reference", "compiled"])
def test_step_zero_is_refused(kernels):
    with pytest.raises(ValueError, match="step counts from 1, got 0"):
        kernels.adam_step(*np.ones((4, 3)), 0, **ADAM)


def test_momentum_without_its_buffer_is_refused():
    with pytest.raises(ValueError, match=r"momentum 0\.9 needs a momentum_buffer"):
        reference.sgd_step(np.ones(3), np.ones(3), None, 0.1, 0.9, 0.0, 0.0, False, True, False)


def test_compiled_adam_refuses_lengths_dtypes_and_layouts_it_would_misread():
    whole = np.ones(4)
    with pytest.raises(ValueError, match=r"one length, got \(4,\), \(3,\), \(4,\) and \(4,\)"):
        compiled.adam_step(whole, np.ones(3), whole, whole, 1, **ADAM)
    with pytest.raises(TypeError, match="p must be float32 or float64 for the compiled kernel, got float16"):
        compiled.adam_step(*np.ones((4, 3), np.float16), 1, **ADAM)
    with pytest.raises(TypeError, match="_adam takes void"):
        compiled.adam_step(whole, np.ones(4, np.float32), whole, whole, 1, **ADAM)
    with pytest.raises(TypeError, match="_adam takes void"):
        compiled.adam_step(np.ones(8)[::2], whole, whole, whole, 1, **ADAM)
