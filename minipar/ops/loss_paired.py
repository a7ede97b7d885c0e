"""A reduced loss of pairs of numbers as one node: no array of losses is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend.dispatch import kernel
from .loss import Denominated, reduced
from .op import Fat
from .reduce import sum


class PairedLoss(Denominated, Fat):
    """y = Σ f(x, t), or, if `divide`, its mean, by the kernels called f's name; `each` are the losses themselves."""

    __slots__ = ("loss", "each", "numbers", "divide", "denominator")
    kernels_only = True
    saves = (0, 1)

    def __init__(self, loss, each, numbers, divide, denominator):
        self.loss, self.each, self.numbers, self.divide, self.denominator = loss, each, numbers, divide, denominator

    def forward(self, x, t):
        return kernel(f"{self.loss}_loss", x)(x, t, self.divide, *self.numbers)

    def vjp(self, g, x, t):
        return kernel(f"{self.loss}_gradient", x)(g, x, t, self.divide, *self.numbers), None

    def composite(self, x, t):
        total = sum(self.each(x, t))
        return total / self.denominator if self.divide else total


def paired_loss(
    loss: str, each: Callable[[Any, Any], Any], input: Any, target: Any, reduction: str, *numbers: float
) -> Any:
    """each(input, target), reduced; by the loss' kernels where they serve: where the target wants no gradient."""
    if reduction == "none" or getattr(target, "tracked", False) or input.shape != target.shape:
        return reduced(each(input, target), reduction)
    return PairedLoss(loss, each, numbers, reduction == "mean", math.prod(input.shape))(input, target)
