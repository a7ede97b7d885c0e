"""Dropout: elements or whole channels are zeroed at random, and the rest enlarged so that the mean stays.

What is dropped is drawn for *global* samples (`backend/random.py`): however a batch is split, every sample loses what
it would lose in one process. `batch_dim` says which axis counts the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace, random
from ..backend.current_gpu import on_its_gpu
from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import tensor_shape
from .op import Op, array_of, check_dtypes
from .shape import normal_dim

SELU_FLOOR = -1.7580993408473766  # −α·λ of SELU: what it tends to at −∞ (Klambauer et al. 2017)
NOTHING = np.empty(0, np.float32)  # to draw for without having anything that is dropped
AT_ONCE = 1 << 20  # bytes that are drawn at a time for the whole of which a part is kept


class Dropout(Op):
    """y = x ⊙ noise + shift; ∂x = g ⊙ noise. What is kept is drawn here: the ticket says which draw it is.

    Noise is `scale` where an element is kept, else 0; shifts are those of what is kept and of what is dropped. `sizes`
    are the (outer, samples, inner, repeats) of `kernels.reference.dropout`.
    """

    __slots__ = ("ticket", "sizes", "p", "scale", "shifts")
    kernels_only = True

    def __init__(self, ticket, sizes, p, scale, shifts=(0.0, 0.0)):
        self.ticket, self.sizes, self.p, self.scale, self.shifts = ticket, sizes, p, scale, shifts

    def forward(self, x):
        y, self.aux = kernel("dropout_forward", x)(x, self.ticket, self.sizes, self.p, self.scale, self.shifts)
        return y

    def vjp(self, g):
        if isinstance(g, Value):
            return Thin(self.aux, self.scale)(g)
        return kernel("dropout_backward", g)(g, self.aux, self.scale)


class Thin(Op):
    """x ⊙ noise, by what a dropout has kept: its own transpose."""

    __slots__ = ("kept", "scale")
    kernels_only = True

    def __init__(self, kept, scale):
        self.kept, self.scale = kept, scale

    def forward(self, x):
        return kernel("dropout_backward", x)(x, self.kept, self.scale)

    def vjp(self, g):
        return Thin(self.kept, self.scale)(g)


def dropout(input: Any, p: float = 0.5, training: bool = True, *, batch_dim: int | None = 0) -> Any:
    """Every element is 0 with probability `p`, else x / (1 − p); the input itself if not `training`, or p = 0.

    input: any shape, floating point. `batch_dim` is the axis that counts samples (None: none does), which matters only
    where a batch is split over workers. ValueError unless 0 ≤ p ≤ 1. Srivastava et al., Dropout, JMLR 2014.

    >>> y = F.dropout(minipar.ones(1000), 0.2)
    >>> sorted(set(y.tolist())), 700 < int((y > 0).sum()) < 900
    ([0.0, 1.25], True)
    """
    return _dropped(input, p, training, "dropout", tuple, batch_dim)


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
    return _dropped(input, p, training, "alpha_dropout", tuple, batch_dim, _self_normalizing)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, *, batch_dim: int | None = 0) -> Any:
    """alpha_dropout of whole channels of input (N, C, …).

    >>> x = minipar.ones(2, 3, 5)
    >>> bool((F.feature_alpha_dropout(x, 0.5, training=True).std(-1) == 0).all())
    True
    """
    return _dropped(input, p, training, "feature_alpha_dropout", _channels, batch_dim, _self_normalizing)


def _dropped(
    x: Any, p: float, training: bool, name: str, noise_shape: Callable[[tuple[int, ...]], tuple[int, ...]],
    batch_dim: int | None,
    rule: Callable[[float, Any], tuple[float, tuple[float, float]]] | None = None,
) -> Any:  # fmt: skip
    check_probability(p)
    parts = random.held_parts()
    whole = tensor_shape(x)
    for part in parts:
        whole = part.whole(whole)
    if not training or p == 0 or not math.prod(whole):
        return x
    check_dtypes(name, x)
    shape = noise_shape(whole)
    axis = 0
    if batch_dim is not None:
        batch_dim = axis = normal_dim(batch_dim, len(shape), "batch_dim")
    ticket = random.ticket_for_samples(shape, batch_dim)
    scale, shifts = (1.0 if p == 1 else 1 / (1 - p), (0.0, 0.0)) if rule is None else rule(p, x.dtype.type)
    if parts:
        return _thinned(x, _kept(ticket, shape, axis, p, parts, noise_shape(x.shape)), scale, shifts)
    sizes = (*_around(shape, axis), math.prod(x.shape) // math.prod(shape))
    return Dropout(ticket, sizes, p, scale, shifts)(x)


def _around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """(elements before, along and behind an axis)."""
    return math.prod(shape[:axis]), shape[axis] if shape else 1, math.prod(shape[axis + 1 :])


def _kept(
    ticket: np.ndarray,
    shape: tuple[int, ...],
    axis: int,
    p: float,
    parts: tuple[random.PartOfElements, ...],
    own: tuple[int, ...],
) -> np.ndarray:
    """What is kept, uint8 (1-D), of this rank's part, of shape `own`, of what is drawn for `shape`.

    The whole is drawn a few samples at a time, as bytes, of which all but the part is forgotten at once.
    """
    drawn = kernel("dropout_forward", NOTHING)
    kept = np.empty(own, np.uint8)
    where: list[Any] = [slice(None)] * len(shape)
    for part in parts:
        if own[part.dim] != shape[part.dim]:
            where[part.dim] = slice(part.start, part.start + own[part.dim])
    first, end, _ = where[axis].indices(shape[axis])
    where[axis] = slice(None)
    step = max(1, AT_ONCE // math.prod((*shape[:axis], *shape[axis + 1 :])))
    for start in range(first, end, step):
        piece = (*shape[:axis], min(step, end - start), *shape[axis + 1 :])
        at_start = ticket + np.array([0, 0, 0, 0, start])
        bytes_of_piece = drawn(NOTHING, at_start, (*_around(piece, axis), 0), p, 1.0)[1]
        to: list[Any] = [slice(None)] * len(shape)
        to[axis] = slice(start - first, start - first + piece[axis])
        kept[tuple(to)] = bytes_of_piece.reshape(piece)[tuple(where)]
    return kept.reshape(-1)


@on_its_gpu
def _thinned(x: Any, kept: np.ndarray, scale: float, shifts: tuple[float, float]) -> Any:
    """x · noise + shift, by what is kept."""
    array = array_of(x)
    if not kept.size:
        return x
    xp = namespace(array)
    bits = xp.asarray(kept)
    y = Thin(bits, scale)(x)
    if not any(shifts):
        return y
    number = array.dtype.type
    shift = xp.where(bits.astype(bool), number(shifts[0]), number(shifts[1]))
    return y + tape.new_value(xp.repeat(shift, math.prod(array.shape) // kept.size).reshape(array.shape))


def check_probability(p: float) -> None:
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"dropout probability p has to be between 0 and 1, but got {p!r}")


def _self_normalizing(p: float, number: Any) -> tuple[float, tuple[float, float]]:
    """(scale, shifts), rounded as numbers of x's dtype are."""
    if p == 1:
        return 1.0, (0.0, 0.0)
    a = ((1 - p) * (1 + p * SELU_FLOOR**2)) ** -0.5
    mean = number(a * p * SELU_FLOOR)
    return a, (float(-mean), float(number(a * SELU_FLOOR) - mean))


def _channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < 2:
        raise RuntimeError(f"feature dropout needs input (N, C, …) of 2 or more axes, got shape {tuple(shape)}")
    return (*shape[:2], *[1] * (len(shape) - 2))
