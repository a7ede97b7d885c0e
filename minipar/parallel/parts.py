"""Which part of the unsplit model's parameter a rank's parameter is.

A layer that is split over ranks says so of each of its parameters (and buffers):
`mark(weight, Part(dim=0, rows=…, total=…))`. What gathers a state dict, loads one or compares runs needs nothing else.
A tensor without a mark is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from ..tensor import Tensor

AnyTensor = TypeVar("AnyTensor", bound=Tensor)


@dataclass(frozen=True)
class Part:
    """Rows `rows` (in this order) along axis `dim` of a parameter that has `total` of them."""

    dim: int
    rows: tuple[int, ...]
    total: int

    differs = True

    def of(self, whole: np.ndarray) -> np.ndarray:
        """This part of the whole array: a copy."""
        return np.ascontiguousarray(np.take(whole, self.rows, axis=self.dim))

    def put(self, part: np.ndarray, whole: np.ndarray) -> None:
        """Write `part` to its place in `whole`."""
        np.moveaxis(whole, self.dim, 0)[list(self.rows)] = np.moveaxis(part, self.dim, 0)

    def whole_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the whole, from that of this part."""
        return (*shape[: self.dim], self.total, *shape[self.dim + 1 :])


class AnyPart(Protocol):
    """What gathers and loads needs to know of a part: how to take it from the whole array, and put it there.

    `differs`: have ranks different parts of the tensor? (Not where they are pieces of what is the same on every rank.)
    """

    @property
    def differs(self) -> bool: ...

    def of(self, whole: np.ndarray) -> np.ndarray: ...

    def put(self, part: np.ndarray, whole: np.ndarray) -> None: ...

    def whole_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]: ...


def mark(tensor: AnyTensor, part: AnyPart) -> AnyTensor:
    """Say that `tensor` is this part of the unsplit one. Returns it."""
    tensor.part = part  # type: ignore[attr-defined]
    return tensor


def part_of(tensor: Tensor) -> AnyPart | None:
    """Which part of the unsplit parameter this is; None for the whole."""
    return getattr(tensor, "part", None)


def is_split(tensor: Tensor) -> bool:
    """Do tensor ranks have different parts of this one?"""
    part = part_of(tensor)
    return part is not None and part.differs
