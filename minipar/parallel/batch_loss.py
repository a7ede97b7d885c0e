"""The loss of one batch in any layout: from what each micro-batch's backward starts, and what all ranks learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..backend.random import default_generator
from ..tensor import Tensor
from .losses import MESSAGE, SUM, PartOfLoss, as_pair, head_start, is_sum, message, part_of_loss, whole_loss
from .mesh import Mesh
from .same_batch import Passed, check_fingerprints

LossFunction = Callable[..., Any]  # (output, *targets) -> a loss that knows its denominator, or (sum, denominator)


class BatchLoss:
    """The losses of one batch of `rows` samples, micro-batch by micro-batch, on the ranks that have the last stage.

    By what the whole sum is to be divided is known only when all ranks have said what counts, and nobody waits for
    that: backward starts from sums divided by `rows`, which everybody knows, and what is left of the division (mostly
    nothing) comes when the gradients have been added up.
    """

    def __init__(
        self, mesh: Mesh, loss_fn: LossFunction, targets: list[list[Tensor]], rows: int, copies: int = 1
    ) -> None:
        self._mesh, self._loss_fn, self._targets, self._rows, self._copies = mesh, loss_fn, targets, rows, copies
        self._error: ValueError | None = None  # that all ranks are going to raise
        self.parts: dict[int, PartOfLoss] = {}

    def finish(self, i: int, output: Tensor) -> Tensor:
        """The loss of micro-batch i, from which backward starts: or its output, if it has no samples that count."""
        loss, weight = as_pair(self._loss_fn(output, *[target[i] for target in self._targets]))
        self.parts[i] = part = part_of_loss(loss, weight)
        return loss if part.denominator else output

    def slope(self, i: int) -> float:
        """By what backward of micro-batch i starts. Nothing, if it has no samples that count."""
        part = self.parts[i]
        return part.slope / head_start(part.kind == SUM, self._rows) if part.denominator else 0.0

    def tell(self, draws: int, batch: float, passed: Passed) -> tuple[float, float]:
        """(the loss, by what gradients are still to be divided), on every rank; and all have drawn as many numbers.

        `batch` is the fingerprint of what this rank has passed (same_batch.py). Collective: one sum of a few numbers.
        Those of `tensor` ranks, which compute the same, count once. What all ranks find wrong, `check` raises, when no
        gradient is under way any more.
        """
        comm = self._mesh.comm
        parts = list(self.parts.values()) if self._mesh.tensor.rank == 0 else []
        columns = np.zeros((3, comm.size))
        columns[:, comm.rank] = draws, self._rows, batch
        told = comm.all_reduce(np.concatenate([message(parts), columns.reshape(-1)]))
        all_draws, all_rows, batches = told[MESSAGE:].reshape(3, -1)
        generator = default_generator()
        generator.set_state((generator.get_state()[0], int(all_draws.max())))
        try:
            if (all_rows != self._rows).any():
                raise different_lengths(all_rows)
            check_fingerprints(batches, self._mesh, passed)
            loss, divisor = whole_loss(told[:MESSAGE], self._copies)
        except ValueError as error:
            self._error = error
            return math.nan, 1.0
        return loss, divisor / head_start(is_sum(told), self._rows) if divisor else 1.0

    def check(self) -> None:
        """ValueError for batches of different lengths, other samples, and losses that are reduced in different ways."""
        if self._error is not None:
            raise self._error


def different_lengths(rows: Iterable[float]) -> ValueError:
    """The error for ranks that pass batches of these lengths."""
    lengths = ", ".join(f"{int(n)} on rank {rank}" for rank, n in enumerate(rows))
    return ValueError(f"ranks have batches of different lengths: {lengths}; every rank passes the same batch")
