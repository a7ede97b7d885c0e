"""Which positions of a sequence this rank has, where layers that are split by features stand among others.

    whole ─▶ own part ─▶ norm … ─▶ gathered ─▶ heads or features ─▶ added up, own part ─▶ dropout … ─▶ whole
    '─ within ─'                 '─ gathered ─'                    '─── added_up ────'              '─ within ─'

A parameter that is whole on every rank (of a norm, or a bias behind the sum) meets this rank's positions only: its
gradient is the sum of what the ranks find. These are a few numbers each, so a layer has them added up in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ...backend.random import part_of_elements
from ...tensor import Tensor
from ..comm import Communicator
from ..functional import all_gather, copies_to_ranks, gather_from_ranks, reduce_scatter, scatter_to_ranks
from ..shares import shares
from .cut import Split


class Positions:
    """This rank's share of positions, along `axis`, of what runs through one layer, or through several in a row."""

    def __init__(self, comm: Communicator, axis: int) -> None:
        self.comm, self.axis = comm, axis
        self._sizes: list[int] | None = None  # how many of the sequence that is under way each rank has
        self._copies: dict[int, Tensor] = {}  # id of a parameter → what is used of it in the layer that is running

    def within(self, function: Callable[[Tensor], Tensor], whole: Tensor) -> Tensor:
        """function(whole), of which each rank computes its positions: `function` treats each alone, or gathers them.

        Inside another call (a layer in a stack) `whole` is this rank's part already, and so is what is returned.
        """
        if self._sizes is not None:
            return function(whole)
        length = whole.shape[self.axis]
        sizes = shares(length, self.comm.size)
        part = scatter_to_ranks(whole, self.comm, self.axis)
        self._sizes = sizes
        try:
            with part_of_elements(self.axis - whole.ndim, sum(sizes[: self.comm.rank]), length):
                made = function(part)
        finally:
            self._sizes = None
        return gather_from_ranks(made, self.comm, self.axis, sizes)

    def gathered(self, part: Tensor) -> Tensor:
        """All positions, of which each rank goes on to compute features of its own."""
        return all_gather(part, self.comm, self.axis, self._sizes)

    def added_up(self, x: Tensor) -> Tensor:
        """This rank's positions of the sum of every rank's `x`."""
        return reduce_scatter(x, self.comm, self.axis)

    @contextmanager
    def gradients_in_one_sum(self, *parameters: Tensor | None) -> Iterator[None]:
        """Inside, `copies` of these have their gradients added up over ranks all in one call."""
        self._copies = self._copied(parameters)
        try:
            yield
        finally:
            self._copies = {}

    def copies(self, *parameters: Tensor | None) -> list[Tensor | None]:
        """What to use of these parameters, so that their gradients add up over ranks.

        Those that are in no sum of a layer around have one call of their own.
        """
        known = self._copies | self._copied([p for p in parameters if id(p) not in self._copies])
        return [known.get(id(p), p) for p in parameters]

    def _copied(self, parameters: Iterable[Tensor | None]) -> dict[int, Tensor]:
        trained = [p for p in parameters if p is not None and p.tracked]
        return {id(p): copy for p, copy in zip(trained, copies_to_ranks(trained, self.comm))}


class OnPositions(Split):
    """A split layer that takes or gives this rank's positions, if it has `positions` at all."""

    positions: Positions | None = None
    stands_alone = True

    def belong_to(self, positions: Positions) -> None:
        """Stand in a layer, or in a stack, that has these: it does once what can be done once for all of its parts."""
        self.positions, self.stands_alone = positions, False
