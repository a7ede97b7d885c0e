"""The order of a tensor's elements in memory: new tensors lie row by row, and say so in PyTorch's words."""

from __future__ import annotations

from typing import Any


class memory_format:
    """A name for an order of elements: `preserve_format` and `contiguous_format` are the two there are.

    >>> minipar.contiguous_format
    minipar.contiguous_format
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"minipar.{self._name}"


preserve_format = memory_format("preserve_format")
contiguous_format = memory_format("contiguous_format")


def only_row_major(asked: Any, function: str) -> None:
    """NotImplementedError unless `memory_format` is left out or one of the two names of what happens anyway."""
    if asked is not None and asked is not preserve_format and asked is not contiguous_format:
        raise NotImplementedError(f"{function}: memory_format={asked!r} is not supported; leave it out")
