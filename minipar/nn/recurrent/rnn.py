"""The Elman network as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ops.rnn import rnn
from ...tensor import Tensor
from .base import RNNBase


class RNN(RNNBase):
    """The Elman network h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), several layers deep, over whole sequences.

    input (T, B, input_size), or (B, T, input_size) with `batch_first`, or (T, input_size) for one sequence, or a
    PackedSequence; hx (num_layers·D, B, hidden_size), D = 2 if `bidirectional`, zeros if absent. Returns output
    (T, B, D·hidden_size), the last layer's states (packed if the input was), and h_n like hx. `nonlinearity` "relu"
    may stand for "tanh". `dropout` acts between layers, in training. Parameters: weight_ih_l0, weight_hh_l0,
    bias_ih_l0, bias_hh_l0, …_reverse, all uniform on ±1/√hidden_size at first.

    ValueError or RuntimeError for wrong ranks, sizes or dtypes (Elman 1990, Finding Structure in Time).

    >>> output, h_n = nn.RNN(3, 4, bidirectional=True)(minipar.ones(5, 2, 3))
    >>> output.shape, h_n.shape
    ((5, 2, 8), (2, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, device=device, dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def direction(
        self, x: Tensor, states: list[Tensor], weights: list[Any], batch_sizes: Sequence[int] | None, reverse: bool,
        batch_first: bool = False,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        w_ih, w_hh, b_ih, b_hh = weights
        return rnn(x, states[0], w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse, self.nonlinearity, batch_first)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h_n,) = self._run(input, None if hx is None else (hx,))
        return output, h_n
