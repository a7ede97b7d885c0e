"""y = x Wᵀ + b as one node."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from .linalg import matmul
from .op import Fat, check_dtypes
from .shape import transpose


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


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x (…, in) times weight (out, in) transposed, plus bias (out,). RuntimeError where shapes or dtypes do not fit."""
    if len(weight.shape) != 2:
        raise RuntimeError(f"linear: weight must have shape (out, in), not {tuple(weight.shape)}")
    if not len(x.shape) or x.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            f"linear: the last axis of input must have the {weight.shape[1]} features of weight {tuple(weight.shape)}, "
            f"got input of shape {tuple(x.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise RuntimeError(f"linear: bias must have shape ({weight.shape[0]},), not {tuple(bias.shape)}")
    check_dtypes("linear", x, weight, bias)
    return Linear()(x, weight) if bias is None else Linear()(x, weight, bias)
