"""Long short-term memory and its gradients against PyTorch in float64, on sequences of any lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from recurrent_walks import draw, layouts, reverses, seeds, torch_answer, walks

from minipar.kernels.reference.lstm import lstm_backward, lstm_forward


@given(walks, reverses, layouts, seeds)
@settings(max_examples=15, deadline=None)
def test_states_and_gradients_equal_pytorch(walk, reverse, layout, seed):
    pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    rows, state = (sum(walk), 4), (walk[0], 4)
    x, h0, c0, w_ih, w_hh, *upstream = draw(
        seed, (sum(walk), 3), state, state, (16, 3), (16, 4), rows, state, state, layout=layout
    )
    outputs, gradients = torch_answer("lstm", x, [h0, c0], [w_ih, w_hh], walk, reverse, upstream)
    *ours, saved = lstm_forward(x @ w_ih.T, h0, c0, w_hh, None, walk, reverse)
    da, dh0, dc0, dw_hr = lstm_backward(*upstream, saved, w_hh, None, walk, reverse)
    assert dw_hr is None
    ours += [da @ w_ih, dh0, dc0, da.T @ x, da.T @ saved[1]]
    for found, expected in zip(ours, outputs + gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept_and_nothing_overflows(dtype):
    a, h0, c0, w_hh, w_hr = (100 * x.astype(dtype) for x in draw(0, (4, 12), (2, 2), (2, 3), (12, 2), (2, 3)))
    with np.errstate(all="raise", under="ignore"):
        h, h_n, c_n, saved = lstm_forward(a, h0, c0, w_hh, w_hr, [2, 2], False)
    gradients = lstm_backward(h, h_n, c_n, saved, w_hh, w_hr, [2, 2], False)
    assert {x.dtype for x in (h, h_n, c_n, *saved, *gradients)} == {np.dtype(dtype)}
    assert all(np.isfinite(x).all() for x in (h, h_n, c_n))
