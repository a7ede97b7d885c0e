"""Losses of predicted probabilities: binary cross entropy (of probabilities and of logits), Kullback–Leibler."""

from __future__ import annotations

from typing import Any

from .accepts import looks_only
from .activation_smooth import logsigmoid
from .exponential import exp, log
from .extremes import clamp
from .loss import check_arguments, check_reduction, check_same_shape, reduced
from .loss_paired import paired_loss
from .op import Elementwise, array_of, check_dtypes, promoted
from .select import where

_LEAST = 1e-12  # what p (1 − p) is held above where it divides


class BinaryCrossEntropy(Elementwise):
    """y = −t ln p − (1 − t) ln(1 − p), each logarithm held at −100 or more; ∂p = (p − t) / (p (1 − p))"""

    saves = (0, 1)

    def forward(self, p, t):
        return (t - 1.0) * _log_from(1.0 - p) - t * _log_from(p)

    def vjp(self, g, p, t):
        dp = g * (p - t) / clamp((1.0 - p) * p, min=_LEAST)
        return dp, g * (log(1.0 - p) - log(p)) if self.needs[1] else None  # not held, as in PyTorch


def _log_from(p: Any) -> Any:
    return clamp(log(p), min=-100)


@looks_only
def _check_probabilities(p: Any) -> None:
    if bool(((p < 0) | (p > 1)).any()):
        raise RuntimeError(
            "binary_cross_entropy: input must lie in [0, 1] everywhere; of logits take binary_cross_entropy_with_logits"
        )


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """−weight·(target·ln input + (1 − target)·ln(1 − input)), its mean over all elements, or its sum.

    input: probabilities; their logarithms are held at −100 or more. weight: any shape that broadcasts to input's.
    ValueError unless the shapes are equal, RuntimeError for integers and for an input outside [0, 1].

    >>> F.binary_cross_entropy(minipar.tensor([0.5, 0.0]), minipar.tensor([1.0, 1.0]), reduction="none")
    tensor([  0.6931, 100.    ])
    """
    check_arguments("binary_cross_entropy", reduction, size_average, reduce)
    check_same_shape("binary_cross_entropy", input, target, ValueError)
    check_dtypes("binary_cross_entropy", input, target)
    _check_probabilities(array_of(input))
    losses = BinaryCrossEntropy()(input, target)
    return reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Binary cross entropy of sigmoid(input), accurate for logits of any size.

    (1 − t)·x − (1 + (pos_weight − 1)·t)·ln sigmoid(x), times weight; pos_weight and weight broadcast to input.
    ValueError unless input and target have equal shapes, RuntimeError for integers.

    >>> F.binary_cross_entropy_with_logits(minipar.tensor([0.0, 200.0]), minipar.tensor([1.0, 0.0]), reduction="none")
    tensor([  0.6931, 200.    ])
    """
    name = "binary_cross_entropy_with_logits"
    check_arguments(name, reduction, size_average, reduce)
    check_same_shape(name, input, target, ValueError)
    input, target = promoted((input, target))
    check_dtypes(name, input)
    if weight is None and pos_weight is None:
        return paired_loss("logistic_error", lambda x, t: (1 - t) * x - logsigmoid(x), input, target, reduction)
    likely = logsigmoid(input)
    if pos_weight is not None:
        likely = likely * (1 + (pos_weight - 1) * target)
    losses = (1 - target) * input - likely
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(
    input: Any,
    target: Any,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """Kullback–Leibler divergence, element by element: target·(ln target − input), 0 where target is 0.

    input: logarithms of probabilities; target: probabilities, or with `log_target` their logarithms. Shapes broadcast.
    "batchmean" divides the sum by input.shape[0]. RuntimeError for integers.

    >>> F.kl_div(minipar.tensor([[0.5, 0.5]]).log(), minipar.tensor([[1.0, 0.0]]), reduction="batchmean")
    tensor(0.6931)
    """
    check_reduction(reduction, "batchmean")
    check_arguments("kl_div", "mean" if reduction == "batchmean" else reduction, size_average, reduce)
    check_dtypes("kl_div", input, target)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        losses = where(target == 0, 0.0, target * log(where(target == 0, 1.0, target))) - target * input
    if reduction == "batchmean":
        return reduced(losses, "mean", input.shape[0] if len(input.shape) else 1)
    return reduced(losses, reduction)
