"""The layers' operations as functions, under PyTorch's names (`import minipar.nn.functional as F`)."""

from __future__ import annotations

from typing import Any

from ...ops.conv import conv2d
from ...ops.embedding import embedding as _embedding
from ...ops.linear import linear
from ...ops.loss import cross_entropy
from ...ops.loss import mse_loss as _mse_loss
from ...ops.pointwise import relu as _relu
from ...ops.pointwise import sigmoid, tanh
from ...ops.pool import avg_pool2d, max_pool2d
from ...ops.softmax import log_softmax, softmax
from ...tensor import Tensor
from .dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "avg_pool2d",
    "conv2d",
    "cross_entropy",
    "embedding",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), element by element; its gradient at 0 is 0."""
    return input.relu_() if inplace else _relu(input)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows `input` (any shape, integers) of weight (rows, width); row `padding_idx` gets no gradient."""
    return _embedding(input, weight, padding_idx)


def mse_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """(input − target)², its mean, or its sum. RuntimeError unless the shapes are equal."""
    if size_average is not None or reduce is not None:
        raise NotImplementedError("mse_loss: size_average and reduce were replaced by reduction=; pass that")
    return _mse_loss(input, target, reduction)
