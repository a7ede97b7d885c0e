"""Softmax and cross-entropy as one function of the logits: stable, and with the gradient softmax - one-hot.

Shapes: logits (N, C), target integers (N,), weight (C,) or None. A sample whose target is ``ignore_index`` has loss
and gradient zero.
"""

from typing import Any

import numpy as np

from .namespace import array_namespace

Array = Any


def cross_entropy_forward(logits: Array, target: Array, weight: Array | None, ignore_index: int) -> tuple[Array, Array]:
    """(loss of each sample (N,), log_probs (N, C)): loss[n] = -weight[target[n]] * log softmax(logits[n])[target[n]].

    The row's maximum is subtracted first, so no exponential overflows. Raises IndexError for a target outside 0..C-1.
    """
    xp = array_namespace(logits)
    valid, classes = _classes(target, ignore_index, logits.shape[1])
    with np.errstate(
        invalid="ignore"
    ):  # a row with an infinite maximum is NaN by definition: it goes to the user as such
        log_probs = logits - logits.max(axis=1, keepdims=True)
        log_probs -= xp.log(xp.exp(log_probs).sum(axis=1, keepdims=True))
    loss = -log_probs[xp.arange(len(classes)), classes]
    if weight is not None:
        loss *= weight[classes]
    return xp.where(valid, loss, xp.zeros_like(loss)), log_probs


def cross_entropy_backward(g: Array, log_probs: Array, target: Array, weight: Array | None, ignore_index: int) -> Array:
    """dlogits (N, C) from the gradient ``g`` (N,) of each sample's loss and the forward's log_probs."""
    xp = array_namespace(log_probs)
    valid, classes = _classes(target, ignore_index, log_probs.shape[1])
    scale = g * valid if weight is None else g * valid * weight[classes]
    dlogits = xp.exp(log_probs)
    dlogits *= scale[:, None]
    dlogits[xp.arange(len(classes)), classes] -= scale
    return dlogits


def _classes(target: Array, ignore_index: int, class_count: int) -> tuple[Array, Array]:
    """(which samples count, their classes with 0 standing in where they do not)."""
    xp = array_namespace(target)
    valid = target != ignore_index
    outside = valid & ((target < 0) | (target >= class_count))
    if outside.any():
        first = int(outside.argmax())
        raise IndexError(
            f"target[{first}] is {int(target[first])}, not in 0..{class_count - 1} nor ignore_index ({ignore_index})"
        )
    return valid, xp.where(valid, target, 0)
