"""The gated recurrent unit as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ops.gru import gru
from ...tensor import Tensor
from .base import RNNBase


class GRU(RNNBase):
    """The gated recurrent unit (Cho et al. 2014), several layers deep, over whole sequences.

    r = σ(W_ir x + b_ir + W_hr h + b_hr), z = σ(W_iz x + b_iz + W_hz h + b_hz),
    n = tanh(W_in x + b_in + r⊙(W_hn h + b_hn)), h_t = (1 − z)⊙n + z⊙h_{t−1}.

    input, hx and the results as RNN's. Parameters as RNN's, with 3·hidden_size rows, in the order r, z, n. ValueError
    or RuntimeError for wrong ranks, sizes or dtypes.

    >>> output, h_n = nn.GRU(3, 4, batch_first=True)(minipar.ones(2, 5, 3))
    >>> output.shape, h_n.shape
    ((2, 5, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip

    def direction(
        self, x: Tensor, states: list[Tensor], weights: list[Any], batch_sizes: Sequence[int] | None, reverse: bool,
        batch_first: bool = False,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        w_ih, w_hh, b_ih, b_hh = weights
        return gru(x, states[0], w_ih, w_hh, b_ih, b_hh, batch_sizes, reverse, batch_first)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h_n,) = self._run(input, None if hx is None else (hx,))
        return output, h_n
