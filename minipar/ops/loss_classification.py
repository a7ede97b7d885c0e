"""Losses of predicted classes: cross entropy of logits, and the negative log-likelihood of log-probabilities."""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import looks_only, tensor_dtype, tensor_shape
from .index import take_along
from .loss import Denominated, check_arguments, check_constant, reduced
from .op import Fat, array_of, check_dtypes
from .reduce import sum
from .select import where
from .shape import permute, reshape
from .softmax import log_softmax


class CrossEntropy(Fat):
    """logits (N, C) → −weight[t] · log softmax(logits)[t] (N,), 0 where t is `ignored`; t are class numbers."""

    __slots__ = ("weight", "ignored")
    kernels_only = True
    saves = (1,)

    def __init__(self, weight, ignored):
        self.weight, self.ignored = weight, ignored

    def forward(self, logits, target):
        losses, self.aux = kernel("cross_entropy_forward", logits)(logits, target, self.weight, self.ignored)
        return losses

    def vjp(self, g, target):
        return kernel("cross_entropy_backward", g)(g, self.aux, target, self.weight, self.ignored)

    def composite(self, logits, target):
        return Classes(array_of(target), self.ignored, self.weight).likelihood(log_softmax(logits, 1))


class ReducedCrossEntropy(Denominated, Fat):
    """logits (N, C) → the sum of CrossEntropy's losses, or, if `divide`, over the sum of the weights of what counts."""

    __slots__ = ("weight", "ignored", "divide", "denominator")
    kernels_only = True
    saves = (1,)

    def __init__(self, weight, ignored, divide):
        self.weight, self.ignored, self.divide = weight, ignored, divide

    def forward(self, logits, target):
        loss, self.denominator, self.aux = kernel("cross_entropy_loss", logits)(
            logits, target, self.weight, self.ignored, self.divide
        )
        return loss

    def vjp(self, g, target):
        return kernel("cross_entropy_gradient", g)(g, self.aux, target)

    def composite(self, logits, target):
        classes = Classes(array_of(target), self.ignored, self.weight)
        losses = classes.likelihood(log_softmax(logits, 1))
        return sum(losses) / float(classes.denominator()) if self.divide else sum(losses)


class Classes:
    """Class numbers (N,): which of them count, and with what weight."""

    def __init__(self, numbers: Any, ignored: int, weight: Any) -> None:
        self.numbers, self.weight = numbers, weight
        self.counted = numbers != ignored
        self.safe = namespace(numbers).where(self.counted, numbers, 0)  # 0 stands in where none counts

    def denominator(self) -> Any:
        """The sum of the weights of what counts: one float64. Python does not look at it, for `minipar.compile`."""
        weights = self.counted if self.weight is None else where(self.counted, self.weight[self.safe], 0)
        return weights.sum(dtype="float64")

    def likelihood(self, log_probs: Any) -> Any:
        """(N, C) → −weight · log_probs at each class number (N,); 0, and no gradient, where none counts."""
        picked = reshape(take_along(log_probs, self.safe[:, None], 1), self.safe.shape)
        losses = -picked if self.weight is None else -picked * self.weight[self.safe].astype(log_probs.dtype)
        return where(self.counted, losses, 0.0)

    def spread(self, log_probs: Any) -> Any:
        """(N, C) → −Σ weight · log_probs over all classes (N,), 0 where none counts."""
        every = log_probs if self.weight is None else log_probs * self.weight.astype(log_probs.dtype)
        return where(self.counted, -sum(every, 1), 0.0)


@on_its_gpu
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """−ln softmax(input) at the target's class: input are logits (N, C, …) or (C,), target class numbers (N, …) or ().

    `weight` (C,) scales each class, `ignore_index` marks targets that do not count; the mean divides by the sum of the
    weights of what counts (NaN if nothing does). A floating-point target of input's shape gives each class a
    probability; then the mean divides by the number of samples. `label_smoothing` ε mixes the target with the uniform
    distribution: (1 − ε)·target + ε/C (Szegedy et al. 2016).

    IndexError for a class outside [0, C), RuntimeError for wrong shapes and dtypes.

    >>> F.cross_entropy(minipar.tensor([[0.0, 0.0], [0.0, 100.0]]), minipar.tensor([0, 1]))
    tensor(0.3466)
    """
    name = "cross_entropy"
    divide = reduction == "mean"
    usual = (divide or reduction == "sum") and weight is None and size_average is None and reduce is None
    if usual and not label_smoothing and isinstance(input, Value) and isinstance(target, Value):
        x, t = input.array, target.array
        if x.ndim == 2 and t.ndim == 1 and len(x) == len(t) and x.dtype.kind == "f" and t.dtype.kind in "iu":
            return ReducedCrossEntropy(None, ignore_index, divide)(input, target)
    check_arguments(name, reduction, size_average, reduce)
    check_dtypes(name, input)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing must lie in [0, 1], not {label_smoothing}")
    numbers = array_of(target)
    if tensor_dtype(numbers).kind == "f":
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    classes = checked_classes(name, tuple(input.shape), numbers, ignore_index, weight)
    rows = by_class(input)
    if label_smoothing:
        log_probs = log_softmax(rows, 1)
        share = label_smoothing / rows.shape[1]
        losses = (1 - label_smoothing) * classes.likelihood(log_probs) + share * classes.spread(log_probs)
    elif reduction == "none":
        losses = CrossEntropy(classes.weight, ignore_index)(rows, reshape(target, (-1,)))
    else:
        return ReducedCrossEntropy(classes.weight, ignore_index, divide)(rows, reshape(target, (-1,)))
    return _reduced(losses, numbers.shape, reduction, classes)


