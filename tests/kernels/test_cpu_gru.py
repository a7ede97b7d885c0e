"""The compiled gated recurrent unit against its reference twin: blocks and packed rows, any layout, any threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import layouts, seeds

pytest.importorskip("numba")

from recurrent_kernels import Case, agree, cases, drawn, same_bits, threads

from minipar.kernels.cpu import gru as compiled
from minipar.kernels.reference import gru as reference

ALL = (True,) * 6
BLOCK = Case((4, 3, 5), 3, None, False, True, 5, 7)


def run(kernels, case, data, needs=ALL, given_g=(True, True), out=(None,) * 4):
    x, (h0,), (w_ih, w_hh), biases, g, (g_n,) = data
    walk = case.batch_sizes, case.batch_first, case.reverse
    h, h_n, saved = kernels.gru_sequence(x, h0, w_ih, w_hh, *biases, *walk)
    g, g_n = (a if here else None for a, here in zip((g, g_n), given_g))
    gradients = kernels.gru_sequence_backward(g, g_n, x, saved, w_ih, w_hh, *walk, needs, out)
    return h, h_n, *[array for array, need in zip(gradients, needs) if need]


@given(cases(), st.sampled_from(["float32", "float64"]), layouts, st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_equals_the_reference(case, dtype, layout, biased, seed):
    data = drawn(case, 3, 1, dtype, layout, seed, biased)
    needs = (True, True, True, True, biased, biased)
    agree(run(compiled, case, data, needs), run(reference, case, data, needs), dtype)


@given(cases(), st.integers(0, 2**6 - 1), st.booleans(), st.booleans(), seeds)
@settings(max_examples=25, deadline=None)
def test_what_is_not_needed_and_what_is_not_given(case, bits, of_h, of_last, seed):
    data = drawn(case, 3, 1, "float64", "contiguous", seed)
    needs = tuple(bool(bits >> i & 1) for i in range(6))
    ours, theirs = (run(k, case, data, needs, (of_h, of_last)) for k in (compiled, reference))
    agree(ours, theirs, "float64")


@given(cases(), seeds)
@settings(max_examples=15, deadline=None)
def test_threads_do_not_change_a_bit(case, seed):
    data = drawn(case, 3, 1, "float32", "contiguous", seed)
    results = []
    for count in (1, 2, 3):
        with threads(count):
            results.append(run(compiled, case, data))
    same_bits(results[1], results[0])
    same_bits(results[2], results[0])


def test_gradients_are_written_where_asked():
    data = drawn(BLOCK, 3, 1, "float32", "contiguous", 0)
    rooms = [np.full(s, np.nan, "f4") for s in ((21, 5), (21, 7), 21, 21)]
    result = run(compiled, BLOCK, data, out=rooms)
    assert all(a is b for a, b in zip(result[-4:], rooms, strict=True))
    agree(result, run(reference, BLOCK, data), "float32")


def test_nan_and_infinity_arrive():
    x = np.array([[[np.nan], [np.inf]], [[0], [0]]], "f4")
    ones, state = np.ones((3, 1), "f4"), np.zeros((2, 1), "f4")
    h, h_n, _ = compiled.gru_sequence(x, state, ones, ones, None, None, None, False, False)
    assert np.isnan(h[:, 0]).all()
    np.testing.assert_array_equal(h[1], h_n)
    assert h[0, 1] == 0  # z = 1 keeps the old state


def test_wrong_shapes_are_refused():
    f = np.zeros
    for w_ih, w_hh, b, sizes in (
        (f((15, 3)), f((15, 5)), None, None),
        (f((10, 4)), f((15, 5)), None, None),
        (f((15, 4)), f((15, 4)), None, None),
        (f((15, 4)), f((15, 5)), f(5), None),
        (f((15, 4)), f((15, 5)), None, [3, 3]),
    ):
        x = f((2, 3, 4)) if sizes is None else f((5, 4))
        with pytest.raises(ValueError, match="must"):
            compiled.gru_sequence(x, f((3, 5)), w_ih, w_hh, b, b, sizes, False, False)
