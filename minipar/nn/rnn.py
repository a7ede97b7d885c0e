"""Recurrent layers."""

from __future__ import annotations

import math
from typing import Any

from ..creation import empty
from ..ops.recurrent import recurrence, zero_state
from ..ops.join import cat, stack
from ..ops.shape import transpose, unsqueeze
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


class RNN(Module):
    """The Elman network h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), several layers deep, over a whole sequence.

    input (T, B, input_size), or (B, T, input_size) with `batch_first`, or (T, input_size) for one sequence; h0
    (num_layers·directions, B, hidden_size), zeros if absent. Returns output (T, B, directions·hidden_size), and h_n
    like h0. Parameters are named as in PyTorch: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, …_reverse; all
    start uniform on ±1/√hidden_size. `dropout` other than 0 raises NotImplementedError.
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
        super().__init__()
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")
        if dropout:
            raise NotImplementedError("RNN: dropout between layers is not supported")
        if input_size < 1 or hidden_size < 1 or num_layers < 1:
            raise ValueError(
                "input_size, hidden_size and num_layers must be at least 1, got "
                f"{input_size}, {hidden_size}, {num_layers}"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.nonlinearity, self.bias, self.batch_first = nonlinearity, bias, batch_first
        self.bidirectional = bidirectional
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(self.suffixes)
            for suffix in self.suffixes:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (hidden_size, width),
                    "weight_hh": (hidden_size, hidden_size),
                }
                if bias:
                    shapes |= {"bias_ih": (hidden_size,), "bias_hh": (hidden_size,)}
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _weights(self, layer: int, suffix: str) -> dict[str, Parameter]:
        names = {"w_ih": "weight_ih", "w_hh": "weight_hh"} | (
            {"b_ih": "bias_ih", "b_hh": "bias_hh"} if self.bias else {}
        )
        return {short: getattr(self, f"{name}_l{layer}{suffix}") for short, name in names.items()}

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise RuntimeError(f"RNN: input must have shape (T, B, {self.input_size}), got {input.shape}")
        single = input.ndim == 2
        x = unsqueeze(input, 1) if single else transpose(input, 0, 1) if self.batch_first else input
        states = self.num_layers * len(self.suffixes)
        if hx is None:
            hx = zero_state(x, states, x.shape[1], self.hidden_size)
        elif single:
            hx = unsqueeze(hx, 1)
        if hx.shape != (states, x.shape[1], self.hidden_size):
            raise RuntimeError(f"RNN: h0 must have shape {(states, x.shape[1], self.hidden_size)}, got {hx.shape}")
        last = []
        for layer in range(self.num_layers):
            directions = []
            for direction, suffix in enumerate(self.suffixes):
                h0 = hx[layer * len(self.suffixes) + direction]
                steps = x[::-1] if direction else x
                h = recurrence(steps, h0, **self._weights(layer, suffix), nonlinearity=self.nonlinearity)
                last.append(h[-1])
                directions.append(h[::-1] if direction else h)
            x = directions[0] if len(directions) == 1 else cat(directions, 2)
        h_n = stack(last)
        if single:
            return x[:, 0], h_n[:, 0]
        return (transpose(x, 0, 1) if self.batch_first else x), h_n

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = (("num_layers", 1), ("bias", True), ("batch_first", False), ("bidirectional", False))
        for name, default in defaults:
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text
