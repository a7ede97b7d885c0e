"""The compiled squared error against its reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import squared_error as compiled
from minipar.kernels.reference import squared_error as reference

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@given(st.lists(st.integers(0, 40), max_size=3), layouts, st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_equals_the_reference_in_float64(dtype, shape, layout, mean, seed):
    rng = np.random.default_rng(seed)
    x, t = (np.asarray(laid_out(np.asarray(rng.normal(size=shape), dtype), layout)) for _ in range(2))
    g = np.array(rng.normal(), dtype)
    wide = x.astype(np.float64), t.astype(np.float64)
    loss, dx = compiled.squared_error_loss(x, t, mean), compiled.squared_error_gradient(g, x, t, mean)
    assert (loss.shape, loss.dtype, dx.shape, dx.dtype) == ((), dtype, x.shape, dtype)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(loss, reference.squared_error_loss(*wide, mean), rtol=tolerance)
    expected = reference.squared_error_gradient(g.astype(np.float64), *wide, mean)
    np.testing.assert_allclose(dx, expected, rtol=3 * tolerance, atol=tolerance)
    np.testing.assert_allclose(reference.squared_error_gradient(g, x, t, mean), dx, rtol=3 * tolerance, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 5 * 1024, 7 * 1024 + 3])
def test_the_number_of_threads_does_not_change_a_bit(dtype, size, monkeypatch):
    x, t = np.random.default_rng(size).normal(size=(2, size)).astype(dtype)
    g = np.array(0.3, dtype)
    loss, dx = compiled.squared_error_loss(x, t, True), compiled.squared_error_gradient(g, x, t, True)
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert compiled.squared_error_loss(x, t, True).tobytes() == loss.tobytes()
        assert compiled.squared_error_gradient(g, x, t, True).tobytes() == dx.tobytes()


@DTYPES
@pytest.mark.parametrize("size", [1, 15, 16, 17, 1024, 1031])
def test_nothing_beyond_the_ends_is_touched(dtype, size):
    for at_start in (False, True):
        x, t = (guarded(np.full(size, value, dtype), at_start) for value in (1.5, 1))
        assert compiled.squared_error_loss(x, t, True) == 0.25
        assert (compiled.squared_error_gradient(np.array(1, dtype), x, t, False) == 1).all()


@pytest.mark.parametrize("kernels", [reference, compiled], ids=["reference", "compiled"])
def test_nan_infinities_and_nothing(kernels):
    x = np.array([1.0, np.nan, np.inf, -np.inf], np.float32)
    t = np.array([1.0, 1.0, np.inf, np.inf], np.float32)
    assert np.isnan(kernels.squared_error_loss(x, t, True))
    assert kernels.squared_error_loss(x[3:], t[3:], False) == np.inf
    np.testing.assert_array_equal(
        kernels.squared_error_gradient(np.array(1, np.float32), x, t, False), [0, np.nan, np.nan, -np.inf]
    )
    assert np.isnan(kernels.squared_error_loss(x[:0], t[:0], True))
    assert kernels.squared_error_loss(x[:0], t[:0], False) == 0


def test_a_long_sum_keeps_its_digits():
    x = np.full(3_000_000, 0.1, np.float32)
    loss = compiled.squared_error_loss(x, np.zeros_like(x), False)
    np.testing.assert_allclose(loss, 3_000_000 * np.float64(np.float32(0.1)) ** 2, rtol=1e-7)


def test_what_it_would_misread_is_refused():
    x = np.ones(4, np.float32)
    for kernel in (compiled.squared_error_loss, lambda *a: compiled.squared_error_gradient(x[0], *a)):
        with pytest.raises(ValueError, match="x and t must have one size"):
            kernel(x, np.ones(3, np.float32), True)
        with pytest.raises(TypeError, match=r"squared_error\._\w+ takes"):
            kernel(x, np.ones(4), True)
