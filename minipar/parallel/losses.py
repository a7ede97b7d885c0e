"""The loss of a batch that is split: its parts' sums are added up, their denominators too, and it is divided once.

A mean loss of the whole batch is (Σ over parts of loss sums) / (Σ of their denominators); the mean of the parts' means
is something else as soon as parts differ (pytorch#67253, DeepSpeed#7773). So every part says what it has summed up and
what that is to be divided by: the gradient of the whole is Σ gradients of the sums / Σ denominators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops.loss import Denominated
from ..tensor import Tensor

MEAN, SUM, WEIGHTED = range(3)  # how a loss was reduced
KINDS = 3
MESSAGE = 2 + KINDS  # numbers in a message


@dataclass(frozen=True)
class PartOfLoss:
    """The loss of one part of a batch: how it was reduced, Σ losses, and what that is to be divided by."""

    kind: int
    total: float
    denominator: float

    @property
    def slope(self) -> float:
        """d(Σ losses) / d(loss as it was returned): by what backward starts, before the division."""
        return self.denominator if self.kind == MEAN else 1.0


def part_of_loss(loss: Tensor, weight: float | None = None) -> PartOfLoss:
    """What `loss` is a reduction of: the result of a loss function knows it, a sum is to be divided by `weight`.

    TypeError for what is no tensor; ValueError for one that is not a single number, for a loss whose denominator is
    unknown, and for one that comes with a second one.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"a loss function must return a loss, or (sum, denominator), not {type(loss).__name__}")
    if loss.numel() != 1:
        raise ValueError(
            f"a loss must be a single number, not of shape {tuple(loss.shape)}: leave out reduction='none'"
        )
    node = loss.node if isinstance(loss.node, Denominated) else None
    if weight is not None:
        if node is not None and node.divide:
            raise ValueError("this loss is a mean already: leave weight out, or pass the sum (reduction='sum')")
        return PartOfLoss(WEIGHTED, loss.item(), float(weight))
    if node is None:
        raise ValueError(
            "the denominator of this loss is unknown: it must be the result of a loss function itself, or come with "
            "weight= (or as a pair (sum, denominator)), where the loss is then a sum over this rank's rows"
        )
    if not node.divide:
        return PartOfLoss(SUM, loss.item(), 1.0)
    denominator = float(node.denominator)
    return PartOfLoss(MEAN, loss.item() * denominator if denominator else 0.0, denominator)


def as_pair(made: Any) -> tuple[Tensor, float | None]:
    """What a loss function may return: a loss that knows its denominator, or (sum, denominator)."""
    return made if isinstance(made, tuple) else (made, None)


def message(parts: list[PartOfLoss]) -> np.ndarray:
    """float64 (MESSAGE,) of this rank's parts: the sum over all ranks goes to `whole_loss`."""
    kinds = [0.0] * KINDS
    for part in parts:
        kinds[part.kind] += 1
    return np.array([sum(p.total for p in parts), sum(p.denominator for p in parts), *kinds], np.float64)


def whole_loss(summed: np.ndarray, copies: int = 1) -> tuple[float, float]:
    """(loss of the whole batch, what gradients of sums are to be divided by) from the sum of all messages.

    `copies`: how often each part was counted (by ranks that compute the same). ValueError if parts were reduced in
    different ways.
    """
    total, denominator, *kinds = summed.tolist()
    if sum(count > 0 for count in kinds) > 1:
        raise ValueError("all ranks must reduce their loss in the same way: mean, sum, or with a weight")
    divisor = float(copies) if kinds[SUM] else denominator
    return (total / divisor if divisor else total * math.inf), divisor  # as NumPy divides by 0: 0 / 0 is NaN


def is_sum(summed: np.ndarray) -> bool:
    """Does the sum of all messages tell of losses that are not divided?"""
    return bool(summed[2 + SUM])


def head_start(of_sums: bool, rows: int) -> float:
    """What gradients are divided by before anybody knows what they are to be divided by: the samples of the batch."""
    return 1.0 if of_sums else float(max(rows, 1))
