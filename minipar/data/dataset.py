"""Datasets: anything with `len()` and `[i]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ..backend import random
from ..tensor import Tensor


class Dataset:
    """Base of map-style datasets: subclasses define `__len__` and `__getitem__(i)`, which returns one sample."""

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")


class TensorDataset(Dataset):
    """Sample i is the tuple of the i-th entries of tensors of equal first size."""

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
    """The samples of `dataset` at `indices`."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Subsets of the given lengths, which together hold every sample once, in random order.

    `lengths` are numbers of samples, or fractions that add up to 1: each is rounded down, and the samples that remain
    go to the first subsets, one each. The order comes from `generator`, or the thread's own. ValueError for lengths
    that do not add up.
    """
    size = len(dataset)
    if min(lengths, default=0) < 0:
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    counts = _shares(lengths, size) if math.isclose(sum(lengths), 1) else list(lengths)
    if sum(counts) != size or not all(isinstance(n, int) for n in counts):
        raise ValueError(f"lengths must be ints that add up to {size} samples, or fractions of 1, not {list(lengths)}")
    order = (generator or random.default_generator()).permutation(size).tolist()
    return [Subset(dataset, order[end - n : end]) for n, end in zip(counts, accumulate(counts))]


def _shares(fractions: Sequence[float], size: int) -> list[int]:
    counts = [math.floor(size * fraction) for fraction in fractions]
    for i in range(size - sum(counts)):
        counts[i % len(counts)] += 1
    return counts
