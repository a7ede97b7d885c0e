"""The compiled softmax against its reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import softmax as compiled
from minipar.kernels.reference import softmax as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NAMES = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


def both(kernels, name, x, g, dim=-1):
    """(y, dx)"""
    y = getattr(kernels, name)(x, dim)
    return y, getattr(kernels, f"{name}_gradient")(g, y, dim)


@DTYPES
@NAMES
@given(st.lists(st.integers(0, 20), min_size=1, max_size=3), st.data(), layouts, layouts, seeds)
@settings(max_examples=30, deadline=None)
def test_equals_the_reference_in_float64(dtype, name, shape, data, layout, layout_g, seed):
    rng = np.random.default_rng(seed)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = laid_out((10 * rng.normal(size=shape)).astype(dtype), layout)
    g = laid_out(rng.normal(size=shape).astype(dtype), layout_g)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    expected = both(reference, name, x.astype(np.float64), g.astype(np.float64), dim)
    for got, want in zip(both(compiled, name, x, g, dim), expected):
        assert (got.shape, got.dtype) == (x.shape, dtype)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@DTYPES
@NAMES
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 17), (40, 300)])
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, name, shape, monkeypatch):
    x, g = np.random.default_rng(0).normal(size=(2, *shape)).astype(dtype)
    alone = [a.tobytes() for a in both(compiled, name, x, g)]
    for at_start in (False, True):
        assert [a.tobytes() for a in both(compiled, name, guarded(x, at_start), guarded(g, at_start))] == alone
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert [a.tobytes() for a in both(compiled, name, x, g)] == alone


@NAMES
def test_rows_that_hold_nan_and_infinities(name):
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf, 1], [inf, 0, 1], [nan, 0, 1], [-inf, -inf, -inf]], np.float32)
    for got, want in zip(both(compiled, name, x, np.ones_like(x)), both(reference, name, x, np.ones_like(x))):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_what_it_would_misread_is_refused():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="must have one shape"):
        compiled.softmax_gradient(x[:1], x, -1)
    with pytest.raises(TypeError, match=r"softmax\._gradient takes"):
        compiled.softmax_gradient(np.ones((2, 3)), x, -1)