@on_its_gpu
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """−weight·input at the target's class: input are log-probabilities (N, C, …) or (C,), target class numbers.

    Shapes, weights, the mean's denominator and errors as in cross_entropy, which is this of log_softmax.

    >>> F.nll_loss(minipar.tensor([[-0.5, -1.5]]), minipar.tensor([1])).item()
    1.5
    """
    check_arguments("nll_loss", reduction, size_average, reduce)
    check_dtypes("nll_loss", input)
    numbers = array_of(target)
    classes = checked_classes("nll_loss", tuple(input.shape), numbers, ignore_index, weight)
    return _reduced(classes.likelihood(by_class(input)), numbers.shape, reduction, classes)


def _reduced(losses: Any, shape: tuple[int, ...], reduction: str, classes: Classes) -> Any:
    if reduction == "none":
        return reshape(losses, shape)
    return reduced(losses, reduction, classes.denominator())


def _of_probabilities(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float) -> Any:
    """Cross entropy with a distribution over the classes as each sample's target."""
    check_dtypes("cross_entropy", input, target)
    if not len(input.shape) or input.shape != target.shape:
        raise RuntimeError(
            f"cross_entropy: target of class probabilities must have input's shape {tuple(input.shape)}, not "
            f"{tuple(target.shape)}"
        )
    if ignore_index >= 0:
        raise RuntimeError(
            f"cross_entropy: ignore_index={ignore_index} needs class numbers as target, not class probabilities"
        )
    axis, count = (1 if len(input.shape) > 1 else 0), _class_count(tuple(input.shape))
    if smoothing:
        target = target * (1 - smoothing) + smoothing / count
    terms = log_softmax(input, axis) * target
    if weight is not None:
        _check_class_weights("cross_entropy", weight, count)
        terms = terms * reshape(weight, (-1, *[1] * (len(input.shape) - 2 if axis else 0)))
    losses = -sum(terms, axis)
    return reduced(losses, reduction, math.prod(losses.shape))


def _class_count(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) > 1 else shape[0]


def checked_classes(name: str, shape: tuple[int, ...], numbers: Any, ignored: int, weight: Any) -> Classes:
    """The target, checked against an input of this shape."""
    if tensor_dtype(numbers).kind not in "iu":
        raise RuntimeError(f"{name}: target must hold class numbers (int64), not {numbers.dtype.name}")
    if not shape or tuple(numbers.shape) != (shape[:1] + shape[2:] if len(shape) > 1 else ()):
        raise RuntimeError(
            f"{name}: input (N, C, …) needs target (N, …), got input of shape {shape} and target of shape "
            f"{tuple(numbers.shape)}"
        )
    count = _class_count(shape)
    _check_numbers(name, numbers, ignored, count)
    if weight is not None:
        check_constant(name, "weight", weight)
        _check_class_weights(name, weight, count)
    return Classes(numbers.reshape(-1), ignored, array_of(weight))


@looks_only
def _check_numbers(name: str, numbers: Any, ignored: int, count: int) -> None:
    wrong = numbers[(numbers != ignored) & ((numbers < 0) | (numbers >= count))]
    if wrong.size:
        raise IndexError(f"{name}: class numbers must be in [0, {count}), got {int(wrong[0])}")


def _check_class_weights(name: str, weight: Any, count: int) -> None:
    if tuple(tensor_shape(weight)) != (count,):
        raise RuntimeError(f"{name}: weight must have shape ({count},), not {tuple(weight.shape)}")


def by_class(input: Any) -> Any:
    """Logits (N, C, d…) as rows (N·d…, C)."""
    if len(input.shape) == 2:
        return input
    if len(input.shape) == 1:
        return reshape(input, (1, *input.shape))
    rows = permute(input, (0, *range(2, len(input.shape)), 1))
    return reshape(rows, (math.prod(rows.shape[:-1]), rows.shape[-1]))
