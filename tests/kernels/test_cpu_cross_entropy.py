"""The compiled cross-entropy against its reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import cross_entropy as compiled
from minipar.kernels.reference import softmax_cross_entropy as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
CLOSE = {np.float32: {"rtol": 2e-6, "atol": 2e-6}, np.float64: {"rtol": 1e-13, "atol": 1e-13}}
KERNELS = pytest.mark.parametrize("kernels", [reference, compiled], ids=["reference", "compiled"])
IGNORED = -7


def both(kernels, x, t, weight=None, mean=True, g=1.0):
    """(loss, denominator, gradient)"""
    loss, denominator, kept = kernels.cross_entropy_loss(x, t, weight, IGNORED, mean)
    return loss, denominator, kernels.cross_entropy_gradient(np.array(g, x.dtype), kept, t)


@DTYPES
@given(
    st.integers(0, 60), st.integers(1, 70), layouts, layouts, st.booleans(), st.booleans(),
    st.sampled_from([np.int64, np.int32, np.uint8]), st.sampled_from([1.0, 80.0]), seeds,
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_equals_the_reference_in_float64(dtype, n, classes, layout, layout_t, weighted, mean, whole, spread, seed):
    rng = np.random.default_rng(seed)
    x = laid_out((spread * rng.normal(size=(n, classes))).astype(dtype), layout)
    t = rng.integers(0, classes, n).astype(whole)
    if whole != np.uint8:
        t[rng.random(n) < 0.2] = IGNORED
    t = laid_out(t, layout_t)
    weight = laid_out(rng.uniform(0.5, 2, classes).astype(dtype), layout_t) if weighted else None
    loss, denominator, dx = both(compiled, x, t, weight, mean, 0.7)
    wide = None if weight is None else weight.astype(np.float64)
    expected_loss, expected_denominator, expected_dx = both(reference, x.astype(np.float64), t, wide, mean, 0.7)
    assert (loss.shape, loss.dtype, dx.shape, dx.dtype) == ((), dtype, x.shape, dtype)
    np.testing.assert_allclose(loss, expected_loss, rtol=10 * CLOSE[dtype]["rtol"])
    np.testing.assert_allclose(denominator, expected_denominator, rtol=1e-6)
    np.testing.assert_allclose(dx, expected_dx, **CLOSE[dtype])


@DTYPES
@given(st.integers(0, 40), st.integers(1, 30), layouts, st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_row_by_row_it_equals_the_reference_in_float64(dtype, n, classes, layout, weighted, seed):
    rng = np.random.default_rng(seed)
    x = laid_out(rng.normal(size=(n, classes)).astype(dtype), layout)
    t = rng.integers(0, classes, n)
    t[rng.random(n) < 0.2] = IGNORED
    weight = rng.uniform(0.5, 2, classes).astype(dtype) if weighted else None
    g = laid_out(np.where(t == IGNORED, np.nan, rng.normal(size=n)).astype(dtype), layout)
    losses, kept = compiled.cross_entropy_forward(x, t, weight, IGNORED)
    dx = compiled.cross_entropy_backward(g, kept, t, weight, IGNORED)
    wide = None if weight is None else weight.astype(np.float64)
    expected, kept = reference.cross_entropy_forward(x.astype(np.float64), t, wide, IGNORED)
    assert (losses.shape, losses.dtype, dx.shape, dx.dtype) == ((n,), dtype, x.shape, dtype)
    np.testing.assert_allclose(losses, expected, **CLOSE[dtype])
    expected = reference.cross_entropy_backward(g.astype(np.float64), kept, t, wide, IGNORED)
    np.testing.assert_allclose(dx, expected, **CLOSE[dtype])


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 17), (7, 6000), (1000, 10)])
def test_the_number_of_threads_does_not_change_a_bit(dtype, shape, monkeypatch):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=shape).astype(dtype), rng.integers(0, shape[1], shape[0])
    monkeypatch.setattr(compiled, "ALONE", 10**9)
    alone = both(compiled, x, t)
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        loss, denominator, dx = both(compiled, x, t)
        assert (loss.tobytes(), denominator, dx.tobytes()) == (alone[0].tobytes(), alone[1], alone[2].tobytes())


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (5, 10), (16, 16), (3, 33), (2, 4100)])
def test_nothing_beyond_the_ends_is_touched(dtype, shape):
    for at_start in (False, True):
        x = guarded(np.zeros(shape, dtype), at_start)
        t = guarded(np.full(shape[0], shape[1] - 1), at_start)
        loss, _, dx = both(compiled, x, t)
        np.testing.assert_allclose(loss, np.log(shape[1]), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(dx.sum(), 0, atol=1e-6)


@KERNELS
def test_rows_that_hold_nan_and_infinities(kernels):
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf], [inf, 0], [nan, 0], [-inf, -inf], [-nan, inf]], np.float32)
    losses = [float(both(kernels, row[None], np.array([0]))[0]) for row in x]
    np.testing.assert_array_equal(losses, [0, nan, nan, nan, nan])
    gradients = [both(kernels, row[None], np.array([0]))[2][0] for row in x]
    np.testing.assert_array_equal(gradients, [[0, 0], *[[nan, nan]] * 4])
    assert both(kernels, x[:1], np.array([1]))[0] == inf


@KERNELS
def test_where_nothing_counts_the_mean_is_nan_and_the_gradient_zero(kernels):
    x, t = np.ones((2, 3), np.float32), np.array([IGNORED, IGNORED])
    loss, denominator, dx = both(kernels, x, t, g=np.nan)
    assert np.isnan(loss)
    assert denominator == 0
    assert (dx == 0).all()
    assert both(kernels, x, t, mean=False)[0] == 0


@KERNELS
@pytest.mark.parametrize("wrong", [3, -1])
def test_a_class_that_is_none_is_an_error(kernels, wrong):
    with pytest.raises(IndexError, match=str(wrong)):
        both(kernels, np.ones((2, 3), np.float32), np.array([0, wrong]))


def test_what_it_would_misread_is_refused():
    x, t = np.ones((2, 3), np.float32), np.array([0, 1])
    with pytest.raises(ValueError, match=r"logits \(N, C\) need target \(N,\)"):
        both(compiled, x, t[:1])
    with pytest.raises(ValueError, match=r"logits \(N, C\) need weight \(C,\)"):
        both(compiled, x, t, np.ones(2, np.float32))
    with pytest.raises(TypeError, match=r"cross_entropy\._loss takes"):
        both(compiled, x[0], t)
    kept = compiled.cross_entropy_loss(x, t, None, IGNORED, True)[2]
    with pytest.raises(ValueError, match=r"needs target \(N,\)"):
        compiled.cross_entropy_gradient(np.array(1, np.float32), kept, t[:1])
