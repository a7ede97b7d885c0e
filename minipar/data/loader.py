"""DataLoader: batches of a dataset, in order, optionally prepared ahead by worker threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..backend import random
from ..backend.settings import ThreadSettings
from .collate import default_collate, default_convert
from .dataset import TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, is_positive_int


class DataLoader:
    """An iterable of batches; each iteration is one pass over the dataset.

    `shuffle` draws a new order each pass from `generator` (or the thread's: seeded by `manual_seed`). `sampler` gives
    the order itself, `batch_sampler` whole lists of numbers; `batch_size=None` gives single samples. `drop_last` leaves
    out a last batch that is not full. `collate_fn` makes a batch of a list of samples.

    With `num_workers` > 0 that many *threads* of this process prepare `prefetch_factor` (2 by default) batches each
    ahead (PyTorch starts processes). Batches come in the same order and are the same for any number of them, numbers
    drawn by the dataset from minipar's generator included: each batch draws from a stream of its own. An exception of
    the dataset reaches the caller, with its traceback, in its batch's turn; a pass that is left early ends its threads
    once they have finished the batch in hand.

    ValueError for options that contradict each other, NotImplementedError for what has no meaning with threads.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _refuse(pin_memory or pin_memory_device, "pin_memory", "batches are in ordinary memory")
        _refuse(timeout, "timeout", "a thread that is stuck in a sample cannot be ended")
        _refuse(worker_init_fn, "worker_init_fn", "workers are threads: what it would seed or set, all of them share")
        _refuse(multiprocessing_context, "multiprocessing_context", "workers are threads")
        _refuse(persistent_workers, "persistent_workers", "threads are cheap to start, and end with each pass")
        _refuse(not in_order, "in_order=False", "batches always come in order")
        if not hasattr(dataset, "__getitem__"):
            raise TypeError(f"dataset must have __getitem__ and __len__ (map-style), not {type(dataset).__name__}")
        if num_workers != 0 and not is_positive_int(num_workers):
            raise ValueError(f"num_workers must be an int of 0 or more, not {num_workers!r}")
        if prefetch_factor is not None and not is_positive_int(prefetch_factor):
            raise ValueError(f"prefetch_factor must be a positive int, not {prefetch_factor!r}")
        if prefetch_factor is not None and not num_workers:
            raise ValueError("prefetch_factor has no meaning without workers: give num_workers > 0 as well")
        if sampler is not None and shuffle:
            raise ValueError("sampler and shuffle exclude each other: the sampler gives the order")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("drop_last has no meaning with batch_size=None (no batching)")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor or 2
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        return len(self._order)  # type: ignore[arg-type]

    @property
    def _order(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        source = self.generator or random.default_generator()
        streams = random.Generator().manual_seed(int(source.integers(0, 2**63 - 1, ())))
        if not self.num_workers:
            return self._one_by_one(streams)
        return self._prefetched(streams, ThreadSettings.of_this_thread())

    def _one_by_one(self, streams: random.Generator) -> Iterator[Any]:
        for number, indices in enumerate(self._order):
            yield self._fetch(indices, streams.stream(number))

    def _prefetched(self, streams: random.Generator, settings: ThreadSettings) -> Iterator[Any]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.num_workers, "minipar-loader", settings.adopt) as pool:
            ahead: deque = deque()
            try:
                for number, indices in enumerate(self._order):
                    ahead.append(pool.submit(self._fetch, indices, streams.stream(number)))
                    if len(ahead) > self.num_workers * self.prefetch_factor:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _fetch(self, indices: Any, stream: random.Generator) -> Any:
        with random.drawing_from(stream):
            if self.batch_sampler is None:
                return self.collate_fn(self.dataset[indices])
            if type(self.dataset) is TensorDataset and self.collate_fn is default_collate:
                return list(self.dataset[np.asarray(indices)])  # one look-up instead of a stack of single ones
            return self.collate_fn([self.dataset[i] for i in indices])


def _refuse(given: Any, name: str, why: str) -> None:
    if given:
        raise NotImplementedError(f"DataLoader: {name} is not supported ({why})")
