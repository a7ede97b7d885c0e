"""Picked rows and elements, and their gradients, compiled: against NumPy, at any strides, sizes and threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import picked_along, picked_rows
from minipar.kernels.reference import picked_rows as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NUMBERS = st.sampled_from([np.int64, np.int32])
shapes = st.lists(st.integers(1, 20), min_size=1, max_size=3).map(tuple)


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}


@DTYPES
@given(shapes, st.data(), NUMBERS, layouts, seeds)
@settings(max_examples=50, deadline=None)
def test_rows(dtype, shape, data, kind, layout, seed):
    rng = np.random.default_rng(seed)
    dim = data.draw(st.integers(0, len(shape) - 1))
    size = data.draw(st.tuples(st.integers(0, 30), *[st.integers(1, 3)] * data.draw(st.integers(0, 1))))
    numbers = rng.integers(-shape[dim], shape[dim], size).astype(kind)
    x = rng.normal(size=shape).astype(dtype)
    y = picked_rows.pick_rows(laid_out(x, layout), laid_out(numbers, layout), dim)
    np.testing.assert_array_equal(y, reference.pick_rows(x, numbers, dim))
    g = rng.normal(size=y.shape).astype(dtype)
    dx = picked_rows.add_rows(laid_out(g, layout), numbers, shape, dim)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, reference.add_rows(g.astype(float), numbers, shape, dim), **tolerance(dtype))


@DTYPES
@given(shapes, st.data(), NUMBERS, layouts, st.booleans(), seeds)
@settings(max_examples=50, deadline=None)
def test_along(dtype, shape, data, kind, layout, shorter, seed):
    rng = np.random.default_rng(seed)
    dim = data.draw(st.integers(0, len(shape) - 1))
    size = [rng.integers(1, n + 1) if shorter else n for n in shape]
    size[dim] = data.draw(st.integers(0, 30))
    index = rng.integers(-shape[dim], shape[dim], size).astype(kind)
    x = rng.normal(size=shape).astype(dtype)
    y = picked_along.pick_along(laid_out(x, layout), laid_out(index, layout), dim)
    np.testing.assert_array_equal(y, reference.pick_along(x, index, dim))
    g = rng.normal(size=y.shape).astype(dtype)
    dx = picked_along.add_along(laid_out(g, layout), index, shape, dim)
    assert (dx.dtype, dx.shape) == (dtype, shape)
    np.testing.assert_allclose(dx, reference.add_along(g.astype(float), index, shape, dim), **tolerance(dtype))
    base = x.copy()
    total = picked_along.add_along(g, index, shape, dim, laid_out(base, layout))
    expected = reference.add_along(g.astype(float), index, shape, dim, base.astype(float))
    np.testing.assert_allclose(total, expected, **tolerance(dtype))
    np.testing.assert_array_equal(base, x)


@DTYPES
@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 60), st.data(), st.booleans(), layouts, seeds)
@settings(max_examples=50, deadline=None)
def test_embedding(dtype, rows, width, count, data, by_frequency, layout, seed):
    rng = np.random.default_rng(seed)
    padding = data.draw(st.none() | st.integers(0, rows - 1))
    numbers = rng.integers(0, rows, (count, 2))
    weight, g = rng.normal(size=(rows, width)).astype(dtype), rng.normal(size=(count, 2, width)).astype(dtype)
    np.testing.assert_array_equal(picked_rows.embedding_forward(laid_out(weight, layout), numbers), weight[numbers])
    expected = reference.embedding_backward(g.astype(float), numbers, rows, padding, by_frequency)
    arguments = numbers, rows, padding, by_frequency
    got = picked_rows.embedding_backward(laid_out(g, layout), *arguments)
    np.testing.assert_allclose(got, expected, **tolerance(dtype))
    place = np.full((rows, width), np.nan, dtype)
    assert picked_rows.embedding_backward(g, *arguments, place) is place
    np.testing.assert_array_equal(place, got)


def results(x, g, numbers, along, keep=lambda array: array):
    """Of every kernel, as bytes."""
    x, g, numbers, along = map(keep, (x, g, numbers, along))
    back = picked_rows.embedding_backward
    found = [
        picked_rows.pick_rows(x, numbers, 1), picked_rows.add_rows(g, numbers, x.shape, 1),
        picked_along.pick_along(x, along, 1), picked_along.add_along(g, along, x.shape, 1),
        picked_rows.embedding_forward(x[0], abs(numbers)), back(g[0], abs(numbers), x.shape[1], 1, False),
        back(g[0], abs(numbers), x.shape[1], None, True),
    ]  # fmt: skip
    return [array.tobytes() for array in found]


@DTYPES
@pytest.mark.parametrize("shape", [(1, 9, 1), (1, 9, 100), (7, 5, 3), (4, 5, 33)])
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, shape, monkeypatch):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=shape).astype(dtype), rng.normal(size=(shape[0], 40, shape[2])).astype(dtype)
    numbers, along = rng.integers(1 - shape[1], shape[1], 40), rng.integers(-shape[1], shape[1], g.shape)
    alone = results(x, g, numbers, along)
    for at_start in (False, True):
        assert results(x, g, numbers, along, lambda array, at_start=at_start: guarded(array, at_start)) == alone
    for module in (picked_rows, picked_along):
        monkeypatch.setattr(module, "ALONE", 0)
    for count in (2, 3):
        for module in (picked_rows, picked_along):
            monkeypatch.setattr(module, "threads_for", lambda work, pieces, count=count: count)
        assert results(x, g, numbers, along) == alone


def test_a_nan_goes_where_it_belongs():
    g = np.array([[1.0], [np.nan], [2.0], [np.inf]], np.float32)
    dx = picked_rows.embedding_backward(g, np.array([2, 0, 2, 1]), 3, None, False)
    np.testing.assert_array_equal(dx.ravel(), [np.nan, np.inf, 3])
    dx = picked_rows.embedding_backward(g, np.array([2, 0, 2, 1]), 3, 0, False)  # padding is not looked at
    np.testing.assert_array_equal(dx.ravel(), [0, np.inf, 3])


@pytest.mark.parametrize("wrong", [5, -6, 2**40, -(2**40)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_number_that_is_outside(wrong, threads, monkeypatch):
    for module in (picked_rows, picked_along):
        monkeypatch.setattr(module, "ALONE", 0)
        monkeypatch.setattr(module, "threads_for", lambda work, pieces: threads)
    x, numbers = np.ones((5, 40), np.float32), np.array([0, 4, wrong, 1])
    along = np.tile(numbers[:, None], (1, 40))
    g = np.ones((4, 40), np.float32)
    for call in [
        lambda: picked_rows.pick_rows(x, numbers, 0),
        lambda: picked_rows.add_rows(g, numbers, x.shape, 0),
        lambda: picked_rows.embedding_backward(g, numbers, 5, None, True),
        lambda: picked_rows.embedding_forward(x, numbers),
        lambda: picked_along.pick_along(x, along, 0),
        lambda: picked_along.add_along(g, along, x.shape, 0),
    ]:
        with pytest.raises(IndexError, match=r"out of bounds|outside|must be in \[0, 5\), got"):
            call()


def test_what_it_would_misread_is_refused():
    x, numbers = np.ones((5, 4), np.float32), np.array([0, 1])
    with pytest.raises(ValueError, match="does not fit to"):
        picked_rows.add_rows(x, numbers, (5, 4), 0)
    with pytest.raises(ValueError, match="sizes do not fit"):
        picked_rows.embedding_backward(x, numbers, 5, None, False)
    with pytest.raises(ValueError, match="sizes do not fit"):
        picked_rows.embedding_backward(x[:2], numbers, 5, None, False, np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match="must be C-contiguous"):
        picked_rows.embedding_backward(x[:2], numbers, 5, None, False, np.ones((4, 5), np.float32).T)
    with pytest.raises(ValueError, match="must have the shape of index"):
        picked_along.add_along(x, numbers[:, None], (5, 4), 0)
    for call in (picked_rows.pick_rows, picked_along.pick_along):
        with pytest.raises(TypeError, match="x must be float32 or float64"):
            call(np.ones((5, 4), np.float16), numbers[:, None], 0)
