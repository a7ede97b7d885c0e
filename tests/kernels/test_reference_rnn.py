"""The Elman recurrence and backpropagation through time against PyTorch in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.reference.rnn import rnn_backward, rnn_forward


def draw_operands(seed, steps, batch, features, hidden):
    rng = np.random.default_rng(seed)
    shapes = (steps, batch, features), (batch, hidden), (hidden, features), (hidden, hidden), (hidden,), (hidden,)
    return [rng.normal(size=shape) for shape in shapes]


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(["tanh", "relu"]),
    st.booleans(),
    layouts,
    seeds,
)
@settings(max_examples=40, deadline=None)
def test_states_and_every_gradient_equal_pytorch(sizes, nonlinearity, with_bias, layout, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    steps, batch, features, hidden = sizes
    x, h0, w_ih, w_hh, b_ih, b_hh = (laid_out(a, layout) for a in draw_operands(seed, *sizes))
    rnn = torch.nn.RNN(features, hidden, nonlinearity=nonlinearity, bias=with_bias, dtype=torch.float64)
    weights = (w_ih, w_hh, b_ih, b_hh) if with_bias else (w_ih, w_hh)
    with torch.no_grad():
        for parameter, value in zip(rnn.parameters(), weights):
            parameter.copy_(torch.tensor(value.copy()))
    tx, th0 = torch.tensor(x.copy(), requires_grad=True), torch.tensor(h0.copy(), requires_grad=True)
    expected, _ = rnn(tx, th0[None])
    g = laid_out(np.random.default_rng(seed + 1).normal(size=(steps, batch, hidden)), layout)
    gradients = torch.autograd.grad(expected, (tx, th0, *rnn.parameters()), torch.tensor(g.copy()))

    h_all = rnn_forward(x, h0, w_ih, w_hh, b_ih if with_bias else None, b_hh if with_bias else None, nonlinearity)
    np.testing.assert_array_equal(h_all[0], h0)
    np.testing.assert_allclose(h_all[1:], expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    ours = rnn_backward(g, x, h_all, w_ih, w_hh, nonlinearity)
    for actual, wanted in zip(ours, gradients):  # dx, dh0, dw_ih, dw_hh, and db where there is a bias
        np.testing.assert_allclose(actual, wanted.numpy(), rtol=1e-11, atol=1e-11)
    if with_bias:
        np.testing.assert_allclose(ours[4], gradients[5].numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_dtype_is_kept(dtype, nonlinearity):
    x, h0, w_ih, w_hh, b_ih, b_hh = (a.astype(dtype) for a in draw_operands(0, 4, 3, 2, 5))
    h_all = rnn_forward(x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity)
    gradients = rnn_backward(h_all[1:], x, h_all, w_ih, w_hh, nonlinearity)
    assert {a.dtype for a in (h_all, *gradients)} == {np.dtype(dtype)}


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0)])
def test_empty_sequences_and_batches(steps, batch):
    x, h0, w_ih, w_hh, b_ih, b_hh = draw_operands(0, steps, batch, 2, 5)
    h_all = rnn_forward(x, h0, w_ih, w_hh, b_ih, b_hh, "tanh")
    assert h_all.shape == (steps + 1, batch, 5)
    dx, dh0, *parameters = rnn_backward(h_all[1:], x, h_all, w_ih, w_hh, "tanh")
    assert dx.shape == x.shape
    assert dh0.shape == h0.shape
    assert not any(gradient.any() for gradient in parameters)


def test_unknown_nonlinearity_is_named():
    operands = draw_operands(0, 1, 1, 1, 1)
    with pytest.raises(ValueError, match='nonlinearity must be "tanh" or "relu", got \'gelu\''):
        rnn_forward(*operands, "gelu")
