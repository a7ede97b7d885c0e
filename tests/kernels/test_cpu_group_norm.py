"""The compiled group and instance norm against the reference and float64, at any strides, sizes and threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

import minipar
from minipar.kernels.cpu import group_norm as compiled
from minipar.kernels.reference import normalization as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [  # and groups
    ((1, 1, 2), 1), ((9, 6, 1), 2), ((3, 64, 1), 4), ((5, 4, 49), 4), ((2, 2, 2500), 1), ((300, 2, 3), 1),
    ((3, 4, 15), 2), ((3, 4, 16), 2), ((2, 40, 65), 8), ((1, 300, 9), 1), ((0, 4, 3), 2),
]  # fmt: skip
EPS = 1e-3


def both(kernels, groups, g, x, weight, bias):
    """(y, statistics, dx, dweight, dbias)"""
    y, statistics = kernels.group_norm_forward(x, groups, weight, bias, EPS)
    grads = [None if p is None else np.full(p.shape, np.nan, x.dtype) for p in (weight, bias)]
    return y, statistics, kernels.group_norm_backward(g, x, weight, statistics, EPS, *grads), *grads


def drawn(shape, dtype, seed=0):
    """g, x, weight, bias"""
    rng = np.random.default_rng(seed)
    g, x = rng.normal(size=(2, *shape)).astype(dtype)
    return [g, x + 2, *rng.normal(size=(2, shape[1])).astype(dtype)]


@DTYPES
@given(
    st.integers(1, 20), st.integers(1, 6), st.integers(1, 6), st.integers(1, 70), layouts, layouts,
    *[st.booleans()] * 2, seeds,
)  # fmt: skip
@example(300, 2, 3, 2, "contiguous", "contiguous", True, True, 0)
@example(2, 1, 2, 5000, "contiguous", "sliced", True, False, 0)
@example(2, 1, 5000, 2, "read-only", "reversed", False, True, 0)
@settings(max_examples=60, deadline=None)
def test_equals_the_reference_in_float64(dtype, samples, groups, size, plane, layout, layout_g, weighted, biased, seed):
    g, x, weight, bias = drawn((samples, groups * size, plane), dtype, seed)
    g, x, weight, bias = laid_out(g, layout_g), laid_out(x, layout), laid_out(weight, layout), laid_out(bias, layout)
    given_ = [g, x, weight if weighted else None, bias if biased else None]
    expected = both(reference, groups, *[a if a is None else a.astype(np.float64) for a in given_])
    scale = (1 + np.abs(x).max()) * np.sqrt(x.size) / EPS**0.5
    tolerance = (5e-7 if dtype == np.float32 else 1e-15) * scale
    for got, want in zip(both(compiled, groups, *given_), expected):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@DTYPES
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_the_number_of_threads_does_not_change_a_bit(dtype, shape, groups, monkeypatch):
    given_ = drawn(shape, dtype)
    monkeypatch.setattr(compiled, "ALONE", 10**9)
    alone = [a.tobytes() for a in both(compiled, groups, *given_)]
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert [a.tobytes() for a in both(compiled, groups, *given_)] == alone


@DTYPES
@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_nothing_beyond_the_ends_is_touched(dtype, shape, groups, at_start, monkeypatch):
    given_ = drawn(shape, dtype)
    expected = both(compiled, groups, *given_)
    edged = [guarded(a, at_start) for a in given_]
    with monkeypatch.context() as patch:  # what the kernels allocate ends where memory ends too
        patch.setattr(compiled.np, "empty", lambda shape, dtype=float: guarded(np.zeros(shape, dtype), at_start))
        got = both(compiled, groups, *edged)
    for a, b in zip(got, expected):
        assert a.tobytes() == b.tobytes()


@DTYPES
@pytest.mark.parametrize(("shape", "groups"), [((2, 3, 100), 3), ((3, 4, 5000), 1), ((5, 64, 1), 2)])
def test_a_large_mean_costs_no_digits(dtype, shape, groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) + 3 * 10.0 ** (3 if dtype == np.float32 else 6)
    x[..., :1] += 40  # what the shift is taken from is unlike the rest
    x = x.astype(dtype)
    wide = x.astype(np.longdouble).reshape(shape[0], groups, -1)
    _, (mean, variance) = compiled.group_norm_forward(x, groups, None, None, EPS)
    np.testing.assert_allclose(variance, wide.var(2), rtol=1e-5 if dtype == np.float32 else 1e-9)
    deviation = np.sqrt(np.min(variance))
    assert np.abs(mean - wide.mean(2)).max() < (1e-6 if dtype == np.float32 else 1e-8) * deviation


@pytest.mark.parametrize(("shape", "groups"), [((2, 3, 100), 3), ((3, 4, 5000), 1), ((5, 64, 1), 2)])
def test_what_float32_lacks_of_a_large_mean_is_made_up_for(shape, groups):
    g, x, weight, bias = drawn(shape, np.float32)
    x += 3000
    expected = both(reference, groups, *[a.astype(np.float64) for a in (g, x, weight, bias)])
    for got, want in zip(both(compiled, groups, g, x, weight, bias), expected):
        of_sums = 2e-7 * np.abs(g).sum((0, 2)).max() if got.ndim == 1 else 0
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-5 + of_sums)


@DTYPES
@pytest.mark.parametrize("plane", [3, 40])
def test_what_is_not_finite_spoils_its_group_alone(dtype, plane):
    g, x, weight, bias = drawn((2, 4, plane), dtype)
    for spoiler in (np.nan, np.inf):
        for place in ((1, 2, 0), (1, 2, plane - 1)):
            spoiled = x.copy()
            spoiled[place] = spoiler
            y, (mean, variance), dx, dweight, dbias = both(compiled, 2, g, spoiled, weight, bias)
            spoiled_groups = [[False, False], [False, True]]
            for of_groups in (y, dx):
                assert np.isnan(of_groups.reshape(2, 2, -1)).any(2).tolist() == spoiled_groups
            assert np.isnan(variance).tolist() == spoiled_groups
            assert mean[1, 1] == spoiler or np.isnan(spoiler)
            assert np.isnan(dweight).tolist() == [False, False, True, True]
            assert np.isfinite(dbias).all()


def test_what_it_would_misread_is_refused():
    x, short = np.ones((3, 4, 2), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"needs weight and bias \(C,\)"):
        compiled.group_norm_forward(x, 2, short, None, EPS)
    for groups in (0, 3):
        with pytest.raises(ValueError, match="shapes do not fit"):
            compiled.group_norm_forward(x, groups, None, None, EPS)
    _, kept = compiled.group_norm_forward(x, 2, None, None, EPS)
    with pytest.raises(ValueError, match=r"needs weight and bias \(C,\)"):
        compiled.group_norm_backward(x, x, None, kept, EPS, dbias=short)
    with pytest.raises(ValueError, match="shapes do not fit"):
        compiled.group_norm_backward(x[:2], x, None, kept, EPS)
    with pytest.raises(TypeError, match=r"group_norm\._forward takes"):
        compiled.group_norm_forward(x, 2, np.ones(4), None, EPS)


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (0, 4, 2, 2)])
def test_no_samples_at_all(shape, kernels):
    with minipar.use_kernels(kernels):
        x, weight = minipar.zeros(*shape, requires_grad=True), minipar.ones(4, requires_grad=True)
        y = minipar.group_norm(x, 2, weight)
        y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert weight.grad.tolist() == [0.0] * 4
