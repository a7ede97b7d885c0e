"""The Elman recurrence and backpropagation through time against PyTorch in float64, on sequences of any lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_walks import draw, layouts, reverses, seeds, torch_answer, walks

from minipar.kernels.reference.packed import packed_steps
from minipar.kernels.reference.rnn import rnn_backward, rnn_forward


@given(walks, reverses, st.sampled_from(["tanh", "relu"]), layouts, seeds)
@settings(max_examples=15, deadline=None)
def test_states_and_gradients_equal_pytorch(walk, reverse, nonlinearity, layout, seed):
    pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    x, h0, w_ih, w_hh, g, g_n = draw(
        seed, (sum(walk), 3), (walk[0], 4), (4, 3), (4, 4), (sum(walk), 4), (walk[0], 4), layout=layout
    )
    outputs, gradients = torch_answer(f"rnn_{nonlinearity}", x, [h0], [w_ih, w_hh], walk, reverse, [g, g_n])
    h, h_n, before = rnn_forward(x @ w_ih.T, h0, w_hh, walk, reverse, nonlinearity)
    da, dh0 = rnn_backward(g, g_n, h, w_hh, walk, reverse, nonlinearity)
    for ours, theirs in zip([h, h_n, da @ w_ih, dh0, da.T @ x, da.T @ before], outputs + gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_a_missing_gradient_is_zero():
    a, h0, w_hh, g, g_n = draw(0, (5, 2), (3, 2), (2, 2), (5, 2), (3, 2))
    h, _, _ = rnn_forward(a, h0, w_hh, [3, 2], False, "tanh")
    whole = rnn_backward(g, g_n, h, w_hh, [3, 2], False, "tanh")
    parts = zip(*(rnn_backward(*given, h, w_hh, [3, 2], False, "tanh") for given in ((g, None), (None, g_n))))
    for total, (one, other) in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one + other, total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept(dtype):
    a, h0, w_hh = (x.astype(dtype) for x in draw(0, (4, 5), (2, 5), (5, 5)))
    h, h_n, before = rnn_forward(a, h0, w_hh, [2, 2], False, "tanh")
    assert {x.dtype for x in (h, h_n, before, *rnn_backward(h, None, h, w_hh, [2, 2], False, "tanh"))} == {
        np.dtype(dtype)
    }


def test_an_empty_batch():
    a, h0, w_hh = draw(0, (0, 5), (0, 5), (5, 5))
    h, h_n, _ = rnn_forward(a, h0, w_hh, [0, 0], False, "tanh")
    da, dh0 = rnn_backward(h, h_n, h, w_hh, [0, 0], False, "tanh")
    assert (h.shape, h_n.shape, da.shape, dh0.shape) == ((0, 5),) * 4


def test_unknown_nonlinearity_is_named():
    with pytest.raises(ValueError, match='nonlinearity must be "tanh" or "relu", got \'gelu\''):
        rnn_forward(*draw(0, (1, 1), (1, 1), (1, 1)), [1], False, "gelu")


def test_the_steps_of_three_sequences():
    assert packed_steps([3, 2, 1], False) == [(slice(0, 3), 3), (slice(3, 5), 2), (slice(5, 6), 1)]
    assert packed_steps([3, 2, 1], True) == [(slice(5, 6), 1), (slice(3, 5), 2), (slice(0, 3), 3)]
