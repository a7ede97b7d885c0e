"""The loss of one batch in any layout: from what each micro-batch's backward starts, and what all ranks learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..backend.random import default_generator
from ..tensor import Tensor
from .losses import MESSAGE, PartOfLoss, as_pair, message, part_of_loss, whole_loss
from .mesh import Mesh

LossFunction = Callable[..., Any]  # (output, *targets) -> a loss that knows its denominator, or (sum, denominator)


class BatchLoss:
    """The losses of one batch, micro-batch by micro-batch, on the ranks that have the last stage.

    Where all forwards come before the first backward (`divides_early`), the whole denominator is known by then, and
    backward starts from gradients that are divided by it. Else (1F1B) gradients of sums are made, and divided in the
    end.
    """

    def __init__(
        self,
        mesh: Mesh,
        loss_fn: LossFunction,
        targets: list[list[Tensor]],
        rows: int,
        divides_early: bool,
        copies: int = 1,
    ) -> None:
        self._mesh, self._loss_fn, self._targets, self._rows = mesh, loss_fn, targets, rows
        self._divides_early, self._copies = divides_early, copies
        self._draws = 0  # that had been made after the last of these losses
        self.parts: dict[int, PartOfLoss] = {}
        self._whole: tuple[float, float] | None = None
        self._draws_and_rows = np.empty((2, 0))  # of each replica

    def finish(self, i: int, output: Tensor) -> Tensor:
        """The loss of micro-batch i, from which backward starts: or its output, if it has no samples that count."""
        loss, weight = as_pair(self._loss_fn(output, *[target[i] for target in self._targets]))
        self._draws = max(self._draws, default_generator().get_state()[1])
        self.parts[i] = part = part_of_loss(loss, weight)
        return loss if part.denominator else output

    def slope(self, i: int) -> float:
        """By what backward of micro-batch i starts. Nothing, if it has no samples that count."""
        part = self.parts[i]
        divisor = self._loss_and_divisor()[1] if self._divides_early else 1.0
        return part.slope / divisor if part.denominator else 0.0

    def _loss_and_divisor(self) -> tuple[float, float]:
        """Of the whole batch. Collective over the replicas of the last stage, each of which fills its own column."""
        if self._whole is None:
            replicas = self._mesh.replicas
            columns = np.zeros((2, replicas.size))
            columns[:, replicas.rank] = self._draws, self._rows
            told = replicas.all_reduce(np.concatenate([message(list(self.parts.values())), columns.reshape(-1)]))
            self._draws_and_rows = told[MESSAGE:].reshape(2, -1)
            self._whole = whole_loss(told[:MESSAGE], self._copies)
        return self._whole

    def tell(self, draws: int) -> tuple[float, float]:
        """(the loss, by what gradients are still to be divided), on every rank; and all have drawn as many numbers."""
        here = bool(self.parts)
        loss, divisor = self._loss_and_divisor() if here else (0.0, 1.0)
        if self._mesh.replicas.size == self._mesh.comm.size:  # everybody has heard it already
            all_draws, all_rows = self._draws_and_rows
        else:
            told = self._mesh.comm.all_gather(np.array([here, loss, divisor, draws, self._rows], np.float64))
            loss, divisor = told[np.argmax(told[:, 0]), 1:3].tolist()
            all_draws, all_rows = told[:, 3], told[:, 4]
        if (all_rows != self._rows).any():
            raise different_lengths(all_rows)
        generator = default_generator()
        generator.set_state((generator.get_state()[0], int(all_draws.max())))
        return loss, 1.0 if self._divides_early or not divisor else divisor


def different_lengths(rows: Iterable[float]) -> ValueError:
    """The error for ranks that pass batches of these lengths."""
    lengths = ", ".join(f"{int(n)} on rank {rank}" for rank, n in enumerate(rows))
    return ValueError(f"ranks have batches of different lengths: {lengths}; every rank passes the same batch")
