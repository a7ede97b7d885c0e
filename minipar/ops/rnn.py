"""The Elman network (Elman 1990), one layer in one direction, as one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .activation_rectified import relu
from .hyperbolic import tanh
from .linear import linear
from .recurrent import Recurrent, check_walk


class RNN(Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), or relu. Inputs x, h0, w_ih, w_hh, b_ih, b_hh → h, h_n"""

    __slots__ = ("nonlinearity",)
    outputs = 2
    saves = (0, 2, 3)
    sequence = "rnn_sequence"
    kernels_only = True

    def __init__(self, nonlinearity, *walk):
        super().__init__(*walk)
        self.nonlinearity = nonlinearity

    def step(self, x, h, w_ih, w_hh, b_ih, b_hh):
        squash = tanh if self.nonlinearity == "tanh" else relu
        return (squash(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)),)

    def walk(self):
        return self.batch_sizes, self.batch_first, self.reverse, self.nonlinearity


def rnn(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, batch_sizes: Sequence[int] | None,
    reverse: bool = False, nonlinearity: str = "tanh", batch_first: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """h after every step and h_n (B, H) after each sequence's last, of x and h0 (B, H); or (1, B, H) both.

    x (N, I) holds the rows of packed sequences; with `batch_sizes` None it is (T, B, I), or (B, T, I) with
    `batch_first`; h has its order of axes. w_ih (H, I), w_hh (H, H), b_ih and b_hh (H,) or None. RuntimeError for
    sequences without steps, and unless all have one floating-point dtype.

    >>> from minipar.ops.rnn import rnn
    >>> one = minipar.ones(1, 1)
    >>> rnn(minipar.ones(3, 1), minipar.zeros(1, 1), one, one, None, None, [1, 1, 1], nonlinearity="relu")[0].T
    tensor([[1., 2., 3.]])
    """
    check_walk("RNN", batch_sizes, batch_first, x, h0, w_ih, w_hh, b_ih, b_hh)
    return RNN(nonlinearity, batch_sizes, reverse, batch_first)(x, h0, w_ih, w_hh, b_ih, b_hh)
