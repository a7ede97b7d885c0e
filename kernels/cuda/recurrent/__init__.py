"""RNN, LSTM and GRU on the GPU: one layer in one direction, over all steps of all sequences.

What does not wait for the previous step is one product for all steps: what the inputs contribute to the gates, and the
weights' gradients. The rest is walked step by step, in one of two ways:

``persistent``  one launch, if W_hh, H² numbers a gate, fits into the registers of a block: it is read once a block
``stepwise``    else two launches a step: a product, for which W_hh is read every step, and a kernel for the rest

``cells`` holds what a unit does in a step, for both ways; ``walk``, how lengths and directions reach the kernels. Every
sum has a fixed order. LSTMs with a projection are left to the reference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...reference import lstm as reference_lstm
from ...reference.namespace import array_namespace
from ...reference.packed import as_given, rows_by_time, sizes_of
from ...reference.rnn import check_nonlinearity
from .. import launcher
from ..linear import linear_backward, linear_forward
from ..plan import check_operands, check_size
from . import persistent, stepwise
from .cells import cell
from .walk import Walk

Array = Any
Sizes = Sequence[int] | None
Places = Sequence[Array | None]


def rnn_sequence(
    x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, batch_sizes: Sizes,
    batch_first: bool, reverse: bool, nonlinearity: str,
) -> tuple[Array, Array, Any]:  # fmt: skip
    """See the reference."""
    check_nonlinearity(nonlinearity)
    h, h_n, _, saved = _forward(
        f"rnn {nonlinearity}", x, h0, None, w_ih, w_hh, b_ih, b_hh, batch_sizes, batch_first, reverse
    )
    return h, h_n, saved


def rnn_sequence_backward(
    g: Array | None, g_n: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array, batch_sizes: Sizes,
    batch_first: bool, reverse: bool, nonlinearity: str, needs: Sequence[bool], out: Places = (None,) * 4,
) -> tuple[Array | None, ...]:  # fmt: skip
    """See the reference."""
    dx, dh0, _, *others = _backward(
        f"rnn {nonlinearity}", g, g_n, None, x, saved, w_ih, w_hh, batch_sizes, batch_first, reverse, needs[0],
        needs[2:], out,
    )  # fmt: skip
    return dx, dh0, *others


def gru_sequence(
    x: Array, h0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, batch_sizes: Sizes,
    batch_first: bool, reverse: bool,
) -> tuple[Array, Array, Any]:  # fmt: skip
    """See the reference."""
    h, h_n, _, saved = _forward("gru", x, h0, None, w_ih, w_hh, b_ih, b_hh, batch_sizes, batch_first, reverse)
    return h, h_n, saved


def gru_sequence_backward(
    g: Array | None, g_n: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array, batch_sizes: Sizes,
    batch_first: bool, reverse: bool, needs: Sequence[bool], out: Places = (None,) * 4,
) -> tuple[Array | None, ...]:  # fmt: skip
    """See the reference."""
    dx, dh0, _, *others = _backward(
        "gru", g, g_n, None, x, saved, w_ih, w_hh, batch_sizes, batch_first, reverse, needs[0], needs[2:], out
    )
    return dx, dh0, *others


def lstm_sequence(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    w_hr: Array | None, batch_sizes: Sizes, batch_first: bool, reverse: bool,
) -> tuple[Array, Array, Array, Any]:  # fmt: skip
    """See the reference."""
    if w_hr is not None:
        return reference_lstm.lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, batch_first, reverse)
    return _forward("lstm", x, h0, c0, w_ih, w_hh, b_ih, b_hh, batch_sizes, batch_first, reverse)


def lstm_sequence_backward(
    g: Array | None, g_hn: Array | None, g_cn: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array,
    w_hr: Array | None, batch_sizes: Sizes, batch_first: bool, reverse: bool, needs: Sequence[bool],
    out: Places = (None,) * 4,
) -> tuple[Array | None, ...]:  # fmt: skip
    """See the reference."""
    if w_hr is not None:
        return reference_lstm.lstm_sequence_backward(
            g, g_hn, g_cn, x, saved, w_ih, w_hh, w_hr, batch_sizes, batch_first, reverse, needs, out
        )
    gradients = _backward(
        "lstm", g, g_hn, g_cn, x, saved, w_ih, w_hh, batch_sizes, batch_first, reverse, needs[0], needs[3:7], out
    )
    return *gradients, None


def _forward(
    name: str, x: Array, h0: Array, c0: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    batch_sizes: Sizes, batch_first: bool, reverse: bool,
) -> tuple[Array, Array, Array, Any]:  # fmt: skip
    walk = Walk(tuple(sizes_of(x, batch_sizes, batch_first)), reverse)
    rows = rows_by_time(x, batch_first)
    gates = _check(name, rows, walk, h0=h0, c0=c0, w_ih=w_ih, w_hh=w_hh, b_ih=b_ih, b_hh=b_hh)
    a, width = linear_forward(rows, w_ih, b_ih), persistent.width_that_fits(gates, h0.shape[1], np.dtype(x.dtype))
    if width is None:
        h, h_n, c_n, saved = stepwise.walk_forward(a, h0, c0, w_hh, b_hh, walk, name)
    else:
        h, h_n, c_n, saved = launcher.launch(persistent.plan_forward, a, h0, c0, w_hh, b_hh, walk, name, width)
    return as_given(h, x, batch_first), h_n, c_n, saved


def _backward(
    name: str, g: Array | None, g_hn: Array | None, g_cn: Array | None, x: Array, saved: Any, w_ih: Array, w_hh: Array,
    batch_sizes: Sizes, batch_first: bool, reverse: bool, of_x: bool, of_weights: Sequence[bool], out: Places,
) -> tuple[Array | None, ...]:  # fmt: skip
    """The gradients of x, h0, c0 (None without memory), w_ih, w_hh, b_ih and b_hh."""
    xp, (hidden, dtype) = array_namespace(x), (w_hh.shape[1], np.dtype(x.dtype))
    of_cell, walk = cell(name, dtype), Walk(tuple(sizes_of(x, batch_sizes, batch_first)), reverse)
    dh, dc = (xp.zeros((walk.batch, hidden), dtype) if last is None else last for last in (g_hn, g_cn))
    if g is not None:
        g = rows_by_time(g, batch_first)
    gradients = *saved, g, dh, dc if of_cell.memory else None, w_hh, walk, name
    width = persistent.width_that_fits(of_cell.gates, hidden, dtype)
    if width is None:
        da, db, dh0, dc0 = stepwise.walk_back(*gradients)
    else:
        da, db, dh0, dc0 = launcher.launch(persistent.plan_backward, *gradients, width)
    need_w, need_states_w, need_b, need_states_b = of_weights
    place_w, place_states_w, place_b, place_states_b = out
    rows = rows_by_time(x, batch_first)
    dx, dw_ih, db_ih = linear_backward(da, rows, w_ih, None, (of_x, need_w, need_b), (None, place_w, place_b))
    _, dw_hh, db_hh = linear_backward(
        db, saved[2], w_hh, None, (False, need_states_w, need_states_b), (None, place_states_w, place_states_b)
    )
    return None if dx is None else as_given(dx, x, batch_first), dh0, dc0, dw_ih, dw_hh, db_ih, db_hh


def _check(name: str, rows: Array, walk: Walk, **operands: Array | None) -> int:
    """The cell's gates; see check_operands; ValueError where a shape does not fit."""
    given = {key: array for key, array in operands.items() if array is not None}
    dtype, hidden = check_operands(x=rows, **given), given["h0"].shape[-1]
    gates = cell(name, dtype).gates
    states, of_gates = (walk.batch, hidden), (gates * hidden,)
    shapes = {"h0": states, "c0": states, "b_ih": of_gates, "b_hh": of_gates}
    shapes |= {"w_ih": (*of_gates, rows.shape[1]), "w_hh": (*of_gates, hidden)}
    for key, array in given.items():
        if array.shape != shapes[key]:
            raise ValueError(f"{key} must have shape {shapes[key]} for {name} of {hidden} units, got {array.shape}")
    check_size("the gates of all steps", (len(rows), *of_gates))
    return gates
