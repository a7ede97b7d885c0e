"""Activations as functions, where PyTorch's `F` takes more arguments than its `torch` does."""

from __future__ import annotations

from typing import Any
from warnings import warn

from ...ops import activation_rectified, activation_smooth
from ...ops import softmax as along
from ...ops.accepts import rank
from ...ops.activation_hard import (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    relu6,
    softshrink,
    threshold,
    threshold_,
)
from ...ops.activation_rectified import (
    applied,
    celu,
    celu_,
    elu,
    elu_,
    in_place_form,
    leaky_relu,
    leaky_relu_,
    prelu,
    rrelu,
    rrelu_,
    selu,
    selu_,
)
from ...ops.activation_smooth import gelu, glu, logsigmoid, mish, silu, softplus, softsign, tanhshrink
from ...ops.exponential import sigmoid
from ...ops.hyperbolic import tanh
from ...tensor import Tensor

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), element by element; its gradient at 0 is 0.

    >>> F.relu(minipar.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return applied("relu", input, inplace, activation_rectified.relu)


relu_ = in_place_form(relu)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ along `dim`; without it along axis 0 (of 0, 1 or 3 axes) or 1, with a warning.

    RuntimeError for integers without `dtype`, IndexError for an axis that is not there.

    >>> F.softmax(minipar.tensor([0.0, 0.0]), dim=0).tolist()
    [0.5, 0.5]
    """
    return along.softmax(input, _axis("softmax", input, dim, _stacklevel), dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax of −input.

    >>> F.softmin(minipar.tensor([0.0, 1.0]), dim=0)
    tensor([0.7311, 0.2689])
    """
    return activation_smooth.softmin(input, _axis("softmin", input, dim, _stacklevel), dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """ln softmax along `dim`, without overflow; without `dim` as softmax.

    >>> F.log_softmax(minipar.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return along.log_softmax(input, _axis("log_softmax", input, dim, _stacklevel), dtype)


def _axis(name: str, input: Tensor, dim: int | None, stacklevel: int) -> int:
    """The axis, or PyTorch's deprecated choice of one."""
    if dim is not None:
        return dim
    warn(f"{name}: choosing an axis by the number of axes is deprecated; pass dim=", stacklevel=stacklevel)
    return 0 if rank(input) in (0, 1, 3) else 1
