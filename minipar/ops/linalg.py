"""Matrix products."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from .op import Op, broadcast_error, unbroadcast
from .shape import reshape, transpose


class MatMul(Op):
    """C = A B over the last two axes; leading axes are broadcast. ∂A = G Bᵀ, ∂B = Aᵀ G"""

    __slots__ = ("shapes",)
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def forward(self, a, b):
        self.shapes = a.shape, b.shape
        return kernel("matmul", a)(a, b)

    def vjp(self, g, a, b):
        da = unbroadcast(matmul(g, transpose(b, -1, -2)), self.shapes[0]) if self.needs[0] else None
        db = unbroadcast(matmul(transpose(a, -1, -2), g), self.shapes[1]) if self.needs[1] else None
        return da, db


def matmul(a: Any, b: Any) -> Any:
    """NumPy's and PyTorch's matmul: 1-D operands are a row (left) or a column (right), leading axes broadcast.

    Shapes (…, n, k) @ (…, k, m) → (…, n, m). RuntimeError if an operand is 0-d, the inner sizes differ, the leading
    axes cannot be broadcast, or the dtypes differ.
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
    if any(n != m and 1 not in (n, m) for n, m in zip(a.shape[-3::-1], b.shape[-3::-1])):
        raise RuntimeError(broadcast_error("matmul", [tuple(a.shape[:-2]), tuple(b.shape[:-2])]))
    row, column = len(a.shape) == 1, len(b.shape) == 1
    if not (row or column):
        return MatMul()(a, b)
    c = MatMul()(reshape(a, (1, inner)) if row else a, reshape(b, (inner, 1)) if column else b)
    kept = list(c.shape[:-2]) + ([] if row else [c.shape[-2]]) + ([] if column else [c.shape[-1]])
    return reshape(c, kept)
