"""Compiled mean-pooling, adaptive pooling and pooling of volumes against their references, at any strides and sizes."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds
from test_pool2d import poolings

from minipar.kernels.cpu import adaptive_pool, avg_pool, max_boxes, threads, window_means
from minipar.kernels.reference import adaptive_pool as adaptive_reference
from minipar.kernels.reference import pool2d, pool3d

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SPECIAL = [0.0, -0.0, 1.0, -2.0, np.nan, np.inf, -np.inf]


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}


@DTYPES
@given(poolings(dilations=(1,)), st.integers(0, 40), st.booleans(), st.sampled_from([None, 3, -2]), layouts, seeds)
@settings(max_examples=60, deadline=None)
def test_average_pooling(dtype, pooling, more, count_include_pad, divisor, layout, seed):
    shape, kernel, stride, padding, _, ceil_mode = pooling
    geometry = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*shape[:3], shape[3] + more)).astype(dtype)  # wide enough to fill vectors
    y = avg_pool.avg_pool2d_forward(laid_out(x, layout), *geometry)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, pool2d.avg_pool2d_forward(x.astype(float), *geometry), **tolerance(dtype))
    g = rng.normal(size=y.shape).astype(dtype)
    dx = avg_pool.avg_pool2d_backward(laid_out(g, layout), x.shape, *geometry)
    expected = pool2d.avg_pool2d_backward(g.astype(float), x.shape, *geometry)
    np.testing.assert_allclose(dx, expected, **tolerance(dtype))


sizes = st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))


@DTYPES
@given(sizes, st.tuples(st.integers(0, 50), st.integers(0, 50)), layouts, seeds)
@settings(max_examples=60, deadline=None)
def test_adaptive_means(dtype, shape, output, layout, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(dtype)
    y = adaptive_pool.adaptive_avg_pool2d_forward(laid_out(x, layout), output)
    expected = adaptive_reference.adaptive_avg_pool2d_forward(x.astype(float), output)
    np.testing.assert_allclose(y, expected, **tolerance(dtype))
    g = rng.normal(size=y.shape).astype(dtype)
    dx = adaptive_pool.adaptive_avg_pool2d_backward(laid_out(g, layout), shape)
    expected = adaptive_reference.adaptive_avg_pool2d_backward(g.astype(float), shape)
    np.testing.assert_allclose(dx, expected, **tolerance(dtype))
    assert (y.dtype, dx.dtype) == (dtype, dtype)


@DTYPES
@given(st.integers(1, 3), st.data(), layouts, st.booleans(), seeds)
@settings(max_examples=60, deadline=None)
def test_adaptive_maxima_to_the_bit(dtype, axes, data, layout, special, seed):
    rng = np.random.default_rng(seed)
    spatial = data.draw(st.tuples(*[st.integers(1, 20)] * axes))
    output = data.draw(st.tuples(*[st.integers(0, 8)] * axes))
    x = rng.choice(SPECIAL if special else [1.0, 2.0, 3.0], (2, 3, *spatial)).astype(dtype)
    y, winners = max_boxes.adaptive_max_pool(laid_out(x, layout), output)
    expected, places = adaptive_reference.adaptive_max_pool(x, output)
    np.testing.assert_array_equal(winners, places)
    assert y.tobytes() == np.ascontiguousarray(expected).tobytes()


@DTYPES
@given(poolings(), st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 4)), layouts, st.booleans(), seeds)
@settings(max_examples=60, deadline=None)
def test_maxima_of_volumes_to_the_bit(dtype, pooling, depth, layout, special, seed):
    shape, *pairs, ceil_mode = pooling
    window, step, more = depth
    geometry = [(first, *pair) for first, pair in zip((window, step, window // 2, 1), pairs)]
    rng = np.random.default_rng(seed)
    size = (*shape[:2], window + more, *shape[2:])
    x = rng.choice(SPECIAL if special else [1.0, 2.0, 3.0], size).astype(dtype)
    y, winners = max_boxes.max_pool3d_forward(laid_out(x, layout), *geometry, ceil_mode)
    expected, places = pool3d.max_pool3d_forward(x, *geometry, ceil_mode)
    np.testing.assert_array_equal(winners, places)
    np.testing.assert_array_equal(y, expected)


def results(x, keep=lambda array: array):
    """Of every kernel, as bytes."""
    average = ((3, 3), (2, 2), (1, 1), True, False, None)
    y = avg_pool.avg_pool2d_forward(keep(x), *average)
    whole = adaptive_pool.adaptive_avg_pool2d_forward(keep(x), (1, 1))
    found = [
        y, avg_pool.avg_pool2d_backward(keep(y), x.shape, *average), whole,
        adaptive_pool.adaptive_avg_pool2d_forward(keep(x), (4, 7)),
        adaptive_pool.adaptive_avg_pool2d_backward(keep(whole), x.shape),
        *max_boxes.adaptive_max_pool(keep(x), (3, 4)),
    ]  # fmt: skip
    return [array.tobytes() for array in found]


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (3, 5, 9, 20), (2, 3, 14, 14)])
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, shape, monkeypatch):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    alone = results(x)
    for at_start in (False, True):
        assert results(x, lambda array, at_start=at_start: guarded(array, at_start)) == alone
    monkeypatch.setattr(avg_pool, "ALONE", 0)
    for count in (2, 3):
        for module in (avg_pool, max_boxes):
            monkeypatch.setattr(module, "threads_for", lambda work, pieces, count=count: count)
        assert results(x) == alone
    assert threads.get_num_threads() >= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_reaches_its_windows_alone(bad):
    x = np.ones((1, 1, 6, 40), np.float32)
    x[0, 0, 2, 17] = bad
    y = avg_pool.avg_pool2d_forward(x, (2, 2), (2, 2), (0, 0), False, True, None)
    assert np.argwhere(~np.isfinite(y)).tolist() == [[0, 0, 1, 8]]
    dx = avg_pool.avg_pool2d_backward(y, x.shape, (2, 2), (2, 2), (0, 0), False, True, None)
    assert np.argwhere(~np.isfinite(dx)).tolist() == [[0, 0, h, w] for h in (2, 3) for w in (16, 17)]


def test_what_it_would_misread_is_refused():
    x = np.ones((1, 1, 4, 4), np.float32)
    geometry = ((2, 2), (2, 2), (0, 0), False, True)
    with pytest.raises(ValueError, match=r"g .* is not of the windows' shape"):
        avg_pool.avg_pool2d_backward(x, x.shape, *geometry, None)
    with pytest.raises(ValueError, match="divisor_override must not be zero"):
        avg_pool.avg_pool2d_forward(x, *geometry, 0)
    with pytest.raises(TypeError, match="x must be float32 or float64"):
        avg_pool.avg_pool2d_forward(x.astype(np.float16), *geometry, None)
    with pytest.raises(ValueError, match="no tap inside"):
        max_boxes.max_pool3d_forward(x[None, :, :1, :1, :1], (2, 2, 2), (1, 1, 1), (2, 2, 2), (4, 4, 4), False)
    far = window_means.windows(np.array([0, 2]), np.array([2, 5]), np.array([2, 2]))
    near = window_means.windows(np.array([0, 2]), np.array([2, 4]), np.array([2, 2]))
    with pytest.raises(ValueError, match="a window lies outside"):
        avg_pool.window_means(x, far, near)
    with pytest.raises(ValueError, match="the evenly spaced windows lie outside"):
        avg_pool.window_means(x, near, near._replace(even=(0, 2, 2, 3)))
