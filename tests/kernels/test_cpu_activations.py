"""The compiled activations against their reference and float64, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import activations as compiled
from minipar.kernels.reference import activations as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
FORWARD = ["gelu", "tanh_gelu", "silu"]
GRADIENT = ["gelu_gradient", "tanh_gelu_gradient", "silu_gradient", "relu_gradient"]


def run(kernels, name, x, g):
    return getattr(kernels, name)(x) if name in FORWARD else getattr(kernels, name)(g, x)


@DTYPES
@pytest.mark.parametrize("name", FORWARD + GRADIENT)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), layouts, layouts, st.sampled_from([1, 10]), seeds)
@settings(max_examples=25, deadline=None)
def test_equals_the_reference_in_float64(dtype, name, shape, layout, layout_g, spread, seed):
    rng = np.random.default_rng(seed)
    x = laid_out((spread * rng.normal(size=shape)).astype(dtype), layout)
    g = laid_out(rng.normal(size=shape).astype(dtype), layout_g)
    got = run(compiled, name, x, g)
    assert (got.shape, got.dtype) == (x.shape, dtype)
    tolerance = 5e-6 if dtype == np.float32 else 1e-13
    expected = run(reference, name, x.astype(np.float64), g.astype(np.float64))
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@DTYPES
@pytest.mark.parametrize("name", FORWARD + GRADIENT)
@pytest.mark.parametrize("size", [1, 17, 3000])
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, name, size, monkeypatch):
    x, g = (3 * np.random.default_rng(0).normal(size=(2, size))).astype(dtype)
    alone = run(compiled, name, x, g).tobytes()
    for at_start in (False, True):
        assert run(compiled, name, guarded(x, at_start), guarded(g, at_start)).tobytes() == alone
    monkeypatch.setattr(compiled, "ALONE", 0)
    for threads in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, threads=threads: threads)
        assert run(compiled, name, x, g).tobytes() == alone


def test_channels_last_stays_channels_last():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    for name in FORWARD + GRADIENT:
        assert run(compiled, name, x, x).strides == x.strides, name


def test_nan_and_infinities():
    x = np.array([np.nan, np.inf, -np.inf, 0.0], np.float32)
    one = np.ones_like(x)
    for name in FORWARD + GRADIENT:
        np.testing.assert_array_equal(run(compiled, name, x, one), run(reference, name, x, one), err_msg=name)


def test_what_it_would_misread_is_refused():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="must have one size"):
        compiled.silu_gradient(x[:2], x)
    with pytest.raises(TypeError, match=r"activations\._silu_gradient takes"):
        compiled.silu_gradient(np.ones(3), x)
