"""What all losses share: how they are reduced, and what they refuse.

A mean loss is Σ loss / denominator, where the denominator is the number of elements, or the sum of the weights. Whoever
splits a batch (`minipar.parallel`) must add up sums and denominators separately and divide once; it reads
`loss.node.denominator`.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend.dtypes import quiet
from ..tape import Value
from .accepts import tensor_shape
from .op import Op, check_dtypes, promoted
from .reduce import added_up
from .shape import expand

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: str, *more: str) -> None:
    """ValueError unless `reduction` is one of REDUCTIONS, or of `more`."""
    allowed = (*REDUCTIONS, *more)
    if reduction not in allowed:
        raise ValueError(f"reduction must be one of {', '.join(map(repr, allowed))}, not {reduction!r}")


def check_arguments(name: str, reduction: str, size_average: Any = None, reduce: Any = None) -> None:
    """Refuse PyTorch's two old names for `reduction`, and a reduction that is none."""
    for old, given in (("size_average", size_average), ("reduce", reduce)):
        if given is not None:
            raise NotImplementedError(f"{name}: {old} was replaced by reduction=; pass that")
    check_reduction(reduction)


def check_same_shape(name: str, input: Any, target: Any, error: type[Exception] = RuntimeError) -> None:
    if tensor_shape(input) != tensor_shape(target):
        raise error(
            f"{name}: input has shape {tuple(input.shape)}, target {tuple(target.shape)}; they must be equal "
            "(broadcasting here would silently average over wrong pairs)"
        )


def paired(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Input and target of equal shapes, promoted to one floating-point dtype."""
    check_same_shape(name, input, target)
    input, target = promoted((input, target))
    check_dtypes(name, input)
    return input, target


def check_constant(name: str, argument: str, tensor: Any) -> None:
    """NotImplementedError for a weight that wants a gradient: the denominator would depend on it."""
    if getattr(tensor, "tracked", False):
        raise NotImplementedError(f"{name}: {argument} cannot require a gradient; pass {argument}.detach()")


class Denominated:
    """Mixed into the last node of a reduced loss: its value is a sum of losses, or, if `divide`, over `denominator`."""

    __slots__ = ()

    denominator: Any  # a number, or an array of one
    divide: bool


class Reduced(Denominated, Op):
    """y = Σ x, or Σ x / denominator: the last node of most reduced losses"""

    __slots__ = ("denominator", "divide", "source")

    def __init__(self, denominator: Any, divide: bool) -> None:
        self.denominator, self.divide = denominator, divide

    def name(self) -> str:
        return "Mean" if self.divide else "Sum"

    def forward(self, x):
        self.source = x.shape
        total = added_up(x, tuple(range(x.ndim)), False, narrow=False)
        if self.divide:
            with quiet():
                total = total / self.denominator
        return total.astype(x.dtype, copy=False)

    def vjp(self, g):
        if not self.divide:
            return expand(g, self.source)
        if isinstance(g, Value) or isinstance(self.denominator, (int, float)):
            return expand(g / float(self.denominator), self.source)
        return expand(g / self.denominator.astype(g.dtype), self.source)


def reduced(x: Any, reduction: str, denominator: Any = None) -> Any:
    """The losses x themselves, their sum, or the sum over `denominator` (the number of losses unless given)."""
    if reduction == "none":
        return x
    return Reduced(math.prod(x.shape) if denominator is None else denominator, reduction == "mean")(x)
