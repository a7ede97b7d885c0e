"""The compiled activations against their reference and float64, at any strides, sizes and number of threads."""

import inspect

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.backend.dispatch import ELEMENTWISE
from minipar.kernels.cpu import activations as compiled
from minipar.kernels.cpu import elementwise
from minipar.kernels.reference import activations as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NAMES = pytest.mark.parametrize("name", ELEMENTWISE)
NUMBERS = {  # what a kernel takes besides arrays
    "leaky_relu": (0.25,),
    "elu": (1.5, 1.25, 0.5),
    "hardtanh": (-1.0, 2.0),
    "threshold": (0.5, -3.0),
    "hardshrink": (0.75,),
    "softshrink": (0.75,),
    "softplus": (2.0, 20.0),
}


def run(kernels, name, x, g):
    numbers = NUMBERS.get(name.removesuffix("_gradient"), ())
    function = getattr(kernels, name)
    return function(g, x, *numbers) if name.endswith("_gradient") else function(x, *numbers)


@pytest.fixture(autouse=True)
def without_numpy_s_warnings():  # of the reference, which `dispatch` silences too
    with np.errstate(all="ignore"):
        yield


def test_every_reference_is_compiled_and_dispatched():
    public = {name for name, value in vars(reference).items() if inspect.isfunction(value) and name[0] != "_"}
    assert public - {"array_namespace"} == set(ELEMENTWISE)
    assert all(callable(getattr(compiled, name)) for name in ELEMENTWISE)


@DTYPES
@NAMES
@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), layouts, layouts, st.sampled_from([1, 10]), seeds)
@settings(max_examples=15, deadline=None)
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
@NAMES
def test_small_results_keep_their_digits(dtype, name):
    x = np.concatenate([10.0 ** np.arange(-30, 2, 0.5), np.arange(5, 80, 0.5)]).astype(dtype)
    x = np.concatenate([-x, x])
    expected = run(reference, name, x.astype(np.longdouble), np.ones_like(x, np.longdouble)).astype(dtype)
    if name in ("gelu", "gelu_gradient", "tanh_gelu", "tanh_gelu_gradient", "silu_gradient", "mish_gradient"):
        tolerance = {"atol": 40 * np.finfo(dtype).eps, "rtol": 40 * np.finfo(dtype).eps}  # sums of both signs
    else:
        tolerance = {"atol": 1e-44, "rtol": 6 * np.finfo(dtype).eps}
    np.testing.assert_allclose(run(compiled, name, x, np.ones_like(x)), expected, **tolerance)


@DTYPES
@NAMES
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, name, monkeypatch):
    for size in (1, 17, 3000):
        x, g = (3 * np.random.default_rng(0).normal(size=(2, size))).astype(dtype)
        alone = run(compiled, name, x, g).tobytes()
        for at_start in (False, True):
            assert run(compiled, name, guarded(x, at_start), guarded(g, at_start)).tobytes() == alone
        with monkeypatch.context() as patch:
            patch.setattr(elementwise, "ALONE", 0)
            for threads in (2, 3):
                patch.setattr(elementwise, "threads_for", lambda work, pieces, threads=threads: threads)
                assert run(compiled, name, x, g).tobytes() == alone


@NAMES
def test_channels_last_stays_channels_last(name):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    assert run(compiled, name, x, x).strides == x.strides


@DTYPES
@NAMES
def test_nan_infinities_and_kinks(dtype, name):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 0.5, -0.75, 0.75, -1, 2, -3, 3, 10, 1e30, -1e30, 1e-45], dtype)
    one = np.ones_like(x)
    got, expected = run(compiled, name, x, one), run(reference, name, x, one)
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_what_it_would_misread_is_refused():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="must have one size"):
        compiled.silu_gradient(x[:2], x)
    with pytest.raises(TypeError, match=r"activations\._silu_gradient takes"):
        compiled.silu_gradient(np.ones(3), x)
    with pytest.raises(TypeError, match=r"activations\._leaky_relu takes"):
        compiled.leaky_relu(x)
