"""Matrix products."""

from __future__ import annotations

from typing import Any

from ..backend.dispatch import kernel
from .op import Op, unbroadcast
from .shape import reshape, transpose


class MatMul(Op):
    """C = A B over the last two axes; leading axes are broadcast. ∂A = G Bᵀ, ∂B = Aᵀ G"""

    saves = (0, 1)

    def forward(self, a, b):
        return kernel("matmul", a)(a, b)

    def vjp(self, g, a, b):
        da = unbroadcast(matmul(g, transpose(b, -1, -2)), a.shape) if self.needs[0] else None
        db = unbroadcast(matmul(transpose(a, -1, -2), g), b.shape) if self.needs[1] else None
        return da, db


def matmul(a: Any, b: Any) -> Any:
    """NumPy's and PyTorch's matmul: 1-D operands are a row (left) or a column (right), leading axes broadcast.

    Shapes (…, n, k) @ (…, k, m) → (…, n, m). RuntimeError if an operand is 0-d or the inner sizes differ.
    """
    if not len(a.shape) or not len(b.shape):
        raise RuntimeError(f"matmul needs operands of 1 or more dimensions, got {tuple(a.shape)} and {tuple(b.shape)}")
    inner = b.shape[0] if len(b.shape) == 1 else b.shape[-2]
    if a.shape[-1] != inner:
        raise RuntimeError(
            f"matmul: the last axis of a must match {'the only' if len(b.shape) == 1 else 'the second-to-last'} axis "
            f"of b, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(f"matmul: both operands must have one dtype, got {a.dtype.name} and {b.dtype.name}")
    row, column = len(a.shape) == 1, len(b.shape) == 1
    if not (row or column):
        return MatMul()(a, b)
    c = MatMul()(
        reshape(a, (1, -1 if inner else 0)) if row else a, reshape(b, (-1 if inner else 0, 1)) if column else b
    )
    kept = list(c.shape[:-2]) + ([] if row else [c.shape[-2]]) + ([] if column else [c.shape[-1]])
    return reshape(c, kept)
