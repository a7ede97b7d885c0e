"""Losses as single nodes. Each carries its denominator.

A mean loss is Σ loss / denominator, where the denominator is the number of elements, or the sum of the weights. Whoever
splits a batch (`minipar.parallel`) must add up sums and denominators separately and divide once; it reads
`loss.node.denominator`.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.dispatch import kernel
from ..backend.dtypes import quiet
from .arithmetic import div
from .op import Fat, Op, array_of, check_dtypes, promoted
from .reduce import added_up
from .select import where
from .shape import expand, permute, reshape
from .softmax import log_softmax

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, not {reduction!r}")


class Reduced(Op):
    """y = Σ x, or Σ x / denominator: the last node of every reduced loss"""

    __slots__ = ("denominator", "divide", "source")

    def __init__(self, denominator: float, divide: bool) -> None:
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
        if self.divide:
            g = div(g, float(self.denominator))
        return expand(g, self.source)


def reduced(x: Any, reduction: str, denominator: float) -> Any:
    return x if reduction == "none" else Reduced(denominator, reduction == "mean")(x)


class SquaredError(Fat):
    """y = (x − t)², element by element"""

    saves = (0, 1)

    def forward(self, x, t):
        difference = x - t
        return difference * difference

    def vjp(self, g, x, t):
        dx = 2.0 * g * (x - t)
        return dx, -dx if self.needs[1] else None

    def composite(self, x, t):
        return (x - t) ** 2


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """(input − target)², its mean over all elements, or its sum. RuntimeError unless the shapes are equal."""
    check_reduction(reduction)
    if x.shape != target.shape:
        raise RuntimeError(
            f"mse_loss: input has shape {tuple(x.shape)}, target {tuple(target.shape)}; they must be equal "
            "(broadcasting here would silently average over wrong pairs)"
        )
    x, target = promoted((x, target))
    check_dtypes("mse_loss", x)
    return reduced(SquaredError()(x, target), reduction, math.prod(x.shape))


class CrossEntropy(Fat):
    """logits (N, C) → −weight[t] · log softmax(logits)[t] (N,), 0 where t is `ignored`; t are class numbers."""

    __slots__ = ("weight", "ignored")
    saves = (1,)

    def __init__(self, weight, ignored):
        self.weight, self.ignored = weight, ignored

    def forward(self, logits, target):
        losses, self.aux = kernel("cross_entropy_forward", logits)(logits, target, self.weight, self.ignored)
        return losses

    def vjp(self, g, target):
        g = where(target != self.ignored, g, 0.0)  # 0 also if the mean of nothing made g NaN
        return kernel("cross_entropy_backward", g)(g, self.aux, target, self.weight, self.ignored)

    def composite(self, logits, target):
        target = array_of(target)
        xp = namespace(target)
        kept = target != self.ignored
        safe = xp.where(kept, target, 0)
        picked = log_softmax(logits, 1)[xp.arange(len(safe)), safe]
        scaled = picked if self.weight is None else picked * self.weight[safe].astype(logits.dtype)
        return where(kept, -scaled, 0.0)


def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross entropy of logits x (N, C, …) or (C,) with class numbers target (N, …) or (), int64.

    `weight` (C,) scales each class, `ignore_index` marks targets that do not count; the mean divides by the sum of the
    weights of what counts (NaN if nothing does). IndexError for a class outside [0, C), RuntimeError for wrong shapes.
    """
    check_reduction(reduction)
    for name, given in (("size_average", size_average), ("reduce", reduce)):
        if given is not None:
            raise NotImplementedError(f"cross_entropy: {name} was replaced by reduction=; pass that")
    if label_smoothing:
        raise NotImplementedError("cross_entropy: label_smoothing is not supported")
    check_dtypes("cross_entropy", x)
    numbers = array_of(target)
    if numbers.dtype.kind == "f":
        raise NotImplementedError("cross_entropy: class probabilities as target are not supported; pass class numbers")
    if numbers.dtype.kind not in "iu":
        raise RuntimeError(f"cross_entropy: target must hold class numbers (int64), not {numbers.dtype.name}")
    if not len(x.shape) or tuple(numbers.shape) != (x.shape[:1] + x.shape[2:] if len(x.shape) > 1 else ()):
        raise RuntimeError(
            f"cross_entropy: input (N, C, …) needs target (N, …), got input of shape {tuple(x.shape)} and target of "
            f"shape {tuple(numbers.shape)}"
        )
    classes = x.shape[1] if len(x.shape) > 1 else x.shape[0]
    counted = numbers != ignore_index
    wrong = numbers[counted & ((numbers < 0) | (numbers >= classes))]
    if wrong.size:
        raise IndexError(f"cross_entropy: class numbers must be in [0, {classes}), got {int(wrong[0])}")
    if getattr(weight, "tracked", False):
        raise NotImplementedError("cross_entropy: weight cannot require a gradient; pass weight.detach()")
    weights = array_of(weight)
    if weights is not None and tuple(weights.shape) != (classes,):
        raise RuntimeError(f"cross_entropy: weight must have shape ({classes},), not {tuple(weights.shape)}")
    losses = CrossEntropy(weights, ignore_index)(_by_class(x, classes), reshape(target, (-1,)))
    if reduction == "none":
        return reshape(losses, numbers.shape)
    total = float(counted.sum() if weights is None else weights[numbers[counted]].sum())
    return reduced(losses, reduction, total)


def _by_class(x: Any, classes: int) -> Any:
    """Logits (N, C, d…) as rows (N·d…, C)."""
    if len(x.shape) == 2:
        return x
    if len(x.shape) == 1:
        return reshape(x, (1, classes))
    rows = permute(x, (0, *range(2, len(x.shape)), 1))
    return reshape(rows, (math.prod(rows.shape[:-1]), classes))
