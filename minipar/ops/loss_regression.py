"""Losses of predicted numbers: squared, absolute, Huber's mixture of the two, and negative log-likelihoods."""

from __future__ import annotations

import math
from typing import Any

from ..backend.current_gpu import on_its_gpu
from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import looks_only
from .exponential import exp, log
from .extremes import clamp
from .loss import Denominated, check_arguments, check_constant, paired, reduced
from .loss_paired import paired_loss
from .op import Fat, array_of, check_dtypes, promoted
from .reduce import sum
from .select import where
from .shape import unsqueeze


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


class MeanSquaredError(Denominated, Fat):
    """y = Σ (x − t)², or, if `divide`, its mean; ∂x = 2 g (x − t), over their number"""

    __slots__ = ("divide", "denominator")
    kernels_only = True
    saves = (0, 1)

    def __init__(self, divide, denominator):
        self.divide, self.denominator = divide, denominator

    def forward(self, x, t):
        return kernel("squared_error_loss", x)(x, t, self.divide)

    def vjp(self, g, x, t):
        dx = kernel("squared_error_gradient", g)(g, x, t, self.divide)
        needs = self.needs
        return dx if needs[0] else None, -dx if needs[1] else None

    def composite(self, x, t):
        total = sum((x - t) ** 2)
        return total / self.denominator if self.divide else total


