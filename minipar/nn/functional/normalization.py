"""Norms as functions."""

from __future__ import annotations

import math
from typing import Any

from ...ops.accepts import rank
from ...ops.batch_norm import batch_norm, instance_norm
from ...ops.normalization import group_norm, layer_norm, rms_norm
from ...ops.op import check_dtypes
from ...ops.pad import pad
from ...ops.shape import narrow
from ...tensor import Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha · mean x²)^beta, the mean over `size` neighbouring channels, of zeros beyond the first and last.

    input (N, C, L, …) of 3 or more axes (ValueError for fewer). Krizhevsky, Sutskever & Hinton, ImageNet classification
    with deep convolutional neural networks, 2012, §3.3.

    >>> F.local_response_norm(minipar.ones(1, 3, 1), 3, alpha=9.0, beta=1.0).flatten().tolist()
    [0.1428571492433548, 0.10000000149011612, 0.1428571492433548]
    """
    if rank(input) < 3:
        raise ValueError(f"local_response_norm: input must have 3 or more axes (N, C, L, …), got {tuple(input.shape)}")
    if size < 1:
        raise RuntimeError(f"local_response_norm: size must be at least 1, not {size}")
    check_dtypes("local_response_norm", input)
    if not math.prod(input.shape):
        return input
    channels = input.shape[1]
    around = (*[0] * (2 * input.ndim - 4), size // 2, (size - 1) // 2)
    squares: Any = pad(input * input, around)
    total = narrow(squares, 1, 0, channels)
    for shift in range(1, size):
        total = total + narrow(squares, 1, shift, channels)
    return input / (total * (alpha / size) + k) ** beta
