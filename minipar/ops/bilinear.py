"""y = x1ᵀ A x2 + b for every output feature."""

from __future__ import annotations

import math
from typing import Any

from .accepts import rank
from .linalg import matmul
from .op import check_dtypes
from .reduce import sum
from .shape import permute, reshape, unsqueeze


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """input1 (…, in1), input2 (…, in2), weight (out, in1, in2), bias (out,) → y (…, out), y_k = x1ᵀ weight_k x2 + b_k.

    RuntimeError where shapes or dtypes do not fit.

    >>> F.bilinear(minipar.tensor([1.0, 2.0]), minipar.tensor([3.0]), minipar.ones(1, 2, 1)).tolist()
    [9.0]
    """
    _check_shapes(input1, input2, weight, bias)
    check_dtypes("bilinear", input1, input2, weight, bias)
    outputs, in1, in2 = weight.shape
    lead = tuple(input1.shape[:-1])
    rows = math.prod(lead)
    # x1 times all A_k side by side (in1, out · in2), then each piece times x2
    side_by_side = reshape(permute(weight, (1, 0, 2)), (in1, outputs * in2))
    halfway = reshape(matmul(reshape(input1, (rows, in1)), side_by_side), (rows, outputs, in2))
    y = reshape(sum(halfway * unsqueeze(reshape(input2, (rows, in2)), 1), -1), (*lead, outputs))
    return y if bias is None else y + bias


def _check_shapes(input1: Any, input2: Any, weight: Any, bias: Any) -> None:
    if rank(weight) != 3:
        raise RuntimeError(f"bilinear: weight must have shape (out, in1, in2), not {tuple(weight.shape)}")
    for name, x, features in (("input1", input1, weight.shape[1]), ("input2", input2, weight.shape[2])):
        if not len(x.shape) or x.shape[-1] != features:
            raise RuntimeError(
                f"bilinear: the last axis of {name} must have the {features} features of weight "
                f"{tuple(weight.shape)}, got {name} of shape {tuple(x.shape)}"
            )
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            "bilinear: input1 and input2 must agree in all axes but the last, got shapes "
            f"{tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise RuntimeError(f"bilinear: bias must have shape ({weight.shape[0]},), not {tuple(bias.shape)}")
