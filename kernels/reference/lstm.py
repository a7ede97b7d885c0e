"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), and its gradient.

    i, f, o = sigmoid, g = tanh, of the four parts of a[t] + h[t-1] W_hh^T, in the order i, f, g, o
    c[t] = f * c[t-1] + i * g
    h[t] = o * tanh(c[t]), or with a projection (Sak, Senior & Beaufays 2014) (o * tanh(c[t])) W_hr^T

a[t] = x[t] W_ih^T + b_ih + b_hh is made outside, as one matrix product for all steps. Shapes: rows (N, ...) of all
steps and sequences (see ``packed``); a (N, 4H), cells (·, H), hidden states (·, P), w_hh (4H, P), w_hr (P, H); P = H
without a projection.
"""

from collections.abc import Sequence
from typing import Any

from .namespace import array_namespace
from .packed import as_given, gates_of_inputs, gradients_of_weights, packed_steps, rows_by_time, sizes_of

Array = Any
Saved = tuple[Array, Array, Array, Array]


def lstm_forward(
    a: Array, h0: Array, c0: Array, w_hh: Array, w_hr: Array | None, batch_sizes: Sequence[int], reverse: bool
) -> tuple[Array, Array, Array, Saved]:
    """h (N, P) after each step, h_n (B, P) and c_n (B, H) after each sequence's last, and what the gradient needs:

    (gates (N, 4H), h_before (N, P) and c_before (N, H) that each step met, tanh(c) (N, H)). ``a`` is overwritten: it
    becomes the gates.
    """
    xp = array_namespace(a)
    rows_of_all, hidden = len(a), c0.shape[1]
    # sigmoid(x) = (1 + tanh(x/2)) / 2: so one call of tanh serves all four gates, and nothing can overflow
    half = xp.full((4, hidden), 0.5, a.dtype)
    half[2] = 1
    scale, shift = half.reshape(-1), (half % 1).reshape(-1)
    h, c = h0.copy(), c0.copy()
    h_all, h_before = (xp.empty((rows_of_all, h0.shape[1]), a.dtype) for _ in "12")
    c_before, tanh_c = (xp.empty((rows_of_all, hidden), a.dtype) for _ in "12")
    for rows, size in packed_steps(batch_sizes, reverse):
        h_before[rows], c_before[rows] = h[:size], c[:size]
        gates = a[rows]
        gates += xp.matmul(h[:size], w_hh.T)
        gates *= scale
        xp.tanh(gates, out=gates)
        gates *= scale
        gates += shift
        i, f, g, o = _parts(gates, hidden)
        cell = c[:size]
        cell *= f
        cell += i * g
        squashed = o * xp.tanh(cell, out=tanh_c[rows])
        h[:size] = h_all[rows] = squashed if w_hr is None else xp.matmul(squashed, w_hr.T)
    return h_all, h, c, (a, h_before, c_before, tanh_c)


def lstm_backward(
    g_h: Array | None, g_hn: Array | None, g_cn: Array | None, saved: Saved, w_hh: Array, w_hr: Array | None,
    batch_sizes: Sequence[int], reverse: bool,
) -> tuple[Array, Array, Array, Array | None]:  # fmt: skip
    """(da (N, 4H), dh0 (B, P), dc0 (B, H), dw_hr or None) from the gradients of h, h_n and c_n (None: zero).

    The rest follows from da: dx = da W_ih, dW_ih = da^T x, dW_hh = da^T h_before, db = sum of da.
    """
    gates, h_before, c_before, tanh_c = saved
    xp = array_namespace(gates)
    hidden, sequences = tanh_c.shape[1], max(batch_sizes)
    i, f, g, o = _parts(gates, hidden)
    # da = slope * dc for i, f and g, slope * d(o tanh c) for o: all slopes at once, before the walk
    da = xp.empty((len(gates), 4, hidden), gates.dtype)
    da[:, 0] = g * i * (1 - i)
    da[:, 1] = c_before * f * (1 - f)
    da[:, 2] = i * (1 - g * g)
    da[:, 3] = tanh_c * o * (1 - o)
    into_cell = o * (1 - tanh_c * tanh_c)
    dh = xp.zeros((sequences, h_before.shape[1]), gates.dtype) if g_hn is None else g_hn.copy()
    dc = xp.zeros((sequences, hidden), gates.dtype) if g_cn is None else g_cn.copy()
    dh_all = None if w_hr is None else xp.empty_like(h_before)
    for rows, size in packed_steps(batch_sizes, not reverse):
        if g_h is not None:
            dh[:size] += g_h[rows]
        d_squashed = dh[:size]
        if dh_all is not None:
            dh_all[rows] = d_squashed
            d_squashed = xp.matmul(d_squashed, w_hr)
        d_cell = dc[:size]
        d_cell += d_squashed * into_cell[rows]
        step = da[rows]
        step[:, :3] *= d_cell[:, None]
        step[:, 3] *= d_squashed
        d_cell *= f[rows]
        dh[:size] = xp.matmul(step.reshape(size, 4 * hidden), w_hh)
    dw_hr = None if dh_all is None else xp.matmul(dh_all.T, o * tanh_c)
    return da.reshape(gates.shape), dh, dc, dw_hr


def lstm_sequence(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    w_hr: Array | None, batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool,
) -> tuple[Array, Array, Array, Any]:  # fmt: skip
    """(h after each step, h_n (B, P) and c_n (B, H) after each sequence's last, what the gradient needs).

    x (T, B, I), or (B, T, I) with `batch_first`, or the rows (N, I) of packed sequences of these `batch_sizes` (else
    None); h has x's order of axes. w_ih (4H, I), w_hh (4H, P), b_ih and b_hh (4H,) or both None.
    """
    a = gates_of_inputs(rows_by_time(x, batch_first), w_ih, b_ih, b_hh)
    h, h_n, c_n, saved = lstm_forward(a, h0, c0, w_hh, w_hr, sizes_of(x, batch_sizes, batch_first), reverse)
    return as_given(h, x, batch_first), h_n, c_n, saved


def lstm_sequence_backward(
    g: Array | None, g_hn: Array | None, g_cn: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array,
    w_hr: Array | None, batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, needs: Sequence[bool],
    out: Sequence[Array | None] = (None,) * 4,
) -> tuple[Array | None, ...]:  # fmt: skip
    """The gradients of x, h0, c0, w_ih, w_hh, b_ih, b_hh and w_hr, None where `needs` says that one is not needed.

    From those of h, h_n and c_n (None: zero). `out`: where to write those of w_ih, w_hh and the biases, or None.
    """
    rows, gh = rows_by_time(x, batch_first), None if g is None else rows_by_time(g, batch_first)
    sizes = sizes_of(x, batch_sizes, batch_first)
    da, dh0, dc0, dw_hr = lstm_backward(gh, g_hn, g_cn, saved, w_hh, w_hr, sizes, reverse)
    dx = as_given(da @ w_ih, x, batch_first) if needs[0] else None
    return dx, dh0, dc0, *gradients_of_weights(da, da, rows, saved[1], needs[3:7], out), dw_hr


def _parts(gates: Array, hidden: int) -> tuple[Array, ...]:
    """The gates i, f, g, o: views of the four parts of each row."""
    return tuple([gates[:, k * hidden : (k + 1) * hidden] for k in range(4)])
