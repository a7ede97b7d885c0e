"""DataLoader: batches of a dataset, in order, optionally prepared ahead by worker threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from itertools import cycle, repeat
from types import GenericAlias
from typing import Any

from ..backend import random
from ..backend.settings import ThreadSettings
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetch import END, MapFetcher, StreamFetcher
from .pin import can_pin, pinned
from .sampler import BatchSampler, RandomSampler, SequentialSampler, is_positive_int
from .worker import Worker, WorkerInfo


class DataLoader:
    """An iterable of batches; each iteration is one pass over the dataset.

    `shuffle` draws a new order each pass from `generator` (or the thread's: seeded by `manual_seed`). `sampler` gives
    the order itself, `batch_sampler` whole lists of numbers; `batch_size=None` gives single samples. `drop_last` leaves
    out a last batch that is not full. `collate_fn` makes a batch of a list of samples. `pin_memory` copies batches into
    page-locked memory; without a GPU it is a warning. An IterableDataset gives its own order.

    With `num_workers` > 0 that many *threads* of this process take turns to prepare `prefetch_factor` (2 by default)
    batches each ahead (PyTorch starts processes). Batches come in the same order and are the same for any number of
    them, numbers drawn by the dataset from minipar's generator included: each batch draws from a stream of its own. (Of
    an IterableDataset each worker iterates over a shallow copy: see `get_worker_info`.) `worker_init_fn(id)` is called
    in each thread first; what it sets for the whole process, it sets for all. With `persistent_workers` the threads
    stay for the next pass. An exception of the dataset reaches the caller, with its traceback, in its batch's turn; a
    pass that is left early ends its threads once they have finished the batch in hand. After `timeout` seconds without
    the next batch: RuntimeError (the thread that is stuck stays behind).

    ValueError for options that contradict each other, NotImplementedError for what has no meaning with threads.

    >>> data = minipar.data.TensorDataset(minipar.arange(5))
    >>> [batch.tolist() for batch, in minipar.data.DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    __class_getitem__: Any = classmethod(GenericAlias)  # DataLoader[int] for annotations

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
        _refuse(pin_memory_device, "pin_memory_device", "pinned memory serves every GPU")
        _refuse(multiprocessing_context, "multiprocessing_context", "workers are threads")
        _refuse(not in_order, "in_order=False", "batches always come in order")
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self._streams = isinstance(dataset, IterableDataset)
        if self._streams:
            _check_stream(shuffle, sampler, batch_sampler)
        elif not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"dataset must have __getitem__ and __len__ (map-style), or be an IterableDataset, not "
                f"{type(dataset).__name__}"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler and shuffle exclude each other: the sampler gives the order")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("drop_last has no meaning with batch_size=None (no batching)")
        if sampler is None:
            if self._streams:
                sampler = repeat(None)
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor or (2 if num_workers else None)
        self.collate_fn, self.worker_init_fn, self.timeout = collate_fn, worker_init_fn, timeout
        self.pin_memory, self.persistent_workers = pin_memory, persistent_workers
        self._kept: list[Worker] | None = None  # the threads that stay between passes

    def __len__(self) -> int:
        if self._streams:
            size, batch = len(self.dataset), self.batch_size or 1
            return size // batch if self.drop_last else -(-size // batch)
        return len(self._order)  # type: ignore[arg-type]

    @property
    def _order(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        source = random.chosen(self.generator)
        seed = int(source.integers(0, 2**63 - 1, ()))
        streams = random.Generator().manual_seed(seed)
        pin = self.pin_memory and can_pin()
        if not self.num_workers:
            return self._one_by_one(streams, pin)
        return self._prefetched(streams, seed, pin, ThreadSettings.of_this_thread())

    def _jobs(self) -> Iterable[Any]:
        """What each batch is asked for by: sample numbers; for a stream, as often as one likes, nothing."""
        return repeat(None) if self._streams else self._order

    def _fetcher(self, dataset: Any) -> Callable[[Any], Any]:
        if self._streams:
            return StreamFetcher(dataset, self.collate_fn, self.batch_size, self.drop_last)
        return MapFetcher(dataset, self.collate_fn, self.batch_sampler is not None)

    def _one_by_one(self, streams: random.Generator, pin: bool) -> Iterator[Any]:
        fetch = self._fetcher(self.dataset)
        for number, job in enumerate(self._jobs()):
            with random.drawing_from(streams.stream(number)):
                batch = fetch(job)
            if batch is END:
                return
            yield pinned(batch) if pin else batch

    # ── worker threads ────────────────────────────────────────────────────────────────────────────────────────────────

    def _prefetched(self, streams: random.Generator, seed: int, pin: bool, settings: ThreadSettings) -> Iterator[Any]:
        workers = self._kept or self._started(seed)
        self._kept = workers if self.persistent_workers else None
        for worker in workers:
            worker.begin(settings, self._fetcher(worker.info.dataset))
        turns = cycle(workers)
        ahead: deque = deque()
        wait = True
        try:
            for number, job in enumerate(self._jobs()):
                whose = next((worker for worker, _ in zip(turns, workers) if not worker.exhausted), None)
                if whose is None:
                    break
                ahead.append((whose, whose.submit(job, streams.stream(number))))
                if len(ahead) > self.num_workers * self.prefetch_factor:  # type: ignore[operator]
                    yield from self._first(ahead, pin)
            while ahead:
                yield from self._first(ahead, pin)
        except _TimedOut as error:
            wait = False
            self._kept = None
            raise RuntimeError(f"DataLoader: no batch within timeout={self.timeout} seconds") from error
        finally:
            for _, future in ahead:
                future.cancel()
            if self._kept is not workers:
                for worker in workers:
                    worker.end(wait)

    def _started(self, seed: int) -> list[Worker]:
        datasets = [copy(self.dataset) if self._streams else self.dataset for _ in range(self.num_workers)]
        infos = [WorkerInfo(i, self.num_workers, seed + i, dataset) for i, dataset in enumerate(datasets)]
        return [Worker(info, self.worker_init_fn) for info in infos]

    def _first(self, ahead: deque, pin: bool) -> Iterator[Any]:
        """The batch that has been waited for longest; none where its worker's stream has come to its end."""
        worker, future = ahead.popleft()
        if self.timeout:
            from concurrent.futures import wait

            if not wait([future], self.timeout).done:
                raise _TimedOut
        batch = future.result()
        if batch is END:
            worker.exhausted = True
        else:
            yield pinned(batch) if pin else batch


class _TimedOut(Exception):
    pass


def _refuse(given: Any, name: str, why: str) -> None:
    if given:
        raise NotImplementedError(f"DataLoader: {name} is not supported ({why})")


def _check_workers(num_workers: Any, timeout: Any, prefetch_factor: Any, persistent_workers: Any) -> None:
    if num_workers != 0 and not is_positive_int(num_workers):
        raise ValueError(f"num_workers must be an int of 0 or more, not {num_workers!r}")
    if timeout < 0:
        raise ValueError(f"timeout must be a number of seconds, or 0 for none, not {timeout!r}")
    if prefetch_factor is not None and not is_positive_int(prefetch_factor):
        raise ValueError(f"prefetch_factor must be a positive int, not {prefetch_factor!r}")
    for name, given in (
        ("prefetch_factor", prefetch_factor), ("timeout", timeout), ("persistent_workers", persistent_workers)
    ):  # fmt: skip
        if given and not num_workers:
            raise ValueError(f"{name} has no meaning without workers: give num_workers > 0 as well")


def _check_stream(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    for name, given in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
        if given is not None:
            raise ValueError(
                f"{name} must be left out for an IterableDataset, which gives its own order, got {given!r}"
            )
