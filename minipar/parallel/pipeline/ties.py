"""Weights that several stages share: each rank that has such a stage holds a copy, and the copies' gradients add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import namespace
from ...nn.module import Module
from ...nn.parameter import Parameter
from ..comm import Communicator
from ..travel import beside, to_send


class TiedParameters:
    """The parameters of `stages` that are in stages of several ranks; `placement[s]` is the rank of stage s.

    Collective over `comm`, the ranks of the pipeline. Copies start equal and get equal gradients, so they stay equal.
    """

    def __init__(self, stages: Sequence[Module], placement: Sequence[int], comm: Communicator) -> None:
        owners: dict[int, set[int]] = {}
        found: dict[int, Parameter] = {}
        for stage, rank in zip(stages, placement):
            for p in stage.parameters():
                owners.setdefault(id(p), set()).add(rank)
                found[id(p)] = p
        self._groups: list[tuple[Parameter, Any]] = []
        self.exist = any(len(ranks) > 1 for ranks in owners.values())  # on whichever ranks
        for key, ranks in owners.items():
            if len(ranks) > 1:
                group = comm.split(0 if comm.rank in ranks else None)
                if group is not None:
                    self._groups.append((found[key], group))

    def first_owner(self, p: Parameter) -> bool:
        """Is this rank the only one that holds `p`, or the first of those that do?"""
        return all(group.rank == 0 for tied, group in self._groups if tied is p)

    def add_up(self) -> None:
        """Every copy's gradient becomes the sum of all copies', or stays None if no stage uses it."""
        for p, group in self._groups:
            used = p.tracked and group.all_reduce(np.array(p.grad is not None, np.float32)).item()
            if not used:
                continue
            if p.grad is None:
                p.accumulate(namespace(p.array).zeros(p.shape, p.dtype))
            grad: Any = p.grad.array
            sent = to_send(grad, group)
            group.all_reduce(sent)
            if sent is not grad:
                grad[...] = beside(sent, grad)
