"""Which tensors are one rank's share of a model that is split over ranks.

What is taken over several parameters, or over one whole parameter (a norm, a dot product), comes out different on every
rank of such a model, and nothing would tell. So whoever splits a model says so of what it leaves to a rank, and whoever
takes such a number asks before. A tensor without a mark is whole, and so is the model it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..tensor import Tensor


def mark_split(tensors: Iterable[Tensor], by: str) -> None:
    """Say of the tensors that they are a rank's share of a model that is split `by` this ("": of one that is not)."""
    for tensor in tensors:
        tensor.split_by = by  # type: ignore[attr-defined]


def check_whole(what: str, tensors: Iterable[Tensor], instead: str) -> None:
    """ValueError, saying what to do `instead`, if one of the tensors is a rank's share of a split model."""
    for tensor in tensors:
        by = getattr(tensor, "split_by", "")
        if by:
            raise ValueError(
                f"{what} needs a whole model, and was given what this rank holds of one split by {by}: {instead}"
            )
