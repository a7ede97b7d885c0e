"""Long short-term memory, one layer in one direction, as one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .exponential import sigmoid
from .hyperbolic import tanh
from .linear import linear
from .recurrent import Recurrent, check_walk
from .split import chunk


class LSTM(Recurrent):
    """Inputs x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr (a projection, or None) → h, h_n, c_n. The formula: `step`."""

    outputs = 3
    saves = (0, 3, 4, 7)
    sequence = "lstm_sequence"
    kernels_only = True

    def step(self, x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr):
        i, f, g, o = chunk(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh), 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h if w_hr is None else linear(h, w_hr)), c


def lstm(
    x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any,
    batch_sizes: Sequence[int] | None, reverse: bool = False, batch_first: bool = False,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """h after every step, and h_n (B, P), c_n (B, H) after each sequence's last, of x, h0, c0; or (1, B, ·) all.

    x (N, I) holds the rows of packed sequences; with `batch_sizes` None it is (T, B, I), or (B, T, I) with
    `batch_first`; h has its order of axes.

    The gates i, f, g, o are the four parts of W_ih x_t + b_ih + W_hh h_{t−1} + b_hh, under σ, σ, tanh, σ (Hochreiter &
    Schmidhuber 1997; Gers et al. 2000): c_t = f⊙c_{t−1} + i⊙g, h_t = o⊙tanh(c_t), times W_hrᵀ if there is a w_hr.
    w_ih (4H, I), w_hh (4H, P), b_ih and b_hh (4H,) or None, w_hr (P, H) or None, and then P = H. RuntimeError for
    sequences without steps, and unless all have one floating-point dtype.

    >>> from minipar.ops.lstm import lstm
    >>> x, state, w = minipar.zeros(2, 1), minipar.ones(1, 1), minipar.zeros(4, 1)
    >>> lstm(x, state, state, w, w, None, None, None, [1, 1])[2]  # every gate is ½, twice
    tensor([[0.25]])
    """
    check_walk("LSTM", batch_sizes, batch_first, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr)
    return LSTM(batch_sizes, reverse, batch_first)(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr)
