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
from .packed import as_given, gates_of_inputs, gradients_of_weights, packed_steps, rows_by_time, sizes_of

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


def gru_sequence(
    x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool,
) -> tuple[Array, Array, Any]:  # fmt: skip
    """(h after each step, h_n (B, H) after each sequence's last, what the gradient needs).

    x (T, B, I), or (B, T, I) with `batch_first`, or the rows (N, I) of packed sequences of these `batch_sizes` (else
    None); h has x's order of axes. w_ih (3H, I), w_hh (3H, H), b_ih and b_hh (3H,) or both None.
    """
    a = gates_of_inputs(rows_by_time(x, batch_first), w_ih, b_ih)
    h, h_n, saved = gru_forward(a, h0, w_hh, b_hh, sizes_of(x, batch_sizes, batch_first), reverse)
    return as_given(h, x, batch_first), h_n, saved


def gru_sequence_backward(
    g: Array | None, g_n: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, needs: Sequence[bool],
    out: Sequence[Array | None] = (None,) * 4,
) -> tuple[Array | None, ...]:  # fmt: skip
    """The gradients of x, h0, w_ih, w_hh, b_ih and b_hh, None where `needs` says that one is not needed.

    From those of h and h_n (None: zero). `out`: where to write those of the weights and biases, or None.
    """
    rows, gh = rows_by_time(x, batch_first), None if g is None else rows_by_time(g, batch_first)
    da, db, dh0 = gru_backward(gh, g_n, saved, w_hh, sizes_of(x, batch_sizes, batch_first), reverse)
    dx = as_given(da @ w_ih, x, batch_first) if needs[0] else None
    return dx, dh0, *gradients_of_weights(da, db, rows, saved[1], needs[2:], out)
