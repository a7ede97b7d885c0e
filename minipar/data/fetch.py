"""One batch from a dataset: of sample numbers, or the next of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from .collate import default_collate, without_rows
from .dataset import TensorDataset, samples_at

END: Any = ("end of the stream",)


class MapFetcher:
    """The samples of the numbers it is given, collated; not `batched`, the one sample of one number.

    Of no numbers (a rank's share of a small batch): what is made of sample 0, without its rows.
    """

    def __init__(self, dataset: Any, collate_fn: Callable[[Any], Any], batched: bool) -> None:
        self.dataset, self.collate_fn, self.batched = dataset, collate_fn, batched

    def __call__(self, indices: Any) -> Any:
        if not self.batched:
            return self.collate_fn(self.dataset[indices])
        if not len(indices):
            return without_rows(self([0]))
        if type(self.dataset) is TensorDataset and self.collate_fn is default_collate:
            return list(self.dataset[np.asarray(indices)])  # one look-up instead of a stack of single ones
        return self.collate_fn(samples_at(self.dataset, indices))


class StreamFetcher:
    """The next `batch_size` samples of the stream, collated (None: the next one); END after the last."""

    def __init__(self, dataset: Any, collate_fn: Callable[[Any], Any], batch_size: int | None, drop_last: bool) -> None:
        self.dataset, self.collate_fn, self.batch_size, self.drop_last = dataset, collate_fn, batch_size, drop_last
        self.samples: Iterator[Any] | None = None

    def __call__(self, _: Any) -> Any:
        if self.samples is None:  # here, so that a worker's __iter__ runs in the worker
            self.samples = iter(self.dataset)
        if self.batch_size is None:
            return next((self.collate_fn(sample) for sample in self.samples), END)
        batch = list(islice(self.samples, self.batch_size))
        if not batch or (self.drop_last and len(batch) < self.batch_size):
            return END
        return self.collate_fn(batch)
