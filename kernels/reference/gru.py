"""The gated recurrent unit (Cho et al. 2014, in the variant of PyTorch and cuDNN), and its gradient.

    r, z = sigmoid of the first two parts of a[t] + b[t],    b[t] = h[t-1] W_hh^T + b_hh
    n    = tanh(a_n + r * b_n)                               of the third part
    h[t] = (1 - z) * n + z * h[t-1]

The bias b_hn stands inside the product with r, so the two biases are not one. a[t] = x[t] W_ih^T + b_ih is made
outside, as one matrix product for all steps. Shapes: rows (N, ...) of all steps and sequences (see ``packed``);
a (N, 3H), states (B, H), w_hh (3H, H), b_hh (3H,) or None.
"""

from collections.abc import Sequence
from typing import Any

from .namespace import array_namespace
from .packed import packed_steps

Array = Any
Saved = tuple[Array, Array, Array]


def gru_forward(
    a: Array, h0: Array, w_hh: Array, b_hh: Array | None, batch_sizes: Sequence[int], reverse: bool
) -> tuple[Array, Array, Saved]:
    """h (N, H) after each step, h_n (B, H) after each sequence's last, and what the gradient needs:

    (gates (N, 3H), h_before (N, H) that each step met, b_n (N, H)). ``a`` is overwritten: it becomes the gates r, z, n.
    """
    xp = array_namespace(a)
    hidden = h0.shape[1]
    state = h0.copy()
    h_all, before, b_n = (xp.empty((len(a), hidden), a.dtype) for _ in "123")
    for rows, size in packed_steps(batch_sizes, reverse):
        h = state[:size]
        before[rows] = h
        b = xp.matmul(h, w_hh.T)
        if b_hh is not None:
            b += b_hh
        b_n[rows] = b[:, 2 * hidden :]
        gates = a[rows, : 2 * hidden]
        gates += b[:, : 2 * hidden]
        gates *= 0.5  # sigmoid(x) = (1 + tanh(x/2)) / 2 cannot overflow
        xp.tanh(gates, out=gates)
        gates *= 0.5
        gates += 0.5
        r, z, n = gates[:, :hidden], gates[:, hidden:], a[rows, 2 * hidden :]
        n += r * b_n[rows]
        xp.tanh(n, out=n)
        h -= n
        h *= z
        h += n
        h_all[rows] = h
    return h_all, state, (a, before, b_n)


def gru_backward(
    g_h: Array | None, g_hn: Array | None, saved: Saved, w_hh: Array, batch_sizes: Sequence[int], reverse: bool
) -> tuple[Array, Array, Array]:
    """(da (N, 3H), db (N, 3H), dh0 (B, H)) from the gradients of h and h_n (None: zero).

    The rest follows: dx = da W_ih, dW_ih = da^T x, db_ih = sum of da; dW_hh = db^T h_before, db_hh = sum of db.
    """
    gates, before, b_n = saved
    xp = array_namespace(gates)
    hidden = before.shape[1]
    r, z, n = (gates[:, k * hidden : (k + 1) * hidden] for k in range(3))
    # the gradients of r's, z's, b's and a's n are each a slope times dh: all slopes at once, before the walk
    slopes = xp.empty((len(gates), 4, hidden), gates.dtype)
    slopes[:, 3] = (1 - z) * (1 - n * n)
    slopes[:, 2] = slopes[:, 3] * r
    slopes[:, 1] = (before - n) * z * (1 - z)
    slopes[:, 0] = slopes[:, 2] * b_n * (1 - r)
    flat = slopes.reshape(len(gates), 4 * hidden)
    db = flat[:, : 3 * hidden]
    dh = xp.zeros((max(batch_sizes), hidden), gates.dtype) if g_hn is None else g_hn.copy()
    for rows, size in packed_steps(batch_sizes, not reverse):
        d_state = dh[:size]
        if g_h is not None:
            d_state += g_h[rows]
        slopes[rows] *= d_state[:, None]
        d_state *= z[rows]
        d_state += xp.matmul(db[rows], w_hh)
    da = xp.concatenate([flat[:, : 2 * hidden], flat[:, 3 * hidden :]], axis=1)
    return da, db, dh
