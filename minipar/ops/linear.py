"""y = x Wᵀ + b as one node."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from .linalg import matmul
from .op import Fat, check_dtypes
from .shape import squeeze, transpose, unsqueeze


class Linear(Fat):
    """x (…, in), weight (out, in), bias (out,) or absent → y (…, out). ∂x = G W, ∂W = Gᵀ x, ∂b = Σ G"""

    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def forward(self, x, weight, bias=None):
        y = kernel("matmul", x)(x, weight.T)
        if bias is not None:
            y += bias
        return y

    def vjp(self, g, x, weight):
        matmul = kernel("matmul", g)
        rows = _rows(g)
        dx = matmul(g, weight) if self.needs[0] else None
        dw = matmul(rows.T, _rows(x)) if self.needs[1] else None
        if len(self.needs) == 2:
            return dx, dw
        return dx, dw, rows.sum(0) if self.needs[2] else None

    def composite(self, x, weight, bias=None):
        y = matmul(x, transpose(weight, 0, 1))
        return y if bias is None else y + bias


def _rows(x: Any) -> Any:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input (…, in) times weight (out, in) transposed, plus bias (out,) → (…, out).

    A weight (in,), without a bias, gives (…). RuntimeError where shapes or dtypes do not fit.

    >>> F.linear(minipar.ones(2, 3), minipar.ones(1, 3), minipar.tensor([0.5]))
    tensor([[3.5],
            [3.5]])
    """
    shape, matrix = tuple(input.shape), tuple(weight.shape)
    if len(matrix) == 1 and bias is None:
        return squeeze(linear(input, unsqueeze(weight, 0)), -1)
    if len(matrix) != 2:
        raise RuntimeError(f"linear: weight must have shape (out, in), not {matrix}")
    if not shape or shape[-1] != matrix[1]:
        raise RuntimeError(
            f"linear: the last axis of input must have the {matrix[1]} features of weight {matrix}, "
            f"got input of shape {shape}"
        )
    if bias is not None and tuple(bias.shape) != matrix[:1]:
        raise RuntimeError(f"linear: bias must have shape ({matrix[0]},), not {tuple(bias.shape)}")
    check_dtypes("linear", input, weight, bias)
    return Linear()(input, weight) if bias is None else Linear()(input, weight, bias)
