"""Cross entropy of logits of which each rank holds some classes: no rank ever holds them all.

    −ln softmax(x)ₜ = m + ln Σ exp(x − m) − xₜ

Each rank takes the maximum, the sum and xₜ over the classes that it has; a maximum and a sum over the ranks make them
those of all (Megatron-LM, §3). Two numbers a sample are exchanged instead of a row of the vocabulary. The gradient,
softmax(x) − [class = t], needs no exchange at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.function import Function, once_differentiable
from ...backend import namespace
from ...ops.loss import check_arguments, reduced
from ...ops.loss_classification import Classes, by_class, checked_classes
from ...ops.op import array_of, check_dtypes
from ...ops.shape import reshape
from ...tensor import Tensor, wrap
from ..comm import Communicator
from ..travel import beside, to_send

NAME = "vocab_parallel_cross_entropy"


def vocab_parallel_cross_entropy(
    input: Tensor,
    target: Tensor,
    comm: Communicator,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`F.cross_entropy` of logits whose classes are split over the ranks of `comm`: the same result on every rank.

    input: this rank's classes, (N, C of this rank, …) or (C of this rank,), in order of rank; target: class numbers of
    all, (N, …) or (), the same on every rank; weight: (C of all,). The other arguments, and the result's denominator,
    are those of F.cross_entropy. It can be differentiated once.

    NotImplementedError for a target of class probabilities; otherwise the errors of F.cross_entropy.

    >>> def loss(comm):
    ...     logits, target = minipar.tensor([[0.0, 1.0, 2.0]]), minipar.tensor([2])
    ...     part = logits[:, :2] if comm.rank == 0 else logits[:, 2:]
    ...     whole = F.cross_entropy(logits, target)
    ...     return minipar.allclose(minipar.parallel.vocab_parallel_cross_entropy(part, target, comm), whole)
    >>> minipar.parallel.launch(loss, workers=2, backend="thread")
    [True, True]
    """
    check_arguments(NAME, reduction)
    check_dtypes(NAME, input)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"{NAME}: label_smoothing must lie in [0, 1], not {label_smoothing}")
    numbers = array_of(target)
    if numbers.dtype.kind == "f":
        raise NotImplementedError(
            f"{NAME}: a target of class probabilities is not supported, only of class numbers; gather the logits "
            "(gather_output=True) and take F.cross_entropy"
        )
    axis = 1 if input.ndim > 1 else 0
    held = comm.all_gather(np.array(input.shape[axis] if input.ndim else 0))
    whole = list(input.shape)
    if whole:
        whole[axis] = int(held.sum())
    classes = checked_classes(NAME, tuple(whole), numbers, ignore_index, weight)
    start, total = int(held[: comm.rank].sum()), int(held.sum())
    own = slice(start, start + int(held[comm.rank]))
    losses = _Losses.apply(by_class(input), classes, own, total, comm, label_smoothing)
    if reduction == "none":
        return reshape(losses, numbers.shape)
    return reduced(losses, reduction, classes.denominator())


class _Losses(Function):
    """This rank's logits (N, own classes) → the losses of all samples (N,), 0 where the target does not count.

    With x counted from the largest logit, z = ln Σ exp(x), a = (1 − ε) wₜ and b = ε / C, loss i is
    a (z − xₜ) + b Σ w (z − x) = (a + b Σ w) z − a xₜ − b Σ w x, whose gradient is (a + b Σ w) softmax − a [t] − b w.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, classes: Classes, own: slice, total: int, comm: Communicator, smoothing: float
    ) -> Tensor:
        x, safe, weight = logits.array, classes.safe, classes.weight
        xp, real = namespace(x), x.dtype
        here = (safe >= own.start) & (safe < own.stop)
        where = xp.flatnonzero(here), safe[here] - own.start
        largest = _of_all(x.max(1, initial=-np.inf), comm, "max")
        with np.errstate(all="ignore"):  # as in PyTorch, infinities and NaN arise in silence
            x = x - xp.where(xp.isfinite(largest), largest, 0).astype(real)[:, None]
            exponentials = xp.exp(x)
            at_target = xp.zeros(len(x), real)
            at_target[where[0]] = x[where]
            a: Any = 1 - smoothing if weight is None else ((1 - smoothing) * weight[safe]).astype(real)[:, None]
            terms = [exponentials.sum(1), at_target]
            b, w, all_weights = 0.0, None, 0.0
            if smoothing:
                b, all_weights = smoothing / total, float(total if weight is None else weight.sum())
                w = xp.ones(x.shape[1], real) if weight is None else weight[own].astype(real)
                terms.append((x * w).sum(1))
            sums = _of_all(xp.stack(terms), comm, "sum")[:, :, None]
            of_all = a + b * all_weights
            losses = of_all * xp.log(sums[0]) - a * sums[1]
            gradient = exponentials * (of_all / sums[0]).astype(real)
            gradient[where] -= a if weight is None else a[here, 0]
            if w is not None:
                losses = losses - b * sums[2]
                gradient -= (b * w).astype(real)
        gradient[~classes.counted] = 0
        ctx.gradient = gradient
        return wrap(xp.where(classes.counted, losses[:, 0], 0).astype(real))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return wrap(ctx.gradient * g.array[:, None]), None, None, None, None, None


def _of_all(part: Any, comm: Communicator, operation: str) -> Any:
    """The maximum or sum of every rank's array."""
    return beside(comm.all_reduce(to_send(part, comm), operation), part)
