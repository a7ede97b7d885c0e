"""The Elman recurrence h[t] = f(a[t] + h[t-1] W_hh^T), a[t] = x[t] W_ih^T + b_ih + b_hh (Elman 1990), and its gradient.

What does not depend on the previous step is not done here: a[t] of all steps is one matrix product, and so is each
weight gradient once every step's gradient is known (Appleyard, Kocisky & Blunsom 2016). Only h[t-1] W_hh^T stays.

Shapes: rows (N, H) of all steps and sequences (see ``packed``), states (B, H), w_hh (H, H). One layer, one direction.
``nonlinearity`` f is "tanh" or "relu"; ValueError for any other.
"""

from collections.abc import Sequence
from typing import Any

from .namespace import array_namespace
from .packed import packed_steps

Array = Any


def rnn_forward(
    a: Array, h0: Array, w_hh: Array, batch_sizes: Sequence[int], reverse: bool, nonlinearity: str
) -> tuple[Array, Array, Array]:
    """(h (N, H) after each step, h_n (B, H) after each sequence's last, h_before (N, H) that each step met).

    ``a`` (N, H) is overwritten: it becomes h.
    """
    xp = array_namespace(a)
    _check_nonlinearity(nonlinearity)
    state, before = h0.copy(), xp.empty_like(a)
    for rows, size in packed_steps(batch_sizes, reverse):
        before[rows] = state[:size]
        h = a[rows]
        h += xp.matmul(state[:size], w_hh.T)
        if nonlinearity == "tanh":
            xp.tanh(h, out=h)
        else:
            xp.maximum(h, 0, out=h)
        state[:size] = h
    return a, state, before


def rnn_backward(
    g: Array | None, g_n: Array | None, h: Array, w_hh: Array, batch_sizes: Sequence[int], reverse: bool,
    nonlinearity: str,
) -> tuple[Array, Array]:  # fmt: skip
    """(da (N, H), dh0 (B, H)) from the gradients of h and h_n (None: zero): backpropagation through time.

    The rest follows from da: dx = da W_ih, dW_ih = da^T x, dW_hh = da^T h_before, db = sum of da (Werbos 1990).
    """
    xp = array_namespace(h)
    _check_nonlinearity(nonlinearity)
    da = 1 - h * h if nonlinearity == "tanh" else (h > 0).astype(h.dtype)
    dh = xp.zeros((max(batch_sizes), h.shape[1]), h.dtype) if g_n is None else g_n.copy()
    for rows, size in packed_steps(batch_sizes, not reverse):
        if g is not None:
            dh[:size] += g[rows]
        da[rows] *= dh[:size]
        dh[:size] = xp.matmul(da[rows], w_hh)
    return da, dh


def _check_nonlinearity(nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
