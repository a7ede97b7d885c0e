"""Datasets: anything with `len()` and `[i]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def random_split(dataset: Any, lengths: Sequence[int], generator: Any = None) -> list[Subset]:
    """Subsets of the given lengths, which together hold every sample once, in random order."""
    from ..backend import random

    if sum(lengths) != len(dataset):
        raise ValueError(f"lengths {list(lengths)} must add up to the {len(dataset)} samples of the dataset")
    order = (generator or random.default_generator()).permutation(len(dataset)).tolist()
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [Subset(dataset, order[end - length : end]) for end, length in zip(ends, lengths)]
