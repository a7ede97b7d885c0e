"""Softmax and cross-entropy as one function of the logits: stable, and with the gradient softmax - one-hot.

Shapes: logits (N, C), target integers (N,), weight (C,) or None. A sample whose target is ``ignore_index`` has loss
and gradient zero.
"""

from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace

Array = Any


def cross_entropy_forward(logits: Array, target: Array, weight: Array | None, ignored: int) -> tuple[Array, Array]:
    """(loss of each sample (N,), log_probs (N, C)): loss[n] = -weight[target[n]] * log softmax(logits[n])[target[n]].

    The row's maximum is subtracted first, so no exponential overflows. Raises IndexError for a target outside 0..C-1.
    """
    xp = array_namespace(logits)
    valid, classes = counted_classes(target, ignored, logits.shape[1])
    with np.errstate(
        invalid="ignore"
    ):  # a row with an infinite maximum is NaN by definition: it goes to the user as such
        log_probs = logits - logits.max(axis=1, keepdims=True)
        log_probs -= xp.log(xp.exp(log_probs).sum(axis=1, keepdims=True))
    loss = -log_probs[xp.arange(len(classes)), classes]
    if weight is not None:
        loss *= weight[classes]
    return xp.where(valid, loss, xp.zeros_like(loss)), log_probs


def cross_entropy_backward(g: Array, kept: Array, target: Array, weight: Array | None, ignored: int) -> Array:
    """dlogits (N, C) from the gradient ``g`` (N,) of each sample's loss and what the forward kept: the log_probs."""
    log_probs, xp = kept, array_namespace(kept)
    valid, classes = counted_classes(target, ignored, log_probs.shape[1])
    g = xp.where(valid, g, g.dtype.type(0))  # 0 also if the mean of nothing made g NaN
    scale = g if weight is None else g * weight[classes]
    dlogits = xp.exp(log_probs)
    dlogits *= scale[:, None]
    dlogits[xp.arange(len(classes)), classes] -= scale
    return dlogits


def cross_entropy_loss(
    logits: Array, target: Array, weight: Array | None, ignored: int, mean: bool
) -> tuple[Array, float, tuple[Array, Array]]:
    """(loss, denominator, what the gradient needs): the samples' losses added up, 0-d, over the denominator if `mean`.

    The denominator is the sum of the weights of the samples that count (NaN is the mean where none does). IndexError
    for a target outside 0..C-1 that is not `ignored`.
    """
    xp = array_namespace(logits)
    losses, log_probs = cross_entropy_forward(logits, target, weight, ignored)
    counted = target != ignored
    shares = xp.where(counted, 1.0 if weight is None else weight[xp.where(counted, target, 0)], 0.0)
    denominator = float(shares.sum())
    total = losses.sum(dtype=accumulator_dtype(losses.dtype))
    with np.errstate(all="ignore"):
        loss = xp.asarray(total / denominator if mean else total, logits.dtype)
        shares = xp.where(counted, shares / denominator, 0.0) if mean else shares
    return loss, denominator, (log_probs, shares.astype(logits.dtype))


def cross_entropy_gradient(g: Array, kept: tuple[Array, Array], target: Array) -> Array:
    """dlogits (N, C) of `cross_entropy_loss` times ``g`` (0-d), from what it kept."""
    log_probs, shares = kept
    xp = array_namespace(log_probs)
    scale = xp.where(shares != 0, shares * g, shares)  # 0 also if the mean of nothing made g NaN
    dlogits = xp.exp(log_probs)
    dlogits *= scale[:, None]
    dlogits[xp.arange(len(scale)), xp.where(scale != 0, target, 0)] -= scale
    return dlogits


def counted_classes(target: Array, ignored: int, class_count: int) -> tuple[Array, Array]:
    """(which samples count, their classes with 0 standing in where they do not)."""
    xp = array_namespace(target)
    valid = target != ignored
    outside = valid & ((target < 0) | (target >= class_count))
    if outside.any():
        first = int(outside.argmax())
        raise IndexError(
            f"target[{first}] is {int(target[first])}, not in 0..{class_count - 1} nor ignore_index ({ignored})"
        )
    return valid, xp.where(valid, target, 0)
