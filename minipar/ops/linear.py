"""y = x Wᵀ + b as one node, with a ReLU behind it where there is one."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import rank, tensor_shape
from .activation_rectified import relu
from .linalg import matmul
from .op import Fat, array_of, check_dtypes
from .shape import squeeze, transpose, unsqueeze


class Linear(Fat):
    """x (…, in), weight (out, in), bias (out,) or absent → y (…, out). ∂x = G W, ∂W = Gᵀ x, ∂b = Σ G

    With `relu` it is y = max(x Wᵀ + b, 0), and G is 0 where y ≤ 0.
    """

    __slots__ = ("relu", "saves_output")

    kernels_only = True
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def __init__(self, relu: bool = False) -> None:
        self.relu = self.saves_output = relu

    def forward(self, x, weight, bias=None):
        return kernel("linear_forward", x)(x, weight, bias, self.relu)

    def vjp(self, g, x, weight, y=None):
        if x is None:  # what is not needed may have changed since; its shape has not
            x = array_of(self.inputs[0])
        if weight is None:
            weight = array_of(self.inputs[1])
        backward = kernel("linear_backward", g)
        if len(self.needs) == 2:
            of_x, of_weight = self.needs
            return backward(
                g, x, weight, y, (of_x, of_weight, False), (None, self.room(1) if of_weight else None, None)
            )[:2]
        of_x, of_weight, of_bias = self.needs
        out = None, self.room(1) if of_weight else None, self.room(2) if of_bias else None
        return backward(g, x, weight, y, (of_x, of_weight, of_bias), out)

    def composite(self, x, weight, bias=None):
        y = matmul(x, transpose(weight, 0, 1))
        if bias is not None:
            y = y + bias
        return relu(y) if self.relu else y


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input (…, in) times weight (out, in) transposed, plus bias (out,) → (…, out).

    A weight (in,), without a bias, gives (…). RuntimeError where shapes or dtypes do not fit.

    >>> F.linear(minipar.ones(2, 3), minipar.ones(1, 3), minipar.tensor([0.5]))
    tensor([[3.5],
            [3.5]])
    """
    if rank(weight) == 1 and bias is None:
        return squeeze(linear(input, unsqueeze(weight, 0)), -1)
    return _linear(Linear(), input, weight, bias)


def linear_relu(input: Any, weight: Any, bias: Any = None) -> Any:
    """relu(linear(…)) as one node, for a weight (out, in)."""
    return _linear(Linear(relu=True), input, weight, bias)


def _linear(operation: Linear, input: Any, weight: Any, bias: Any) -> Any:
    if not (isinstance(input, Value) and isinstance(weight, Value) and _fit(input.array, weight.array, bias)):
        _check(input, weight, bias)
    return operation(input, weight) if bias is None else operation(input, weight, bias)


def _fit(x: Any, weight: Any, bias: Any) -> bool:
    """Is all well, as it nearly always is? Seen at a glance; what is wrong, `_check` says."""
    real = x.dtype
    fits = weight.ndim == 2 and x.ndim and x.shape[-1] == weight.shape[1] and weight.dtype == real and real.kind == "f"
    if bias is None or not fits:
        return bool(fits)
    return isinstance(bias, Value) and bias.array.dtype == real and bias.array.shape == weight.shape[:1]


def _check(input: Any, weight: Any, bias: Any) -> None:
    shape, matrix = tuple(tensor_shape(input)), tuple(weight.shape)
    if len(matrix) != 2:
        raise RuntimeError(f"linear: weight must have shape (out, in), not {matrix}")
    if not shape or shape[-1] != matrix[1]:
        raise RuntimeError(
            f"linear: the last axis of input must have the {matrix[1]} features of weight {matrix}, "
            f"got input of shape {shape}"
        )
    if bias is not None and tuple(tensor_shape(bias)) != matrix[:1]:
        raise RuntimeError(f"linear: bias must have shape ({matrix[0]},), not {tuple(bias.shape)}")
    check_dtypes("linear", input, weight, bias)
