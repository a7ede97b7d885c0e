"""Long short-term memory as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ops.lstm import lstm
from ...tensor import Tensor
from .base import RNNBase


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), several layers deep, over whole sequences.

    The gates i, f, g, o are the four parts of W_ih x_t + b_ih + W_hh h_{t−1} + b_hh, under σ, σ, tanh, σ; then
    c_t = f⊙c_{t−1} + i⊙g and h_t = o⊙tanh(c_t), or W_hr h_t of `proj_size` numbers (Sak et al. 2014).

    input and output as RNN's, hx = (h_0, c_0): h_0 (num_layers·D, B, proj_size or hidden_size), c_0 (num_layers·D, B,
    hidden_size), zeros if absent. Returns output and (h_n, c_n). Parameters as RNN's, with 4·hidden_size rows, and
    weight_hr_l0, … where there is a projection. ValueError or RuntimeError for wrong ranks, sizes or dtypes.

    >>> output, (h_n, c_n) = nn.LSTM(3, 4, num_layers=2)(minipar.ones(5, 2, 3))
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 2, 4), (2, 2, 4), (2, 2, 4))
    """

    states = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype,
        )  # fmt: skip

    def direction(
        self, x: Tensor, states: list[Tensor], weights: list[Any], batch_sizes: Sequence[int] | None, reverse: bool,
        batch_first: bool = False,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        (h0, c0), (w_ih, w_hh, b_ih, b_hh, *projection) = states, weights
        w_hr = projection[0] if projection else None
        return lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, reverse, batch_first)

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise TypeError(f"LSTM: hx must be a pair (h_0, c_0) of tensors, got a {type(hx).__name__}")
        output, (h_n, c_n) = self._run(input, None if hx is None else tuple(hx))
        return output, (h_n, c_n)
