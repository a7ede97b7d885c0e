"""The gated recurrent unit in compiled loops: same signatures as kernels.reference.gru, which has the formulas.

Matrix ``gates`` holds of each row n, r, z and b_n, and ``d`` the gradients of what makes them: the first three are what
the input contributes to, the last three what the state does. n stands first because its gradient is not one of both.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .gate_functions import sigmoid, tanh
from .over_rows import over_rows
from .recurrent import sequence, sequence_backward
from .recurrent_rows import add_rows, clear, copy_rows, inlined, pack_transposed, panel_width, panels, product
from .recurrent_walks import Cell, walks
from .tile import COLUMN_BIAS
from .vectors import at, pointer


@inlined
def gru_pack(w_ih, w_hh, b_ih, b_hh, inputs, hidden, panel, weights, bias):
    """Three products a step: of both for r and z, of the state for b_n, of the input for n."""
    depth = hidden + inputs
    of_state = at(weights, panels(2 * hidden, depth, panel))
    of_input = at(of_state, panels(hidden, hidden, panel))
    pack_transposed(pointer(w_hh), hidden, 2 * hidden, panel, depth, weights)
    pack_transposed(pointer(w_ih), inputs, 2 * hidden, panel, depth, at(weights, hidden * panel))
    pack_transposed(at(pointer(w_hh), 2 * hidden * hidden), hidden, hidden, panel, hidden, of_state)
    pack_transposed(at(pointer(w_ih), 2 * hidden * inputs), inputs, hidden, panel, inputs, of_input)
    clear(bias, 4 * hidden)
    if b_ih.size:
        copy_rows(1, 2 * hidden, pointer(b_ih), 0, at(bias, hidden), 0)
        copy_rows(1, hidden, at(pointer(b_ih), 2 * hidden), 0, bias, 0)
    if b_hh.size:
        add_rows(1, 2 * hidden, at(bias, hidden), 0, pointer(b_hh), 0, at(bias, hidden), 0)
        copy_rows(1, hidden, at(pointer(b_hh), 2 * hidden), 0, at(bias, 3 * hidden), 0)


@over_rows
def _cell(a_n, r, z, b_n, h):
    r, z = sigmoid(r), sigmoid(z)
    n = tanh(r.times_plus(b_n, a_n))
    state = z.times_plus(h - n, n)
    return n, r, z, state, state


@inlined
def gru_step(layer, row, count, to, h, h_row):
    hidden, rows, vectors = layer.hidden, layer.rows, layer.vectors
    width, bias, depth = layer.gates_row, layer.bias, hidden + layer.inputs
    met, n = at(layer.kept, row * layer.kept_row), at(layer.gates, row * width)
    r, z, b_n = at(n, hidden), at(n, 2 * hidden), at(n, 3 * hidden)
    panel = panel_width(vectors, layer.weights)
    of_state = at(layer.weights, panels(2 * hidden, depth, panel))
    of_input = at(of_state, panels(hidden, hidden, panel))
    product(met, layer.kept_row, layer.weights, depth, r, width, count, 2 * hidden, COLUMN_BIAS, at(bias, hidden),
            rows, vectors)  # fmt: skip
    product(met, layer.kept_row, of_state, hidden, b_n, width, count, hidden, COLUMN_BIAS, at(bias, 3 * hidden),
            rows, vectors)  # fmt: skip
    product(at(met, hidden), layer.kept_row, of_input, layer.inputs, n, width, count, hidden, COLUMN_BIAS, bias,
            rows, vectors)  # fmt: skip
    state = at(layer.kept, to * layer.kept_row)
    _cell(count, hidden, n, width, r, width, z, width, b_n, width, met, layer.kept_row,
          n, width, r, width, z, width, state, layer.kept_row, h, h_row)  # fmt: skip


@over_rows
def _slopes(n, r, z, b_n, h, dh, g):
    dh = dh + g
    dn = dh * (1 - z) * (1 - n * n)
    return dn, dn * b_n * (r - r * r), dh * (h - n) * (z - z * z), dn * r, dh * z


@inlined
def gru_back(layer, row, count, to, g, g_row, d, d_row, dh, dc):
    hidden, width = layer.hidden, layer.gates_row
    n = at(layer.gates, row * width)
    r, z, b_n = at(n, hidden), at(n, 2 * hidden), at(n, 3 * hidden)
    _slopes(count, hidden, n, width, r, width, z, width, b_n, width, at(layer.kept, row * layer.kept_row),
            layer.kept_row, dh, hidden, g, g_row, d, d_row, at(d, hidden), d_row, at(d, 2 * hidden), d_row,
            at(d, 3 * hidden), d_row, dh, hidden)  # fmt: skip


GRU = walks(Cell("gru", gates=3, remembered=4, memory=-1, slopes=4, offset=1, pack=gru_pack, step=gru_step,
                 back=gru_back))  # fmt: skip


def gru_sequence(
    x: np.ndarray, h0: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, b_ih: np.ndarray | None,
    b_hh: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool,
) -> tuple[np.ndarray, np.ndarray, Any]:  # fmt: skip
    """See the reference. float32 or float64, all of one dtype; ValueError for shapes that do not fit."""
    h, h_n, _, saved = sequence(GRU, x, h0, None, w_ih, w_hh, b_ih, b_hh, batch_sizes, batch_first, reverse)
    return h, h_n, saved


def gru_sequence_backward(
    g: np.ndarray | None, g_n: np.ndarray | None, x: np.ndarray, saved: Any, w_ih: np.ndarray, w_hh: np.ndarray,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, needs: Sequence[bool],
    out: Sequence[np.ndarray | None] = (None,) * 4,
) -> Sequence[np.ndarray | None]:  # fmt: skip
    """See the reference."""
    return sequence_backward(GRU, g, g_n, None, x, saved, w_ih, w_hh, batch_sizes, batch_first, reverse, needs, out)
