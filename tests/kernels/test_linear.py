"""Linear layers: the compiled kernels against the reference in float64, with every choice of gradients and places."""

import itertools

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

pytest.importorskip("numba", reason="pip install numba")
from minipar.kernels.cpu import linear as compiled
from minipar.kernels.reference import linear as reference

DTYPES = ("float32", "float64")
sizes = st.sampled_from([0, 1, 2, 3, 8, 9, 10, 13, 16, 17, 33, 100])
leads = st.lists(st.sampled_from([0, 1, 2, 5, 14, 30]), max_size=3)


def drawn(seed, dtype, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def close(got, expected, terms):
    assert got.shape == expected.shape
    tolerance = 8 * np.finfo(got.dtype).eps * (terms + 1)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@given(leads, sizes, sizes, st.booleans(), st.booleans(), layouts, layouts, seeds)
@settings(max_examples=120, deadline=None)
def test_forward_equals_the_reference(dtype, lead, size, n, has_bias, relu, layout_x, layout_w, seed):
    x, weight, bias = drawn(seed, dtype, (*lead, size), (n, size), (n,))
    bias = bias if has_bias else None
    exact = [None if a is None else a.astype(np.float64) for a in (x, weight, bias)]
    given_bias = None if bias is None else laid_out(bias, layout_w)
    y = compiled.linear_forward(laid_out(x, layout_x), laid_out(weight, layout_w), given_bias, relu)
    assert y.dtype == dtype
    close(y, reference.linear_forward(*exact, relu), size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 5, 20, 200])
def test_a_long_sum_is_cut_off_only_at_its_end(dtype, m):
    """The product adds up such sums in stretches; here the first ones are far below 0."""
    x, weight, bias = drawn(0, dtype, (m, 900), (10, 900), (10,))
    x[:, :450] -= 1
    weight[:, :450] = np.abs(weight[:, :450])
    x[:, 450:] += 2
    weight[:, 450:] = np.abs(weight[:, 450:])
    for layout in ("contiguous", "transposed"):
        y = compiled.linear_forward(laid_out(x, layout), laid_out(weight, layout), bias, True)
        np.testing.assert_allclose(y, x @ weight.T + bias, rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@given(leads, sizes, sizes, st.booleans(), st.tuples(*[st.booleans()] * 3), layouts, layouts, seeds)
@settings(max_examples=120, deadline=None)
def test_backward_equals_the_reference(dtype, lead, size, n, relu, needs, layout_g, layout_x, seed):
    g, x, weight, y = drawn(seed, dtype, (*lead, n), (*lead, size), (n, size), (*lead, n))
    y = np.maximum(y, 0) if relu else None
    exact = [None if a is None else a.astype(np.float64) for a in (g, x, weight, y)]
    kept = g.copy()
    given_y = None if y is None else laid_out(y, layout_g)
    found = compiled.linear_backward(
        laid_out(g, layout_g), laid_out(x, layout_x), laid_out(weight, layout_x), given_y, needs
    )
    np.testing.assert_array_equal(g, kept)
    rows = int(np.prod(lead))
    for got, expected, needed, terms in zip(found, reference.linear_backward(*exact), needs, (n, rows, rows)):
        if needed:
            assert got.dtype == dtype
            close(got, expected, terms)
        else:
            assert got is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernels", [compiled, reference], ids=["compiled", "reference"])
def test_gradients_are_written_where_they_are_wanted(kernels, dtype):
    g, x, weight = drawn(0, dtype, (20, 7), (20, 5), (7, 5))
    expected = reference.linear_backward(g, x, weight)
    flat = np.full(7 * 5 + 7 + 2, 3, dtype)
    of_weight, of_bias = flat[1:36].reshape(7, 5), flat[36:43]
    strided, reversed_bias = np.zeros((5, 7), dtype).T, np.zeros(14, dtype)[::-2]
    for places in (
        (of_weight, of_bias),
        (strided, of_bias),
        (of_weight, reversed_bias),
        (None, of_bias),
        (of_weight, None),
    ):
        flat[1:43] = 0
        _, dw, db = kernels.linear_backward(g, x, weight, out=(None, *places))
        for got, place, right in zip((dw, db), places, expected[1:]):
            assert place is None or got is place
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)
    assert flat[0] == flat[-1] == 3


def test_a_nan_of_the_output_lets_the_gradient_pass_as_in_pytorch():
    g, x, weight = np.ones((1, 3), np.float32), np.ones((1, 1), np.float32), np.ones((3, 1), np.float32)
    y = np.array([[np.nan, 0, 2]], np.float32)
    for kernels in (compiled, reference):
        assert kernels.linear_backward(g, x, weight, y)[2].tolist() == [1, 0, 1]
    weight[0] = np.nan
    assert np.isnan(compiled.linear_forward(x, weight, None, True)).tolist() == [[True, False, False]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("at_start", [False, True])
def test_nothing_beyond_the_arrays_is_touched(dtype, at_start):
    for m, size, n in ((1, 1, 1), (32, 1, 1), (20, 13, 10), (9, 33, 1), (15, 40, 17), (1, 50, 33)):
        g, x, weight, bias = (guarded(a, at_start) for a in drawn(0, dtype, (m, n), (m, size), (n, size), (n,)))
        y = guarded(np.empty((m, n), dtype), at_start)
        compiled._forward(x, weight, bias, True, y)
        dx, dw, db = (guarded(np.empty_like(a), at_start) for a in (x, weight, bias))
        compiled._backward(g, x, weight, y, dx, dw, db, True, True, True, True)
        for got, expected in zip((dx, dw, db), reference.linear_backward(g, x, weight, y)):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 100, 64), (1, 300, 300), (300, 7, 200), (37, 5, 1), (500, 1, 9)])
def test_the_number_of_threads_does_not_change_a_bit(dtype, shape, monkeypatch):
    monkeypatch.setattr(compiled, "ALONE", 0)
    m, size, n = shape
    g, x, weight, bias = drawn(0, dtype, (m, n), (m, size), (n, size), (n,))
    found = set()
    for count in (1, 2, 3, 7):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, count=count: count)
        y = compiled.linear_forward(x, weight, bias, True)
        gradients = compiled.linear_backward(g, x, weight, y), compiled.linear_backward(g, x, weight)
        found.add(b"".join(a.tobytes() for a in (y, *itertools.chain(*gradients))))
    assert len(found) == 1


def test_misfits_are_refused():
    x, weight = np.ones((4, 3), np.float32), np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        compiled.linear_forward(x, weight[:, :2])
    with pytest.raises(ValueError, match="do not fit"):
        compiled.linear_forward(x, weight, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="do not fit"):
        compiled.linear_backward(np.ones((4, 3), np.float32), x, weight)
    with pytest.raises(ValueError, match="do not fit"):
        compiled.linear_backward(np.ones((4, 2), np.float32), x, weight, np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="must have the shapes"):
        compiled.linear_backward(np.ones((4, 2), np.float32), x, weight, out=(None, np.ones((3, 2), np.float32), None))
    with pytest.raises(TypeError):
        compiled.linear_forward(x, weight.astype(np.float64))
    with pytest.raises(TypeError):
        compiled.linear_forward(x, weight, np.ones(2))
