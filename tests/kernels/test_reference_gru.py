"""The gated recurrent unit and its gradients against PyTorch in float64, on sequences of any lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from recurrent_walks import draw, layouts, reverses, seeds, torch_answer, walks

from minipar.kernels.reference.gru import gru_backward, gru_forward


@given(walks, reverses, layouts, seeds)
@settings(max_examples=15, deadline=None)
def test_states_and_gradients_equal_pytorch(walk, reverse, layout, seed):
    pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    rows, state = (sum(walk), 4), (walk[0], 4)
    x, h0, w_ih, w_hh, b_ih, b_hh, *upstream = draw(
        seed, (sum(walk), 3), state, (12, 3), (12, 4), (12,), (12,), rows, state, layout=layout
    )
    outputs, gradients = torch_answer("gru", x, [h0], [w_ih, w_hh, b_ih, b_hh], walk, reverse, upstream)
    *ours, saved = gru_forward(x @ w_ih.T + b_ih, h0, w_hh, b_hh, walk, reverse)
    da, db, dh0 = gru_backward(*upstream, saved, w_hh, walk, reverse)
    ours += [da @ w_ih, dh0, da.T @ x, db.T @ saved[1], da.sum(0), db.sum(0)]
    for found, expected in zip(ours, outputs + gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept_and_nothing_overflows(dtype):
    a, h0, w_hh, b_hh = (100 * x.astype(dtype) for x in draw(0, (4, 9), (2, 3), (9, 3), (9,)))
    with np.errstate(all="raise", under="ignore"):
        h, h_n, saved = gru_forward(a, h0, w_hh, b_hh, [2, 2], False)
    gradients = gru_backward(h, h_n, saved, w_hh, [2, 2], False)
    assert {x.dtype for x in (h, h_n, *saved, *gradients)} == {np.dtype(dtype)}
    assert all(np.isfinite(x).all() for x in (h, h_n))
