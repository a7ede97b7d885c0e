"""Cutting a layer: which of its units this rank gets, and its parameters made into parts, where they are."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy

from ...backend import namespace
from ...nn.module import Module
from ...nn.split import mark_split
from ...tensor import Tensor, wrap
from ..comm import Communicator
from ..parts import Part, mark, part_of
from ..shares import share


def own_units(layer: str, what: str, total: int, comm: Communicator, unit: int = 1) -> range:
    """Which of `total` features (channels, heads, rows) this rank gets: consecutive, in blocks of `unit`.

    ValueError where a rank would get none.
    """
    blocks = total // unit
    if blocks < comm.size:
        in_blocks = f" in blocks of {unit}" if unit > 1 else ""
        raise ValueError(
            f"{layer}: {total} {what}{in_blocks} cannot be split over {comm.size} ranks: each must get one or more; "
            "use fewer tensor ranks, or leave this layer whole"
        )
    own = share(blocks, comm.rank, comm.size)
    return range(own.start * unit, own.stop * unit)


def cut(whole: Tensor, dim: int, rows: range | tuple[int, ...]) -> Tensor:
    """Make `whole`, a parameter or a buffer, into these rows of itself along `dim`, contiguous, and mark it as such.

    It stays the same object, so that what is tied stays tied. One that is this part already is left alone; ValueError
    for one that is another part.
    """
    known = part_of(whole)
    if known is not None:
        if not isinstance(known, Part) or known != Part(dim, tuple(rows), known.total):
            raise ValueError("a parameter that two layers share can be split in one way only, not in two")
        return whole
    part = Part(dim, tuple(rows), whole.shape[dim])
    xp = namespace(whole.array)
    whole.data = wrap(xp.ascontiguousarray(xp.take(whole.array, xp.asarray(part.rows), axis=dim)))
    whole.grad = None
    if len(part.rows) < part.total:
        mark_split([whole], "tensor ranks")
    return mark(whole, part)


def take_over(layer: Module, original: Module) -> None:
    """Give `layer` the settings and parameters of `original`, which is not to be used any more."""
    for name, value in vars(original).items():
        object.__setattr__(layer, name, copy(value) if isinstance(value, (OrderedDict, set)) else value)


def span(rows: range, total: int) -> str:
    """For people: which part of how much."""
    return f"{rows.start}…{rows.stop - 1} of {total}"


class Split:
    """What all split layers say about themselves: what of it this rank has, and who talks when."""

    comm: Communicator

    def part_shown(self) -> str:
        """This rank's part, for people."""
        raise NotImplementedError

    def collectives(self) -> tuple[int, int]:
        """How many collective calls forward and backward make, if the input has a gradient."""
        raise NotImplementedError
