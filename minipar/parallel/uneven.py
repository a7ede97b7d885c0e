"""Shares of a batch by measured speed: a rank that is three times slower gets a third of what the others get.

    equal shares     rank 0 ████            rank 1 ████████████     the step lasts as long as the slowest rank
    by speed         rank 0 ██████          rank 1 ██████           both end together

Gradients are sums over samples, divided by the denominators of all (losses.py), so the result is that of one process
whatever the shares are. Speeds are samples a second of a rank's own forward and backward passes, without waiting. They
are measured again every few steps, and the shares move only where that pays (hysteresis): measurements are noisy, and
each shape of a batch is new to caches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .comm import Communicator
from .shares import shares


def by_largest_remainder(total: int, weights: Sequence[float]) -> list[int]:
    """`total` split in proportion to `weights`: rounded down, and the rest one by one to the largest remainders.

    >>> minipar.parallel.uneven.by_largest_remainder(10, [3.0, 1.0, 1.0])
    [6, 2, 2]
    """
    exact = np.asarray(weights, np.float64) * (total / float(np.sum(weights)))
    counts = np.floor(exact).astype(int)
    rest = total - int(counts.sum())
    for place in np.argsort(counts - exact, kind="stable")[:rest]:
        counts[place] += 1
    return counts.tolist()


class EqualShares:
    """Every data rank gets the same, or one sample more."""

    def __init__(self, size: int) -> None:
        self._size = size

    def cut(self, total: int) -> list[int]:
        """How many of `total` samples each data rank gets."""
        return shares(total, self._size)

    def measured(self, seconds: float, samples: int) -> None:
        """A step is over, for which this rank took `seconds`, with `samples`."""


class RecordedShares(EqualShares):
    """The weights of each step, as a run by measured speed has recorded them: the same bits again."""

    def __init__(self, record: Sequence[Sequence[float]]) -> None:
        super().__init__(len(record[0]))
        self.record = [list(map(float, weights)) for weights in record]
        self._step = 0

    def cut(self, total: int) -> list[int]:
        return by_largest_remainder(total, self.record[min(self._step, len(self.record) - 1)])

    def measured(self, seconds: float, samples: int) -> None:
        self._step += 1


class MeasuredShares(EqualShares):
    """Weights by speed, measured over `every` steps; they move if the step would be shorter by `gain` at least.

    `comm` is all ranks of the mesh, `place` this one's data rank, of `size`. Collective once every `every` steps.
    `record` holds the weights of each step so far.
    """

    def __init__(self, comm: Communicator, place: int, size: int, every: int = 5, gain: float = 0.1) -> None:
        super().__init__(size)
        self._comm, self._place, self._every, self._gain = comm, place, every, gain
        self._weights = [1.0] * size
        self._seconds, self._samples, self._steps = 0.0, 0, 0
        self.record: list[list[float]] = []

    def cut(self, total: int) -> list[int]:
        return by_largest_remainder(total, self._weights)

    def measured(self, seconds: float, samples: int) -> None:
        self.record.append(self._weights)
        self._seconds, self._samples, self._steps = self._seconds + seconds, self._samples + samples, self._steps + 1
        if self._steps == self._every:
            told = self._comm.all_gather(np.array([self._place, self._seconds, self._samples]))
            self._seconds, self._samples, self._steps = 0.0, 0, 0
            self._weigh(told)

    def _weigh(self, told: np.ndarray) -> None:
        """`told`: (data rank, seconds, samples) of every rank. A data rank is as slow as its slowest member."""
        each = np.zeros(len(self._weights))
        for place, seconds, samples in told:
            if samples:
                each[int(place)] = max(each[int(place)], seconds / samples)
        if not each.all():  # somebody had no samples: give everybody some, to measure
            self._weights = [1.0] * len(each)
            return
        fastest = 1.0 / each
        now = np.array(self._weights) / np.sum(self._weights)
        if (now * each).max() > (1.0 + self._gain) / fastest.sum():  # seconds a sample: as it is, and as it could be
            self._weights = (fastest / fastest.sum()).tolist()
