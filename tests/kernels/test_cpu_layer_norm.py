"""The compiled layer and RMS norm against the reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import layer_norm as compiled
from minipar.kernels.reference import normalization as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EPS = 1e-3


def both(kernels, g, x, weight, bias, centred=True):
    """(y, dx, dweight, dbias)"""
    y, kept = kernels.layer_norm_forward(x, weight, bias, EPS, centred)
    dweight, dbias = (None if p is None else np.full(p.shape, np.nan, x.dtype) for p in (weight, bias))
    return y, kernels.layer_norm_backward(g, x, weight, kept, centred, dweight, dbias), dweight, dbias


@DTYPES
@given(
    st.integers(0, 70), st.integers(1, 70), layouts, layouts, st.booleans(), st.booleans(), st.booleans(), seeds,
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_equals_the_reference_in_float64(dtype, rows, width, layout, layout_g, weighted, biased, centred, seed):
    rng = np.random.default_rng(seed)
    x = laid_out((rng.normal(size=(rows, width)) + 2).astype(dtype), layout)
    g = laid_out(rng.normal(size=(rows, width)).astype(dtype), layout_g)
    weight, bias = (laid_out(rng.normal(size=width).astype(dtype), layout) for _ in range(2))
    given_ = [g, x, weight if weighted else None, bias if biased else None]
    expected = both(reference, *[a if a is None else a.astype(np.float64) for a in given_], centred)
    scale = 1 / np.sqrt(EPS)  # of the gradient, where a row hardly varies
    tolerance = (5e-6 if dtype == np.float32 else 1e-13) * scale
    for got, want, similar in zip(both(compiled, *given_, centred), expected, (x, x, weight, bias)):
        assert (got is None) == (want is None)
        if got is not None:
            assert (got.shape, got.dtype) == (similar.shape, dtype)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (31, 5), (33, 16), (200, 64), (65, 1000)])
def test_the_number_of_threads_does_not_change_a_bit(dtype, shape, monkeypatch):
    rng = np.random.default_rng(0)
    given_ = [rng.normal(size=size).astype(dtype) for size in (shape, shape, shape[1:], shape[1:])]
    monkeypatch.setattr(compiled, "ALONE", 10**9)
    alone = [a.tobytes() for a in both(compiled, *given_)]
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert [a.tobytes() for a in both(compiled, *given_)] == alone


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (3, 15), (33, 16), (2, 65)])
def test_nothing_beyond_the_ends_is_touched(dtype, shape):
    rng = np.random.default_rng(0)
    given_ = [rng.normal(size=size).astype(dtype) for size in (shape, shape, shape[1:], shape[1:])]
    expected = both(compiled, *given_)
    for at_start in (False, True):
        for got, want in zip(both(compiled, *[guarded(a, at_start) for a in given_]), expected):
            assert got.tobytes() == want.tobytes()


def test_a_nan_spoils_its_row_alone():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    x[1, 2] = np.nan
    y, dx, dweight, _ = both(compiled, np.ones_like(x), x, np.ones(4, np.float32), np.ones(4, np.float32))
    assert np.isnan(y).any(1).tolist() == np.isnan(dx).any(1).tolist() == [False, True, False]
    assert np.isnan(dweight).all()


def test_what_it_would_misread_is_refused():
    x, short = np.ones((3, 4), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"need weight and bias \(W,\)"):
        compiled.layer_norm_forward(x, short, None, EPS, True)
    _, kept = compiled.layer_norm_forward(x, None, None, EPS, True)
    with pytest.raises(ValueError, match=r"need weight and bias \(W,\)"):
        compiled.layer_norm_backward(x, x, None, kept, True, dbias=short)
    with pytest.raises(ValueError, match="shapes do not fit"):
        compiled.layer_norm_backward(x[:2], x, None, kept, True)
    with pytest.raises(TypeError, match=r"layer_norm\._forward takes"):
        compiled.layer_norm_forward(x, np.ones(4), None, EPS, True)
