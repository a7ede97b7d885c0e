"""Losses that ask for a margin: between classes, between two scores, between alike and other vectors."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .activation_rectified import relu
from .activation_smooth import logsigmoid
from .extremes import clamp
from .index import take_along
from .loss import check_arguments, check_constant, check_same_shape, reduced
from .op import array_of, check_dtypes
from .power import sqrt
from .reduce import mean, sum
from .select import where
from .shape import reshape

_LEAST = 1e-12  # added to squared lengths, as PyTorch does


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, margin − target·(input1 − input2)): target 1 wants input1 the larger, −1 input2.

    RuntimeError unless the three have equally many axes, which are broadcast.

    >>> F.margin_ranking_loss(minipar.tensor([1.0]), minipar.tensor([3.0]), minipar.tensor([1.0])).item()
    2.0
    """
    check_arguments("margin_ranking_loss", reduction, size_average, reduce)
    if not rank(input1) == rank(input2) == rank(target):
        raise RuntimeError(
            "margin_ranking_loss: input1, input2 and target must have equally many axes, got shapes "
            f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}"
        )
    check_dtypes("margin_ranking_loss", input1)
    return reduced(clamp(margin - target * (input1 - input2), min=0), reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """input where target is 1, max(0, margin − input) where it is −1; input is a distance. Shapes are broadcast.

    >>> F.hinge_embedding_loss(minipar.tensor([0.25, 0.25]), minipar.tensor([1, -1]), reduction="none").tolist()
    [0.25, 0.75]
    """
    check_arguments("hinge_embedding_loss", reduction, size_average, reduce)
    check_dtypes("hinge_embedding_loss", input)
    far = where(target != 1, clamp(margin - input, min=0), 0.0)
    return reduced(far + where(target != -1, input, 0.0), reduction)


def soft_margin_loss(
    input: Any, target: Any, size_average: None = None, reduce: None = None, reduction: str = "mean"
) -> Any:
    """ln(1 + e^(−target·input)), target 1 or −1. Shapes are broadcast.

    >>> F.soft_margin_loss(minipar.tensor([0.0, 2.0]), minipar.tensor([1.0, -1.0]), reduction="none")
    tensor([0.6931, 2.1269])
    """
    check_arguments("soft_margin_loss", reduction, size_average, reduce)
    check_dtypes("soft_margin_loss", input)
    return reduced(-logsigmoid(target * input), reduction)


@on_its_gpu
def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Σ over classes j ≠ y of weight[y]·max(0, margin − x[y] + x[j])^p / C, for each sample.

    input (N, C) or (C,), target (N,) or (): class numbers. The mean divides by N. ValueError for p other than 1 and 2,
    RuntimeError for wrong shapes, IndexError for a class outside [0, C).

    >>> F.multi_margin_loss(minipar.tensor([[0.0, 0.5]]), minipar.tensor([1])).item()
    0.25
    """
    check_arguments("multi_margin_loss", reduction, size_average, reduce)
    check_dtypes("multi_margin_loss", input, weight)
    check_constant("multi_margin_loss", "weight", weight)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, not {p}")
    ndim = len(input.shape)
    rows = input if ndim == 2 else reshape(input, (1, -1))
    if ndim > 2 or tuple(tensor_shape(target)) not in (tuple(input.shape[:-1]), (len(rows),)):
        raise RuntimeError(
            f"multi_margin_loss: input (N, C) needs target (N,), got input of shape {tuple(input.shape)} and target of "
            f"shape {tuple(target.shape)}"
        )
    numbers = array_of(target).reshape(-1)
    classes = rows.shape[1]
    wrong = numbers[(numbers < 0) | (numbers >= classes)]
    if wrong.size:
        raise IndexError(f"multi_margin_loss: class numbers must be in [0, {classes}), got {int(wrong[0])}")
    column = numbers[:, None]
    gaps = relu(margin - take_along(rows, column, 1) + rows)
    others = namespace(column).arange(classes) != column
    losses = sum(where(others, gaps if p == 1 else gaps * gaps, 0.0), 1) / classes
    if weight is not None:
        losses = losses * array_of(weight)[numbers]
    return reduced(reshape(losses, target.shape), reduction)


@on_its_gpu
def multilabel_margin_loss(
    input: Any, target: Any, size_average: None = None, reduce: None = None, reduction: str = "mean"
) -> Any:
    """Σ over a sample's classes y and all others j of max(0, 1 − x[y] + x[j]) / C, for each sample.

    input (N, C) or (C,), target of the same shape: each row the sample's class numbers, of which those from the first
    −1 on do not count. The mean divides by N. RuntimeError for wrong shapes, or a class outside [−1, C).

    >>> target = minipar.tensor([[1, -1, 0]])
    >>> F.multilabel_margin_loss(minipar.tensor([[0.0, 0.75, 0.5]]), target).item()  # (0.25 + 0.75) / 3
    0.3333333432674408
    """
    check_arguments("multilabel_margin_loss", reduction, size_average, reduce)
    check_dtypes("multilabel_margin_loss", input)
    numbers = array_of(target)
    if tensor_shape(numbers) != input.shape or numbers.dtype.kind not in "iu" or numbers.ndim > 2:
        raise RuntimeError(
            "multilabel_margin_loss: input (N, C) or (C,) needs a target of class numbers of its shape, got input of "
            f"shape {tuple(input.shape)} and {numbers.dtype.name} target of shape {tuple(numbers.shape)}"
        )
    xp, classes = namespace(numbers), numbers.shape[-1] if numbers.ndim else 1
    if numbers.size and not (numbers.min() >= -1 and numbers.max() < classes):
        raise RuntimeError(
            f"multilabel_margin_loss: target must hold class numbers of [0, {classes}), or -1 at the end"
        )
    rows, numbers = reshape(input, (-1, classes)), numbers.reshape(-1, classes)
    counts = xp.cumprod(numbers >= 0, 1).astype(bool)
    named = xp.where(counts, numbers, 0)
    is_named = ((named[:, :, None] == xp.arange(classes)) & counts[:, :, None]).any(1)
    gaps = relu(1 - reshape(take_along(rows, named, 1), (*named.shape, 1)) + reshape(rows, (len(rows), 1, classes)))
    losses = sum(where(counts[:, :, None] & ~is_named[:, None], gaps, 0.0), (1, 2)) / classes
    return reduced(reshape(losses, target.shape[:-1]), reduction)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """Binary cross entropy with logits, averaged over the classes (the last axis): one loss a sample.

    >>> F.multilabel_soft_margin_loss(minipar.tensor([[0.0, 0.0]]), minipar.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """
    check_arguments("multilabel_soft_margin_loss", reduction, size_average, reduce)
    check_same_shape("multilabel_soft_margin_loss", input, target)
    check_dtypes("multilabel_soft_margin_loss", input)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduced(mean(losses if weight is None else losses * weight, -1), reduction)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """1 − cos(input1, input2) where target is 1, max(0, cos − margin) where it is −1.

    inputs (N, D) with target (N,), or (D,) with target (). RuntimeError for other shapes.

    >>> x, y = minipar.tensor([[1.0, 0.0], [1.0, 0.0]]), minipar.tensor([[0.0, 1.0], [2.0, 0.0]])
    >>> F.cosine_embedding_loss(x, y, minipar.tensor([1, -1]), reduction="none").tolist()
    [1.0, 1.0]
    """
    check_arguments("cosine_embedding_loss", reduction, size_average, reduce)
    check_dtypes("cosine_embedding_loss", input1)
    axis, of_inputs = rank(target), (rank(input1), rank(input2))
    if axis > 1 or of_inputs != (axis + 1, axis + 1):
        raise RuntimeError(
            "cosine_embedding_loss: inputs (N, D) need target (N,), inputs (D,) target (), got input1 "
            f"{tuple(input1.shape)}, input2 {tuple(input2.shape)}, target {tuple(target.shape)}"
        )
    squares = [sum(x * x, axis) + _LEAST for x in (input1, input2)]
    cosine = sum(input1 * input2, axis) / sqrt(squares[0] * squares[1])
    alike = where(target == 1, 1 - cosine, 0.0)
    return reduced(alike + where(target == -1, clamp(cosine - margin, min=0), 0.0), reduction)
