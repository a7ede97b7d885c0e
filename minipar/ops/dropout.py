"""Dropout: elements or whole channels are zeroed at random, and the rest enlarged so that the mean stays.

What is dropped is drawn for *global* samples (`backend/random.py`): however a batch is split, every sample loses what
it would lose in one process. `batch_dim` says which axis counts the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend import namespace, random
from .op import Op, array_of, check_dtypes
from .shape import normal_dim

SELU_FLOOR = -1.7580993408473766  # −α·λ of SELU: what it tends to at −∞ (Klambauer et al. 2017)


class Dropout(Op):
    """y = x ⊙ noise + shift, with noise and shift that were drawn; ∂x = g ⊙ noise"""

    __slots__ = ("noise", "shift")

    def __init__(self, noise, shift=None):
        self.noise, self.shift = noise, shift

    def forward(self, x):
        y = x * self.noise
        return y if self.shift is None else y + self.shift

    def vjp(self, g):
        return g * self.noise


def dropout(input: Any, p: float = 0.5, training: bool = True, *, batch_dim: int | None = 0) -> Any:
    """Every element is 0 with probability `p`, else x / (1 − p); the input itself if not `training`, or p = 0.

    input: any shape, floating point. `batch_dim` is the axis that counts samples (None: none does), which matters only
    where a batch is split over workers. ValueError unless 0 ≤ p ≤ 1. Srivastava et al., Dropout, JMLR 2014.

    >>> y = F.dropout(minipar.ones(1000), 0.2)
    >>> sorted(set(y.tolist())), 700 < int((y > 0).sum()) < 900
    ([0.0, 1.25], True)
    """
    return _dropped(input, p, training, "dropout", lambda x: x.shape, batch_dim)


def feature_dropout(input: Any, p: float, training: bool, *, batch_dim: int | None = 0) -> Any:
    """Whole channels of input (N, C, …) are 0 with probability `p`, else enlarged by 1 / (1 − p)."""
    return _dropped(input, p, training, "feature_dropout", _channels, batch_dim)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, *, batch_dim: int | None = 0) -> Any:
    """Dropout that keeps mean 0 and variance 1: dropped elements become SELU's floor, then all are scaled and shifted.

    y = a (x·m − αλ (1 − m)) + b with a = ((1 − p)(1 + p α²λ²))^−½ and b = a p αλ (Klambauer et al., Self-normalizing
    neural networks, 2017, §Alpha dropout). `batch_dim` as in `dropout`. ValueError unless 0 ≤ p ≤ 1.

    >>> F.alpha_dropout(minipar.ones(2), 0.5).tolist()
    [1.0, 1.0]
    """
    return _dropped(input, p, training, "alpha_dropout", lambda x: x.shape, batch_dim, _self_normalizing)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, *, batch_dim: int | None = 0) -> Any:
    """alpha_dropout of whole channels of input (N, C, …).

    >>> x = minipar.ones(2, 3, 5)
    >>> bool((F.feature_alpha_dropout(x, 0.5, training=True).std(-1) == 0).all())
    True
    """
    return _dropped(input, p, training, "feature_alpha_dropout", _channels, batch_dim, _self_normalizing)


def _dropped(
    x: Any, p: float, training: bool, name: str, noise_shape: Callable[[Any], Any], batch_dim: int | None,
    rule: Callable[[Any, float], tuple[Any, Any]] | None = None,
) -> Any:  # fmt: skip
    check_probability(p)
    if not training or p == 0 or not math.prod(x.shape):
        return x
    check_dtypes(name, x)
    array = array_of(x)
    batch_dim = None if batch_dim is None else normal_dim(batch_dim, len(x.shape), "batch_dim")
    kept = namespace(array).asarray(random.uniform_for_samples(noise_shape(x), batch_dim) >= p).astype(array.dtype)
    return Dropout(*(_enlarged if rule is None else rule)(kept, p))(x)


def check_probability(p: float) -> None:
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"dropout probability p has to be between 0 and 1, but got {p!r}")


def _enlarged(kept: Any, p: float) -> tuple[Any, None]:
    return kept if p == 1 else kept * kept.dtype.type(1 / (1 - p)), None


def _self_normalizing(kept: Any, p: float) -> tuple[Any, Any]:
    if p == 1:
        return kept, None
    number = kept.dtype.type
    a = ((1 - p) * (1 + p * SELU_FLOOR**2)) ** -0.5
    return kept * number(a), (1 - kept) * number(a * SELU_FLOOR) - number(a * p * SELU_FLOOR)


def _channels(x: Any) -> tuple[int, ...]:
    if len(x.shape) < 2:
        raise RuntimeError(f"feature dropout needs input (N, C, …) of 2 or more axes, got shape {tuple(x.shape)}")
    return (*x.shape[:2], *[1] * (len(x.shape) - 2))
