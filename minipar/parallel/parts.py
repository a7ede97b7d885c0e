"""Which part of the unsplit model's parameter a rank's parameter is.

A layer that is split over ranks says so of each of its parameters: `mark(weight, Part(dim=0, rows=…, total=…))`. What
gathers a state dict, loads one or compares runs needs nothing else. A parameter without a mark is whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..nn.parameter import Parameter


@dataclass(frozen=True)
class Part:
    """Rows `rows` (in this order) along axis `dim` of a parameter that has `total` of them."""

    dim: int
    rows: tuple[int, ...]
    total: int

    def of(self, whole: np.ndarray) -> np.ndarray:
        """This part of the whole array: a copy."""
        return np.ascontiguousarray(np.take(whole, self.rows, axis=self.dim))

    def put(self, part: np.ndarray, whole: np.ndarray) -> None:
        """Write `part` to its place in `whole`."""
        np.moveaxis(whole, self.dim, 0)[list(self.rows)] = np.moveaxis(part, self.dim, 0)

    def whole_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the whole, from that of this part."""
        return (*shape[: self.dim], self.total, *shape[self.dim + 1 :])


def mark(parameter: Parameter, part: Part) -> Parameter:
    """Say that `parameter` is this part of the unsplit one. Returns it."""
    parameter.part = part  # type: ignore[attr-defined]
    return parameter


def part_of(parameter: Parameter) -> Part | None:
    """Which part of the unsplit parameter this is; None for the whole."""
    return getattr(parameter, "part", None)
