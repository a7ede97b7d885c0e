"""y = x Wᵀ + b and its gradients on the hand-written matrix product.

But for float64, bias and ReLU are a part of it. In float16, all products, those of the gradients too, are added up in
float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference.linear import backward_by, forward_by
from .matmul import launch_product, matmul, plan_linear


def linear_forward(x: Any, weight: Any, bias: Any = None, relu: bool = False) -> Any:
    """See the reference."""
    if x.dtype != np.float64:
        return launch_product(plan_linear, x, weight, bias, relu)
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