def mse_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """(input − target)², its mean over all elements, or its sum. RuntimeError unless the shapes are equal.

    With `weight`, of the same shape: weight · (input − target)², and the mean divides by Σ weight. (PyTorch broadcasts
    unequal shapes, with a warning.)

    >>> F.mse_loss(minipar.tensor([1.0, 2.0]), minipar.tensor([1.0, 4.0])).item()
    2.0
    """
    divide = reduction == "mean"
    usual = (divide or reduction == "sum") and weight is None and size_average is None and reduce is None
    if usual and isinstance(input, Value) and isinstance(target, Value):
        x, t = input.array, target.array
        if x.shape == t.shape and x.dtype == t.dtype and x.dtype.kind == "f":
            return MeanSquaredError(divide, x.size)(input, target)
    check_arguments("mse_loss", reduction, size_average, reduce)
    input, target = paired("mse_loss", input, target)
    if weight is None and reduction != "none":
        return MeanSquaredError(divide, math.prod(input.shape))(input, target)
    return _weighted("mse_loss", SquaredError()(input, target), weight, reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """|input − target|, its mean over all elements, or its sum; `weight` and errors as in mse_loss.

    >>> F.l1_loss(minipar.tensor([1.0, 2.0]), minipar.tensor([1.0, 4.0])).item()
    1.0
    """
    check_arguments("l1_loss", reduction, size_average, reduce)
    input, target = paired("l1_loss", input, target)
    if weight is None:
        return paired_loss("absolute_error", _distance, input, target, reduction)
    return _weighted("l1_loss", _distance(input, target), weight, reduction)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """d²/(2·beta) where d = |input − target| is below beta, else d − beta/2; l1_loss for beta = 0 (Girshick 2015).

    RuntimeError unless the shapes are equal, and for a negative beta.

    >>> F.smooth_l1_loss(minipar.tensor([0.5, 3.0]), minipar.tensor([0.0, 0.0]), reduction="none").tolist()
    [0.125, 2.5]
    """
    check_arguments("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must be 0 or more, not {beta}")
    input, target = paired("smooth_l1_loss", input, target)
    if not beta:
        return paired_loss("absolute_error", _distance, input, target, reduction)
    width, scale = float(beta), 1.0 / beta
    return paired_loss(
        "huber_error", lambda x, t: _bent(abs(x - t), width) * scale, input, target, reduction, width, scale
    )


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d²/2 where d = |input − target| is below delta, else delta·(d − delta/2) (Huber 1964).

    With `weight`, of the same shape, each is multiplied by its own; the mean still divides by the number of elements.
    RuntimeError unless the shapes are equal and delta is positive, ValueError for a weight of another shape.

    >>> F.huber_loss(minipar.tensor([0.5, 3.0]), minipar.tensor([0.0, 0.0]), reduction="none", delta=2.0).tolist()
    [0.125, 4.0]
    """
    check_arguments("huber_loss", reduction)
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, not {delta}")
    input, target = paired("huber_loss", input, target)
    if weight is None:
        width = float(delta)
        return paired_loss("huber_error", lambda x, t: _bent(abs(x - t), width), input, target, reduction, width, 1.0)
    losses = _bent(abs(input - target), delta)
    _check_weight("huber_loss", weight, losses)
    return reduced(losses * weight, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """−ln Poisson(target | rate), up to ln target!: e^input − target·input, the rate being e^input.

    With log_input=False the rate is the input: input − target·ln(input + eps). `full` adds Stirling's approximation of
    ln target! where target > 1. Shapes are broadcast. RuntimeError for integers.

    >>> F.poisson_nll_loss(minipar.tensor([0.0, 1.0]), minipar.tensor([2.0, 0.0]), reduction="none")
    tensor([1.    , 2.7183])
    """
    check_arguments("poisson_nll_loss", reduction, size_average, reduce)
    input, target = promoted((input, target))
    check_dtypes("poisson_nll_loss", input)
    losses = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        large = where(target > 1, target, 1.0)
        stirling = large * log(large) - large + 0.5 * log(2 * math.pi * large)
        losses = losses + where(target > 1, stirling, 0.0)
    return reduced(losses, reduction)


@looks_only
def _check_variance(var: Any) -> None:
    if bool((var < 0).any()):
        raise ValueError("gaussian_nll_loss: var must be 0 or more everywhere, but has a negative element")


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """−ln Normal(target | mean input, variance var): (ln var + (input − target)²/var)/2; `full` adds ln(2π)/2.

    var is a number, or has input's shape, or that shape with one axis of size 1, or without its last axis; it is held
    at eps or more, and its gradient does not notice. ValueError for another shape, and for negative variances.

    >>> F.gaussian_nll_loss(minipar.tensor([1.0]), minipar.tensor([3.0]), minipar.tensor([2.0]))
    tensor(1.3466)
    """
    check_arguments("gaussian_nll_loss", reduction)
    check_dtypes("gaussian_nll_loss", input)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError(f"gaussian_nll_loss: var must be 0 or more, not {var}")
        variance = input * 0 + max(float(var), eps)
    else:
        _check_variance(array_of(var))
        variance = _fitted_variance(input, var)
        variance = where(variance < eps, variance + (eps - variance.detach()), variance)
    losses = 0.5 * (log(variance) + (input - target) ** 2 / variance)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def _fitted_variance(input: Any, var: Any) -> Any:
    shape, given = tuple(input.shape), tuple(var.shape)
    if given == shape:
        return var
    if given == shape[:-1]:
        return unsqueeze(var, -1)
    if len(given) == len(shape) and [m for n, m in zip(shape, given) if n != m] == [1]:
        return var
    raise ValueError(
        f"gaussian_nll_loss: var must have input's shape {shape}, the same with one axis of size 1, or without the "
        f"last axis, not {given}"
    )


def _distance(x: Any, t: Any) -> Any:
    return abs(x - t)


def _bent(distance: Any, width: float) -> Any:
    """d²/2 up to `width`, then on along the tangent: without a product that could be 0 · ∞."""
    near = clamp(distance, max=width)
    return near * near * 0.5 + (distance - near) * width


@on_its_gpu
def _weighted(name: str, losses: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return reduced(losses, reduction)
    check_constant(name, "weight", weight)
    _check_weight(name, weight, losses)
    return reduced(losses * weight, reduction, float(array_of(weight).sum()))


def _check_weight(name: str, weight: Any, losses: Any) -> None:
    if weight.shape != losses.shape:
        raise ValueError(
            f"{name}: weight must have the shape of input, {tuple(losses.shape)}, not {tuple(weight.shape)}"
        )
