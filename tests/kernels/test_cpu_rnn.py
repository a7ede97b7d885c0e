"""The compiled Elman network against its reference twin: blocks and packed rows, any layout, any number of threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import layouts, seeds

pytest.importorskip("numba")

from recurrent_kernels import Case, agree, cases, drawn, same_bits, threads

from minipar.kernels.cpu import rnn as compiled
from minipar.kernels.reference import rnn as reference

ALL = (True,) * 6


def run(kernels, case, data, kind="tanh", needs=ALL, given_g=(True, True), out=(None,) * 4):
    x, (h0,), (w_ih, w_hh), biases, g, (g_n,) = data
    walk = case.batch_sizes, case.batch_first, case.reverse, kind
    h, h_n, saved = kernels.rnn_sequence(x, h0, w_ih, w_hh, *biases, *walk)
    g, g_n = (a if here else None for a, here in zip((g, g_n), given_g))
    gradients = kernels.rnn_sequence_backward(g, g_n, x, saved, w_ih, w_hh, *walk, needs, out)
    return h, h_n, *[array for array, need in zip(gradients, needs) if need]


@given(
    cases(), st.sampled_from(["float32", "float64"]), layouts, st.sampled_from(["tanh", "relu"]), st.booleans(), seeds
)
@settings(max_examples=40, deadline=None)
def test_equals_the_reference(case, dtype, layout, kind, biased, seed):
    data = drawn(case, 1, 1, dtype, layout, seed, biased)
    needs = (True, True, True, True, biased, biased)
    agree(run(compiled, case, data, kind, needs), run(reference, case, data, kind, needs), dtype)


@given(cases(), st.integers(0, 2**6 - 1), st.booleans(), st.booleans(), seeds)
@settings(max_examples=25, deadline=None)
def test_what_is_not_needed_and_what_is_not_given(case, bits, of_h, of_last, seed):
    data = drawn(case, 1, 1, "float64", "contiguous", seed)
    needs = tuple(bool(bits >> i & 1) for i in range(6))
    ours, theirs = (run(k, case, data, "tanh", needs, (of_h, of_last)) for k in (compiled, reference))
    agree(ours, theirs, "float64")


@given(cases(), seeds)
@settings(max_examples=15, deadline=None)
def test_threads_do_not_change_a_bit(case, seed):
    data = drawn(case, 1, 1, "float32", "contiguous", seed)
    results = []
    for count in (1, 2, 3):
        with threads(count):
            results.append(run(compiled, case, data))
    same_bits(results[1], results[0])
    same_bits(results[2], results[0])


def test_gradients_are_written_where_asked():
    case = Case((4, 3, 5), 3, None, False, False, 5, 7)
    data = drawn(case, 1, 1, "float32", "contiguous", 0)
    rooms = [
        np.full(s, np.nan, "f4") for s in ((case.hidden, case.inputs), (case.hidden,) * 2, case.hidden, case.hidden)
    ]
    result = run(compiled, case, data, out=rooms)
    assert all(a is b for a, b in zip(result[-4:], rooms, strict=True))
    agree(result, run(reference, case, data), "float32")


def test_nan_and_infinity_arrive():
    x = np.array([[[np.nan], [np.inf]], [[0], [0]]], "f4")
    one, nothing = np.ones((1, 1), "f4"), np.zeros((2, 1), "f4")
    for kind, last in (("tanh", np.tanh(1)), ("relu", np.inf)):
        h, h_n, _ = compiled.rnn_sequence(x, nothing, one, one, None, None, None, False, False, kind)
        np.testing.assert_allclose(h_n, [[np.nan], [last]])
        np.testing.assert_array_equal(h[1], h_n)


def test_wrong_shapes_are_refused():
    f = np.zeros
    for x, h0, w_ih, w_hh, b, sizes in (
        (f((2, 3, 4)), f((3, 5)), f((5, 3)), f((5, 5)), None, None),
        (f((2, 3, 4)), f((3, 5)), f((5, 4)), f((5, 4)), None, None),
        (f((2, 3, 4)), f((2, 5)), f((5, 4)), f((5, 5)), None, None),
        (f((2, 3, 4)), f((3, 5)), f((5, 4)), f((5, 5)), f(4), None),
        (f((5, 4)), f((3, 5)), f((5, 4)), f((5, 5)), None, [3, 3]),
        (f((5, 4)), f((3, 5)), f((5, 4)), f((5, 5)), None, [2, 3]),
    ):
        with pytest.raises(ValueError, match="must"):
            compiled.rnn_sequence(x, h0, w_ih, w_hh, b, b, sizes, False, False, "tanh")
