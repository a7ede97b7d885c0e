"""The gated recurrent unit, one layer in one direction, as one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .exponential import sigmoid
from .hyperbolic import tanh
from .linear import linear
from .recurrent import Recurrent, check_walk
from .split import chunk


class GRU(Recurrent):
    """Inputs x, h0, w_ih, w_hh, b_ih, b_hh → h, h_n. The formula: `step`."""

    outputs = 2
    saves = (0, 2, 3)
    sequence = "gru_sequence"
    kernels_only = True

    def step(self, x, h, w_ih, w_hh, b_ih, b_hh):
        a_r, a_z, a_n = chunk(linear(x, w_ih, b_ih), 3, 1)
        b_r, b_z, b_n = chunk(linear(h, w_hh, b_hh), 3, 1)
        r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
        n = tanh(a_n + r * b_n)
        return ((1 - z) * n + z * h,)


def gru(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, batch_sizes: Sequence[int] | None,
    reverse: bool = False, batch_first: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """h after every step and h_n (B, H) after each sequence's last, of x and h0 (B, H); or (1, B, H) both.

    x (N, I) holds the rows of packed sequences; with `batch_sizes` None it is (T, B, I), or (B, T, I) with
    `batch_first`; h has its order of axes.

    With a = W_ih x_t + b_ih and b = W_hh h_{t−1} + b_hh in three parts each: r = σ(a_r + b_r), z = σ(a_z + b_z),
    n = tanh(a_n + r⊙b_n), h_t = (1 − z)⊙n + z⊙h_{t−1} (Cho et al. 2014; b_n inside the product, as in PyTorch).
    w_ih (3H, I), w_hh (3H, H), b_ih and b_hh (3H,) or None. RuntimeError for sequences without steps, and unless all
    have one floating-point dtype.

    >>> from minipar.ops.gru import gru
    >>> x, state, w = minipar.zeros(2, 1), minipar.ones(1, 1), minipar.zeros(3, 1)
    >>> gru(x, state, w, w, None, None, [1, 1])[1]  # z = ½, n = 0, twice
    tensor([[0.25]])
    """
    check_walk("GRU", batch_sizes, batch_first, x, h0, w_ih, w_hh, b_ih, b_hh)
    return GRU(batch_sizes, reverse, batch_first)(x, h0, w_ih, w_hh, b_ih, b_hh)
