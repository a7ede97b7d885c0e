"""Each rank loads its own samples of every batch, and no others'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..data.sampler import Sampler
from .shares import share


class ShardedBatchSampler(Sampler):
    """Of each batch of sample numbers that `batch_sampler` gives, the share of `rank` of `size`: consecutive, in order.

    For a DataLoader (`batch_sampler=`) whose batches go to `train_step(…, sharded=True)`; `rank` and `size` are those
    of mesh.data. All ranks' shares, one after the other, are the batches of one process: none is left out, none comes
    twice, and training is that of one process, dropout included. (PyTorch's DistributedSampler repeats samples until
    all ranks have as many, and deals them out by turns.) A batch of fewer samples than ranks gives some an empty list,
    of which the DataLoader makes tensors without rows.

    Every rank must shuffle alike: seed the sampler's generator, or the thread's (`manual_seed`), the same on all. What
    a dataset draws itself (augmentation) is each rank's own.

    TypeError unless `batch_sampler` is iterable; ValueError unless 0 <= rank < size.

    >>> batches = minipar.data.BatchSampler(range(7), batch_size=3, drop_last=False)
    >>> for rank in range(2):
    ...     list(minipar.parallel.ShardedBatchSampler(batches, rank, 2))
    [[0, 1], [3, 4], [6]]
    [[2], [5], []]
    """

    def __init__(self, batch_sampler: Iterable[Sequence[Any]], rank: int, size: int) -> None:
        if not hasattr(batch_sampler, "__iter__"):
            raise TypeError(
                f"batch_sampler must give lists of sample numbers, as data.BatchSampler does, not be a "
                f"{type(batch_sampler).__name__}"
            )
        if not 0 <= rank < size:
            raise ValueError(f"rank must be one of the {size} from 0 to {size - 1}, not {rank!r}")
        self.batch_sampler, self.rank, self.size = batch_sampler, rank, size

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in self.batch_sampler:
            yield list(batch[share(len(batch), self.rank, self.size)])
