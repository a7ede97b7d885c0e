"""DataLoader: batches of a dataset, in order, optionally prepared ahead by worker threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..ops.shape import stack
from ..tensor import Tensor, as_tensor, tensor
from .dataset import TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler


def default_collate(samples: list[Any]) -> Any:
    """A batch from a list of samples: tensors, arrays and numbers are stacked, tuples, lists and dicts gone through.

    TypeError for other types (strings stay a list of strings).
    """
    first = samples[0]
    if isinstance(first, Tensor):
        return stack(samples)
    if isinstance(first, (np.ndarray, np.generic)):
        return as_tensor(np.stack(samples))
    if isinstance(first, (bool, int, float)):
        return tensor(samples)
    if isinstance(first, (str, bytes)):
        return samples
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in samples):
            raise RuntimeError(f"samples of a batch must have equal lengths, got {sorted({len(s) for s in samples})}")
        parts = [default_collate([sample[i] for sample in samples]) for i in range(len(first))]
        if hasattr(first, "_fields"):
            return type(first)(*parts)
        return parts
    raise TypeError(f"cannot make a batch of {type(first).__name__}; pass collate_fn=")


class DataLoader:
    """An iterable of batches; each iteration is one pass over the dataset.

    `shuffle` draws a new order each pass from `generator` (or the thread's: seeded by `manual_seed`). `sampler` gives the
    order itself, `batch_sampler` whole lists of numbers. `drop_last` leaves out a last batch that is not full.
    `collate_fn` makes a batch of a list of samples. With `num_workers` > 0 that many *threads* of this process prepare
    `prefetch_factor` batches each ahead (PyTorch starts processes): batches come in the same order and are the same for
    any number. ValueError for options that contradict each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        generator: Any = None,
        prefetch_factor: int = 2,
    ) -> None:
        if pin_memory:
            raise NotImplementedError("DataLoader: pin_memory is not supported")
        if not isinstance(num_workers, int) or num_workers < 0:
            raise ValueError(f"num_workers must be an int of 0 or more, not {num_workers!r}")
        if not isinstance(prefetch_factor, int) or prefetch_factor < 1:
            raise ValueError(f"prefetch_factor must be a positive int, not {prefetch_factor!r}")
        if sampler is not None and shuffle:
            raise ValueError("sampler and shuffle exclude each other: the sampler gives the order")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("drop_last has no meaning with batch_size=None (no batching)")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self.collate_fn = default_collate if collate_fn is None else collate_fn

    def __len__(self) -> int:
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def _fetch(self, indices: Any) -> Any:
        if self.batch_sampler is None:
            return self.dataset[indices]
        if type(self.dataset) is TensorDataset and self.collate_fn is default_collate:
            return list(self.dataset[np.asarray(indices)])  # one look-up instead of a stack of single ones
        return self.collate_fn([self.dataset[i] for i in indices])

    def __iter__(self) -> Iterator[Any]:
        order = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        if not self.num_workers:
            return map(self._fetch, order)
        return self._prefetched(order)

    def _prefetched(self, order: Iterator[Any]) -> Iterator[Any]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.num_workers, thread_name_prefix="minipar-loader") as pool:
            ahead: deque = deque()
            try:
                for indices in order:
                    ahead.append(pool.submit(self._fetch, indices))
                    if len(ahead) > self.num_workers * self.prefetch_factor:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()
