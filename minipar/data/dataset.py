"""Datasets: anything with `len()` and `[i]`, or a stream of samples; and datasets made of several."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from types import GenericAlias
from typing import Any

from ..backend import random
from ..tensor import Tensor


class Dataset:
    """Base of map-style datasets: subclasses define `__len__` and `__getitem__(i)`, which returns one sample.

    The sum of two is a ConcatDataset. With `__getitems__(indices)`, a list of samples, a loader asks for a whole batch.

    >>> class Squares(minipar.data.Dataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, i):
    ...         return i * i
    >>> list(minipar.data.DataLoader(Squares(), batch_size=2))
    [tensor([0, 1]), tensor([4])]
    """

    __class_getitem__: Any = classmethod(GenericAlias)  # Dataset[int] for annotations and as a base

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Any) -> Dataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Base of streams: subclasses define `__iter__`, and `__len__` if they know it. The sum of two is a ChainDataset.

    With workers each of them iterates over a (shallow) copy of its own: `get_worker_info()` tells `__iter__` which part
    of the stream to give.

    >>> class Countdown(minipar.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter([3, 2, 1])
    >>> list(minipar.data.DataLoader(Countdown(), batch_size=2))
    [tensor([3, 2]), tensor([1])]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} is a stream: iterate over it")

    def __add__(self, other: Any) -> Dataset:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Sample i is the tuple of the i-th entries of tensors of equal first size.

    >>> minipar.data.TensorDataset(minipar.arange(3), minipar.tensor([5, 6, 7]))[1]
    (tensor(1), tensor(6))
    """

    def __init__(self, *tensors: Tensor) -> None:
        for t in tensors:
            if not isinstance(t, Tensor):
                raise TypeError(f"TensorDataset takes tensors, not {type(t).__name__}; wrap arrays with from_numpy")
        sizes = [len(t) for t in tensors]
        if not sizes or len(set(sizes)) > 1:
            raise ValueError(f"TensorDataset needs one or more tensors of equal first size, got sizes {sizes}")
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)


class Subset(Dataset):
    """The samples of `dataset` at `indices`.

    >>> list(minipar.data.Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return samples_at(self.dataset, [self.indices[i] for i in indices])


def samples_at(dataset: Any, indices: Sequence[Any]) -> list[Any]:
    """The samples, by `__getitems__` where the dataset has it."""
    at_once = getattr(dataset, "__getitems__", None)
    return at_once(indices) if at_once else [dataset[i] for i in indices]


class ConcatDataset(Dataset):
    """The samples of several datasets, one after the other. AssertionError for none, or for a stream.

    >>> both = minipar.data.ConcatDataset([range(3), range(10, 12)])
    >>> len(both), both[3], both[-1]
    (5, 10, 11)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("ConcatDataset: datasets must not be empty")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset: datasets must be map-style; chain streams with ChainDataset")
        self.cumulative_sizes = list(accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> Any:
        if idx < -len(self):
            raise ValueError(f"idx must be at least -{len(self)}, got {idx}")
        idx = idx + len(self) if idx < 0 else idx
        if idx >= len(self):
            raise IndexError(f"idx must be below {len(self)}, got {idx}")
        place = bisect_right(self.cumulative_sizes, idx)
        return self.datasets[place][idx - (self.cumulative_sizes[place - 1] if place else 0)]


class ChainDataset(IterableDataset):
    """The samples of several streams, one after the other. AssertionError for what is no IterableDataset.

    >>> class Count(minipar.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(2))
    >>> list(Count() + Count())
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError(f"ChainDataset: datasets must be IterableDatasets, not {type(dataset).__name__}")
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        for stream in self._streams():
            yield from stream

    def __len__(self) -> int:
        return sum(len(stream) for stream in self._streams())


class StackDataset(Dataset):
    """Sample i is the tuple of the i-th samples of several datasets; of datasets given by keyword, a dict of them.

    ValueError for none, for both kinds at once, and for datasets of different sizes.

    >>> minipar.data.StackDataset(x=range(3), y="abc")[1]
    {'x': 1, 'y': 'b'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError(
                "StackDataset takes datasets as arguments (tuples) or as keywords (dicts): one or more of one"
            )
        self.datasets: Any = args or kwargs
        sizes = [len(dataset) for dataset in args or kwargs.values()]
        if len(set(sizes)) > 1:
            raise ValueError(f"StackDataset needs datasets of equal sizes, got {sizes}")

    def __len__(self) -> int:
        return len(self.datasets[0] if isinstance(self.datasets, tuple) else next(iter(self.datasets.values())))

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, tuple):
            return tuple([dataset[index] for dataset in self.datasets])
        return {key: dataset[index] for key, dataset in self.datasets.items()}


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Subsets of the given lengths, which together hold every sample once, in random order.

    `lengths` are numbers of samples, or fractions that add up to 1: each is rounded down, and the samples that remain
    go to the first subsets, one each. The order comes from `generator`, or the thread's own. ValueError for lengths
    that do not add up.

    >>> parts = minipar.data.random_split(range(10), [0.7, 0.3])
    >>> [len(part) for part in parts]
    [7, 3]
    """
    size = len(dataset)
    if min(lengths, default=0) < 0:
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    counts = _shares(lengths, size) if math.isclose(sum(lengths), 1) else list(lengths)
    if sum(counts) != size or not all(isinstance(n, int) for n in counts):
        raise ValueError(f"lengths must be ints that add up to {size} samples, or fractions of 1, not {list(lengths)}")
    order = random.chosen(generator).permutation(size).tolist()
    return [Subset(dataset, order[end - n : end]) for n, end in zip(counts, accumulate(counts))]


def _shares(fractions: Sequence[float], size: int) -> list[int]:
    counts = [math.floor(size * fraction) for fraction in fractions]
    for i in range(size - sum(counts)):
        counts[i % len(counts)] += 1
    return counts
