"""The compiled losses of pairs against their reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import paired_losses as compiled
from minipar.kernels.reference import paired_losses as reference

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NUMBERS = {"absolute_error": (), "huber_error": (0.75, 1.5), "logistic_error": ()}
LOSSES = pytest.mark.parametrize("name", NUMBERS)
KERNELS = pytest.mark.parametrize("kernels", [reference, compiled], ids=["reference", "compiled"])


def both(kernels, name, g, x, t, mean):
    loss = getattr(kernels, f"{name}_loss")(x, t, mean, *NUMBERS[name])
    return loss, getattr(kernels, f"{name}_gradient")(g, x, t, mean, *NUMBERS[name])


@DTYPES
@LOSSES
@given(st.lists(st.integers(0, 40), max_size=3), layouts, layouts, st.booleans(), seeds)
@settings(max_examples=30, deadline=None)
def test_equals_the_reference_in_float64(dtype, name, shape, layout, layout_t, mean, seed):
    rng = np.random.default_rng(seed)
    x = np.asarray(laid_out(np.asarray(rng.normal(size=shape), dtype), layout))
    t = np.asarray(laid_out(np.asarray(rng.uniform(size=shape), dtype), layout_t))
    g = np.array(rng.normal(), dtype)
    loss, dx = both(compiled, name, g, x, t, mean)
    assert (loss.shape, loss.dtype, dx.shape, dx.dtype) == ((), dtype, x.shape, dtype)
    expected = both(reference, name, *[a.astype(np.float64) for a in (g, x, t)], mean)
    np.testing.assert_allclose(loss, expected[0], rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(dx, expected[1], rtol=3 * TOLERANCE[dtype], atol=TOLERANCE[dtype])


@DTYPES
@LOSSES
@pytest.mark.parametrize("size", [1, 1023, 1025, 7 * 1024 + 3])
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, name, size, monkeypatch):
    x, t = np.random.default_rng(size).normal(size=(2, size)).astype(dtype)
    g = np.array(0.3, dtype)
    alone = [a.tobytes() for a in both(compiled, name, g, x, t, True)]
    for at_start in (False, True):
        there = both(compiled, name, g, guarded(x, at_start), guarded(t, at_start), True)
        assert [a.tobytes() for a in there] == alone
    found = set()
    for threads in (1, 2, 3):
        monkeypatch.setattr(compiled, "_threads", lambda size, threads=threads: threads)
        found.add(tuple([a.tobytes() for a in both(compiled, name, g, x, t, True)]))
    assert len(found) == 1


@KERNELS
@LOSSES
def test_nan_ties_and_nothing(kernels, name):
    one = np.array(1, np.float32)
    x = np.array([np.nan, 0.5, 1e30, -1e30], np.float32)
    t = np.array([0.5, 0.5, 0.5, 0.5], np.float32)
    loss, dx = both(kernels, name, one, x, t, True)
    assert np.isnan(loss)
    assert dx[0] == 0 if name == "absolute_error" else np.isnan(dx[0])
    at_tie = 1 / (1 + np.exp(-0.5)) - 0.5 if name == "logistic_error" else 0
    far = {"absolute_error": 1, "huber_error": 0.75 * 1.5, "logistic_error": 0.5}[name]
    np.testing.assert_allclose(dx[1:], np.array([at_tie, far, -far]) / 4, rtol=1e-6)
    assert np.isnan(both(kernels, name, one, x[:0], t[:0], True)[0])
    assert both(kernels, name, one, x[:0], t[:0], False)[0] == 0


@LOSSES
def test_what_it_would_misread_is_refused(name):
    x = np.ones(3, np.float32)
    for wrong, error in ((x[:2], ValueError), (np.ones(3), TypeError)):
        with pytest.raises(error):
            getattr(compiled, f"{name}_loss")(x, wrong, True, *NUMBERS[name])
        with pytest.raises(error):
            getattr(compiled, f"{name}_gradient")(np.ones((), np.float32), x, wrong, True, *NUMBERS[name])
