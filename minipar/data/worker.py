"""The workers of a DataLoader: threads that fetch batches, each the ones of its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backend import random
from ..backend.settings import ThreadSettings


class WorkerInfo(NamedTuple):
    """What a worker is told about itself.

    >>> minipar.data.WorkerInfo(id=0, num_workers=2, seed=7, dataset="ab").num_workers
    2
    """

    id: int  # from 0
    num_workers: int
    seed: int  # the pass's, plus id
    dataset: Any  # of a stream a shallow copy, the worker's own; else the one that all share


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader: its id, num_workers, seed and dataset; None anywhere else.

    A stream reads here which part of it to give, so that several workers do not all give the same.

    >>> minipar.data.get_worker_info() is None
    True
    """
    return getattr(_here, "info", None)


class Worker:
    """One thread, which does what it is given in order; before anything else, it calls `init` if there is one."""

    def __init__(self, info: WorkerInfo, init: Callable[[int], Any] | None) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.info, self.init = info, init
        self.thread = ThreadPoolExecutor(1, f"minipar-loader-{info.id}")
        self.exhausted = False  # has its stream come to its end?

    def begin(self, settings: ThreadSettings, fetch: Callable[[Any], Any]) -> None:
        """A new pass, with the settings of the thread that iterates."""
        self.fetch, self.exhausted = fetch, False
        self.thread.submit(settings.adopt)

    def submit(self, job: Any, stream: random.Generator) -> Any:
        return self.thread.submit(self._run, job, stream)

    def _run(self, job: Any, stream: random.Generator) -> Any:
        _here.info = self.info
        with random.drawing_from(stream):
            if self.init is not None:
                self.init(self.info.id)
                self.init = None
            return self.fetch(job)

    def end(self, wait: bool) -> None:
        self.thread.shutdown(wait, cancel_futures=True)
