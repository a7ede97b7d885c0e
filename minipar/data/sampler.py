"""Samplers: in which order the samples are visited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from ..backend import random


class Sampler:
    """Base of samplers: an iterable of sample numbers (or of lists of them: a batch sampler)."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, …"""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))


class RandomSampler(Sampler):
    """Every sample once, in an order drawn anew at each iteration; with `replacement`, `num_samples` independent draws.

    Draws come from `generator`, or from the thread's own: after `manual_seed` the orders are the same on every run.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples < 1):
            raise ValueError(f"num_samples must be a positive int, not {num_samples!r}")
        if num_samples is not None and not replacement and num_samples > len(data_source):
            raise ValueError(f"num_samples={num_samples} without replacement exceeds the {len(data_source)} samples")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        source = self.generator or random.default_generator()
        if self.replacement:
            return iter(source.integers(0, len(self.data_source), (self.num_samples,)).tolist())
        return iter(source.permutation(len(self.data_source))[: self.num_samples].tolist())


class BatchSampler(Sampler):
    """Lists of `batch_size` numbers from another sampler; the last, shorter one is left out if `drop_last`."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size must be a positive int, not {batch_size!r}")
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
