"""One step of a recurrent network as a layer: the same nodes as the sequences', walked for a single step."""

from __future__ import annotations

import math
from typing import Any

from ...backend import namespace
from ...backend.current_gpu import on_gpu_of
from ...creation import empty
from ...ops.gru import gru
from ...ops.lstm import lstm
from ...ops.rnn import rnn
from ...ops.shape import unsqueeze
from ...tensor import Tensor, wrap
from .. import init
from ..module import Module
from ..parameter import Parameter


class RNNCellBase(Module):
    """Base of the cells: weight_ih (G·H, I), weight_hh (G·H, H), bias_ih and bias_hh (G·H,), or None."""

    gates = 1
    states = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero, got {size}")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every parameter uniform on ±1/√hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def step(self, x: Tensor, states: list[Tensor], weights: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """The new states (B, H) from x (B, I) and the old ones."""
        raise NotImplementedError

    def _run(self, input: Tensor, given: tuple[Tensor, ...] | None) -> list[Tensor]:
        kind = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{kind}: input must be of 1 or 2 dimensions, got shape {input.shape}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{kind}: the last axis of input must be input_size = {self.input_size}, got shape {input.shape}"
            )
        single = input.ndim == 1
        shape = (*input.shape[:-1], self.hidden_size)
        if given is None:
            with on_gpu_of(input.array):
                given = (wrap(namespace(input.array).zeros(shape, input.dtype)),) * self.states
        for state in given:
            if state.ndim not in (1, 2):
                raise ValueError(f"{kind}: hx must be of 1 or 2 dimensions, got shape {state.shape}")
            if state.shape != shape:
                raise RuntimeError(f"{kind}: hx must have shape {shape}, got {state.shape}")
        x = unsqueeze(input, 0) if single else input
        states = [unsqueeze(state, 0) if single else state for state in given]
        new = self.step(x, states, (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh))
        return [state[0] if single else state for state in new]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of the Elman network: h′ = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.

    input (B, input_size) or (input_size,), hx (B, hidden_size) or (hidden_size,), zeros if absent; returns h′ like hx.
    ValueError or RuntimeError for wrong ranks, sizes or dtypes.

    >>> nn.RNNCell(3, 4)(minipar.ones(2, 3)).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def step(self, x: Tensor, states: list[Tensor], weights: tuple[Any, ...]) -> tuple[Tensor, ...]:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', not {self.nonlinearity!r}")
        w_ih, w_hh, b_ih, b_hh = weights
        return rnn(x, states[0], w_ih, w_hh, b_ih, b_hh, [len(x)], nonlinearity=self.nonlinearity)[1:]

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run(input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        special = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + special


class LSTMCell(RNNCellBase):
    """One step of long short-term memory; the formula is LSTM's.

    input (B, input_size) or (input_size,), hx = (h, c), each (B, hidden_size) or (hidden_size,), zeros if absent;
    returns (h′, c′). ValueError or RuntimeError for wrong ranks, sizes or dtypes.

    >>> h, c = nn.LSTMCell(3, 4)(minipar.ones(2, 3))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4
    states = 2

    def step(self, x: Tensor, states: list[Tensor], weights: tuple[Any, ...]) -> tuple[Tensor, ...]:
        (h, c), (w_ih, w_hh, b_ih, b_hh) = states, weights
        return lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, None, [len(x)])[1:]

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise TypeError(f"LSTMCell: hx must be a pair (h, c) of tensors, got a {type(hx).__name__}")
        h, c = self._run(input, None if hx is None else tuple(hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of the gated recurrent unit; the formula is GRU's.

    input (B, input_size) or (input_size,), hx (B, hidden_size) or (hidden_size,), zeros if absent; returns h′ like hx.
    ValueError or RuntimeError for wrong ranks, sizes or dtypes.

    >>> nn.GRUCell(3, 4)(minipar.ones(3)).shape
    (4,)
    """

    gates = 3

    def step(self, x: Tensor, states: list[Tensor], weights: tuple[Any, ...]) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        return gru(x, states[0], w_ih, w_hh, b_ih, b_hh, [len(x)])[1:]

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run(input, None if hx is None else (hx,))[0]
