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
from .packed import packed_steps

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


def _parts(gates: Array, hidden: int) -> tuple[Array, ...]:
    """The gates i, f, g, o: views of the four parts of each row."""
    return tuple([gates[:, k * hidden : (k + 1) * hidden] for k in range(4)])
