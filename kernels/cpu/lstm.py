"""Long short-term memory in compiled loops: same signatures as kernels.reference.lstm, which has the formulas.

Matrix ``gates`` holds of each row i, f, g, o, the cell c that the step meets, and the tanh of the one that it leaves.
Projections (w_hr) are left to the reference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference import lstm as reference
from .gate_functions import sigmoid, tanh
from .over_rows import over_rows
from .recurrent import sequence, sequence_backward
from .recurrent_rows import inlined, pack_jointly, product
from .recurrent_walks import Cell, walks
from .tile import COLUMN_BIAS
from .vectors import at


@over_rows
def _cell(i, f, g, o, c):
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f.times_plus(c, i * g)
    squashed = tanh(c)
    h = o * squashed
    return i, f, g, o, c, squashed, h, h


@inlined
def lstm_step(layer, row, count, to, h, h_row):
    hidden, kept_row, width = layer.hidden, layer.kept_row, layer.gates_row
    i = at(layer.gates, row * width)
    f, g, o, c, squashed = at(i, hidden), at(i, 2 * hidden), at(i, 3 * hidden), at(i, 4 * hidden), at(i, 5 * hidden)
    product(at(layer.kept, row * kept_row), kept_row, layer.weights, hidden + layer.inputs, i, width, count, 4 * hidden,
            COLUMN_BIAS, layer.bias, layer.rows, layer.vectors)  # fmt: skip
    _cell(count, hidden, i, width, f, width, g, width, o, width, c, width,
          i, width, f, width, g, width, o, width, at(layer.gates, to * width + 4 * hidden), width, squashed, width,
          at(layer.kept, to * kept_row), kept_row, h, h_row)  # fmt: skip


@over_rows
def _slopes(i, f, g, o, c, squashed, dh, dc, dh_given):
    dh = dh + dh_given
    through = dh * o
    dc = dc + through * (1 - squashed * squashed)
    return dc * g * (i - i * i), dc * c * (f - f * f), dc * i * (1 - g * g), dh * squashed * (o - o * o), dc * f


@inlined
def lstm_back(layer, row, count, to, g, g_row, d, d_row, dh, dc):
    hidden, width = layer.hidden, layer.gates_row
    i = at(layer.gates, row * width)
    f, c_new, o, c, squashed = at(i, hidden), at(i, 2 * hidden), at(i, 3 * hidden), at(i, 4 * hidden), at(i, 5 * hidden)
    _slopes(count, hidden, i, width, f, width, c_new, width, o, width, c, width, squashed, width, dh, hidden,
            dc, hidden, g, g_row, d, d_row, at(d, hidden), d_row, at(d, 2 * hidden), d_row, at(d, 3 * hidden), d_row,
            dc, hidden)  # fmt: skip


LSTM = walks(Cell("lstm", gates=4, remembered=6, memory=4, slopes=4, offset=0, pack=pack_jointly, step=lstm_step,
                  back=lstm_back))  # fmt: skip


def lstm_sequence(
    x: np.ndarray, h0: np.ndarray, c0: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, b_ih: np.ndarray | None,
    b_hh: np.ndarray | None, w_hr: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool,
    reverse: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:  # fmt: skip
    """See the reference. float32 or float64, all of one dtype; ValueError for shapes that do not fit."""
    if w_hr is not None:
        with np.errstate(all="ignore"):  # as of a compiled kernel, no warnings of infinities are expected
            return reference.lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, batch_first, reverse)
    return sequence(LSTM, x, h0, c0, w_ih, w_hh, b_ih, b_hh, batch_sizes, batch_first, reverse)


def lstm_sequence_backward(
    g: np.ndarray | None, g_hn: np.ndarray | None, g_cn: np.ndarray | None, x: np.ndarray, saved: Any,
    w_ih: np.ndarray, w_hh: np.ndarray, w_hr: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool,
    reverse: bool, needs: Sequence[bool], out: Sequence[np.ndarray | None] = (None,) * 4,
) -> Sequence[np.ndarray | None]:  # fmt: skip
    """See the reference."""
    if w_hr is not None:
        with np.errstate(all="ignore"):
            return reference.lstm_sequence_backward(
                g, g_hn, g_cn, x, saved, w_ih, w_hh, w_hr, batch_sizes, batch_first, reverse, needs, out
            )
    gradients = sequence_backward(
        LSTM, g, g_hn, g_cn, x, saved, w_ih, w_hh, batch_sizes, batch_first, reverse, needs, out
    )
    return [*gradients, None]
