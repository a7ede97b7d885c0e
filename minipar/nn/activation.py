"""Activations as layers."""

from __future__ import annotations

from ..ops import pointwise
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """max(x, 0), element by element; `inplace` overwrites the input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return input.relu_() if self.inplace else pointwise.relu(input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """tanh x, element by element."""

    def forward(self, input: Tensor) -> Tensor:
        return pointwise.tanh(input)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ), element by element."""

    def forward(self, input: Tensor) -> Tensor:
        return pointwise.sigmoid(input)
