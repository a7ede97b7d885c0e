"""The Elman recurrence h[t] = f(a[t] + h[t-1] W_hh^T), a[t] = x[t] W_ih^T + b_ih + b_hh (Elman 1990), and its gradient.

What does not depend on the previous step is not done here: a[t] of all steps is one matrix product, and so is each
weight gradient once every step's gradient is known (Appleyard, Kocisky & Blunsom 2016). Only h[t-1] W_hh^T stays.

Shapes: rows (N, H) of all steps and sequences (see ``packed``), states (B, H), w_hh (H, H). One layer, one direction.
``nonlinearity`` f is "tanh" or "relu"; ValueError for any other.
"""

from collections.abc import Sequence
from typing import Any

from .namespace import array_namespace
from .packed import as_given, gates_of_inputs, gradients_of_weights, packed_steps, rows_by_time, sizes_of

Array = Any


def rnn_forward(
    a: Array, h0: Array, w_hh: Array, batch_sizes: Sequence[int], reverse: bool, nonlinearity: str
) -> tuple[Array, Array, Array]:
    """(h (N, H) after each step, h_n (B, H) after each sequence's last, h_before (N, H) that each step met).

    ``a`` (N, H) is overwritten: it becomes h.
    """
    xp = array_namespace(a)
    check_nonlinearity(nonlinearity)
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
    check_nonlinearity(nonlinearity)
    da = 1 - h * h if nonlinearity == "tanh" else (h > 0).astype(h.dtype)
    dh = xp.zeros((max(batch_sizes), h.shape[1]), h.dtype) if g_n is None else g_n.copy()
    for rows, size in packed_steps(batch_sizes, not reverse):
        if g is not None:
            dh[:size] += g[rows]
        da[rows] *= dh[:size]
        dh[:size] = xp.matmul(da[rows], w_hh)
    return da, dh


def rnn_sequence(
    x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, nonlinearity: str,
) -> tuple[Array, Array, Any]:  # fmt: skip
    """(h after each step, h_n (B, H) after each sequence's last, what the gradient needs).

    x (T, B, I), or (B, T, I) with `batch_first`, or the rows (N, I) of packed sequences of these `batch_sizes` (else
    None); h has x's order of axes. w_ih (H, I), w_hh (H, H), b_ih and b_hh (H,) or both None.
    """
    a = gates_of_inputs(rows_by_time(x, batch_first), w_ih, b_ih, b_hh)
    h, h_n, before = rnn_forward(a, h0, w_hh, sizes_of(x, batch_sizes, batch_first), reverse, nonlinearity)
    return as_given(h.copy(), x, batch_first), h_n, (h, before)  # the caller may change its copy


def rnn_sequence_backward(
    g: Array | None, g_n: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, nonlinearity: str, needs: Sequence[bool],
    out: Sequence[Array | None] = (None,) * 4,
) -> tuple[Array | None, ...]:  # fmt: skip
    """The gradients of x, h0, w_ih, w_hh, b_ih and b_hh, None where `needs` says that one is not needed.

    From those of h and h_n (None: zero). `out`: where to write those of the weights and biases, or None.
    """
    h, before = saved
    rows, gh = rows_by_time(x, batch_first), None if g is None else rows_by_time(g, batch_first)
    da, dh0 = rnn_backward(gh, g_n, h, w_hh, sizes_of(x, batch_sizes, batch_first), reverse, nonlinearity)
    dx = as_given(da @ w_ih, x, batch_first) if needs[0] else None
    return dx, dh0, *gradients_of_weights(da, da, rows, before, needs[2:], out)


def check_nonlinearity(nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
