"""The Elman recurrence h[t] = f(x[t] W_ih^T + b_ih + h[t-1] W_hh^T + b_hh) over a whole sequence, and its gradients.

What does not depend on the previous step leaves the loop: the inputs of all steps are one matrix product, and so is
each weight gradient once every step's gradient is known (Appleyard, Kocisky & Blunsom 2016). Only h[t-1] W_hh^T stays.

Shapes: x (T, B, I), h0 (B, H), w_ih (H, I), w_hh (H, H), biases (H,) or None. One layer, one direction.
``nonlinearity`` is "tanh" or "relu"; ValueError for any other.
"""

from itertools import pairwise
from typing import Any

from .namespace import accumulator_dtype, array_namespace

Array = Any


def rnn_forward(
    x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, nonlinearity: str
) -> Array:
    """h_all (T+1, B, H): h0, then the hidden state after each step."""
    xp = array_namespace(x)
    _check_nonlinearity(nonlinearity)
    steps, batch, features = x.shape
    hidden = len(w_hh)
    h_all = xp.empty((steps + 1, batch, hidden), x.dtype)
    h_all[0] = h0
    xp.matmul(x.reshape(steps * batch, features), w_ih.T, out=h_all[1:].reshape(steps * batch, hidden))
    for bias in (b_ih, b_hh):
        if bias is not None:
            h_all[1:] += bias
    recurrent = xp.empty_like(h_all[0])
    for previous, h in pairwise(h_all):
        h += xp.matmul(previous, w_hh.T, out=recurrent)
        if nonlinearity == "tanh":
            xp.tanh(h, out=h)
        else:
            xp.maximum(h, 0, out=h)
    return h_all


def rnn_backward(
    g_all: Array, x: Array, h_all: Array, w_ih: Array, w_hh: Array, nonlinearity: str
) -> tuple[Array, Array, Array, Array, Array]:
    """(dx (T, B, I), dh0 (B, H), dw_ih (H, I), dw_hh (H, H), db (H,)): backpropagation through time.

    ``g_all`` (T, B, H) is the gradient of every step's hidden state as an output (a gradient of the final state is
    added to the last step's by the caller); ``h_all`` is rnn_forward's; ``db`` is the gradient of each bias.
    """
    xp = array_namespace(g_all)
    _check_nonlinearity(nonlinearity)
    steps, batch, features = x.shape
    hidden = len(w_hh)
    slopes = 1 - h_all[1:] * h_all[1:] if nonlinearity == "tanh" else h_all[1:] > 0
    da_all = xp.empty(g_all.shape, g_all.dtype)
    dh = xp.zeros((batch, hidden), g_all.dtype)
    for g, slope, da in zip(g_all[::-1], slopes[::-1], da_all[::-1]):
        dh += g
        xp.multiply(dh, slope, out=da)
        xp.matmul(da, w_hh, out=dh)
    da_rows = da_all.reshape(steps * batch, hidden)
    dx = xp.matmul(da_rows, w_ih).reshape(x.shape)
    dw_ih = xp.matmul(da_rows.T, x.reshape(steps * batch, features))
    dw_hh = xp.matmul(da_rows.T, h_all[:-1].reshape(steps * batch, hidden))
    db = da_rows.sum(axis=0, dtype=accumulator_dtype(g_all.dtype)).astype(g_all.dtype, copy=False)
    return dx, dh, dw_ih, dw_hh, db


def _check_nonlinearity(nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
