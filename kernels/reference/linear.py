"""y = x Wᵀ + b, with a ReLU or without, and its gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .matmul import matmul
from .namespace import array_namespace


def linear_forward(x: Any, weight: Any, bias: Any = None, relu: bool = False) -> Any:
    """x (…, in), weight (out, in), bias (out,) or None → y (…, out), cut off below 0 if `relu`."""
    return forward_by(matmul, x, weight, bias, relu)


def linear_backward(
    g: Any,
    x: Any,
    weight: Any,
    y: Any = None,
    needs: Sequence[bool] = (True, True, True),
    out: Sequence[Any] = (None, None, None),
) -> tuple[Any, Any, Any]:
    """(∂x, ∂W, ∂b) for the gradient g (…, out) of the output; None where `needs` wants none.

    y is the output where it went through the ReLU, else None: no gradient passes where y ≤ 0. Where out[1] or out[2]
    is an array, ∂W or ∂b is written into it, and it is what is returned.
    """
    return backward_by(matmul, g, x, weight, y, needs, out)


def forward_by(product: Callable[[Any, Any], Any], x: Any, weight: Any, bias: Any, relu: bool) -> Any:
    """`linear_forward` with this matrix product."""
    y = product(x, weight.T)
    if bias is not None:
        y += bias
    return array_namespace(y).maximum(y, y.dtype.type(0)) if relu else y


def backward_by(
    product: Callable[[Any, Any], Any], g: Any, x: Any, weight: Any, y: Any, needs: Sequence[bool], out: Sequence[Any]
) -> tuple[Any, Any, Any]:
    """`linear_backward` with this matrix product."""
    if y is not None:
        g = array_namespace(g).where(y <= 0, g.dtype.type(0), g)
    rows = _rows(g)
    dx = product(g, weight) if needs[0] else None
    dw = product(rows.T, _rows(x)) if needs[1] else None
    db = _added_up(rows) if needs[2] else None
    return dx, _placed(dw, out[1]), _placed(db, out[2])


def _rows(x: Any) -> Any:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _added_up(rows: Any) -> Any:
    """Σ of the rows: of float16 in float32, and rounded once."""
    return rows.sum(0, dtype=np.float32).astype(rows.dtype) if rows.dtype == np.float16 else rows.sum(0)


def _placed(gradient: Any, place: Any) -> Any:
    if gradient is None or place is None:
        return gradient
    place[...] = gradient
    return place
