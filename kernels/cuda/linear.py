"""y = x Wᵀ + b and its gradients on the hand-written matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..reference.linear import backward_by, forward_by
from .matmul import matmul


def linear_forward(x: Any, weight: Any, bias: Any = None, relu: bool = False) -> Any:
    """See the reference."""
    return forward_by(matmul, x, weight, bias, relu)


def linear_backward(
    g: Any,
    x: Any,
    weight: Any,
    y: Any = None,
    needs: Sequence[bool] = (True, True, True),
    out: Sequence[Any] = (None, None, None),
) -> tuple[Any, Any, Any]:
    """See the reference."""
    return backward_by(matmul, g, x, weight, y, needs, out)
