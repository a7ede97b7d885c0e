"""Losses of triplets: an anchor is to lie nearer to a positive example than to a negative one, by a margin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .accepts import rank
from .extremes import clamp, minimum
from .loss import check_arguments, reduced
from .norm import pairwise_distance


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin), d the p-norm distance over the last axis.

    anchor, positive, negative (N, D) or (D,). With `swap`, d(positive, negative) counts where it is the smaller
    (Balntas et al. 2016). RuntimeError for unequal numbers of axes, ValueError unless margin is positive.

    >>> near, far = minipar.tensor([[1.0, 0.0]]), minipar.tensor([[0.0, 1.5]])
    >>> F.triplet_margin_loss(minipar.zeros(1, 2), near, far).item()
    0.5
    """
    check_arguments("triplet_margin_loss", reduction, size_average, reduce)
    distance = partial(pairwise_distance, p=p, eps=eps)
    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """triplet_margin_loss with a distance of one's own: distance_function(a, b), the Euclidean one by default.

    >>> near, far = minipar.tensor([[1.0, 0.0]]), minipar.tensor([[0.0, 1.5]])
    >>> F.triplet_margin_with_distance_loss(
    ...     minipar.zeros(1, 2), near, far, distance_function=lambda a, b: (a - b).abs().sum(1)
    ... ).item()
    0.5
    """
    name = "triplet_margin_with_distance_loss"
    check_arguments(name, reduction)
    return _triplet(name, anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(
    name: str,
    anchor: Any,
    positive: Any,
    negative: Any,
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    if margin <= 0:
        raise ValueError(f"{name}: margin must be positive, not {margin}")
    if not rank(anchor) == rank(positive) == rank(negative):
        raise RuntimeError(
            f"{name}: anchor, positive and negative must have equally many axes, got shapes {tuple(anchor.shape)}, "
            f"{tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clamp(margin + near - far, min=0), reduction)
