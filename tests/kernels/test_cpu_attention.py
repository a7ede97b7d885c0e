"""The compiled attention against its reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import attention as compiled
from minipar.kernels.reference import attention as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SCALE = 0.4


def both(kernels, g, q, k, v, bias=None, noise=None, causal=False, wants_scores=True):
    """(y, dq, dk, dv, dscores)"""
    y = np.full(g.shape, np.nan, g.dtype)
    weights = kernels.attention_forward(q, k, v, bias, noise, causal, SCALE, y)
    grads = [np.full(x.shape, np.nan, x.dtype) for x in (q, k, v)]
    dscores = kernels.attention_gradient(g, q, k, v, weights, noise, SCALE, *grads, wants_scores)
    return y, *grads, dscores


def drawn(rng, dtype, n, h, length, keys, width, depth):
    """g, q, k, v"""
    shapes = ((n, h, length, depth), (n, h, length, width), (n, h, keys, width), (n, h, keys, depth))
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@DTYPES
@given(
    st.tuples(st.integers(0, 2), st.integers(1, 3), *[st.integers(1, 20)] * 4), layouts, layouts,
    st.sampled_from(["", "bias", "blocked", "causal", "noise", "causal noise"]), st.booleans(), seeds,
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_equals_the_reference_in_float64(dtype, sizes, layout, layout_g, kind, wants_scores, seed):
    rng = np.random.default_rng(seed)
    g, *qkv = drawn(rng, dtype, *sizes)
    given_ = [laid_out(g, layout_g), *[laid_out(x, layout) for x in qkv]]
    shape = (sizes[0], sizes[1], sizes[2], sizes[3])
    bias = noise = None
    if kind == "bias":
        bias = np.broadcast_to(rng.normal(size=shape[2:]).astype(dtype), shape)
    if kind == "blocked":  # some queries may attend to nothing
        bias = np.where(rng.random(shape) < 0.6, -np.inf, 0.0).astype(dtype)
    if "noise" in kind:
        noise = (2.0 * (rng.random(shape) < 0.5)).astype(dtype)
    wide = [None if a is None else a.astype(np.float64) for a in (*given_, bias, noise)]
    expected = both(reference, *wide, "causal" in kind, wants_scores)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    for got, want in zip(both(compiled, *given_, bias, noise, "causal" in kind, wants_scores), expected):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.dtype == dtype
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (2, 3, 17, 19, 16, 16), (1, 5, 33, 20, 64, 8)])
def test_the_number_of_threads_does_not_change_a_bit(dtype, sizes, monkeypatch):
    given_ = drawn(np.random.default_rng(0), dtype, *sizes)
    monkeypatch.setattr(compiled, "ALONE", 10**12)
    alone = [a.tobytes() for a in both(compiled, *given_)]
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert [a.tobytes() for a in both(compiled, *given_)] == alone


@DTYPES
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (1, 2, 5, 17, 15, 33), (2, 1, 16, 16, 16, 16)])
def test_nothing_beyond_the_ends_is_touched(dtype, sizes):
    given_ = drawn(np.random.default_rng(0), dtype, *sizes)
    expected = both(compiled, *given_)
    for at_start in (False, True):
        for got, want in zip(both(compiled, *[guarded(a, at_start) for a in given_]), expected):
            assert got.tobytes() == want.tobytes()


def test_long_rows_of_scores_are_taken_in_blocks(monkeypatch):
    given_ = drawn(np.random.default_rng(0), np.float64, 1, 1, 700, 130, 4, 4)  # 91,000 scores: more than one block
    for got, want in zip(both(compiled, *given_, causal=True), both(reference, *given_, causal=True)):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)


def test_heads_that_lie_side_by_side_are_read_and_written_there():
    rng = np.random.default_rng(0)
    packed, gradient = rng.normal(size=(2, 5, 3, 4, 6)), np.full((2, 5, 3, 4, 6), np.nan)
    q, k, v = packed.transpose(2, 0, 3, 1, 4)
    g = rng.normal(size=(2, 5, 4, 6)).transpose(0, 2, 1, 3)
    y = np.full((2, 5, 4, 6), np.nan).transpose(0, 2, 1, 3)
    weights = compiled.attention_forward(q, k, v, None, None, False, SCALE, y)
    compiled.attention_gradient(g, q, k, v, weights, None, SCALE, *gradient.transpose(2, 0, 3, 1, 4))
    expected = both(reference, g, q, k, v)
    np.testing.assert_allclose(y, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient.transpose(2, 0, 3, 1, 4), expected[1:4], rtol=1e-11, atol=1e-13)


def test_a_nan_reaches_its_query_alone():
    g, q, k, v = drawn(np.random.default_rng(0), np.float32, 1, 1, 3, 4, 2, 2)
    q[0, 0, 1, 0] = np.nan
    y = both(compiled, g, q, k, v)[0]
    assert np.isnan(y[0, 0]).any(1).tolist() == [False, True, False]


def test_what_it_would_misread_is_refused():
    g, q, k, v = drawn(np.random.default_rng(0), np.float32, 1, 2, 3, 4, 5, 6)
    for wrong in ((g, q[:, :1], k, v), (g, q, k[:, :, :2], v), (g[..., :3], q, k, v)):
        with pytest.raises(ValueError, match="attention needs"):
            compiled.attention_forward(*wrong[1:], None, None, False, SCALE, np.empty_like(wrong[0]))
    with pytest.raises(ValueError, match="bias and noise of the scores' shape"):
        compiled.attention_forward(q, k, v, np.ones((1, 1, 3, 4), np.float32), None, False, SCALE, g)
    with pytest.raises(ValueError, match="last axis of what is written must be contiguous"):
        compiled.attention_forward(q, k, v, None, None, False, SCALE, np.empty((1, 2, 6, 3), "f").swapaxes(2, 3))
    with pytest.raises(TypeError, match=r"attention\._forward takes"):
        compiled.attention_forward(q, k.astype(np.float64), v, None, None, False, SCALE, g)
