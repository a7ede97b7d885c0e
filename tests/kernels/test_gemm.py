"""The compiled matrix product against NumPy in float64: sizes, strides, stacks, threads, and the ends of memory."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

pytest.importorskip("numba", reason="pip install numba")
from minipar.kernels.cpu import matmul as compiled
from minipar.kernels.cpu import threads
from minipar.kernels.reference.matmul import matmul as reference

DTYPES = ("float32", "float64")
# 0 and 1; few rows and many, around the tiles' and the vectors' sizes, and more than a chunk or a panel holds.
sizes = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 28, 31, 32, 33, 48, 65, 100, 130])
long_sizes = st.sampled_from([0, 1, 2, 5, 16, 31, 100, 383, 385, 800])


@pytest.fixture
def set_threads():
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


def close(got, a, b):
    """Is it a b, to the rounding that a sum of so many products may have?"""
    dtype = got.dtype
    assert dtype == a.dtype
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert got.shape == expected.shape
    largest = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    bound = (4 + np.sqrt(a.shape[-1])) * np.finfo(dtype).eps * largest
    assert (np.abs(got - expected) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(sizes, long_sizes, sizes, layouts, layouts, seeds)
@settings(max_examples=120, deadline=None)
def test_matrices_of_any_size_and_layout(dtype, m, size, n, layout_a, layout_b, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(m, size)).astype(dtype), rng.normal(size=(size, n)).astype(dtype)
    close(compiled.matmul(laid_out(a, layout_a), laid_out(b, layout_b)), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize("form", ["NN", "NT", "TN", "TT"])
def test_nothing_beyond_the_operands_is_touched(dtype, at_start, form):
    rng = np.random.default_rng(0)
    for m, size, n in ((1, 5, 1), (1, 33, 9), (3, 17, 40), (9, 1, 33), (15, 40, 7), (29, 400, 35), (40, 3, 1)):
        a, b = rng.normal(size=(m, size)).astype(dtype), rng.normal(size=(size, n)).astype(dtype)
        given_a = guarded(a, at_start) if form[0] == "N" else guarded(a.T, at_start).T
        given_b = guarded(b, at_start) if form[1] == "N" else guarded(b.T, at_start).T
        c = guarded(np.full((m, n), np.nan, dtype), at_start)
        compiled._matrices(given_a, given_b, c)
        close(c, a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_fall_on_few_places_of_the_cache(dtype):
    """Strides of 4096 bytes, where A and B are packed that are read in place otherwise."""
    rng = np.random.default_rng(0)
    wide = 4096 // np.dtype(dtype).itemsize
    room_a, room_b = rng.normal(size=(600, wide)).astype(dtype), rng.normal(size=(600, wide)).astype(dtype)
    for a in (room_a[:600, :50], room_a[:400, :45].T):
        for b in (room_b[: a.shape[1], :70], room_b[:70, : a.shape[1]].T):
            close(compiled.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data(), seeds)
@settings(max_examples=60, deadline=None)
def test_stacks_are_broadcast(dtype, data, seed):
    rng = np.random.default_rng(seed)
    lead = data.draw(st.lists(st.integers(0, 3), max_size=4))
    lead_a = [data.draw(st.sampled_from([n, 1])) for n in lead][data.draw(st.integers(0, len(lead))) :]
    lead_b = [data.draw(st.sampled_from([n, 1])) for n in lead][data.draw(st.integers(0, len(lead))) :]
    m, size, n = (data.draw(st.sampled_from([0, 1, 3, 9, 20])) for _ in range(3))
    a = rng.normal(size=(*lead_a, m, size)).astype(dtype)
    b = rng.normal(size=(*lead_b, size, n)).astype(dtype)
    close(compiled.matmul(laid_out(a, data.draw(layouts)), laid_out(b, data.draw(layouts))), a, b)


def test_heads_are_multiplied_where_they_lie():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 3, 5)).astype(np.float32)
    q, k = x.transpose(0, 2, 1, 3), x.transpose(0, 2, 3, 1)
    close(compiled.matmul(q, k), q, k)
    one = np.broadcast_to(x[:1], x.shape)
    close(compiled.matmul(one, one.swapaxes(2, 3)), one, one.swapaxes(2, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape_a", "shape_b"), [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2))]
)
def test_vectors_are_a_row_or_a_column(dtype, shape_a, shape_b):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=shape_a).astype(dtype), rng.normal(size=shape_b).astype(dtype)
    np.testing.assert_allclose(compiled.matmul(a, b), reference(a, b), rtol=1e-5, atol=1e-5)
    assert np.shape(compiled.matmul(a, b)) == np.shape(reference(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [
    (128, 784, 64), (1, 1024, 1024), (64, 300, 70), (1000, 40, 33), (3000, 400, 1), (2, 3000, 200),
])  # fmt: skip
@pytest.mark.parametrize("form", ["NN", "NT", "TN"])
def test_the_number_of_threads_does_not_change_a_bit(dtype, shape, form, set_threads, monkeypatch):
    monkeypatch.setattr(compiled, "ALONE", 0)
    rng = np.random.default_rng(0)
    m, size, n = shape
    a, b = rng.normal(size=(m, size)).astype(dtype), rng.normal(size=(size, n)).astype(dtype)
    a = a if form[0] == "N" else a.T.copy().T
    b = b if form[1] == "N" else b.T.copy().T
    found = set()
    for count in (1, 2, 3, 7):
        set_threads(count)
        assert threads.threads_for(m * size * n, max(m, n)) > 1 or count == 1
        found.add(compiled.matmul(a, b).tobytes())
        if 14 < m < 200:
            found.add(np.vstack([compiled.matmul(a[:-11], b), compiled.matmul(a, b)[-11:]]).tobytes())
    assert len(found) == 1


def test_the_number_of_threads_does_not_change_a_stack(set_threads, monkeypatch):
    monkeypatch.setattr(compiled, "ALONE", 0)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 60, 70)).astype(np.float32), rng.normal(size=(1, 70, 80)).astype(np.float32)
    found = set()
    for count in (1, 2, 3, 7):
        set_threads(count)
        found.add(compiled.matmul(a, b).tobytes())
    assert len(found) == 1
    close(compiled.matmul(a, b), a, b)


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 20, 20), (3, 20, 3), (20, 20, 20)])
@pytest.mark.parametrize("form", ["NN", "NT"])
def test_what_is_not_finite_reaches_the_user(special, shape, form):
    m, size, n = shape
    a, b = np.ones((m, size), np.float32), np.ones((size, n), np.float32)
    a[-1, 7] = special
    b = b if form == "NN" else b.T.copy().T
    c = compiled.matmul(a, b)
    np.testing.assert_array_equal(c[-1], np.full(n, special))
    assert (c[:-1] == size).all()


def test_misfits_are_refused():
    one = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="last axis of a must match the second-to-last axis of b"):
        compiled.matmul(one, one)
    with pytest.raises(ValueError, match="last axis of a must match"):
        compiled.matmul(one[np.newaxis], one)
    with pytest.raises(ValueError, match=r"broadcast"):
        compiled.matmul(np.ones((2, 2, 3), np.float32), np.ones((3, 3, 2), np.float32))
    with pytest.raises(ValueError, match="1 axis or more"):
        compiled.matmul(np.float32(1), one)
    with pytest.raises(TypeError):
        compiled.matmul(one, one.T.astype(np.float64))
