"""Flat SGD and Adam updates against torch.optim in float64; the compiled ones against the reference, bit for bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_layouts import seeds

from minipar.kernels.cpu import flat_steps, threads
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


def both(step, arrays, *arguments):
    """The arrays after the compiled step and after the reference's."""
    ours, theirs = [array.copy() for array in arrays], [array.copy() for array in arrays]
    getattr(compiled, step)(*ours, *arguments)
    getattr(reference, step)(*theirs, *arguments)
    return zip(ours, theirs)


def awkward(rng, size, dtype):
    """Numbers of every size, a NaN and an infinity."""
    numbers = rng.normal(size=size) * 10.0 ** rng.integers(-12, 12, size)
    numbers[: min(size, 2)] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], min(size, 2))
    return rng.permutation(numbers).astype(dtype)


@pytest.fixture(params=[1, 2, 3])
def thread_count(request, monkeypatch):
    """So many threads, even for a few elements."""
    monkeypatch.setattr(flat_steps, "SPLIT", 2)
    monkeypatch.setattr(flat_steps, "threads_for", lambda work, pieces: min(request.param, pieces))
    return request.param


REALS = pytest.mark.parametrize("dtype", [np.float32, np.float64])
WITHOUT_WARNINGS = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about the NaN and the infinity
MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@REALS
@WITHOUT_WARNINGS
@given(st.integers(0, 100), st.integers(1, 3000), st.sampled_from([0.0, 0.1]), st.booleans(), st.booleans(), seeds)
@MANY
def test_compiled_adam_equals_the_reference_to_the_bit(
    thread_count, dtype, size, step, weight_decay, maximize, decoupled, seed
):
    rng = np.random.default_rng(seed)
    p, g, m = (awkward(rng, size, dtype) for _ in range(3))
    v = abs(awkward(rng, size, dtype))
    arguments = (step, rng.uniform(1e-5, 1), 0.9, rng.uniform(0, 0.9999), 1e-8, weight_decay, maximize, decoupled)
    for actual, expected in both("adam_step", (p, g, m, v), *arguments):
        np.testing.assert_array_equal(actual, expected)


@REALS
@WITHOUT_WARNINGS
@given(
    st.integers(0, 100),
    st.sampled_from([(0, 0, False), (0.9, 0, False), (0.9, 0, True), (0.5, 0.3, False)]),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    st.booleans(),
    seeds,
)
@MANY
def test_compiled_sgd_equals_the_reference_to_the_bit(
    thread_count, dtype, size, momentum_kind, weight_decay, first_step, maximize, seed
):
    rng = np.random.default_rng(seed)
    momentum, dampening, nesterov = momentum_kind
    arrays = [awkward(rng, size, dtype) for _ in range(3 if momentum else 2)]
    no_buffer = () if momentum else (None,)
    options = (rng.uniform(0, 1), momentum, dampening, weight_decay, nesterov, first_step, maximize)
    for actual, expected in both("sgd_step", arrays, *no_buffer, *options):
        np.testing.assert_array_equal(actual, expected)


def test_large_buffers_are_cut_among_the_threads(monkeypatch):
    asked = []
    monkeypatch.setattr(flat_steps, "threads_for", lambda *work: asked.append(work) or threads.threads_for(*work))
    for size in (10, flat_steps.SPLIT):
        compiled.sgd_step(*np.ones((2, size)), None, 0.1, 0, 0, 0, False, False, False)
        compiled.adam_step(*np.ones((4, size)), 1, **ADAM)
    assert [pieces for _, pieces in asked] == [flat_steps.SPLIT] * 2


@REALS
def test_the_neighbours_of_a_slice_are_left_alone(thread_count, dtype):
    whole = np.ones((4, 40), dtype)
    p, g, m, v = whole[:, 7:31]
    compiled.adam_step(p, g, m, v, 1, **ADAM)
    compiled.sgd_step(p, g, m, 0.1, 0.9, 0.1, 0.1, True, False, False)
    np.testing.assert_array_equal(np.delete(whole, np.s_[7:31], axis=1), 1)
    np.testing.assert_array_equal(g, 1)
    for changed in (p, m, v):
        assert (changed != 1).all()


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
    with pytest.raises(ValueError, match="step counts from 1"):
        kernels.adam_step(*np.ones((4, 3)), 0, **ADAM)


@pytest.mark.parametrize("kernels", [reference, compiled], ids=["reference", "compiled"])
def test_momentum_without_its_buffer_is_refused(kernels):
    with pytest.raises(ValueError, match=r"momentum 0\.9 needs a momentum_buffer"):
        kernels.sgd_step(np.ones(3), np.ones(3), None, 0.1, 0.9, 0.0, 0.0, False, True, False)


def test_compiled_steps_refuse_lengths_dtypes_and_layouts_they_would_misread():
    whole, short = np.ones(4), np.ones(3)
    for wrong in ((short, whole, whole), (whole, short, whole), (whole, whole, short)):
        with pytest.raises(ValueError, match="p, g and the optimizer's state must have one length"):
            compiled.adam_step(whole, *wrong, 1, **ADAM)
    options = (0.1, 0.9, 0.0, 0.0, False, False, False)
    for wrong in ((short, whole), (whole, short)):
        with pytest.raises(ValueError, match="p, g and the optimizer's state must have one length"):
            compiled.sgd_step(whole, *wrong, *options)
    with pytest.raises(ValueError, match="p, g and the optimizer's state must have one length"):
        compiled.sgd_step(whole, short, None, 0.1, 0, *options[2:])
    for p, g in ((whole, np.ones(4, np.float32)), (np.ones(8)[::2], whole), (np.ones(4, np.float16),) * 2):
        with pytest.raises(TypeError, match="_adam takes void"):
            compiled.adam_step(p, g, whole, whole, 1, **ADAM)
