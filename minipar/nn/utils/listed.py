"""Tensors given as one or as many."""

from __future__ import annotations

from collections.abc import Iterable

from ...tensor import Tensor


def listed_tensors(name: str, tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """[tensor], or the list of an iterable. TypeError, by this name, for anything else."""
    if isinstance(tensors, Tensor):
        return [tensors]
    try:
        listed = list(tensors)
    except TypeError:
        raise TypeError(f"{name} must be a Tensor or an iterable of Tensors, not {type(tensors).__name__}") from None
    for t in listed:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name} must hold Tensors, but one is {type(t).__name__}")
    return listed
