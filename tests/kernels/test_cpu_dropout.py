"""The compiled dropout: the bits of its reference, at any strides, sizes and number of threads."""

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import dropout as compiled
from minipar.kernels.reference import dropout as reference

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
WORD = st.integers(0, 2**32 - 1)
TICKET = np.array([1.0, 2.0, 3.0, 0.0, 0.0])


@DTYPES
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 40), st.integers(1, 20)),
    st.tuples(WORD, WORD, WORD, WORD, st.integers(0, 2**32 - 9)),
    st.sampled_from([0.5, 0.1, 1 / 3, 1.0, 1e-9]), st.booleans(), layouts, seeds,
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_to_the_bit(dtype, sizes, ticket, p, shifted, layout, seed):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, *sizes)).astype(dtype)
    ticket, shifts = np.array(ticket, np.float64), (0.25, -1.3) if shifted else (0.0, 0.0)
    got = compiled.dropout_forward(laid_out(x, layout), ticket, sizes, p, 1.7, shifts)
    expected = reference.dropout_forward(x, ticket, sizes, p, 1.7, shifts)
    assert [a.tobytes() for a in got] == [a.tobytes() for a in expected]
    assert (got[0].dtype, got[1].dtype) == (dtype, np.uint8)
    dx = compiled.dropout_backward(laid_out(g, layout), got[1], 1.7)
    assert dx.tobytes() == reference.dropout_backward(g, got[1], 1.7).tobytes()


def results(x, sizes, keep=lambda array: array):
    y, kept = compiled.dropout_forward(keep(x), keep(TICKET), sizes, 0.3, 2.0, (0.5, 0.25))
    return [y.tobytes(), kept.tobytes(), compiled.dropout_backward(keep(x), keep(kept), 2.0).tobytes()]


@DTYPES
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 5, 1037, 1), (1, 700, 3, 1), (4, 9, 30, 1), (1, 9, 7, 33)])
def test_neither_threads_nor_the_end_of_memory_change_a_bit(dtype, sizes, monkeypatch):
    x = np.random.default_rng(0).normal(size=sizes).astype(dtype)
    alone = results(x, sizes)
    for at_start in (False, True):
        assert results(x, sizes, lambda array, at_start=at_start: guarded(array, at_start)) == alone
    monkeypatch.setattr(compiled, "ALONE", 0)
    for count in (2, 3):
        monkeypatch.setattr(compiled, "threads_for", lambda work, pieces, count=count: count)
        assert results(x, sizes) == alone


def test_a_part_of_the_samples_is_a_part_of_the_draw():
    x = np.ones((20, 37), np.float32)
    whole = compiled.dropout_forward(x, TICKET, (1, 20, 37, 1), 0.5, 2.0)[0]
    ticket = np.array([*TICKET[:4], 7])
    np.testing.assert_array_equal(compiled.dropout_forward(x[7:], ticket, (1, 13, 37, 1), 0.5, 2.0)[0], whole[7:])
    turned = compiled.dropout_forward(x.T, TICKET, (37, 20, 1, 1), 0.5, 2.0)[0]
    np.testing.assert_array_equal(turned.T, whole)


def test_nan_is_not_dropped():
    y, kept = compiled.dropout_forward(np.full(100, np.nan, np.float32), TICKET, (1, 1, 100, 1), 0.5, 2.0)
    assert np.isnan(y).all()
    assert 20 < kept.sum() < 80


def test_what_it_would_misread_is_refused():
    x = np.ones((2, 3), np.float32)
    for sizes in [(1, 2, 4, 1), (1, 2, 3, 2), (-1, -2, 3, 1)]:
        with pytest.raises(ValueError, match=r"sizes do not fit|negative"):
            compiled.dropout_forward(x, TICKET, sizes, 0.5, 2.0)
    with pytest.raises(ValueError, match="sizes do not fit"):
        compiled.dropout_forward(x, TICKET[:4], (1, 2, 3, 1), 0.5, 2.0)
    with pytest.raises(ValueError, match=r"must lie in \[0, 2\*\*32\)"):
        compiled.dropout_forward(x, np.array([*TICKET[:4], 2.0**32 - 1]), (1, 2, 3, 1), 0.5, 2.0)
    with pytest.raises(ValueError, match="sizes do not fit"):
        compiled.dropout_backward(x, np.ones(4, np.uint8), 2.0)
    with pytest.raises(TypeError, match="x must be float32 or float64"):
        compiled.dropout_forward(x.astype(np.float16), TICKET, (1, 2, 3, 1), 0.5, 2.0)
