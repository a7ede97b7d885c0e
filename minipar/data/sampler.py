"""Samplers: in which order the samples are visited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from types import GenericAlias
from typing import Any

import numpy as np

from ..backend import random
from ..creation import as_tensor, multinomial


def is_positive_int(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x > 0


class Sampler:
    """Base of samplers: an iterable of sample numbers (or of lists of them: a batch sampler).

    >>> class Backwards(minipar.data.Sampler):
    ...     def __iter__(self):
    ...         return iter([2, 1, 0])
    >>> list(minipar.data.DataLoader(range(3), sampler=Backwards()))
    [tensor([2]), tensor([1]), tensor([0])]
    """

    __class_getitem__: Any = classmethod(GenericAlias)  # Sampler[int] for annotations and as a base

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, …

    >>> list(minipar.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))


class RandomSampler(Sampler):
    """`num_samples` sample numbers (by default as many as there are), in an order drawn anew at each iteration.

    Without `replacement`, each comes once before any comes again. Draws come from `generator`, or from the thread's
    own: after `manual_seed` the orders are the same on every run. ValueError where `num_samples` is not positive.

    >>> sorted(minipar.data.RandomSampler("abc"))
    [0, 1, 2]
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement must be a bool, not {replacement!r}")
        if num_samples is not None and not is_positive_int(num_samples):
            raise ValueError(f"num_samples must be a positive int, not {num_samples!r}")
        if not len(data_source):
            raise ValueError("data_source is empty: there is nothing to draw from")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        source = random.chosen(self.generator)
        size, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            return iter(source.integers(0, size, (wanted,)).tolist())
        rounds = [source.permutation(size) for _ in range(-(-wanted // size))]
        return iter(np.concatenate(rounds)[:wanted].tolist())


class SubsetRandomSampler(Sampler):
    """Each of the sample numbers `indices` once, in an order drawn anew at each iteration.

    >>> sorted(minipar.data.SubsetRandomSampler([3, 5, 9]))
    [3, 5, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices, self.generator = indices, generator

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        source = random.chosen(self.generator)
        return iter([self.indices[i] for i in source.permutation(len(self.indices)).tolist()])


class WeightedRandomSampler(Sampler):
    """`num_samples` numbers of 0 … len(weights) − 1, drawn with probabilities proportional to `weights`.

    Without `replacement` each number comes at most once. ValueError for weights that are no 1-d sequence, and where
    num_samples is no positive int or replacement no bool.

    >>> list(minipar.data.WeightedRandomSampler([0.0, 1.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        if not is_positive_int(num_samples):
            raise ValueError(f"num_samples must be a positive int, not {num_samples!r}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement must be a bool, not {replacement!r}")
        self.weights = as_tensor(weights, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"weights must be a 1-d sequence, not of shape {tuple(self.weights.shape)}")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        return iter(multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist())


class BatchSampler(Sampler):
    """Lists of `batch_size` numbers from another sampler; the last, shorter one is left out if `drop_last`.

    >>> list(minipar.data.BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not is_positive_int(batch_size):
            raise ValueError(f"batch_size must be a positive int, not {batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last must be a bool, not {drop_last!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch
