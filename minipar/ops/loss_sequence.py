"""Connectionist temporal classification: a loss of sequences whose labels are not aligned with time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dispatch import kernel
from .exponential import exp
from .index import getitem, take_along
from .join import cat, stack
from .loss import check_reduction, reduced
from .op import Fat, array_of, check_dtypes
from .reduce import logsumexp, sum
from .select import where
from .shape import reshape

_IMPOSSIBLE = -1e30  # ln 0 for the composite: finite, so that 0 times its gradient is 0


class Labelling(NamedTuple):
    """What the labels allow: the states of kernels/reference/ctc.py, and how many times of each sample count."""

    spelled: Any
    may_skip: Any
    ends: Any
    lengths: Any


class CTC(Fat):
    """log_probs (T, N, C) → −ln P(labelling) (N,); ∂ = eˣ − P(class at that time | labelling), as in PyTorch.

    The gradient is that of the logits: eˣ is what log_softmax would take off again, so that it may be given either.
    """

    __slots__ = ("labelling", "zero_infinity")
    saves = (0,)

    def __init__(self, labelling, zero_infinity):
        self.labelling, self.zero_infinity = labelling, zero_infinity

    def forward(self, x):
        losses, prefixes = kernel("ctc_forward", x)(x, *self.labelling)
        self.aux = losses, prefixes
        return namespace(x).where(losses == math.inf, 0, losses).astype(x.dtype) if self.zero_infinity else losses

    def vjp(self, g, x):
        xp = namespace(x)
        losses, prefixes = self.aux
        posterior = kernel("ctc_posterior", x)(x, prefixes, losses, *self.labelling)
        counts = (xp.arange(len(x))[:, None] < self.labelling.lengths)[:, :, None]
        if self.zero_infinity:
            counts = counts & (losses != math.inf)[:, None]
        return xp.where(counts, g[:, None] * (xp.exp(x) - posterior), 0).astype(x.dtype)

    def composite(self, x):
        spelled, may_skip, ends, lengths = self.labelling
        xp = namespace(array_of(x))
        no = _constant(x, xp.full(spelled.shape, _IMPOSSIBLE))
        now = where(xp.arange(spelled.shape[1]) == 0, 0.0, no)
        for t in range(x.shape[0]):
            beside, beyond = (cat((no[:, :k], now[:, : spelled.shape[1] - k]), 1) for k in (1, 2))
            arrived = logsumexp(stack((now, beside, where(may_skip, beyond, no))), 0)
            now = where((t < lengths)[:, None], arrived + take_along(getitem(x, t), spelled, 1), now)
        losses = -logsumexp(where(ends, now, no), 1)
        possible = array_of(losses) < -_IMPOSSIBLE / 2
        counts = (xp.arange(x.shape[0])[:, None] < lengths)[:, :, None]
        total = sum(where(counts, exp(x), 0.0), (0, 2))  # constant where x are log-probabilities
        losses = losses + (total - array_of(total))
        return losses * _constant(x, xp.where(possible, 1, 0 if self.zero_infinity else math.nan))  # of ∞, no gradient


@on_its_gpu
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """−ln P(targets): the probability of a labelling, summed over all its alignments with time.

    log_probs (T, N, C) or (T, C) are logarithms of probabilities (log_softmax); targets (N, S), padded, or all labels
    one after the other; input_lengths and target_lengths, tensors or sequences of N ints (or one int where there is
    no N), say how much of each counts. The mean divides each loss by its number of labels, then by N. Where no
    alignment fits (too little time) the loss is infinite and its gradient NaN; both are 0 with `zero_infinity`.
    The gradient is right for what a log_softmax gave, as PyTorch's. Graves et al., ICML 2006.

    RuntimeError for wrong shapes, lengths, dtypes, `blank` or labels.

    >>> log_probs = minipar.full((2, 1, 2), 0.5).log()
    >>> F.ctc_loss(log_probs, minipar.tensor([[1]]), [2], [1]).exp()  # of 4 alignments, 3 spell it
    tensor(1.3333)
    """
    check_reduction(reduction)
    check_dtypes("ctc_loss", log_probs)
    if log_probs.dtype.itemsize < 4 or len(log_probs.shape) not in (2, 3):
        raise RuntimeError(
            "ctc_loss: log_probs must be float32 or float64, of shape (T, N, C) or (T, C), not "
            f"{log_probs.dtype.name} of shape {tuple(log_probs.shape)}"
        )
    batched = len(log_probs.shape) == 3
    x = log_probs if batched else reshape(log_probs, (log_probs.shape[0], 1, log_probs.shape[1]))
    times, samples, classes = x.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be a class in [0, {classes}), not {blank}")
    heard = _lengths("input_lengths", input_lengths, samples, times)
    spoken = _lengths("target_lengths", target_lengths, samples, None)
    labels = _labels(array_of(targets), spoken, samples, classes, blank)
    losses = CTC(_labelling(namespace(array_of(x)), labels, heard, spoken, blank), zero_infinity)(x)
    if reduction == "mean":
        losses = losses / _constant(losses, np.maximum(spoken, 1))
    return reduced(losses if batched else reshape(losses, ()), reduction)


def _constant(like: Any, numbers: Any) -> Any:
    """The numbers as a constant beside `like`, in its dtype."""
    array = array_of(like)
    return tape.new_value(namespace(array).asarray(numbers, array.dtype))


def _lengths(name: str, lengths: Any, samples: int, most: int | None) -> np.ndarray:
    """The lengths as integers on the CPU, where they decide shapes."""
    numbers = array_of(lengths)
    found = np.asarray(numbers.tolist() if hasattr(numbers, "tolist") else numbers).reshape(-1)
    if found.dtype.kind not in "iu" and found.size:
        raise RuntimeError(f"ctc_loss: {name} must be integers, not {found.dtype.name}")
    if found.size != samples:
        raise RuntimeError(f"ctc_loss: {name} must have one length for each of {samples} samples, not {found.size}")
    if found.size and (found.min() < 0 or (most is not None and found.max() > most)):
        bound = "0 or more" if most is None else f"in [0, {most}], as log_probs has {most} times"
        raise RuntimeError(f"ctc_loss: {name} must be {bound}, got {found.tolist()}")
    return found.astype(np.int64)


def _labels(targets: Any, spoken: np.ndarray, samples: int, classes: int, blank: int) -> Any:
    """The labels as (N, S), where S is the longest's length and blanks fill up the others."""
    if targets.dtype.kind not in "iu" or targets.ndim not in (1, 2):
        raise RuntimeError(
            "ctc_loss: targets must be integers of shape (N, S), or (sum of target_lengths,), not "
            f"{targets.dtype.name} of shape {tuple(targets.shape)}"
        )
    xp = namespace(targets)
    longest = int(spoken.max(initial=0))
    counts = np.arange(longest) < spoken[:, None]
    if targets.ndim == 1:
        needed, room = int(spoken.sum()), targets.size
        places = np.cumsum(spoken)[:, None] - spoken[:, None] + np.arange(longest)
    else:
        needed, room = longest, targets.shape[1]
        places = np.arange(samples)[:, None] * room + np.arange(longest)
    if (needed != room if targets.ndim == 1 else needed > room) or (targets.ndim == 2 and len(targets) != samples):
        raise RuntimeError(
            f"ctc_loss: targets of shape {tuple(targets.shape)} do not fit target_lengths {spoken.tolist()}"
        )
    labels = xp.full(counts.shape, blank, np.int64)
    labels[xp.asarray(counts)] = targets.reshape(-1)[xp.asarray(places[counts])]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise RuntimeError(f"ctc_loss: targets must be classes in [0, {classes})")
    return labels


def _labelling(xp: Any, labels: Any, heard: np.ndarray, spoken: np.ndarray, blank: int) -> Labelling:
    spelled = xp.full((len(labels), 2 * labels.shape[1] + 1), blank, np.int64)
    spelled[:, 1::2] = labels
    may_skip = xp.zeros(spelled.shape, bool)
    may_skip[:, 2:] = spelled[:, 2:] != spelled[:, :-2]
    last = 2 * xp.asarray(spoken)[:, None]
    states = xp.arange(spelled.shape[1])
    return Labelling(spelled, may_skip, (states == last) | (states == last - 1), xp.asarray(heard))
