"""Sampling of classes that a gradient can pass: the Gumbel-softmax."""

from __future__ import annotations

from typing import Any
from warnings import warn

import numpy as np

from ..backend import namespace, random
from ..backend.current_gpu import on_its_gpu
from .op import array_of, check_dtypes
from .shape import normal_dim
from .softmax import softmax

_HALF_STEP = 2.0**-25  # of the uniform numbers' grid: none is 0, so that no logarithm is infinite


@on_its_gpu
def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, batch_dim: int | None = 0
) -> Any:
    """softmax((logits + noise) / tau) along `dim`, with Gumbel noise: a soft draw of a class for each row of logits.

    With `hard` the result is one-hot at the largest, and its gradient that of the soft draw (straight through). `eps`
    has no effect, as in PyTorch. `batch_dim` is the axis that counts samples (None: none does), which matters only
    where a batch is split over workers. E. Jang, S. Gu, B. Poole, Categorical Reparameterization, ICLR 2017.

    >>> F.gumbel_softmax(minipar.tensor([[0.0, 90.0], [90.0, 0.0]]), hard=True)
    tensor([[0., 1.],
            [1., 0.]])
    """
    if eps != 1e-10:
        warn("gumbel_softmax: eps is deprecated and has no effect", stacklevel=2)
    check_dtypes("gumbel_softmax", logits)
    dim = normal_dim(dim, len(logits.shape))
    soft = softmax((logits + _gumbel(logits, batch_dim)) / tau, dim)
    if not hard:
        return soft
    found = array_of(soft)
    if not found.size:
        return soft
    xp = namespace(found)
    classes = xp.arange(found.shape[dim] if found.ndim else 1)
    largest = xp.moveaxis(xp.expand_dims(found.argmax(dim), -1) == classes, -1, dim).reshape(found.shape)
    return soft + (largest - found)


def _gumbel(logits: Any, batch_dim: int | None) -> Any:
    """−ln(−ln u) of uniform numbers u."""
    array = array_of(logits)
    batch_dim = None if batch_dim is None else normal_dim(batch_dim, array.ndim, "batch_dim")
    uniform = random.uniform_for_samples(array.shape, batch_dim).astype(np.float64) + _HALF_STEP
    return namespace(array).asarray(-np.log(-np.log(uniform)), array.dtype)
