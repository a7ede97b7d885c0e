"""Compiled long short-term memory against its reference twin: blocks and packed rows, any layout, any threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import layouts, seeds

pytest.importorskip("numba")

from recurrent_kernels import Case, agree, cases, drawn, same_bits, threads

from minipar.kernels.cpu import lstm as compiled
from minipar.kernels.reference import lstm as reference

ALL = (True,) * 7
BLOCK = Case((4, 3, 5), 3, None, False, True, 5, 7)


def run(kernels, case, data, needs=ALL, given_g=(True, True, True), out=(None,) * 4, w_hr=None):
    x, (h0, c0), (w_ih, w_hh), biases, g, last = data
    walk = case.batch_sizes, case.batch_first, case.reverse
    h, h_n, c_n, saved = kernels.lstm_sequence(x, h0, c0, w_ih, w_hh, *biases, w_hr, *walk)
    upstream = [a if here else None for a, here in zip((g, *last), given_g)]
    gradients = kernels.lstm_sequence_backward(*upstream, x, saved, w_ih, w_hh, w_hr, *walk, (*needs, False), out)
    return h, h_n, c_n, *[array for array, need in zip(gradients, needs) if need]


@given(cases(), st.sampled_from(["float32", "float64"]), layouts, st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_equals_the_reference(case, dtype, layout, biased, seed):
    data = drawn(case, 4, 2, dtype, layout, seed, biased)
    needs = (*(True,) * 5, biased, biased)
    agree(run(compiled, case, data, needs), run(reference, case, data, needs), dtype)


@given(cases(), st.integers(0, 2**7 - 1), st.tuples(st.booleans(), st.booleans(), st.booleans()), seeds)
@settings(max_examples=25, deadline=None)
def test_what_is_not_needed_and_what_is_not_given(case, bits, given_g, seed):
    data = drawn(case, 4, 2, "float64", "contiguous", seed)
    needs = tuple(bool(bits >> i & 1) for i in range(7))
    agree(run(compiled, case, data, needs, given_g), run(reference, case, data, needs, given_g), "float64")


@given(cases(), seeds)
@settings(max_examples=15, deadline=None)
def test_threads_do_not_change_a_bit(case, seed):
    data = drawn(case, 4, 2, "float32", "contiguous", seed)
    results = []
    for count in (1, 2, 3):
        with threads(count):
            results.append(run(compiled, case, data))
    same_bits(results[1], results[0])
    same_bits(results[2], results[0])


def test_gradients_are_written_where_asked():
    data = drawn(BLOCK, 4, 2, "float32", "contiguous", 0)
    rooms = [np.full(s, np.nan, "f4") for s in ((28, 5), (28, 7), 28, 28)]
    result = run(compiled, BLOCK, data, out=rooms)
    assert all(a is b for a, b in zip(result[-4:], rooms, strict=True))
    agree(result, run(reference, BLOCK, data), "float32")


def test_a_projection_is_the_references():
    x, (h0, c0), (w_ih, w_hh), biases, g, (g_h, g_c) = drawn(BLOCK, 4, 2, "float32", "contiguous", 0)
    w_hr = np.ones((2, 7), "f4")
    data = x, (h0[:, :2], c0), (w_ih, w_hh[:, :2]), biases, g[..., :2], (g_h[:, :2], g_c)
    same_bits(run(compiled, BLOCK, data, w_hr=w_hr), run(reference, BLOCK, data, w_hr=w_hr))


def test_wrong_shapes_are_refused():
    f = np.zeros
    for c0, w_ih, w_hh, b in (
        (f((3, 4)), f((20, 4)), f((20, 5)), None),
        (f((3, 5)), f((20, 3)), f((20, 5)), None),
        (f((3, 5)), f((20, 4)), f((15, 5)), None),
        (f((3, 5)), f((20, 4)), f((20, 5)), f(5)),
    ):
        with pytest.raises(ValueError, match="must"):
            compiled.lstm_sequence(f((2, 3, 4)), f((3, 5)), c0, w_ih, w_hh, b, b, None, None, False, False)
