"""Who owns what of parameters that are sharded (zero.py): stretches of a row of all of them, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..nn.parameter import Parameter
from ..tensor import wrap
from .comm import Communicator
from .parts import mark, part_of
from .shares import share


@dataclass(frozen=True)
class Piece:
    """Elements start … stop - 1, in C order, of a parameter of this shape, or of the part of one that a rank has."""

    start: int
    stop: int
    shape: tuple[int, ...]
    inside: Any = None  # the Part that the parameter is, if it is one

    @property
    def differs(self) -> bool:
        return self.inside is not None

    def of(self, whole: np.ndarray) -> np.ndarray:
        """These elements: a copy. A number alone, where the parameter is one."""
        held = whole if self.inside is None else self.inside.of(whole)
        return held.reshape(-1)[self.start : self.stop].reshape(_shape_of_piece(self.shape)).copy()

    def put(self, part: np.ndarray, whole: np.ndarray) -> None:
        """Write these elements to their places in `whole`."""
        places = self.of(np.arange(whole.size).reshape(whole.shape))
        whole.reshape(-1)[places] = part

    def whole_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the whole (`shape` is that of these elements)."""
        return self.shape if self.inside is None else self.inside.whole_shape(self.shape)


def _shape_of_piece(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Elements stand in a row, but a number is a number."""
    return (-1,) if shape else ()


@dataclass
class Owned:
    """A stretch of one parameter, and the rank that owns it; `piece` is what an optimizer steps, on that rank."""

    parameter: Parameter
    start: int
    stop: int
    owner: int
    piece: Parameter | None = None


def ownership(parameters: Sequence[Parameter], comm: Communicator) -> list[Owned]:
    """Who owns what: of the parameters of each dtype in a row, every rank has an equal stretch."""
    owned = []
    for kind in sorted({p.dtype.str for p in parameters}):
        row = [p for p in parameters if p.dtype.str == kind]
        total, first = sum(p.array.size for p in row), 0
        for p in row:
            for rank in range(comm.size):
                mine = share(total, rank, comm.size)
                start, stop = max(mine.start - first, 0), min(mine.stop - first, p.array.size)
                if start < stop:
                    owned.append(Owned(p, start, stop, rank))
            first += p.array.size
    return owned


def piece_of(stretch: Owned, shares_memory: bool) -> Parameter:
    """What an optimizer steps: it looks at the parameter's memory, or has its own."""
    p = stretch.parameter
    array = p.array.reshape(-1)[stretch.start : stretch.stop].reshape(_shape_of_piece(p.array.shape))
    piece = Parameter(wrap(array if shares_memory else array.copy()))
    return mark(piece, Piece(stretch.start, stretch.stop, tuple(p.shape), part_of(p)))
