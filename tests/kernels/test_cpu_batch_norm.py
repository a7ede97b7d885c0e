"""The compiled batch norm against the reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import batch_norm as compiled
from minipar.kernels.cpu import running_statistics
from minipar.kernels.reference import normalization as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(1, 1, 2), (9, 1, 1), (33, 70, 1), (5, 3, 49), (300, 2, 3), (2, 2, 2500), (17, 130, 8), (131, 66, 1)]
EPS = 1e-3


def both(kernels, g, x, weight, bias, running=None):
    """(y, statistics, dx, dweight, dbias)"""
    y, statistics = kernels.batch_norm_forward(x, weight, bias, EPS, running)
    grads = [None if p is None else np.full(p.shape, np.nan, x.dtype) for p in (weight, bias)]
    return y, statistics, kernels.batch_norm_backward(g, x, weight, statistics, EPS, running is None, *grads), *grads


def drawn(shape, dtype, seed=0):
    """g, x, weight, bias"""
    rng = np.random.default_rng(seed)
    g, x = rng.normal(size=(2, *shape)).astype(dtype)
    return [g, x + 2, *rng.normal(size=(2, shape[1])).astype(dtype)]


@DTYPES
@given(
    st.tuples(st.integers(1, 40), st.integers(0, 40), st.integers(1, 70)), layouts, layouts,
    *[st.booleans()] * 3, seeds,
)  # fmt: skip
@example((1, 2, 2100), "contiguous", "sliced", True, True, False, 0)
@example((300, 3, 1), "reversed", "read-only", False, True, True, 0)
@settings(max_examples=60, deadline=None)
def test_equals_the_reference_in_float64(dtype, shape, layout, layout_g, weighted, biased, running, seed):
    g, x, weight, bias = drawn(shape, dtype, seed)
    g, x, weight, bias = laid_out(g, layout_g), laid_out(x, layout), laid_out(weight, layout), laid_out(bias, layout)
    constants = (bias, weight * weight) if running else None
    given_ = [g, x, weight if weighted else None, bias if biased else None, constants]
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in given_[:4]]
    expected = both(reference, *wide, constants and tuple(a.astype(np.float64) for a in constants))
    scale = (1 + np.abs(x).max(initial=0)) * np.sqrt(x.size) / EPS**0.5
    tolerance = (5e-7 if dtype == np.float32 else 1e-15) * scale
    for got, want in zip(both(compiled, *given_), expected):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_threads_does_not_change_a_bit(dtype, shape, monkeypatch):
    given_ = drawn(shape, dtype)
    monkeypatch.setattr(compiled, "ALONE", 10**9)
    alone = [a.tobytes() for a in both(compiled, *given_)]
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert [a.tobytes() for a in both(compiled, *given_)] == alone


@DTYPES
@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_beyond_the_ends_is_touched(dtype, shape, at_start, monkeypatch):
    given_ = drawn(shape, dtype)
    expected = both(compiled, *given_)
    edged = [guarded(a, at_start) for a in given_]
    with monkeypatch.context() as patch:  # what the kernels allocate ends where memory ends too
        patch.setattr(compiled.np, "empty", lambda shape, dtype=float: guarded(np.zeros(shape, dtype), at_start))
        got = both(compiled, *edged)
    for a, b in zip(got, expected):
        assert a.tobytes() == b.tobytes()


@DTYPES
@pytest.mark.parametrize("shape", [(64, 3, 100), (3000, 5, 1), (2, 2, 5000)])
def test_a_large_mean_costs_no_digits(dtype, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) + 3 * 10.0 ** (3 if dtype == np.float32 else 6)
    x[0] += 40  # the first sample is unlike the others
    x = x.astype(dtype)
    wide = x.astype(np.longdouble)
    _, (mean, variance) = compiled.batch_norm_forward(x, None, None, EPS)
    np.testing.assert_allclose(variance, wide.var((0, 2)), rtol=1e-5 if dtype == np.float32 else 1e-9)
    deviation = np.sqrt(np.min(variance))
    assert np.abs(mean - wide.mean((0, 2))).max() < (1e-6 if dtype == np.float32 else 1e-8) * deviation


@pytest.mark.parametrize("shape", [(64, 3, 100), (3000, 5, 1), (2, 2, 5000)])
def test_what_float32_lacks_of_a_large_mean_is_made_up_for(shape):
    g, x, weight, bias = drawn(shape, np.float32)
    x += 3000
    expected = both(reference, *[a.astype(np.float64) for a in (g, x, weight, bias)])
    for got, want in zip(both(compiled, g, x, weight, bias), expected):
        of_sums = 2e-7 * np.abs(g).sum((0, 2)).max() if got.ndim == 1 else 0
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-5 + of_sums)


@DTYPES
def test_what_is_not_finite_spoils_its_channel_alone(dtype):
    g, x, weight, bias = drawn((20, 3, 7), dtype)
    for spoiler in (np.nan, np.inf):
        for place in ((0, 1, 0), (13, 1, 6)):
            spoiled = x.copy()
            spoiled[place] = spoiler
            y, (mean, variance), dx, dweight, dbias = both(compiled, g, spoiled, weight, bias)
            assert np.isnan(y).any((0, 2)).tolist() == np.isnan(dx).any((0, 2)).tolist() == [False, True, False]
            assert np.isnan(dweight).tolist() == np.isnan(variance).tolist() == [False, True, False]
            assert mean[1] == spoiler or np.isnan(spoiler)
            assert np.isfinite(dbias).all()


@pytest.mark.parametrize("kernels", [reference, running_statistics])
def test_running_statistics_follow(kernels):
    statistics = np.arange(12.0).reshape(2, 2, 3)
    for momentum in (0.25, np.array(0.25), 1):
        mean, variance = np.ones(6, np.float32)[::2], np.full(3, 2, np.float32)
        kernels.follow_statistics(mean, variance, statistics, 5, momentum)
        np.testing.assert_allclose(mean, 1 + float(momentum) * np.array([0.5, 1.5, 2.5]))
        np.testing.assert_allclose(variance, 2 + float(momentum) * (np.array([7.5, 8.5, 9.5]) * 5 / 4 - 2))


def test_what_it_would_misread_is_refused():
    x, short = np.ones((3, 4, 2), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"needs weight and bias \(C,\)"):
        compiled.batch_norm_forward(x, short, None, EPS)
    with pytest.raises(ValueError, match=r"needs running statistics \(C,\)"):
        compiled.batch_norm_forward(x, None, None, EPS, (short, short))
    _, kept = compiled.batch_norm_forward(x, None, None, EPS)
    with pytest.raises(ValueError, match=r"needs weight and bias \(C,\)"):
        compiled.batch_norm_backward(x, x, None, kept, EPS, True, dbias=short)
    with pytest.raises(ValueError, match="shapes do not fit"):
        compiled.batch_norm_backward(x[:2], x, None, kept, EPS, True)
    with pytest.raises(ValueError, match=r"need running mean and variance \(C,\)"):
        running_statistics.follow_statistics(np.ones(4), np.ones(3), np.ones((2, 4)), 2, 0.1)
    with pytest.raises(TypeError, match=r"batch_norm\._forward takes"):
        compiled.batch_norm_forward(x, np.ones(4), None, EPS)
