"""What the compiled recurrent networks share: they keep to their arrays, and threads and sizes of one or none do."""

from types import SimpleNamespace

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import seeds

pytest.importorskip("numba")

from recurrent_kernels import TOLERANCE, Case, agree, cases, drawn

from minipar.kernels.cpu import gru, lstm, recurrent, rnn
from minipar.kernels.reference import gru as gru_reference
from minipar.kernels.reference import lstm as lstm_reference
from minipar.kernels.reference import rnn as rnn_reference

KERNELS = {"rnn": (rnn, rnn_reference, 1, 1), "gru": (gru, gru_reference, 3, 1), "lstm": (lstm, lstm_reference, 4, 2)}


def everything(name, kernels, case, data, states):
    """All results of a walk and of its gradient."""
    x, firsts, weights, biases, g, lasts = data
    projection = (None,) if states == 2 else ()
    walk = case.batch_sizes, case.batch_first, case.reverse, *(("tanh",) if name == "rnn" else ())
    outputs = getattr(kernels, f"{name}_sequence")(x, *firsts, *weights, *biases, *projection, *walk)
    needs = (True,) * (5 + states) + (False,) * (states - 1)
    rooms = [guarded(np.empty_like(w)) for w in (*weights, *biases)]
    gradients = getattr(kernels, f"{name}_sequence_backward")(
        g, *lasts, x, outputs[-1], *weights, *projection, *walk, needs, rooms
    )
    return [*outputs[:-1], *gradients[: 5 + states]]


@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize("name", KERNELS)
@given(case=cases(), dtype=st.sampled_from(["float32", "float64"]), seed=seeds)
@settings(max_examples=15, deadline=None)
def test_nothing_is_touched_beside_the_arrays(name, at_start, case, dtype, seed):
    compiled, reference, gates, states = KERNELS[name]
    x, firsts, weights, biases, g, lasts = drawn(case, gates, states, dtype, "contiguous", seed)
    fenced = lambda array: guarded(array, at_start)  # noqa: E731
    data = fenced(x), *[[*map(fenced, part)] for part in (firsts, weights, biases)], fenced(g), [*map(fenced, lasts)]
    with pytest.MonkeyPatch.context() as patch:  # what it makes for itself too
        made = SimpleNamespace(**vars(np))
        made.empty = lambda shape, dtype: fenced(np.full(shape, np.nan, dtype))
        patch.setattr(recurrent, "np", made)
        found = everything(name, compiled, case, data, states)
    agree(found, everything(name, reference, case, data, states), dtype)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("hidden", [8, 32, 100])
def test_long_walks(name, hidden):
    """More steps than a block of rows in the gradients of weights."""
    compiled, reference, gates, states = KERNELS[name]
    case = Case((20, 64, 10), 20, None, True, False, 10, hidden)
    data = drawn(case, gates, states, "float32", "contiguous", 0)
    found, expected = (everything(name, kernels, case, data, states) for kernels in (compiled, reference))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5 * TOLERANCE["float32"] * np.abs(b).max())
