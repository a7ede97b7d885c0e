"""The Elman recurrence in compiled loops: same signatures as kernels.reference.rnn, which has the formula.

A step's product goes straight to the row where the next step meets the state, and becomes the state there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference.rnn import check_nonlinearity
from .gate_functions import tanh
from .over_rows import over_rows
from .recurrent import sequence, sequence_backward
from .recurrent_rows import inlined, pack_jointly, product
from .recurrent_walks import Cell, walks
from .tile import COLUMN_BIAS
from .vectors import at


@over_rows
def _tanh(a):
    h = tanh(a)
    return h, h


@over_rows
def _relu(a):
    h = a.not_negative()
    return h, h


@inlined
def rnn_step(layer, row, count, to, h, h_row):
    hidden, width = layer.hidden, layer.kept_row
    met, state = at(layer.kept, row * width), at(layer.kept, to * width)
    product(met, width, layer.weights, hidden + layer.inputs, state, width, count, hidden, COLUMN_BIAS, layer.bias,
            layer.rows, layer.vectors)  # fmt: skip
    if layer.relu:
        _relu(count, hidden, state, width, state, width, h, h_row)
    else:
        _tanh(count, hidden, state, width, state, width, h, h_row)


@over_rows
def _through_tanh(h, dh, g):
    return (dh + g) * (1 - h * h)


@over_rows
def _through_relu(h, dh, g):
    return (dh + g).where_positive(h)


@inlined
def rnn_back(layer, row, count, to, g, g_row, d, d_row, dh, dc):
    hidden, width = layer.hidden, layer.kept_row
    state = at(layer.kept, to * width)
    if layer.relu:
        _through_relu(count, hidden, state, width, dh, hidden, g, g_row, d, d_row)
    else:
        _through_tanh(count, hidden, state, width, dh, hidden, g, g_row, d, d_row)


RNN = walks(Cell("rnn", gates=1, remembered=0, memory=-1, slopes=1, offset=0, pack=pack_jointly, step=rnn_step,
                 back=rnn_back))  # fmt: skip


def rnn_sequence(
    x: np.ndarray, h0: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, b_ih: np.ndarray | None,
    b_hh: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, nonlinearity: str,
) -> tuple[np.ndarray, np.ndarray, Any]:  # fmt: skip
    """See the reference. float32 or float64, all of one dtype; ValueError for shapes that do not fit."""
    if nonlinearity not in ("tanh", "relu"):
        check_nonlinearity(nonlinearity)
    relu = nonlinearity == "relu"
    h, h_n, _, saved = sequence(RNN, x, h0, None, w_ih, w_hh, b_ih, b_hh, batch_sizes, batch_first, reverse, relu)
    return h, h_n, saved


def rnn_sequence_backward(
    g: np.ndarray | None, g_n: np.ndarray | None, x: np.ndarray, saved: Any, w_ih: np.ndarray, w_hh: np.ndarray,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, nonlinearity: str, needs: Sequence[bool],
    out: Sequence[np.ndarray | None] = (None,) * 4,
) -> Sequence[np.ndarray | None]:  # fmt: skip
    """See the reference."""
    relu = nonlinearity == "relu"
    return sequence_backward(
        RNN, g, g_n, None, x, saved, w_ih, w_hh, batch_sizes, batch_first, reverse, needs, out, relu
    )
